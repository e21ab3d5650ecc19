#!/bin/bash
# SPDX-License-Identifier: MIT
# The terminal is as it was before, however lkvm ends: a person's hands, played by tmux.
. tests/lib.sh
command -v tmux >/dev/null || skip_all "tmux is not installed"
lkvm=$(cd "$(dirname "${LKVM:-build/lkvm}")" && pwd)/$(basename "${LKVM:-build/lkvm}")
tmp=$(mktemp -d)
tm() { tmux -f /dev/null -S "$tmp/socket" "$@"; }
trap 'tm kill-server 2>/dev/null; rm -rf "$tmp"' EXIT

screen() { tm capture-pane -p; }

# wait_for FILE: appears within 10 s.
wait_for() { for _ in $(seq 200); do [ -e "$1" ] && return 0; sleep 0.05; done; return 1; }

# begin NAME ARGUMENT...: lkvm in the pane's shell; $tmp/NAME.done appears when it has ended.
begin()
{
	name=$1
	shift
	tm send-keys " stty -g >$tmp/$name.before; $lkvm run $*; echo \$? >$tmp/$name.status; stty -g >$tmp/$name.after; touch $tmp/$name.done" Enter
}

# leave NAME: by Ctrl-a x, more than once where a busy machine has not come so far. 1: in vain.
leave()
{
	for _ in 1 2 3 4 5 6; do
		sleep 0.5
		[ ! -e "$tmp/$1.done" ] || break
		tm send-keys C-a x
	done
	tm send-keys C-u # what the shell has got of that
	[ -e "$tmp/$1.done" ]
}

ended()	# NAME STATUS DESCRIPTION
{
	wait_for "$tmp/$1.done"
	is "$(cat "$tmp/$1.status")" "$2" "$3: status"
	is "$(cat "$tmp/$1.after")" "$(cat "$tmp/$1.before")" "$3: the terminal is as before"
}

started() { for _ in $(seq 100); do pgrep -f "$lkvm run --payload end" >/dev/null && break; sleep 0.02; done; sleep 0.3; }

tm new-session -d -x 80 -y 24 "exec env -i PATH='$PATH' TERM=screen PS1='\$ ' sh -i" || skip_all "tmux does not start"

begin x --payload end -p spin
started
tm send-keys C-c C-c q C-a h
sleep 0.5
check "Ctrl-c goes to the guest; Ctrl-a h helps" sh -c "tmux -S $tmp/socket capture-pane -p | grep -qi 'ctrl-a x\|C-a x'"
tm resize-window -x 100 -y 30
tm send-keys C-a x
ended x 130 "Ctrl-a x"

for sig in TERM HUP QUIT INT SEGV ABRT; do
	begin "$sig" --payload end -p spin
	started
	pkill -"$sig" -f "$lkvm run --payload end"
	ended "$sig" $((128 + $(kill -l "$sig"))) "kill -$sig"
done

begin normal --payload hello
ended normal 0 "a normal end"
begin refused --payload nothing
ended refused 125 "a refusal"

# Ctrl-C at ten moments, from before the terminal is raw to well after.
for i in 0 1 2 3 4 5 6 7 8 9; do
	begin "c$i" --payload end -p spin
	sleep 0.0$((i * 8 / 10))$((i * 8 % 10))
	tm send-keys C-c
	# It met lkvm, before it took the terminal; or the guest; or the shell, which then forgot the rest.
	leave "c$i" || tm send-keys " stty -g >$tmp/c$i.after; touch $tmp/c$i.done" Enter
	wait_for "$tmp/c$i.done"
	is "$(cat "$tmp/c$i.after" 2>/dev/null)" "$(cat "$tmp/normal.before")" "Ctrl-C, moment $i: the terminal is as before"
done

# A command with a terminal: keys go to it and come back as it likes; what ends lkvm ends it here, too.
begin command "--payload exec -p 'hello started echo exited=6 ack' -- words"
sleep 1.5
tm send-keys h e l l o C-c Space
sleep 0.5
check "keys go to a command's terminal, Ctrl-C too" sh -c "tmux -S $tmp/socket capture-pane -p | grep -q hello"
check "and it runs on" test ! -e "$tmp/command.done"
tm send-keys q
ended command 6 "a command ends"
begin leave "--payload exec -p 'hello started echo' -- words"
sleep 1
leave leave
ended leave 130 "Ctrl-a x leaves a command"

# In the background it leaves the terminal alone, and is not stopped by it.
tm send-keys " stty -g >$tmp/bg.before; $lkvm run --payload end -p spin & sleep 0.5; stty -g >$tmp/bg.after; jobs >$tmp/bg.jobs; kill %1; touch $tmp/bg.done" Enter
wait_for "$tmp/bg.done"
is "$(cat "$tmp/bg.after")" "$(cat "$tmp/bg.before")" "in the background the terminal is left alone"
like "$tmp/bg.jobs" "Running" "and it runs"

# And brought to the front it takes it.
tm send-keys " stty -g >$tmp/fg.before; $lkvm run --payload end -p spin & sleep 0.5; fg; stty -g >$tmp/fg.after; touch $tmp/fg.done" Enter
sleep 2.5
tm send-keys C-c
sleep 0.3
check "brought to the foreground it takes the keys" test ! -e "$tmp/fg.done"
leave fg
is "$(cat "$tmp/fg.after")" "$(cat "$tmp/fg.before")" "and gives the terminal back"
done_testing
