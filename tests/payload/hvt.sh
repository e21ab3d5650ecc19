# SPDX-License-Identifier: MIT
#
# Solo5's hvt, whatever the machine, to be sourced: every hypercall and status, and all that a guest can do wrong. By images of ours
# (tests/payload/hvt), in $guests; $lkvm runs them. It is in a folder of its own.
run()	# WANTED DESCRIPTION OPTION...
{
	wanted=$1 what=$2
	shift 2
	timeout 60 "$lkvm" run "$@" >out 2>err </dev/null
	status=$?
	is $status "$wanted" "$what"
	[ $status = "$wanted" ] || note "$(tail -n 3 err)"
}

# calls WANTED WORD... [OPTION of run's]: the guest without devices does this.
calls() { run "$1" "calls: $2" "$guests/calls.hvt" ${3-} ${4-} -- "$2"; }

run 0 "an empty guest" "$guests/empty.hvt"
is "$(cat out err)" "" "and nothing is said"
calls 0 hello
is "$(cat out)" "Hello from Solo5's side." "and says hello, byte for byte"
is "$(cat err)" "" "and lkvm says nothing"
run 0 "arguments" "$guests/calls.hvt" -- args one 'two  three' --four -m
is "$(cat out)" "[args one two  three --four -m]" "are one line"
run 0 "as long as can be" "$guests/calls.hvt" -- args "$(head -c 8186 /dev/zero | tr '\0' x)"
is "$(wc -c <out)" 8193 "and all of it"
run 125 "and longer" "$guests/calls.hvt" -- args "$(head -c 8187 /dev/zero | tr '\0' x)"
calls 0 info
is "$(cat out)" "memory 512 MiB" "which is what it has unless told otherwise"
for mib in 4 2048 4096; do
	calls 0 info -m $mib
	is "$(cat out)" "memory $mib MiB" "and here $mib"
done
run 0 "the tender's spelling" "$guests/calls.hvt" --mem=32 -- info
is "$(cat out)" "memory 32 MiB" "is the same"
run 0 "as the tender is used" --tender --mem=32 -- "$guests/calls.hvt" args --mem=64 -- two
is "$(cat out)" "[args --mem=64 -- two]" "what follows the image is its own"
run 0 "without --" --tender "$guests/calls.hvt" hello
run 123 "an image's own status stays" --tender "$guests/calls.hvt" status 123
run 1 "with its status for a guest that does what it must not" --tender "$guests/calls.hvt" puts-far
like err '.status 1.' "which is said so"
run 1 "in a result, too" --result=json --tender "$guests/calls.hvt" puts-far
like json '"status": *1,' "which says it"
run 1 "and for what is refused" --tender --mem=3 "$guests/calls.hvt" hello
run 0 "a question for help behind an image" --tender "$guests/calls.hvt" args --help
is "$(cat out)" "[args --help]" "is the image's"
run 1 "no image" --tender
calls 0 processor
calls 0 times
calls 0 much
is "$(md5sum <out)" "c162da24b99dcbc8e7bafaf5c2755343  -" "160 KiB of all bytes there are"
calls 0 panic
for status in 1 42 122 125 255; do calls $status "status $status"; done
is "$(cat err)" "" "lkvm has nothing to add to a status of the guest's own"
calls 1 "status 257"
calls 124 "poll 1" --timeout 0.3
calls 124 "poll 0" --timeout 0.3
calls 124 "poll 9223372036854775807" --timeout 0.3
calls 124 spin --timeout 0.3
{ "$lkvm" run "$guests/calls.hvt" --timeout 0.5 -- flood 2>err; echo $? >status; } | sleep 4
is "$(cat status)" 124 "a reader that does not read keeps nobody from the timeout"
{ "$lkvm" run "$guests/calls.hvt" -- much 2>err; echo $? >status; } | { sleep 0.5; cat >out; }
is "$(cat status) $(wc -c <out)" "0 163840" "a slow one gets all of it"
# Nor from others: it is paused where it waits, and goes on there.
if "$lkvm" list >/dev/null 2>&1; then
	export XDG_RUNTIME_DIR="$PWD"
	{ "$lkvm" run "$guests/calls.hvt" --name much -- much 2>err; echo $? >status; } | { sleep 3; cat >out; } &
	for _ in $(seq 100); do "$lkvm" list | grep -q 'much *running' && break; sleep 0.05; done
	sleep 0.3
	check "a pause meets one whose reader does not read" timeout 5 "$lkvm" pause much
	like_paused() { "$lkvm" list | grep -q 'much *paused'; }
	check "it is paused" like_paused
	check "and goes on" timeout 5 "$lkvm" resume much
	wait
	is "$(cat status) $(wc -c <out)" "0 163840" "and all of it comes out"
