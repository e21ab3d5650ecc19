#!/bin/bash
# SPDX-License-Identifier: MIT
#
# lkvm migrate --local: a guest goes on in another process on this host, which has its name, its streams, and its
# memory, if that is shared. The guest is the payload `migrate`, which counts, and ends with 0 only if nothing of it
# was lost. With LONG=1 the guest of 4 GiB that the bar is about, twenty times.
. tests/lib.sh
. tests/payload/moves.sh


# begins NAME OPTION...: in the background, as $guest.
begins()
{
	name=$1
	shift
	"$lkvm" run "$image" --name "$name" "$@" </dev/null >"$name.out" 2>"$name.err" &
	guest=$!
	wait_for "$lkvm" stat "$name" || bail "$name does not come up: $(cat "$name.err")"
}

# counts NAME: what it printed is without a line lost, or twice.
counts()
{
	tr -d '\r' <"$1.out" | sed '$d' >lines
	seq 0 $(($(wc -l <lines) - 1)) | while read -r n; do printf '%016x\n' "$n"; done | cmp - lines >cmp 2>&1
	is "$? $(cat cmp)" "0 " "$1 has lost no line, and said none twice"
}

rss() { awk '/^Rss/ {print $2}' "/proc/$1/smaps_rollup"; } # KiB
pid_of() { "$lkvm" list --json | sed -n "s/.*\"pid\": *\([0-9]*\).*/\1/p" | head -n 1; }

# goes_on NAME WHAT: twice, in a process of its own each time.
goes_on()
{
	for hop in 1 2; do
		"$lkvm" migrate -n "$1" --local >out 2>err
		is $? 0 "$2: $(cat out err)"
		check "it runs on" runs "$1"
	done
}

# ---- Memory that is shared ----

truncate -s 1M disk
begins a -m 64 --mem-shared -d disk --rng --console-log a.log --result a.json
check "it runs" runs a
first=$(pid_of)
hops=3
for hop in $(seq $hops); do
	"$lkvm" migrate -n a --local >out 2>err
	is $? 0 "hop $hop: $(cat out err)"
	like out '^a: .* 0.0 MiB in [0-9.]+ s; it stood for [0-9.]+ ms$' "no memory is copied"
	check "it runs on" runs a
done
last=$(pid_of)
is "$("$lkvm" list | grep -c ' a ')" 1 "it has its name, once"
check "its process is another" [ "$first" != "$last" ]
is "$(grep -c guest-ram /proc/$guest/maps)" 0 "the first has no memory of it any more"
"$lkvm" stop --force a
wait $guest
is $? 143 "its end is the first one's"
is "$(cat a.err)" "" "and nothing is said"
like a.json '"verdict": *"signal"' "its result is what the last one wrote"
counts a
head -c "$(stat -c %s a.log)" a.out | cmp - a.log >cmp 2>&1
is "$? $(cat cmp)" "0 " "the log went on, too"
is "$(ls "$tmp/lkvm")" "" "and nothing is left"

# ---- Memory of its own ----

begins b -m 128 -p fill=48
check "it runs" runs b
large=$(rss $guest)
"$lkvm" migrate b --local >out 2>err
is $? 0 "private memory is copied: $(cat out err)"
check "it runs on" runs b
check "and the first has no copy" [ "$(rss $guest)" -lt $((large - 40 * 1024)) ]

# ---- What goes wrong ----

if command -v socat >/dev/null; then
	for program in /nothing /bin/true /etc/passwd; do
		qmp b "{\"execute\": \"migrate\", \"arguments\": {\"uri\": \"local:$program\"}}" >out
		like out '"status": "failed"' "no lkvm: $program"
		check "it runs on" runs b
	done
	qmp b '{"execute": "migrate", "arguments": {"uri": "local:lkvm"}}' >out
	like out "'uri' is " "a path is whole"
	# It says nothing, and stays.
	printf '#!/bin/sh\necho $$ >%s/silent\nexec sleep 1000\n' "$tmp" >silent.sh
	chmod +x silent.sh
	qmp b "{\"execute\": \"migrate\", \"arguments\": {\"uri\": \"local:$tmp/silent.sh\"}}" >out &
	wait_for test -s silent
	"$lkvm" migrate --cancel b
	wait $!
	like out '"status": "cancelled"' "one that never answers is cancelled"
	gone() { ! kill -0 "$(cat silent)"; }
	check "and ended" wait_for gone
	check "it runs on" runs b
