#!/bin/sh
# SPDX-License-Identifier: MIT
# What the guest's kernel reports, pvpanic, the timeouts' last words, and results as files.
. tests/lib.sh
lkvm=$(realpath "${LKVM:-build/lkvm}")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1

run()	# WANTED DESCRIPTION OPTION...
{
	wanted=$1 what=$2
	shift 2
	timeout 60 "$lkvm" run "$@" >out 2>err </dev/null
	is $? "$wanted" "$what"
}

# says WANTED WHAT [OPTION...]: the payload that says WHAT. Its own status is 7.
says()
{
	run "$1" "status $1 for $2 ${3-}${4+ $4}" --payload say -p "$2" ${3+"$3"} ${4+"$4"}
}

# member NAME: its value in the result.
member() { sed -n "s/^	\"$1\": \(.*[^,]\),*\$/\1/p" result; }

says 7 warning
says 7 warning --fail-on none
says 122 warning --fail-on default
is "$(cat err)" "lkvm: the guest kernel reported a WARNING: WARNING: CPU: 0 PID: 1 at kernel/say.c:1 say+0x1/0x2 (status 122)" "and it is said in a line"
says 122 warning --fail-on warning
says 7 warning --fail-on -warning
says 7 warning --fail-on oops,bug
says 122 oops --fail-on oops
says 122 kasan --fail-on kasan
says 7 kasan --fail-on all,-kasan
says 7 kmemleak --fail-on default
says 122 kmemleak --fail-on all
says 7 words --fail-on all
says 122 ktap --fail-on bug
says 122 reboot --fail-on all
says 122 escape --fail-on all
is "$(tr -d ' -~\n' <err | wc -c)" 0 "what a guest prints can do nothing to a terminal"
run 125 "a class that there is none of" --payload exit --fail-on warn
like err "it is none, all, default, or of oops, " "and those that there are"
run 125 "reports that no console shows" --payload say -p warning --console none --fail-on warning
like err "--fail-on.*--console none" "can't fail a run: it is said"
run 7 "none are asked for" --payload say -p warning --console none --fail-on none
run 122 "a report outweighs a power-off" --payload say -p reboot --fail-on all
run 123 "a panic outweighs a report" --payload end -p panic --fail-on all

says 123 pvpanic
like err "the guest kernel panicked" "and says why"
says 123 crash-loaded

for option in --timeout --silence-timeout; do
	run 124 "$option, half a second" --payload end -p spin -c 2 "$option" 0.5
	like err "timeout: .* after 0.500 s .$option." "says which"
	case $(uname -m) in x86_64) register=rip ;; *) register=pc ;; esac
	is "$(grep -c "^lkvm:   *$register " err)" 2 "and shows the registers of both vCPUs"
done
begin=$(date +%s)
run 124 "milliseconds" --payload end -p hang --timeout 300ms
check "are fewer" test $(($(date +%s) - begin)) -le 20
# The user may have no signals left that could be queued, and who started us may ignore the one we use.
timeout -s KILL 20 prlimit --sigpending=0 "$lkvm" run --payload end -p spin -c 2 --timeout 0.5 >out 2>err </dev/null
is $? 124 "no signal can be queued"
timeout -s KILL 20 env --ignore-signal=STKFLT "$lkvm" run --payload end -p spin -c 2 --timeout 0.5 >out 2>err </dev/null
is $? 124 "the signal is ignored"
for time in 1.5m 2h 0 0.001h 10 3s; do
	run 0 "a time of $time" --payload exit --timeout "$time"
done
for time in x 1x 1.s .5 -1 1,5 0.0001 99999999999 ''; do
	run 125 "no time: '$time'" --payload exit --timeout "$time"
done

run 7 "a result" --payload say -p warning --result result --fail-on none
is "$(member verdict) $(member status) $(member own_status) $(member reports_total)" '"image" 7 true 1' "tells of status and reports"
like result '"line": "WARNING: CPU: 0 PID: 1 at kernel/say.c:1 ' "with their text"
like result '"failed": false' "and that it did not matter"
run 122 "a result of a failure" --payload say -p "oops" --result result --fail-on default
is "$(member verdict) $(member status) $(member own_status)" '"reported" 122 false' "tells of it"
like result '"failed": true' "and which report it was"
run 7 "a result with the kernel's version" --payload say -p words --result result
is "$(member kernel)" '"6.1.0-say"' "which is right"
run 125 "a result where nothing was run" -k nowhere --result result
is "$(member verdict) $(member status)" '"host-failed" 125' "tells of it"
run 125 "and where the command line is wrong" --payload exit --nonsense --result=result2
like result2 "unknown option --nonsense" "tells of it, too"
run 125 "a result and JUnit in one file" --payload exit --result one --junit one
like one '"reason": "--junit one: ' "are refused: the one is the other"
ln -s one two
run 125 "also by another name" --payload exit --result one --junit two
run 125 "a result in the kernel's log" --payload exit --result three --kernel-log three
like err "three: .*--kernel-log" "is refused, too"
run 0 "what keeps nothing takes both" --payload exit --result /dev/null --junit /dev/null --kernel-log /dev/null
rm -f one two three
echo '{ "status": 0 }' >earlier
ln -s earlier link
timeout -s KILL 3 "$lkvm" run --payload end -p hang --result link >out 2>err </dev/null
is "$(wc -c <earlier) $(readlink link)" "0 earlier" "a run that is killed leaves no earlier one's result, behind a link neither"
run 0 "a result behind a link" --payload exit --result link
is "$(sed -n 's/.*"status": //p' earlier) $(readlink link)" "0, earlier" "is there, and the link, too"
rm -f earlier link
ln -s later link
run 0 "a result behind a link to what is not there yet" --payload exit --result link
is "$(sed -n 's/.*"status": //p' later) $(readlink link)" "0, later" "is there, and the link, too"
rm -f later link
if unshare -m true 2>/dev/null; then
	head -c 5000 /dev/zero | tr '\0' x >old
	touch mounted
	unshare -m sh -c 'mount --bind old mounted; timeout -s KILL 3 "$0" run --payload end -p hang --result mounted 2>killed; cat mounted >held
		timeout 60 "$0" run --payload end -p 99 --result mounted; echo $? >status' "$lkvm" >out 2>err </dev/null
	is "$(cat status)" 99 "a result to a file that is mounted"
	is "$(wc -c <held)" 0 "an earlier one is not left there"
	is "$(sed -n 's/.*"status": //p' old) $(grep -c xx old)" "99, 0" "and it is all that is in it"
	rm -f old mounted held status killed
