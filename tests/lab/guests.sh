# SPDX-License-Identifier: MIT
# For the labs' inner scripts: boots guests with lkvm and keeps what came out.
build=${KINDLING_BUILD:-build}
lkvm=$build/lkvm-static
[ -x "$lkvm" ] || lkvm=$build/lkvm # sanitizers have no static binary
tmp=$(mktemp -d)

# guest NAME KERNEL ACT [OPTION...]: status in $status, output in $tmp/NAME.out and .err. Input from stdin.
guest()
{
	name=$1 kernel=$2 act=$3
	shift 3
	timeout 90 "$lkvm" run -k "$LAB_KERNELS/$kernel" -i "$LAB_OUT/$initrd.cpio.gz" -m 256 \
		-p "quiet act=$act" "$@" >"$tmp/$name.out" 2>"$tmp/$name.err"
	status=$?
}

# ended NAME WANTED DESCRIPTION: the status of the last guest; shows its end when it is another.
ended()
{
	is "$status" "$2" "$3"
	[ "$status" = "$2" ] || tail -n 15 "$tmp/$1.out" "$tmp/$1.err" | sed 's/^/# /'
}
