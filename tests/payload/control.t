#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Guests that have names: lkvm's own commands, and clients of QMP, good, slow, silent and malicious ones. The
# payload `end` that spins stands in for a guest that is busy: its vCPU's CPU time says whether it stands.
. tests/lib.sh
lkvm=$(cd "$(dirname "${LKVM:-build/lkvm}")" && pwd)/$(basename "${LKVM:-build/lkvm}")
command -v socat >/dev/null || skip_all "socat is not installed"
tmp=$(mktemp -d)
export XDG_RUNTIME_DIR=$tmp
trap 'kill $(jobs -p) 2>/dev/null; wait 2>/dev/null; rm -rf "$tmp"' EXIT

# wait_for COMMAND...: succeeds within 10 s.
wait_for() { for _ in $(seq 200); do "$@" >/dev/null 2>&1 && return 0; sleep 0.05; done; return 1; }

runs() { "$lkvm" list | grep -Eq "^ *[0-9]+  $1 +running$"; }

# up NAME [OPTION...]: a guest that spins; its process is $guest.
up()
{
	"$lkvm" run --payload end -p spin --name "$@" </dev/null >"$tmp/$1.out" 2>"$tmp/$1.err" &
	guest=$!
	wait_for runs "$1" || bail "$1 does not come up: $(cat "$tmp/$1.err")"
}

socket() { echo "UNIX-CONNECT:$tmp/lkvm/$1/control"; }

# qmp NAME COMMAND...: what a client hears, from the greeting on.
qmp()
{
	name=$1
	shift
	{ echo '{"execute": "qmp_capabilities"}'; for c; do echo "$c"; done; } | timeout 20 socat -t0.6 - "$(socket "$name")" >"$tmp/heard"
}

# cpu_time NAME: of its first vCPU, in ns.
cpu_time() { "$lkvm" stat --json "$1" | sed -n 's/.*"cpu-index": 0, [^}]*"cpu-time-ns": \([0-9]*\).*/\1/p'; }

# moves NAME: 0 if it has used CPU time meanwhile.
moves() { before=$(cpu_time "$1"); sleep 0.3; [ "$(cpu_time "$1")" -gt "$before" ]; }
stands() { ! moves "$1"; }

# alive NAME: it answers.
alive() { qmp "$1" '{"execute": "query-name"}' && grep -q "\"name\": \"$1\"" "$tmp/heard"; }

# ---- A well-behaved client ----

up web -c 2
web=$guest
qmp web '{"execute": "query-status", "id": [1, "x"]}' '{"execute": "query-version"}' '{"execute": "query-cpus-fast"}' \
	'{"execute": "query-commands"}' '{"execute": "query-block"}' '{"execute": "query-name"}' '{"execute": "x-lkvm-registers"}'
like "$tmp/heard" '^\{"QMP": \{"version": \{"qemu": \{"major": 0' "it is greeted"
like "$tmp/heard" '^\{"return": \{\}\}$' "capabilities"
like "$tmp/heard" '"running": true, "status": "running"\}, "id": \[1, "x"\]\}$' "query-status, and its id comes back"
like "$tmp/heard" '"cpu-index": 1, .*"thread-id": [1-9]' "query-cpus-fast"
like "$tmp/heard" '"name": "inject-nmi"' "query-commands"
like "$tmp/heard" '"lines": \[".*[0-9a-f]{16}' "registers"
is "$(grep -c '"error"' "$tmp/heard")" 0 "and no error"
printf '{"execute":"qmp_capabilities"}{"execute":"query-name"}' | socat -t0.3 - "$(socket web)" >"$tmp/heard"
like "$tmp/heard" '"name": "web"' "commands without line ends, as QEMU's library sends them"
if command -v python3 >/dev/null; then
	python3 -c 'import json, sys; [json.loads(l) for l in open(sys.argv[1])]' "$tmp/heard"
	report $? "all of it is JSON, a line each"
else
	skip "no python3"
fi

