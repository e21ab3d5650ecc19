# SPDX-License-Identifier: MIT
# For inner scripts whose guests run commands, after guests.sh: goes to $tmp.
limit=${LONG:+300}
limit=${limit:-100}
# QEMU's SVM lets a guest set XCR0 without telling KVM, whose CPUID then contradicts it: the kernel warns of that.
# Unpacking xz takes the lab's processor 8 s.
case $(uname -m) in
aarch64) params='' kernel=vmlinuz-generic ;;
*)       params=noxsave kernel=vmlinux-generic ;;
esac
case $lkvm in /*) ;; *) lkvm=$PWD/$lkvm ;; esac
cd "$tmp" || exit 1

# run NAME OPTION... -- COMMAND: as guest does, with the host's root; streams and status in NAME.*. $mem is its memory.
run()
{
	name=$1
	shift
	timeout -k 5 "$limit" "$lkvm" run -k "$LAB_KERNELS/$kernel" --modules "$LAB_KERNELS" -m "${mem:-384}" -p "$params" \
		"$@" >"$name.out" 2>"$name.err"
	echo $? >"$name.status"
}

# came NAME STATUS DESCRIPTION: so it ended.
came()
{
	status=$(cat "$1.status")
	is "$status" "$2" "$3"
	[ "$status" = "$2" ] || tail -n 12 "$1.err" | sed 's/^/# /'
}

same() { check "$3" cmp "$1" "$2"; }
