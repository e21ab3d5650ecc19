#!/bin/bash
# SPDX-License-Identifier: MIT
#
# lkvm snapshot and restore. The guest is the payload `state`, which checks after each tick that nothing of it
# was lost, says a line after ten, and says what it is told by its serial port; or one that only spins.
. tests/lib.sh
. tests/payload/saves.sh
options() { tr '\0' '\n' <"$1/state" | grep -a '^--'; }

# ---- One is written while it runs, and goes on; two go on from there ----

truncate -s 1M "$tmp/disk" "$tmp/same"
truncate -s 2M "$tmp/other"
up a run "$image" -m 64 -p ticks=600 --rng -d disk,ro
wait_for has_lines a.out 2
"$lkvm" pause a
"$lkvm" snapshot -n a saved >out 2>err
is $? 0 "a snapshot of one that is stopped: $(cat out err)"
like out '^a: saved: [0-9.]+ MiB for 64.0 MiB of memory; it stood for [0-9.]+ ms$' "and it is told what it cost"
before=$(lines a.out)
"$lkvm" resume a
"$lkvm" snapshot a running >out
is $? 0 "a snapshot of one that runs"
check "which goes on" wait_for has_lines a.out $((before + 2))
is "$(stat -c '%a' saved saved/memory saved/state | tr '\n' ' ')" "700 600 600 " "it is this user's alone"
check "and sparse" test "$(du -k saved | cut -f1)" -lt 4096
refused 'there is one already' snapshot a saved
is "$(ls saved | tr '\n' ' ')" "memory state " "which is as it was"
like <(options saved) "^--disk=$tmp/disk,ro$" "a disk is told by its whole path"
like <(options saved) '^--rng$' "and what devices there are"

mkdir elsewhere
cd elsewhere || exit 1
"$lkvm" restore --name c ../saved </dev/null >"$tmp/c.out" 2>"$tmp/c.err" &
up b restore ../saved
b=$guest
cd .. || exit 1
check "two go on at once, from another directory" wait_for has_lines c.out 1
"$lkvm" snapshot b again >out 2>err
is $? 0 "a snapshot of one that was restored: $(cat out err)"
is "$(options again)" "$(options saved)" "carries the same options"
wait $b
is $? 0 "it comes to its end: $(cat b.err)"
is "$(lines b.out)" $((60 - before)) "and has said all that was left to say"
check "so has the other" wait_for has_lines c.out $((60 - before))
is "$(lines c.out)" "$(lines b.out)" "no more"
"$lkvm" restore saved -d same,ro --timeout 60 --result result.json >d.out 2>err </dev/null
is $? 0 "with another disk: $(cat err)"
is "$(lines d.out)" $((60 - before)) "the same"
like result.json '"reason"' "--result"
"$lkvm" restore again >d.out 2>err </dev/null
is $? 0 "the snapshot of the restored one goes on, too: $(cat err)"
"$lkvm" restore saved --timeout 0.3 >d.out 2>err </dev/null
is $? 124 "a timeout is this run's"
(sleep 0.3; echo hello; sleep 30) | "$lkvm" restore saved >d.out 2>err
like d.out '^hello$' "what is said to it arrives, and comes back"
wait

# ---- What can't be ----

refused 'restore what' restore
refused 'nothing: there is no such folder' restore nothing
mkdir empty
refused 'empty: there is no snapshot in it' restore empty
refused 'kernel says how a guest begins' restore saved -k "$image"
refused 'goes on' restore saved -- true
refused 'of 1 CPUs, and this machine has 2' restore saved -c 2
refused 'has 65536 KiB of memory, and this machine has 131072' restore saved -m 128
refused 'of another size' restore saved -d other,ro
refused 'two to restore' restore saved again
refused 'of .* devices' restore saved --no-rng
mv disk gone
refused 'disk.*No such file' restore saved
mv gone disk
cp -r saved bad
printf x | dd of=bad/state bs=1 seek=300 conv=notrunc 2>/dev/null
refused 'damaged' restore bad
head -c 1000 saved/state >bad/state
refused 'cut short' restore bad
echo 'this is no state' >bad/state
refused 'no saved state' restore bad
cp saved/state bad/state
truncate -s 32M bad/memory
refused 'has 32768 KiB of memory, and this machine has 65536' restore bad
rm bad/memory
refused 'memory: No such file' restore bad
cp --sparse=always saved/memory bad/memory
chmod 666 bad/state
refused 'another user could have written it' restore bad
"$lkvm" restore --trust bad >out 2>err </dev/null
is $? 0 "--trust: $(cat err)"
chmod 600 bad/state
if [ "$(id -u)" = 0 ]; then
	chown 65534 bad/state
	refused 'another user could have written it' restore bad
	chown 0 bad/state
