#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Bar 4 of migration, with processes: the target, or the source, is killed at a random moment. One runs afterwards,
# and only one, unless that one was killed; and of what the guest prints no line is lost or comes twice. The guest is
# the payload `migrate`, which prints numbers. (The link's own ends are tests/payload/x86/migrate's affair.)
. tests/lib.sh
. tests/payload/moves.sh
trap 'kill -9 $(jobs -p) 2>/dev/null; wait 2>/dev/null; rm -rf "$tmp"' EXIT
patience=60
truncate -s 1M disk
rounds=6
[ -z "$LONG" ] || rounds=50
RANDOM=${SEED:-1}
n=0 # of guests

is_over() { ! kill -0 "$1" 2>/dev/null; }

# A guest of its own: $source is its process, $name its name, $life the files with all it has printed.
begin()
{
	n=$((n + 1)) name=g$n
	"$lkvm" run "$image" -m 64 -d disk --rng --name $name </dev/null >$name.out 2>$name.err &
	source=$!
	life=$name.out
	wait_for more_than_none $name || bail "$name does not come up: $(cat $name.err)"
}
more_than_none() { [ -s "$1.out" ]; }

# One waits for it: $next, $target is its process. It is asked to move there, slowly; $asked is who asks.
ask()
{
	n=$((n + 1)) next=g$n
	"$lkvm" restore "unix:$tmp/$next.sock" --name $next </dev/null >$next.out 2>$next.err &
	target=$!
	wait_for test -S $next.sock || bail "$next does not wait: $(cat $next.err)"
	"$lkvm" migrate --bandwidth 8M $name "unix:$tmp/$next.sock" >asked 2>&1 &
	asked=$!
	moment=$((RANDOM % 250))
	sleep "$((moment / 1000)).$(printf %03d $((moment % 1000)))"
}

# whole FILE...: the numbers in them, one after the other. (A line that was being written may be half of one.)
whole()
{
	cat "$@" | perl -ne 'tr/\r//d; next unless /^([0-9a-f]{16})$/; $n = hex $1;
		$bad++ if defined $last && $n != $last + 1; $last = $n; END { exit($bad || !defined $last) }'
}

# kill_it PROCESS: this one, at once.
kill_it()
{
	kill -9 "$1" 2>/dev/null
	wait "$1" 2>/dev/null
}

begin
wrong=0 moved=0 stayed=0 doubt=0
for i in $(seq $rounds); do
	ask
	kill_it $target
	wait $asked
	if [ $? = 0 ]; then
		# It ran there, and was killed. The source runs no more.
		moved=$((moved + 1))
		wait $source || { wrong=$((wrong + 1)); note "the source ended with $?"; }
		whole $life $next.out || { wrong=$((wrong + 1)); note "lines of $life $next.out"; }
		begin
		continue
	fi
	if grep -q 'its answer is lost' asked; then
		doubt=$((doubt + 1))
		"$lkvm" resume $name || { wrong=$((wrong + 1)); note "it is not let go on"; }
	fi
	stayed=$((stayed + 1))
	grep -Eq "^lkvm: $name: .*(link|refused)" asked || { wrong=$((wrong + 1)); note "said: $(cat asked)"; }
	runs $name || { wrong=$((wrong + 1)); note "$name does not go on: $(cat asked)"; }
	[ ! -s $next.out ] || [ $doubt != 0 ] || { wrong=$((wrong + 1)); note "$next ran, too"; }
done
is $wrong 0 "the target killed $rounds times: stayed $stayed times (in doubt $doubt), moved before $moved"
kill_it $source
check "the guest has lost nothing" whole $life

either() { is_over $target || [ -s $next.out ] || [ -S $next.sock ]; }
begin
wrong=0 moved=0 lost=0
for i in $(seq $rounds); do
	ask
	kill_it $source
	wait $asked
	[ ! -S $next.sock ] || sleep 0.2
	wait_for either || { wrong=$((wrong + 1)); note "$next neither runs nor ends"; }
	if [ -s $next.out ]; then
		moved=$((moved + 1))
		runs $next || { wrong=$((wrong + 1)); note "$next does not go on"; }
		source=$target name=$next life="$life $next.out"
		whole $life || { wrong=$((wrong + 1)); note "lines of $life"; }
		continue
	fi
	lost=$((lost + 1))
	# (Nobody has come yet.)
	if [ -S $next.sock ]; then
		kill_it $target
		begin
		continue
	fi
	wait $target
	is_host=$?
	[ $is_host = 125 ] && grep -q '^lkvm: .*the other side has closed the link' $next.err ||
		{ wrong=$((wrong + 1)); note "$next: $is_host, $(cat $next.err)"; }
	whole $life || { wrong=$((wrong + 1)); note "lines of $life"; }
	begin
done
is $wrong 0 "the source killed $rounds times: gone with it $lost times, moved before $moved"
kill_it $source
done_testing