fi
"$lkvm" migrate b --local >out 2>err
is $? 0 "after all that it goes on elsewhere: $(cat out err)"
check "there" runs b
"$lkvm" migrate b --local tcp:localhost:1 >out 2>err
is $? 125 "--local and a place"
"$lkvm" restore --name x local: </dev/null >out 2>err
is $? 125 "local: by hand"
like err 'is what lkvm migrate --local starts' "is no place"

# ---- Signals, and the end ----

kill -TERM $guest
wait $guest
is $? 143 "who ends the first one ends the guest"
counts b
begins c -m 64 --mem-shared
"$lkvm" migrate c --local >out 2>err
kill -KILL "$(pid_of)"
wait $guest
is $? 137 "and how the last one ends is told"
wait_for "$lkvm" list
is "$("$lkvm" list | grep -c ' c ')" 0 "what that one left behind goes"
begins d -m 64 --mem-shared
"$lkvm" migrate d --local >out 2>err
kill -KILL $guest
wait $guest 2>/dev/null
check "the guest does not need the first one" runs d
"$lkvm" snapshot d snap >out 2>err
is $? 0 "a snapshot of shared memory: $(cat err)"
"$lkvm" stop --force d
"$lkvm" restore snap --name s </dev/null >s.out 2>s.err &
wait_for test -s s.out
check "from which it goes on, too" runs s
"$lkvm" migrate s --local >out 2>err
is $? 0 "and elsewhere: $(cat out err)"
check "as its own" runs s
"$lkvm" stop --force s
wait $!

# What was sent to all of a group comes to both, and to the last one from the first one, too: that is one signal.
for n in 1 2 3; do
	setsid "$lkvm" run "$image" --name g -m 64 --mem-shared </dev/null >g.out 2>g.err &
	guest=$!
	wait_for "$lkvm" stat g
	"$lkvm" migrate g --local >out 2>err && "$lkvm" migrate g --local >out 2>err
	kill -TERM -- -$guest
	wait $guest
	is "$? $(ls "$tmp/lkvm") $(cat g.err)" "143  " "a signal to all of them ends them as it should"
done
(trap '' CHLD; exec "$lkvm" run "$image" --name h -m 64 --mem-shared </dev/null >h.out 2>h.err) &
guest=$!
wait_for "$lkvm" stat h
"$lkvm" migrate h --local >out 2>err
state() { awk '{print $3}' "/proc/$1/stat"; }
is_in() { [ "$(state "$2")" = "$1" ]; }
kill -TSTP $guest
check "who stops the first one stops the guest" wait_for is_in T "$(pid_of)"
kill -CONT $guest
check "and lets it go on" runs h
"$lkvm" stop --force h
wait $guest
is $? 143 "how it ends is heard where nobody wanted to hear of children"

# ---- What it has beside what it needs ----

begins i -m 64 --mem-shared
"$lkvm" migrate i --local >out 2>err
heir=$(pid_of)
open=
for fd in $(ls -l "/proc/$heir/fd" | sed -n 's/.* \([0-9]*\) -> .*\(memfd\|socket\|kvm\|pid$\|eventfd\).*/\1/p'); do
	[ $((0$(awk '/^flags/ {print $2}' "/proc/$heir/fdinfo/$fd") & 02000000)) != 0 ] || open="$open $fd"
