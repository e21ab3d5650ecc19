#!/bin/bash
# SPDX-License-Identifier: MIT
#
# lkvm migrate, and lkvm restore that waits for who comes: two processes, each kind of link, QMP's own words. The
# guest is the payload `migrate`, which counts, and ends with 0 only if nothing of it was lost.
. tests/lib.sh
. tests/payload/moves.sh

# waits NAME WORD...: `lkvm restore WORD...` as that guest, in the background: its process is $guest.
waits()
{
	name=$1
	shift
	"$lkvm" restore "$@" --name "$name" </dev/null >"$name.out" 2>"$name.err" &
	guest=$!
}


# moved FROM STATUS...: its process has ended well.
ended() { wait "$1"; is $? 0 "$2"; }

truncate -s 1M disk
"$lkvm" run "$image" -m 64 -d disk --rng --name a </dev/null >a.out 2>a.err &
source=$!
wait_for "$lkvm" stat a || bail "a does not come up: $(cat a.err)"
check "it runs" runs a

# ---- By a Unix socket: its options come with it, the disk changes hands ----

"$lkvm" migrate -n a unix:nobody >out 2>err
is $? 125 "nobody waits there"
like err 'a: unix:nobody: ' "and that is said"
check "the guest goes on" runs a
waits b unix:b.sock
wait_for test -S b.sock
"$lkvm" migrate -n a "unix:$tmp/b.sock" >out 2>err
is $? 0 "a guest moves by a Unix socket: $(cat out err)"
like out '^a: unix:.*: [0-9.]+ MiB in [0-9.]+ s; it stood for [0-9.]+ ms$' "and what it cost is told"
ended $source "the source ends well"
source=$guest
check "the target runs" runs b
# (It may have moved in the middle of a line.)
cat a.out b.out | tr -d '\r' | head -n $(($(wc -l <a.out) + 2)) >lines
seq 0 $(($(wc -l <lines) - 1)) | while read -r n; do printf '%016x\n' "$n"; done | cmp - lines >cmp 2>&1
is "$? $(cat cmp)" "0 " "without a line lost, or twice"

# ---- By TCP: who comes is nobody's friend ----

port=$((20000 + $$ % 20000))
waits c "tcp:127.0.0.1:$port"
sleep 0.5
"$lkvm" migrate -n b "tcp:127.0.0.1:$port" >out 2>err
is $? 125 "a stranger's options are refused"
like err 'b: the other side: .*--trust' "and why reaches the source"
check "the guest goes on" runs b
waits c "tcp:127.0.0.1:$port" -m 32 --trust
sleep 0.5
"$lkvm" migrate -n b "tcp:127.0.0.1:$port" >out 2>err
is $? 125 "another machine is refused"
waits c "tcp:127.0.0.1:$port" --trust
sleep 0.5
"$lkvm" migrate --downtime 100 --bandwidth 100M b "tcp:127.0.0.1:$port" >out 2>err
is $? 0 "a guest moves by TCP: $(cat out err)"
ended $source "the source ends well"
check "the target runs" runs c

# ---- By a command; and by ssh, or what is called so ----

"$lkvm" migrate c "exec:exec $lkvm restore --trust --console-log d.out --name d - 2>d.err" >out 2>err
is $? 0 "a guest moves to a command: $(cat out err d.err)"
sleep 1.5
check "which runs on" runs d
mkdir bin
printf '#!/bin/sh\necho "$@" >%s/ssh.args\nwhile [ $# -gt 1 ]; do shift; done\neval "exec $1"\n' "$tmp" >bin/ssh
ln -s "$lkvm" bin/lkvm
chmod +x bin/ssh
"$lkvm" stop --force d
PATH=$tmp/bin:$PATH "$lkvm" run "$image" -m 64 --name e </dev/null >e.out 2>e.err &
wait_for "$lkvm" stat e
"$lkvm" migrate e ssh://me@there:2222 >out 2>err
is $? 125 "by ssh it has its name there, which is taken on this host: $(cat err)"
like err 'e: the other side: .*e' "which is said"
is "$(cat ssh.args)" "-T -oBatchMode=yes -oServerAliveInterval=5 -p 2222 -- me@there lkvm restore --trust --name e -" "so it is run there"
check "the guest goes on" runs e
"$lkvm" migrate e ssh://-oProxyCommand=x >out 2>err
is $? 125 "a host is no option"

# ---- A command that only waits ends with what it was for ----

"$lkvm" migrate e "exec:echo \$\$ >$tmp/pid; exec sleep 1000" >out 2>err &
asked=$!
wait_for test -s pid
"$lkvm" migrate --cancel e
wait $asked
is $? 125 "a migration is cancelled while nobody answers"
like err 'e: it was cancelled' "and that is said"
gone() { ! kill -0 "$(cat pid)"; }
check "the command is ended" wait_for gone
check "the guest goes on" runs e

# ---- QMP's words ----

if command -v socat >/dev/null; then
	qmp e '{"execute": "migrate", "arguments": {"uri": "unix:/nobody"}}' '{"execute": "query-migrate"}' >out
	like out '"event": "MIGRATION", "data": {"status": "failed"' "an event tells that it failed"
	qmp e '{"execute": "query-migrate"}' '{"execute": "query-status"}' >out
	like out '"status": "failed".*"error-desc": "unix:/nobody: ' "query-migrate says why"
	like out '"running": true' "and it runs"
	qmp e '{"execute": "stop"}' '{"execute": "migrate", "arguments": {"uri": "unix:/nobody"}}' '{"execute": "cont"}' >out
	like out 'the guest is stopped' "one that is stopped is not moved"
fi
"$lkvm" stop --force e
done_testing
