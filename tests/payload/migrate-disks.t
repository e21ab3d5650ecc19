#!/bin/bash
# SPDX-License-Identifier: MIT
#
# lkvm migrate --disks: a guest moves with what is on its disks, to which it writes meanwhile. The guest is the payload
# `disk`: it fills a sector after the other with the number of its turn, and prints that when it is on the disk.
. tests/lib.sh
. tests/payload/moves.sh
command -v perl >/dev/null || skip_all "perl is not installed"

blocks=3000
# turns NAME: whole lines, of one that may have moved in the middle of one.
turns() { cat "$@" | tr -d '\r' | grep -cE '^[0-9a-f]{16}$'; }
last() { cat "$@" | tr -d '\r' | grep -E '^[0-9a-f]{16}$' | tail -n 1; }

# starts NAME DISK...: the guest that writes to the first.
starts()
{
	name=$1
	shift
	"$lkvm" run --payload disk -m 64 -p blocks=$blocks -d "$@" --name "$name" </dev/null >"$name.out" 2>"$name.err" &
	source=$!
	wait_for runs "$name" || bail "$name does not run: $(cat "$name.err")"
}

# waits NAME WORD...: `lkvm restore WORD...` in the background, by the socket NAME.sock.
waits()
{
	name=$1
	shift
	rm -f "$name.sock"
	"$lkvm" restore "unix:$name.sock" --name "$name" "$@" </dev/null >"$name.out" 2>"$name.err" &
	target=$!
	wait_for test -S "$name.sock" || bail "$name does not come up: $(cat "$name.err")"
}

# holds DISK LAST: each sector has the number of its last turn before LAST, or of one that had begun; the rest is as it was.
holds()
{
	perl -e '
		my ($path, $last, $blocks) = ($ARGV[0], hex $ARGV[1], $ARGV[2]);
		open my $f, "<", $path or die "$path: $!";
		for my $i (0 .. $blocks - 1) {
			sysread $f, my $sector, 512;
			my @turns = unpack "L<*", $sector;
			my $want = $last - ($last - $i) % $blocks;
			my $turn = $turns[0];
			grep { $_ != $turn } @turns and die "sector $i is torn\n";
			next if $want <= 0;
			die "sector $i has turn $turn, and not $want\n" if $turn != $want && $turn != $want + $blocks;
		}' "$1" "$2" $blocks || return 1
	cmp -i $((blocks * 512)) "$1" as-it-was
}

# Something, a large hole, something; and an end in the middle of what is sent together.
head -c 20M /dev/urandom >as-it-was
truncate -s 300M as-it-was
head -c 1234944 /dev/urandom >>as-it-was
mkdir here there
cp --sparse=always as-it-was here/disk
head -c 1M /dev/urandom >only-read

starts a here/disk -d only-read,ro

# ---- It does not come, and lives on ----

"$lkvm" migrate a unix:$tmp/nobody --disks 2>err
is $? 125 "nobody is there"
"$lkvm" migrate a --local --disks 2>err
is $? 125 "here they are already"
like err "disks are there already" "and that is said"
waits b
"$lkvm" migrate a --disks "unix:$tmp/b.sock" 2>err
is $? 125 "both have the same disk"
like err 'in use' "which is found out: $(cat err)"
wait $target
truncate -s 1M there/short
waits b -d there/short -d only-read,ro
"$lkvm" migrate a --disks "unix:$tmp/b.sock" 2>err
is $? 125 "a disk of another size"
like err 'has 1048576 bytes, and what comes has 315807744' "is told: $(cat err)"
wait $target
waits b -d there/disk,queues=2 -d only-read,ro
"$lkvm" migrate a --disks "unix:$tmp/b.sock" 2>err
is $? 125 "a disk of more queues"
like err 'has 2 queues, and what comes has 1' "is told: $(cat err)"
wait $target
check "and what was made is gone" test ! -e there/disk
waits b -d there/nowhere/disk -d only-read,ro
"$lkvm" migrate a --disks "unix:$tmp/b.sock" 2>err
like err "can't be made: No such file" "a folder that is not there: $(cat err)"
wait $target
waits b -d only-read,ro -d as-it-was,ro
"$lkvm" migrate a --disks "unix:$tmp/b.sock" 2>err
is $? 125 "they are in another order"
like err 'only-read is only read, and what comes is written to' "and said: $(cat err)"
wait $target
waits b -d there/disk,cow -d only-read,ro
"$lkvm" migrate a --disks "unix:$tmp/b.sock" 2>err
like err 'there/disk' "what comes would be lost: $(cat err)"
wait $target
check "and nothing was made" test ! -e there/disk
waits b -d /dev/nosuchdisk -d only-read,ro
"$lkvm" migrate a --disks "unix:$tmp/b.sock" 2>err
like err '/dev/nosuchdisk: No such file' "a device that is not there: $(cat err)"
wait $target
waits b -d there/disk
"$lkvm" migrate a --disks "unix:$tmp/b.sock" 2>err
like err '2 disks are to come, and this machine has 1' "one is missing: $(cat err)"
wait $target
waits b -d there/disk -d only-read,ro -d there/more
"$lkvm" migrate a --disks "unix:$tmp/b.sock" 2>err
like err '2 disks are to come, and this machine has 3' "one too many: $(cat err)"
wait $target
is "$(ls there)" short "nothing was made in any of these cases"
head -c 2M /dev/zero >longer
waits b -d there/disk -d longer,ro
"$lkvm" migrate a --disks "unix:$tmp/b.sock" 2>err
like err 'longer has 2097152 bytes, and what comes has 1048576' "another one to read: $(cat err)"
wait $target
ulimit -S -f 1024
waits b -d there/disk -d only-read,ro
ulimit -S -f unlimited
"$lkvm" migrate a --disks "unix:$tmp/b.sock" 2>err
is $? 125 "files may not be so large there"
like err "there/disk can't be made.*File too large" "and said: $(cat err)"
wait $target
is "$(ls there)" short "and nothing of it stays"
if mkdir small && mount -t tmpfs -o size=4m none small 2>/dev/null; then
	waits b -d small/disk -d only-read,ro
	"$lkvm" migrate a --disks "unix:$tmp/b.sock" 2>err
	is $? 125 "no room for it there"
	like err "the other side: .*No space left" "and said: $(cat err)"
	wait $target
	is "$(ls small)" "" "what was begun is gone"
	umount small