done
is "$open" "" "none of its descriptors goes to what it starts"
is "$(ls -l "/proc/$heir/fd" | grep -c memfd)" 1 "memory is there once"

# ---- A heir that is there, and no more, when it is told to go on ----

# A go-between: it starts the real one, and at GO it does not hand that on, but does what PROXY says.
cat >proxy <<'P'
#!/usr/bin/perl
use strict;
use warnings;
use POSIX ();
use Socket;
open my $link, '+<&=', 3 or die;
socketpair my $ours, my $its, AF_UNIX, SOCK_STREAM, 0 or die;
if (!fork) {
	POSIX::dup2(fileno $its, 3);
	exec $ENV{REAL}, @ARGV;
}
close $its;
$^F = 1000;
sub all { my ($from, $n) = @_; my $all = '';
	while (length $all < $n) { sysread $from, my $part, $n - length $all or exit 1; $all .= $part; }
	return $all; }
while (1) {
	my $ready = '';
	vec($ready, fileno $_, 1) = 1 for $link, $ours;
	select $ready, undef, undef, undef;
	if (vec $ready, fileno $ours, 1) {
		sysread $ours, my $part, 65536 or exit 1;
		syswrite $link, $part;
		next;
	}
	my $head = all($link, 32);
	my ($type, $len) = unpack 'VV', $head;
	if ($type == 7) { sleep 1000 if $ENV{PROXY} eq 'silent'; kill 'KILL', $$; }
	syswrite $ours, $head . ($len ? all($link, $len) : '');
}
P
chmod +x proxy
"$lkvm" stop --force i
wait $guest
if command -v socat >/dev/null && perl -e 'use POSIX; use Socket;'; then
	for kind in dead silent; do
		rm -f out
		REAL=$lkvm PROXY=$kind begins "$kind" -m 64 --mem-shared
		{ printf '%s\n' '{"execute": "qmp_capabilities"}' \
			"{\"execute\": \"migrate\", \"arguments\": {\"uri\": \"local:$tmp/proxy\"}}"; wait_for grep -q failed out; } |
			socat - "UNIX-CONNECT:$tmp/lkvm/$kind/control" >out 2>/dev/null
		like out '"status": "failed"' "$kind: it is not left in doubt where the guest runs"
		check "that is here" runs "$kind"
		"$lkvm" stop --force "$kind"
		wait $guest
		counts "$kind"
	done
fi

# ---- What is printed is in order ----

mkfifo slow
"$lkvm" run "$image" --name j -m 64 --mem-shared </dev/null >slow 2>j.err &
guest=$!
exec 9<slow
wait_for "$lkvm" stat j
sleep 3
"$lkvm" migrate j --local >out 2>err
rc=$?
cat <&9 >j.out &
# (A pipe takes more than three seconds' worth on a slow host: then all was written.)
[ $rc = 0 ] || like err 'nobody reads what the guest has printed' "who does not read keeps it where it is"
[ $rc != 0 ] || report 0 "all was read"
check "it runs on" runs j
"$lkvm" stop --force j
wait $guest
exec 9<&-
counts j

# ---- Taps: as they are, with who is at the other end none the wiser ----

carrier() { cat "/sys/class/net/$1/carrier" 2>/dev/null; }