fi
for sig in 1 15; do
	"$lkvm" run "$guests/calls.hvt" -- poll 1 >out 2>&1 </dev/null &
	sleep 0.4
	kill -$sig $!
	wait $!
	is $? $((128 + sig)) "signal $sig meets one that waits"
done

# The guest's wrongs: 123, with a reason, and nothing goes on.
wrong()	# REGEX WORD
{
	calls 123 "$2"
	like err "$1" "and says why"
	is "$(cat out)" "" "nor goes it on"
}
wrong "prints 9 bytes at .* outside" "puts-straddles"
for i in 0 1 2 3; do
	wrong "prints 8 bytes at" "puts-far $i"
	wrong "prints [0-9]* bytes at" "puts-long $i"
	wrong "a cookie at" "cookie $i"
done
wrong "prints 8 bytes at 0x2000" puts-low
for n in 1 2 3 4 5 6 7 8; do
	wrong "0x" "args-straddle $n"
	wrong "0xfffffff8" "args-far $n"
	wrong "0xfff0" "args-low $n"
done
for n in 1 3 4 5 6 7; do
	wrong "not its to write" "args-sealed $n"
	wrong "0x10000, which is not its to write" "args-info $n"
done
calls 123 store-text
calls 123 store-rodata
# What is not mapped is the guest's to handle: without that x86 has a triple fault, and arm64 faults for ever.
case $(uname -m) in
x86_64) faults=123 ;;
*) faults=124 ;;
esac
for word in store-info load-0 load-tables load-far; do calls $faults $word --timeout 2; done
case $(uname -m) in
x86_64) numbers="1279 1280 1289 1016 96 1284096" ;;
*) numbers="0 4 72 4096 1073741820" ;;
esac
for n in ${numbers% *}; do wrong "there is nothing for it" "number $n"; done
for n in 1 2 3; do wrong "there is nothing for it" "odd $n"; done
calls 124 "poll 1" --timeout 0.2
like err "timeout" "is told"

# Disks.
disks="--block:first=a.img --block:second=b.img"
truncate -s 8K a.img
truncate -s 128K b.img
run 0 "two disks" $disks "$guests/disk.hvt" --block-sector-size:second=4096
is "$(cat out)" "block size 512, 8192 bytes
block size 4096, 131072 bytes" "of two block sizes"
is "$(stat -c %s a.img b.img | tr '\n' ' ')" "8192 131072 " "as long as they were"
is "$(od -An -tu1 -j 7680 -N 1 a.img | tr -d " ") $(od -An -tu1 -j 131071 -N 1 b.img | tr -d " ")" "16 222" "with what was written"
run 0 "of 32 KiB" $disks "$guests/disk.hvt" --block-sector-size:second=32768
for word in read-sealed read-far read-low write-wraps; do
	run 123 "disk: $word" $disks "$guests/disk.hvt" -- $word
	is "$(cat out)" "" "nor goes it on"
	like err "bytes of I/O at 0x.*, outside of its memory" "and says why"
done