qmp web '{"execute": "stop"}' '{"execute": "stop"}' '{"execute": "query-status"}'
like "$tmp/heard" '^\{"timestamp": \{"seconds": [0-9]+, "microseconds": [0-9]+\}, "event": "STOP"\}$' "stop, and its event"
is "$(grep -c '"STOP"' "$tmp/heard")" 1 "once"
like "$tmp/heard" '"running": false, "status": "paused"' "then it is paused"
check "and stands" stands web
qmp web '{"execute": "x-lkvm-registers"}'
check "a look at registers lets nobody go on who is stopped" stands web
qmp web '{"execute": "cont"}'
like "$tmp/heard" '"event": "RESUME"' "cont, and its event"
check "and it moves" moves web

# ---- Clients that make mistakes ----

qmp web '{"execute": "nonsense"}' '{"execute": "stop", "arguments": {"x": 1}}' '{"execute": 1}' '{bad' '[]' '"x"' '{"execute": "stop"' \
	'{"execute": "stop", "execute": "cont"}' '{"execute": "balloon", "arguments": {"value": 1048576}}' '{"execute": "query-balloon"}' \
	'{"execute": "system_powerdown"}' '{"execute": "x-lkvm-sysrq", "arguments": {"key": "t"}}' \
	'{"execute": "x-lkvm-nmi", "arguments": {"cpu": 2}}' '{"execute": "query-status"}'
is "$(grep -c '^{"error": {"class": "[A-Za-z]*", "desc": "..*"}}$' "$tmp/heard")" 13 "each mistake is an error"
like "$tmp/heard" 'CommandNotFound", "desc": "there is no command nonsense' "a command that is not there"
like "$tmp/heard" "'x' is not expected" "an argument that is not there"
like "$tmp/heard" 'DeviceNotActive", "desc": "this guest has no balloon' "a balloon that is not there"
like "$tmp/heard" 'DeviceNotActive", "desc": ".* has no power button' "a power button that is not there"
like "$tmp/heard" '"running": true' "and the guest runs on"
echo '{"execute": "stop"}' | socat -t0.3 - "$(socket web)" >"$tmp/heard"
like "$tmp/heard" 'CommandNotFound", "desc": "qmp_capabilities is the first' "nothing before qmp_capabilities"

# ---- Clients that mean ill ----

head -c 1000000 /dev/zero | tr '\0' '[' | timeout 10 socat -t0.3 - "$(socket web)" >"$tmp/heard" 2>/dev/null
check "a megabyte of brackets: the others are served" alive web
{ printf '"'; head -c 1000000 /dev/zero | tr '\0' a; } | timeout 10 socat -t0.3 - "$(socket web)" >"$tmp/heard" 2>/dev/null
check "a megabyte without a line end" alive web
{ printf '"'; head -c 65535 /dev/zero | tr '\0' a; } | timeout 10 socat -t0.3 - "$(socket web)" >"$tmp/heard"
like "$tmp/heard" 'longer than 64 KiB' "64 KiB without one, and it is told so"
printf '{"execute": "qmp_capabili' | socat -t0 - "$(socket web)" >/dev/null
check "one that goes in the middle of a line" alive web

# One that asks and never reads: it must not grow, nor hold up others.
rss() { awk '/VmRSS/ { print $2 }' "/proc/$guest/status"; }
before=$(rss)
{ echo '{"execute": "qmp_capabilities"}'; while echo '{"execute": "query-commands"}'; do :; done; } 2>/dev/null |
	socat -u - "$(socket web)" 2>/dev/null &
deaf=$!
sleep 0.5
check "one that never reads: the others are served" alive web
for _ in $(seq 10); do qmp web '{"execute": "stop"}' '{"execute": "cont"}'; done
check "and it keeps less than 2 MiB ($before to $(rss) KiB)" test $(($(rss) - before)) -lt 2048
check "and the guest runs" moves web
kill $deaf 2>/dev/null
wait $deaf 2>/dev/null