if [ -w /dev/net/tun ] && command -v ip >/dev/null && ip tuntap add ktap0 mode tap 2>/dev/null; then
	printf '#!/bin/sh\necho "$1" >>%s/went\n' "$tmp" >down.sh
	chmod +x down.sh
	ip link set ktap0 up
	begins t -m 64 --mem-shared -n mode=tap,tapif=ktap0,downscript="$tmp/down.sh" -n mode=tap,host_ip=192.0.2.1
	own=$(ls -t /sys/class/net | grep '^tap' | head -n 1)
	is "$(carrier ktap0) $(carrier "$own")" "1 1" "two taps, one of its own"
	index=$(cat "/sys/class/net/$own/ifindex")
	goes_on t "with them it moves"
	is "$(carrier ktap0) $(carrier "$own") $(cat "/sys/class/net/$own/ifindex")" "1 1 $index" "they are there, and the same"
	check "no script has taken one down" [ ! -e went ]
	qmp t '{"execute": "migrate", "arguments": {"uri": "local:/bin/true"}}' >out
	like out '"status": "failed"' "one that does not go"
	is "$(carrier ktap0) $(carrier "$own")" "1 1" "keeps them"
	check "it runs on" runs t
	"$lkvm" stop --force t
	wait $guest
	is "$(cat went)" "ktap0" "at the end it is taken down, once"
	is "$(carrier "$own")" "" "the one of its own is gone"
	counts t
	# One that came by its number, which the next process has by another.
	if command -v perl >/dev/null; then
		exec 9<>/dev/net/tun
		# TUNSETIFF: IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
		perl -e 'open my $tun, "+<&=9"; exit !ioctl $tun, 0x400454ca, my $ifr = pack "a16 S x22", "ktap0", 0x5002'
		begins u -m 64 --mem-shared -n fd=9
		exec 9>&-
		goes_on u "by its number"
		is "$(carrier ktap0)" 1 "it is there"
		"$lkvm" stop --force u
		wait $guest
	fi
	ip link delete ktap0
else
	note "no taps can be made here: not seen"
fi

# ---- passt, which nothing else that is handed on may go to ----

passts() { pgrep -r D,R,S -x 'passt(\.avx2)?'; }
no_passt() { ! passts >/dev/null; }

if command -v passt >/dev/null && no_passt && "$lkvm" run --payload exit -n mode=user >/dev/null 2>&1; then
	wait_for no_passt
	begins v -m 64 --mem-shared -n mode=user,fwd=0:22 -n mode=tap,host_ip=192.0.2.1
	port=$(sed -n 's/.*127.0.0.1:\([0-9]*\) is forwarded.*/\1/p' v.err)
	its=$(passts)
	goes_on v "with a port that is forwarded"
	is "$(passts)" "$its" "passt is the same"
	like v.err "^lkvm: 127.0.0.1:$port is forwarded to the guest's port 22\$" "and so is the port: said once"
	is "$(find "/proc/$its/fd" -lname '/dev/net/tun' | wc -l)" 0 "it has no tap"
	"$lkvm" stop --force v
	wait $guest
	check "it ends with the guest" wait_for no_passt
	# Who would start it, and has taps.
	begins w -m 64 --mem-shared -n mode=tap,host_ip=192.0.2.1 -n mode=user
	"$lkvm" migrate -n w --local >out 2>err
	is $? 0 "in another order: $(cat out err)"
	"$lkvm" stop --force w
	wait $guest
else
	note "no passt here, or another's: not seen"
fi

# ---- Few descriptors ----

(
	ulimit -n 64
	exec "$lkvm" run "$image" --name x -m 64 --mem-shared </dev/null >x.out 2>x.err
) &
guest=$!
wait_for "$lkvm" stat x
"$lkvm" migrate -n x --local >out 2>err
is $? 0 "with room for few descriptors: $(cat out err)"
"$lkvm" stop --force x
wait $guest

# ---- The bar ----

hops=3
[ -z "${LONG-}" ] || hops=20
begins e -m 4G --mem-shared
check "a guest of 4 GiB runs" runs e
for _ in $(seq "$hops"); do
	"$lkvm" migrate e --local >out 2>err || break
	sed -n 's/.*it stood for \([0-9.]*\) ms/\1/p' out
done | sort -n >times
note "stood still for, in ms: $(tr '\n' ' ' <times)"
is "$(wc -l <times)" "$hops" "it moved so many times"
if [ "${LONG-}" ]; then
	most=$(tail -n 1 times)
	check "at most 20 ms, each time: $most" awk "BEGIN { exit !($most <= 20) }"
fi
"$lkvm" stop --force e
wait $guest
counts e
done_testing
