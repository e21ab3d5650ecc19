#!/bin/sh
# SPDX-License-Identifier: MIT
# --share-image: whatever comes first of a file that is cut short, the run ends with 125.
. tests/lib.sh
lkvm=${LKVM:-build/lkvm}
make=${KINDLING_BUILD:-build}/tests/payload/x86/share
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# start: until the guest runs.
start()
{
	"$make" "$tmp/image"
	sleep 0.1 # a file system's clock may tick slowly
	: >"$tmp/out"
	"$lkvm" run -k "$tmp/image" -m 16 --share-image "$@" </dev/null >"$tmp/out" 2>"$tmp/err" &
	pid=$!
	for i in $(seq 100); do [ ! -s "$tmp/out" ] || break; sleep 0.1; done
}

start
kill -TERM $pid
wait $pid
is $? 143 "a file that stays is no matter"
start --timeout 5
truncate -s 0 "$tmp/image"
wait $pid
is $? 125 "one that is cut short ends the run"
check "and is named" grep -q "image's file was changed" "$tmp/err"
# (Written over only: the guest, which goes on then, shall not be faster than the signal.)
start --timeout 30
printf x | dd of="$tmp/image" bs=1 seek=5000 conv=notrunc 2>/dev/null
kill -BUS $pid
wait $pid
is $? 125 "also where we are the first to meet a hole"
start
kill -BUS $pid
wait $pid
is $? 135 "but any other bus error is a crash"
cp "${KINDLING_BUILD:-build}/payload/exit.elf" "$tmp/small"
"$lkvm" run -k "$tmp/small" -m 16 --share-image </dev/null >/dev/null 2>"$tmp/err"
is $? 0 "an image that can't be shared runs"
check "with a word about it" grep -q "nothing of the image can be shared" "$tmp/err"
done_testing