else
	skip "no tmpfs can be mounted here"
fi
check "the guest runs" runs a
for end in -TERM -KILL; do
	waits b -d there/disk -d only-read,ro
	"$lkvm" migrate a --disks --bandwidth 5M "unix:$tmp/b.sock" 2>err &
	asked=$!
	sleep 1
	[ $end = -TERM ] && is "$(stat -c %a there/disk)" 600 "what is made is this user's alone"
	if command -v socat >/dev/null; then
		qmp a '{"execute": "query-migrate"}' | grep -Eq '"disk": {"remaining": [0-9]{5,}'
		report $? "query-migrate tells what is left of disks"
	fi
	kill $end $target
	wait $asked
	is $? 125 "the target is killed in the middle ($end): $(cat err)"
	wait $target 2>/dev/null
	check "the guest runs" runs a
	[ $end = -TERM ] && check "and the half of a disk is gone" test ! -e there/disk
	rm -f there/disk
done
waits b -d there/disk -d only-read,ro
"$lkvm" migrate a --disks --bandwidth 5M "unix:$tmp/b.sock" 2>err &
asked=$!
sleep 1
"$lkvm" migrate --cancel a
wait $asked
is $? 125 "it is cancelled in the middle: $(cat err)"
wait $target
check "the guest runs" runs a
check "and the half of a disk is gone" test ! -e there/disk

# ---- It comes ----

waits b -d there/disk -d only-read,ro
"$lkvm" migrate a --disks "unix:$tmp/b.sock" >out 2>err
is $? 0 "it moves, with its disk: $(cat out err)"
wait $source
is $? 0 "the source ends well"
stopped=$(last a.out)
check "the target runs" runs b
check "what is there is all that was here" holds here/disk "$stopped"
check "a hole is a hole ($(du -m there/disk | cut -f1) MiB)" test "$(du -m there/disk | cut -f1)" -lt 40
moved=$(sha256sum here/disk)
waits c -d there/again -d only-read,ro
cp here/disk there/again # of another content, which is written over
"$lkvm" migrate b --disks "unix:$tmp/c.sock" >out 2>err
is $? 0 "it moves again, to a file that is there: $(cat out err)"
check "the target runs" runs c
is "$(sha256sum here/disk)" "$moved" "who has moved writes no more"
"$lkvm" stop --force c
wait $target
check "all of it is there" holds there/again "$(last a.out b.out c.out)"
is "$(turns a.out b.out c.out)" $((0x$(last a.out b.out c.out))) "no turn is missing, or came twice"

# ---- A device that grows: nothing tells of that, and the guest hears of it where it goes ----

truncate -s 8M grows
if loop=$(losetup --find --show grows 2>/dev/null); then
	starts f "$loop"
	truncate -s 16M grows
	losetup --set-capacity "$loop"
	waits g -d there/grown
	"$lkvm" migrate f --disks "unix:$tmp/g.sock" >out 2>err
	is $? 0 "it moves, though it has grown: $(cat out err)"
	is "$(stat -c %s there/grown)" $((16 << 20)) "as long as it is now"
	check "the target runs" runs g
	"$lkvm" stop --force g
	wait $target
	losetup --detach "$loop"
else
	skip "no device can be made of a file here"
fi

# ---- One that writes faster than the link ----

starts d here/disk -d only-read,ro
waits e -d there/disk -d only-read,ro
"$lkvm" migrate d --disks --bandwidth 100K --downtime 1 "unix:$tmp/e.sock" 2>err &
asked=$!
sleep 2
"$lkvm" migrate --cancel d
wait $asked
check "it runs on" runs d
waits e -d there/disk -d only-read,ro
"$lkvm" migrate d --disks --bandwidth 200K --timeout 1500 "unix:$tmp/e.sock" 2>err
is $? 125 "a limit of time is kept"
like err 'of virtio-blk.0 are left \(--timeout\)' "and said: $(cat err)"
wait $target
"$lkvm" stop --force d
done_testing