else
	skip "not root: no other user's"
fi

# ---- Memory that goes away below a guest ----

up e run --payload end -p spin -m 64
"$lkvm" snapshot e spins >out || bail "no snapshot: $(cat out)"
"$lkvm" stop --force e
up f restore spins
f=$guest
truncate -s 0 spins/memory
wait $f
is $? 125 "a memory file that is cut short ends what runs on it"
like f.err "snapshot's memory was c" "and says why"

# ---- What is not written ----

up g run --payload end -p spin
g=$guest
refused 'no guest of that name' snapshot nobody saved2
refused 'takes a guest and a folder' snapshot g
refused 'too much' snapshot g one two three
refused 'No such file' snapshot g nothing/there
touch file
refused 'Not a directory' snapshot g file
check "a folder that is there and empty will do" "$lkvm" snapshot g empty
if mkdir small && mount -t tmpfs -o size=16k none small 2>/dev/null; then
	refused 'No space left' snapshot g small/saved
	is "$(ls small)" "" "a full disk: nothing is left there"
	umount small
else
	skip "no tmpfs can be mounted here"
fi
check "and the guest lives" "$lkvm" stat g
up h run --payload end -p spin -d disk,cow
refused 'h: the disk disk is cow' snapshot h saved2
"$lkvm" stop --force h
"$lkvm" run --payload exec -p "hello started spin" --name i -- true </dev/null >/dev/null 2>&1 &
wait_for "$lkvm" stat i
refused 'runs a command' snapshot i saved2
"$lkvm" stop --force i
if [ -e "$build/hvt/calls.hvt" ]; then
	up j run "$build/hvt/calls.hvt" -- spin
	refused 'Solo5 guest' snapshot j saved2
	"$lkvm" stop --force j
fi
check "no folder was made for those" test ! -e saved2

# ---- By QMP ----

# qmp COMMAND: what a client hears for a second.
qmp() { { echo '{"execute": "qmp_capabilities"}'; echo "$1"; } | timeout 20 socat -t1 - "UNIX-CONNECT:$tmp/lkvm/g/control" >heard; }
if command -v socat >/dev/null; then
	qmp '{"execute": "x-lkvm-snapshot", "arguments": {"path": "here"}}'
	like heard '"desc": "..*path.* is no whole path' "a path of the client's is refused"
	qmp '{"execute": "x-lkvm-snapshot", "arguments": {"path": "'"$tmp"'/qmp"}}'
	like heard '"event": "X_LKVM_SNAPSHOT", "data": \{"path": "'"$tmp"'/qmp", "memory": 134217728, "stored": [0-9]+, "paused-ns": [0-9]+, "diff": false, "base": false\}' \
		"what became of it is an event"
	qmp '{"execute": "x-lkvm-snapshot", "arguments": {"path": "'"$tmp"'/qmp"}}'
	like heard '"event": "X_LKVM_SNAPSHOT", "data": \{"path": "'"$tmp"'/qmp", "error": "snapshot .*one already"\}' "an error, too"
else
	skip "socat is not installed"
fi

# ---- Ended in the middle ----

for n in 1 2 3 4 5 6; do
	rm -rf cut
	"$lkvm" snapshot g cut >out 2>err &
	client=$!
	wait_for test -e cut/memory
	[ $((n % 2)) = 0 ] && kill -9 $g || kill -TERM $g
	wait $client
	status=$?
	wait $g 2>/dev/null
	if [ $status = 0 ]; then
		check "it was whole before the end" test -e cut/state
	elif [ -e cut/state ]; then
		up k restore cut
		check "it was whole, if there was no time to say so" "$lkvm" stop --force k
	else
		check "no half of it is one: $(cat err)" test ! -e cut/state
	fi
	up g run --payload end -p spin
	g=$guest
	[ -e cut/state ] || check "and another takes its place" "$lkvm" snapshot g cut
done
"$lkvm" stop --force -a
done_testing
