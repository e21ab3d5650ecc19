#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The x86 lab itself: L1 boots, has a KVM with nested paging, and carries status, output and files.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs x86
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/out"
LAB_OUT=$tmp/out
cd "$top" || exit 1

# lab WANTED DESCRIPTION ARGUMENT...: streams in $tmp/stdout and $tmp/stderr.
lab()
{
	wanted=$1 what=$2
	shift 2
	"$lab_dir/lab" x86 "$@" >"$tmp/stdout" 2>"$tmp/stderr" </dev/null
	status=$?
	is "$status" "$wanted" "$what"
	[ "$status" = "$wanted" ] || note "$(tail -n 20 "$tmp/stderr")"
}

cat >"$tmp/inside" <<'END'
echo "pwd $(pwd -P)"
[ -c /dev/kvm ] && echo "kvm present"
echo "npt $(cat /sys/module/kvm_amd/parameters/npt)"
[ -s "$LAB_KERNELS/vmlinuz-cloud" ] && echo "kernels present"
[ -d /sys/kernel/tracing/events/kvm/kvm_exit ] && echo "events present"
echo "arguments: $*"
echo "to stderr" >&2
printf 'a\tb\r\n'
echo "from L1" >"$LAB_OUT/file"
exit 7
END
{
	echo "pwd $(pwd -P)"
	echo "kvm present"
	echo "npt Y"
	echo "kernels present"
	echo "events present"
	echo "arguments: it's two  words"
	echo "to stderr"
	printf 'a\tb\r\n'
} >"$tmp/expected"

lab 7 "the command's status is lab's own" --timeout 120 -- sh -c "$(cat "$tmp/inside")" sh "it's" 'two  words'
check "its output arrives byte for byte, and nothing else does" diff "$tmp/expected" "$tmp/stdout"
is "$(cat "$tmp/stderr")" "" "lab itself is silent"
is "$(cat "$LAB_OUT/file" 2>&1)" "from L1" "a file written to LAB_OUT is on the host"
is "$(ls -A "$LAB_OUT")" file "and is all that is left there"

lab 124 "a command that hangs ends with 124" --timeout 8 -- sleep 1000
lab 125 "an L1 that dies without a status ends with 125" --timeout 120 -- sh -c 'echo b >/proc/sysrq-trigger'
like "$tmp/stderr" "without a status" "and says so"
lab 125 "a bad option is the host's fault" --no-such-option -- true
done_testing