full() { [ "$(ss -xH state connected src "$tmp/lkvm/web/control" 2>/dev/null | wc -l)" -ge 16 ]; }
for _ in $(seq 16); do sleep 20 | socat - "$(socket web)" >/dev/null & done
wait_for full
check "sixteen that are silent: a seventeenth is served" alive web
kill $(jobs -p | grep -v "^$web$") 2>/dev/null
for _ in $(seq 16); do { echo '{"execute": "qmp_capabilities"}'; sleep 20; } | socat - "$(socket web)" >>"$tmp/negotiated" & done
negotiated() { [ "$(grep -c return "$tmp/negotiated")" = 16 ]; }
wait_for negotiated
{ echo '{"execute": "qmp_capabilities"}'; for _ in 1 2 3 4 5 6; do echo '{"execute": "query-name"}'; sleep 0.2; done; } |
	socat -t0.3 - "$(socket web)" >"$tmp/busy" &
busy=$!
sleep 0.3
check "sixteen and one that have said hello, and another is served" alive web
wait $busy
is "$(grep -c '"name": "web"' "$tmp/busy")" 6 "while one that talks stays"
is "$(grep -c 'this one was silent' "$tmp/negotiated")" 2 "and who goes is told why"
kill $(jobs -p | grep -v "^$web$") 2>/dev/null
check "when they have gone there is room" wait_for alive web

# One that asks for much at once, and takes it: another has his turn.
{ echo '{"execute": "qmp_capabilities"}'; for _ in $(seq 1500); do echo '{"execute": "x-lkvm-registers"}'; done; } |
	timeout 30 socat -t20 - "$(socket web)" >"$tmp/much" &
sleep 0.1
begin=$(date +%s%N)
check "one that asks for much: another is served" alive web
took=$((($(date +%s%N) - begin) / 1000000))
check "soon ($took ms)" test $took -lt 3000
wait $!
is "$(grep -c lines "$tmp/much")" 1500 "and all of it is answered"

if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	is "$(stat -c '%a' "$tmp/lkvm" "$tmp/lkvm/web" "$tmp/lkvm/web/control" | tr '\n' ' ')" "700 700 600 " "it is this user's alone"
	chmod 711 "$tmp" "$tmp/lkvm" "$tmp/lkvm/web"
	chmod 666 "$tmp/lkvm/web/control"
	echo '{"execute": "qmp_capabilities"}' |
		setpriv --reuid 65534 --regid 65534 --clear-groups socat -t0.3 - "$(socket web)" >"$tmp/heard" 2>/dev/null
	is "$(cat "$tmp/heard")" "" "another user hears nothing, were the socket open to him"
	chmod 700 "$tmp/lkvm" "$tmp/lkvm/web"
	check "and others are served" alive web
else
	skip "not root: no other user to be"
fi

# ---- lkvm's own commands ----

"$lkvm" stat web >"$tmp/out"
like "$tmp/out" "^web: pid $guest, for [0-9.]+ s" "stat: who it is"
like "$tmp/out" "memory 128 MiB, [0-9]+ MiB" "its memory"
like "$tmp/out" "vCPU 1: [0-9.]+ s of CPU time; exits: .*signal [0-9]+" "its CPUs"
"$lkvm" stat --memory -n web >"$tmp/out"
is "$(grep -c vCPU "$tmp/out")" 0 "stat --memory"
up other --balloon
check "pause -a" "$lkvm" pause -a
check "both stand" stands web
is "$("$lkvm" list | awk 'NR > 1 { print $2, $3 }' | tr '\n' ' ')" "other paused web paused " "list"
"$lkvm" list --json >"$tmp/out"
like "$tmp/out" '"status": "paused"' "list --json"
check "resume" "$lkvm" resume web --name other
"$lkvm" stat other >"$tmp/out"
like "$tmp/out" "virtio-balloon.0: 0 requests, 0.0 KiB from the guest" "stat: its devices"
timeout 2.5 "$lkvm" stat --watch other web >"$tmp/out"
is "$(grep -c "vCPU 0: [0-9]* % of a CPU; exits a second:" "$tmp/out")" 4 "stat --watch: each second from the second on"
timeout 2.5 "$lkvm" stat --watch --json other >"$tmp/out"
is "$(grep -c '^\[{"name": "other".*"devices": \[{"name": "virtio-balloon.0", "requests": 0, .*\]$' "$tmp/out")" 3 "and as JSON, a line each"
check "both move" moves other
check "debug --dump" "$lkvm" debug -n web --dump
check "balloon" "$lkvm" balloon -n other -i 64
"$lkvm" balloon other -d 16
"$lkvm" stat -m other >"$tmp/out"
like "$tmp/out" "balloon 0 of 48 MiB" "and it is told so"

