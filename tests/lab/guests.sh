# SPDX-License-Identifier: MIT
# For the labs' inner scripts: boots guests with lkvm and keeps what came out.
case $(uname -m) in
aarch64) build=${KINDLING_ARM64:-build/arm64} make="make ARCH=arm64" ;;
*)       build=${KINDLING_BUILD:-build} make=make ;;
esac
lkvm=$build/lkvm-static
[ -x "$lkvm" ] || lkvm=$build/lkvm # sanitizers have no static binary
"$lkvm" version >/dev/null 2>&1 || bail "$lkvm does not run on $(uname -m): $make static"
tmp=$(mktemp -d)
# For guests whose time goes by while they don't run: on a busy host a CPU is not stuck so soon.
patience="watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=300"

# guest NAME KERNEL ACT [OPTION...]: status in $tmp/NAME.status, output in NAME.out and .err. Input from stdin.
# KERNEL is a path (for one of $LAB_KERNELS32), or the name of one of the lab's own.
guest()
{
	name=$1 kernel=$2 act=$3
	shift 3
	case $kernel in /*) ;; *) kernel=$LAB_KERNELS/$kernel ;; esac
	timeout "${limit:-90}" "$lkvm" run -k "$kernel" -i "$LAB_OUT/$initrd.cpio.gz" -m 256 \
		-p "quiet act=$act" "$@" >"$tmp/$name.out" 2>"$tmp/$name.err"
	echo $? >"$tmp/$name.status"
}

# ended NAME WANTED DESCRIPTION: the status of that guest; shows its end when it is another.
ended()
{
	status=$(cat "$tmp/$1.status")
	is "$status" "$2" "$3"
	[ "$status" = "$2" ] || tail -n 15 "$tmp/$1.out" "$tmp/$1.err" | sed 's/^/# /'
}