else
	skip "no mount namespaces here: a result to a file that is mounted"
fi
run 125 "a folder that is not there" --payload exit --result nowhere/result
run 7 "a full disk" --payload say --result /dev/full
like err "--result /dev/full: No space left" "is said"
run 124 "a result of a timeout" --payload end -p hang --timeout 0.2 --result result
is "$(member verdict)" '"timeout"' "tells of it"
# By perl's own reader, which is strict.
json() { perl -MJSON::PP -0777 -e 'my $r = decode_json(<>); print $r->{replay}' "$1"; }
replay=$(json result) && json result2 >/dev/null
report $? "results are JSON"
sh -c "$replay" >out 2>err </dev/null
is $? 124 "and the command line in it can be run"

run 7 "JUnit" --payload say -p ktap --junit junit.xml
like junit.xml '<testsuites name="lkvm" tests="3" failures="1" errors="0" skipped="1">' "counts"
like junit.xml '<testsuite name="suite" tests="2" failures="1" ' "has suites"
run 124 "JUnit of a timeout" --payload end -p hang --timeout 0.2 --junit timeout.xml
like timeout.xml '<error message="timeout: not over after 0.200 s' "tells of it"
run 0 "JUnit where there are no tests" --payload hello --junit none.xml
like none.xml 'errors="1"' "is an error"
run 7 "JUnit of a program that fails though its tests don't" --payload say -p good --junit good.xml
like good.xml '<testsuites name="lkvm" tests="3" failures="0" errors="1"' "has an error"
like good.xml '<error message=".*: status 7, though no test failed"' "which says why"
if command -v xmllint >/dev/null; then
	check "all of it is XML" xmllint --noout junit.xml timeout.xml none.xml good.xml
else
	skip "xmllint is not installed"
fi
is "$(ls | tr '\n' ' ')" "err good.xml junit.xml none.xml out result result2 timeout.xml " "nothing else was left"

run 99 "a status of 99 is bad" --payload end -p 99 --bisect
run 124 "a timeout is bad for git bisect" --payload end -p hang --timeout 0.2 --bisect
run 125 "what could not be run is skipped" -k nowhere --bisect
run 0 "and good is good" --payload hello --bisect

run 7 "--kernel-log" --payload say -p words --kernel-log log
is "$(cat log)" "$(cat out)" "has the console's output"

# With a command: the payload stands in for the guest's init.
exec_()	# WANTED DESCRIPTION SCRIPT OPTION...
{
	wanted=$1 what=$2 script=$3
	shift 3
	run "$wanted" "$what" --payload exec -p "$script" "$@" -- true
}
exec_ 42 "a command's status" "hello started exited=42 ack" --boot-timeout 30 --result result
is "$(member verdict) $(member own_status) $(member kernel)" '"command" true "payload"' "and what the result tells of it"
is "$(grep -c '^		"[a-z]*": [0-9]' result)" 5 "with the time of each phase, but for a console that was silent"
exec_ 124 "no command in time" "hello hang" --boot-timeout 0.3
like err "timeout: no command after 0.300 s .--boot-timeout." "is said"
exec_ 124 "a command in time, but not over" "hello started hang" --boot-timeout 20 --timeout 21 --silence-timeout 0.3
like err "timeout: no output after 0.300 s" "nor says anything"
exec_ 200 "a status of 200" "hello started exited=200 ack"
exec_ 1 "is 1 for git bisect" "hello started exited=200 ack" --bisect --result result
is "$(member status)" 1 "and in the result"
exec_ 123 "a panic" "hello started panic"
like err "^lkvm: . .*Kernel panic - not syncing" "shows the log's last lines"
run 125 "--boot-timeout wants a command" --payload exit --boot-timeout 1
done_testing