refused()	# STATUS-LINE COMMAND...
{
	line=$1
	shift
	"$lkvm" "$@" >"$tmp/out" 2>"$tmp/err"
	is $? 125 "refused: $*"
	like "$tmp/err" "$line" "and said"
}
refused 'web: this guest has no balloon' balloon web -i 1
refused 'other: .* MiB, and its balloon' balloon other -i 4096
refused 'no guest of that name' pause nobody
refused 'which guest' pause
refused 'can.t be a guest' pause ../web
refused 'one of them' pause -a web
refused 'unknown option' pause --hard web
refused 'no number' balloon web -i x
refused 'has no power button; --force' stop web
refused 'no Linux' debug web -s t
refused 'no CPU 7' debug web -m 7
refused 'a guest named web is running already' run --payload exit --name web
refused 'begins with a letter' run --payload exit --name ../web
check "which the first did not notice" alive web

check "stop --force" "$lkvm" stop --force web
wait $web 2>/dev/null
check "its directory is gone" test ! -e "$tmp/lkvm/web"
check "the other lives" alive other

# ---- How it ends ----

kill -9 $guest
wait $guest 2>/dev/null
check "killed, it leaves its directory" test -S "$tmp/lkvm/other/control"
refused 'no guest of that name' pause other
is "$("$lkvm" list | wc -l)" 1 "which list does not show"
check "and removes" test ! -e "$tmp/lkvm/other"
up other
kill -9 $guest
wait $guest 2>/dev/null
up other
qmp other '{"execute": "stop"}' '{"execute": "quit"}'
like "$tmp/heard" '"event": "SHUTDOWN", "data": \{"guest": false, "reason": "host-qmp-quit"\}' "the name is free again; quit, of one that is stopped"
wait $guest
is $? 143 "its status is a signal's"
check "nothing is left behind" test -z "$(ls "$tmp/lkvm")"

up reset
qmp reset '{"execute": "system_reset"}'
like "$tmp/heard" '"event": "RESET", "data": \{"guest": false, "reason": "host-qmp-system-reset"\}' "system_reset: its event"
like "$tmp/heard" '"event": "SHUTDOWN", "data": \{"guest": false, "reason": "host-qmp-system-reset"\}' "and the run ends by it"
wait $guest
is $? 143 "with a signal's status"

up third
sleep 2 | socat - "$(socket third)" >"$tmp/silent" &
{ echo '{"execute": "qmp_capabilities"}'; sleep 2; } | socat - "$(socket third)" >"$tmp/heard" &
sleep 0.5
kill $guest
wait $guest
is $? 143 "one that is ended by a signal"
wait
like "$tmp/heard" '"SHUTDOWN", "data": \{"guest": false, "reason": "host-signal"\}' "says so to who listens"
is "$(wc -l <"$tmp/silent")" 1 "and not to who has said nothing"

mkfifo "$tmp/in"
"$lkvm" run --payload exec -p "hello started echo panic hang" --name fourth --timeout 20 -- x <"$tmp/in" >/dev/null 2>&1 &
guest=$!
exec 9>"$tmp/in"
wait_for runs fourth
{ exec 9>&-; echo '{"execute": "qmp_capabilities"}'; sleep 1.5; echo '{"execute": "query-status"}'; sleep 0.5; } | socat - "$(socket fourth)" >"$tmp/heard" 9>&- &
client=$!
sleep 0.5
exec 9>&-
wait $client
like "$tmp/heard" '"GUEST_PANICKED", "data": \{"action": "run"\}' "a guest that panics"
kill $guest 2>/dev/null
wait $guest
is $? 123 "dies of that"

"$lkvm" run --payload exec -p "hello started signal exited ack" --name fifth --timeout 20 -- x </dev/null >/dev/null 2>"$tmp/err" &
guest=$!
wait_for runs fifth
check "stop, of one that runs a command" wait_for "$lkvm" stop fifth
wait $guest
is $? 143 "is SIGTERM for that"
done_testing
