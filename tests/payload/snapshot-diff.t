#!/bin/bash
# SPDX-License-Identifier: MIT
#
# lkvm snapshot --diff: what was written to since the last whole one, and lkvm restore of that. The guest is the
# payload `state`, which finds out after each tick whether it has lost anything; or one that fills memory.
. tests/lib.sh
. tests/merged.sh
. tests/payload/saves.sh
command -v perl >/dev/null || skip_all "perl is not installed"

kib() { du -k "$1" | cut -f1; }

# ---- One that was booted ----

up a run "$image" -m 64 -p ticks=600 --rng
wait_for has_lines a.out 2
"$lkvm" snapshot -n a zero --diff >out 2>err
is $? 0 "the first is whole: $(cat out err)"
like out 'to be built on' "and says so"
is "$(ls zero | tr '\n' ' ')" "memory state " "it is one like any other"
wait_for has_lines a.out 6
"$lkvm" pause a
"$lkvm" snapshot --diff a one >out 2>err
is $? 0 "the second: $(cat out err)"
like out 'what it wrote to since the last whole one' "is what was written to"
is "$(ls one | tr '\n' ' ')" "base memory.diff state " "beside what it builds on"
is "$(readlink one/base)" ../zero "by its name"
is "$(stat -c '%a' one one/memory.diff one/state | tr '\n' ' ')" "700 600 600 " "this user's alone"
check "it is smaller ($(kib one) KiB of $(kib zero))" test "$(kib one/memory.diff)" -lt "$(kib zero/memory)"
at_one=$(lines a.out)
"$lkvm" snapshot --diff a two >out || bail "no third: $(cat out)"
"$lkvm" snapshot a whole >out || bail "no whole one: $(cat out)"
merged two
check "with its base it is what the memory is ($(cat runs))" cmp merged whole/memory
merged one
check "so is the one of the same moment" cmp merged whole/memory
"$lkvm" snapshot --diff a three >out || bail "no fourth: $(cat out)"
is "$(readlink three/base)" ../whole "one that comes after a whole one builds on that"
check "and has next to nothing in it" test "$(kib three/memory.diff)" -lt 200
"$lkvm" resume a
wait_for has_lines a.out $((at_one + 3))
"$lkvm" snapshot --diff a four >out || bail "no fifth: $(cat out)"
"$lkvm" stop --force a
wait $guest

# ---- What is restored from it, and what that one writes ----

"$lkvm" restore --name b one >b.out 2>b.err </dev/null &
b=$!
up c restore one
c=$guest
check "two go on at once" wait_for has_lines b.out 2
"$lkvm" pause c
"$lkvm" snapshot c --diff five >out 2>err
is $? 0 "one that was restored has a base already: $(cat out err)"
like out 'since the last whole one' "so its first is what was written to"
is "$(readlink five/base)" ../zero "since what its own was built on"
"$lkvm" snapshot c whole2 >out || bail "no whole one: $(cat out)"
merged five
check "and it is what the memory is ($(cat runs))" cmp merged whole2/memory
"$lkvm" snapshot c --diff six >out || bail "$(cat out)"
is "$(readlink six/base)" ../whole2 "then a whole one of its own"
"$lkvm" resume c
wait $c
is $? 0 "it comes to its end: $(cat c.err)"
is "$(lines c.out)" $((60 - at_one)) "and has said all that was left to say"
wait $b
is $? 0 "so does the other: $(cat b.err)"
is "$(lines b.out)" $((60 - at_one)) "with as much"
for from in zero four five six; do
	"$lkvm" restore $from >d.out 2>err </dev/null
	is $? 0 "$from goes on to the end, too: $(cat err)"
done
mkdir elsewhere
mv zero five elsewhere
"$lkvm" restore elsewhere/five >d.out 2>err </dev/null
is $? 0 "both were moved: $(cat err)"
mv elsewhere/* .

# ---- One that moves, and comes back ----

up m run "$image" -m 64 -p ticks=600
wait_for has_lines m.out 1
"$lkvm" snapshot m --diff m1 >out
"$lkvm" migrate m unix:$tmp/nobody 2>err
"$lkvm" snapshot m --diff m2 >out
like out 'to be built on' "after a migration that failed the next is whole again"
wait_for has_lines m.out 4
"$lkvm" pause m
"$lkvm" snapshot m --diff m3 >out
"$lkvm" snapshot m m4 >out
merged m3
check "and what builds on it is right ($(cat runs))" cmp merged m4/memory
"$lkvm" stop --force m
wait $guest

# ---- What can't be ----

refused 'takes a guest and a folder' snapshot a --diff
cp -r one bad
rm bad/base
refused 'builds on.*No such file' restore bad
ln -s ../one bad/base
refused 'does not build on what is in .*/one' restore bad
ln -sfn ../whole bad/base
refused 'does not build on what is in .*/whole: let the link bad/base lead' restore bad
ln -sfn ../zero bad/base
truncate -s 32M bad/memory.diff
refused 'snapshot bad' restore bad
rm bad/memory.diff
refused 'memory.diff: No such file' restore bad
cp --sparse=always one/memory.diff bad/memory.diff
chmod 666 bad/memory.diff
refused 'another user could have written it' restore bad
chmod 600 bad/memory.diff
chmod 666 zero/state
refused 'another user could have written it' restore bad
chmod 600 zero/state
"$lkvm" restore bad >out 2>err </dev/null
is $? 0 "a copy of it, with all in order: $(cat err)"

up e restore one
mkdir mine
echo precious >mine/base
refused 'base: File exists' snapshot e --diff mine
is "$(cat mine/base) $(ls mine)" "precious base" "a file of that name is left alone"
mv zero/memory kept
refused 'not there any more' snapshot e --diff seven
mv kept zero/memory
mv zero gone
refused 'not there any more: a whole one first' snapshot e --diff seven
check "nothing is left of that" test ! -e seven
"$lkvm" snapshot e eight >out 2>err
is $? 0 "a whole one: $(cat err)"
"$lkvm" snapshot e --diff nine >out 2>err
like out 'since the last whole one' "is what the next builds on: $(cat err)"
mv gone zero
if mkdir small && mount -t tmpfs -o size=16k none small 2>/dev/null; then
	refused 'No space left' snapshot e --diff small/saved
	is "$(ls small)" "" "a full disk: nothing is left there"
	refused 'No space left' snapshot e small/saved
	"$lkvm" snapshot e --diff ten >out 2>err
	is $? 0 "the next is right, whatever it is: $(cat out err)"
	"$lkvm" restore ten >d.out 2>err </dev/null
	is $? 0 "and goes on: $(cat err)"
	umount small
else
	skip "no tmpfs can be mounted here"
fi
"$lkvm" stop --force e 2>/dev/null
wait $guest

up f restore one
truncate -s 0 one/memory.diff
wait $guest
is $? 125 "what lies over it is cut short: that ends what runs on it"
like f.err "snapshot's memory was c" "and says why"
done_testing
