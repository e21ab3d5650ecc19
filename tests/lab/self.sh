# SPDX-License-Identifier: MIT
# For the tests of the labs themselves: what is the same in each. After lab_needs.
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
	"$lab_dir/lab" "$lab_arch" "$@" >"$tmp/stdout" 2>"$tmp/stderr" </dev/null
	status=$?
	is "$status" "$wanted" "$what"
	[ "$status" = "$wanted" ] || note "$(tail -n 20 "$tmp/stderr")"
}

# lab_carries SCRIPT EXPECTED: status, output, files, arguments. SCRIPT is run inside as well, and prints EXPECTED.
lab_carries()
{
	cat >"$tmp/inside" <<-'END'
		echo "pwd $(pwd -P)"
		[ -c /dev/kvm ] && echo "kvm present"
		[ -s "$LAB_KERNELS/vmlinuz-cloud" ] && echo "kernels present"
		[ -d /sys/kernel/tracing/events/kvm/kvm_exit ] && echo "events present"
		echo "arguments: $*"
		echo "to stderr" >&2
		printf 'a\tb\r\n'
		echo "from L1" >"$LAB_OUT/file"
	END
	{
		echo "pwd $(pwd -P)"
		echo "kvm present"
		echo "kernels present"
		echo "events present"
		echo "arguments: it's two  words"
		echo "to stderr"
		printf 'a\tb\r\n'
		echo "$2"
	} >"$tmp/expected"

	lab 7 "the command's status is lab's own" --timeout 120 -- \
		sh -c "$(cat "$tmp/inside"; echo; echo "$1"; echo exit 7)" sh "it's" 'two  words'
	check "its output arrives byte for byte, and nothing else does" diff "$tmp/expected" "$tmp/stdout"
	is "$(cat "$tmp/stderr")" "" "lab itself is silent"
	is "$(cat "$LAB_OUT/file" 2>&1)" "from L1" "a file written to LAB_OUT is on the host"
	is "$(ls -A "$LAB_OUT")" file "and is all that is left there"
}

# lab_ends SECONDS: every other way in which it ends. SECONDS are enough to start L1.
lab_ends()
{
	lab 124 "a command that hangs ends with 124" --timeout "$1" -- sleep 1000
	lab 125 "an L1 that dies without a status ends with 125" --timeout 120 -- sh -c 'echo b >/proc/sysrq-trigger'
	like "$tmp/stderr" "without a status" "and says so"
	lab 125 "an L1 that says nothing more ends with 125" --silence 10 -- sh -c 'echo word; sleep 1000'
	like "$tmp/stderr" "nothing was said for 10 s" "and it is said"
	lab 125 "a bad option is the host's fault" --no-such-option -- true
}
