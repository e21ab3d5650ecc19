#!/bin/bash
# SPDX-License-Identifier: MIT
#
# lkvm migrate ssh://HOST, by OpenSSH itself: its server, on a port of this host, with keys of its own. What is said to
# ssh here is in a file, which a person has in ~/.ssh; over there lkvm has a run directory of its own.
. tests/lib.sh
. tests/payload/moves.sh
sshd=$(PATH=$PATH:/usr/sbin command -v sshd) || skip_all "there is no sshd"
ssh=$(command -v ssh) && command -v ssh-keygen >/dev/null || skip_all "there is no ssh"
[ "$(id -u)" != 0 ] || mkdir -p /run/sshd

mkdir bin there
ln -s "$lkvm" bin/lkvm
ssh-keygen -q -t ed25519 -N '' -f host && ssh-keygen -q -t ed25519 -N '' -f user && cp user.pub authorized || bail "no keys"
port=$((20000 + $$ % 20000))
cat >sshd_config <<END
ListenAddress 127.0.0.1
Port $port
HostKey $tmp/host
AuthorizedKeysFile $tmp/authorized
StrictModes no
UsePAM no
PasswordAuthentication no
PidFile $tmp/sshd.pid
SetEnv XDG_RUNTIME_DIR=$tmp/there PATH=$tmp/bin:$PATH
END
echo "[127.0.0.1]:$port $(cat host.pub)" >known
cat >ssh_config <<END
IdentityFile $tmp/user
UserKnownHostsFile $tmp/known
END
printf '#!/bin/sh\nexec %s -F %s/ssh_config "$@"\n' "$ssh" "$tmp" >bin/ssh
chmod +x bin/ssh
PATH=$tmp/bin:$PATH
"$sshd" -f sshd_config -E sshd.log || bail "sshd: $(cat sshd.log)"
trap 'kill $(cat sshd.pid) $(jobs -p) 2>/dev/null; "$lkvm" stop --force -a >/dev/null 2>&1; over_there stop --force -a >/dev/null 2>&1; wait 2>/dev/null; rm -rf "$tmp"' EXIT
over_there() { XDG_RUNTIME_DIR=$tmp/there "$lkvm" "$@"; }
where=ssh://$(id -un)@127.0.0.1:$port
check "there is such a host" wait_for ssh -p "$port" 127.0.0.1 true

# Does its processor work? Twice, a while apart, it has had more of it.
exits() { over_there stat web --json | sed -n 's/.*"exits"[^0-9]*\([0-9][0-9]*\).*/\1/p' | head -n 1; }
runs_there() { before=$(exits); sleep 1; [ "$(exits)" -gt "${before:-0}" ]; }

truncate -s 1M disk
"$lkvm" run "$image" -m 64 -d disk --name web </dev/null >web.out 2>web.err &
source=$!
wait_for "$lkvm" stat web || bail "web does not come up: $(cat web.err)"

"$lkvm" migrate web ssh://127.0.0.1:1 >out 2>err
is $? 125 "nobody listens there"
like err 'web: .*Connection refused' "and that is said: $(cat err)"
mv authorized unwelcome
"$lkvm" migrate web "$where" >out 2>err
is $? 125 "a stranger is not let in"
like err 'Permission denied' "and said: $(cat err)"
mv unwelcome authorized
rm bin/lkvm
"$lkvm" migrate web "$where" >out 2>err
is $? 125 "no lkvm is installed there"
like err 'lkvm: .*not found' "and said: $(cat err)"
ln -s "$lkvm" bin/lkvm
"$lkvm" migrate --bandwidth 200K web "$where" >out 2>err &
asked=$!
sleep 1.5
pkill -P "$source" -x ssh
wait $asked
is $? 125 "the link is cut in the middle: $(cat err)"
check "the guest goes on here" runs web
gone_there() { [ -z "$(ls there/lkvm 2>/dev/null)" ]; }
check "and is not there" wait_for gone_there

"$lkvm" migrate web "$where" >out 2>err
is $? 0 "it moves by ssh: $(cat out err)"
wait $source
is $? 0 "who ran it ends well: $(cat web.err)"
check "it is there" over_there stat web
check "and runs there, when ssh has gone" wait_for runs_there
no_ssh() { ! pgrep -f "$tmp/ssh_config"; }
check "which it has" wait_for no_ssh
check "so that it runs on" runs_there
is "$(cat web.err)" "" "nothing of that was printed here"
waits=$tmp/back
"$lkvm" restore "unix:$waits" --name web </dev/null >back.out 2>back.err &
back=$!
wait_for test -S "$waits"
over_there migrate web "unix:$waits" >out 2>err
is $? 0 "and comes back: $(cat out err)"
ln -sf back.out web.out
check "it runs" runs web
"$lkvm" migrate --disks web "$where" >out 2>err
is $? 125 "with its disk, which is the same there: $(cat err)"
"$lkvm" stop --force web
wait $back
done_testing
