#!/bin/bash
# SPDX-License-Identifier: MIT
# A command in the guest, played by the payload `exec`: its streams, byte for byte, and its status, however the
# guest ends; 300 runs of it, with LONG=1 10,000.
. tests/lib.sh
lkvm=${LKVM:-build/lkvm}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# Of each end: the status (or statuses, where the guest races with what it has told), bytes on stdout and on
# stderr (- for lkvm's own line), and what the payload does. `told`: hello started.
ends()
{
	cat <<-'END'
		0	0	0	told exited=0 ack
		42	0	0	told exited=42 ack
		255	0	0	told exited=255 ack
		122	0	0	told exited=122 ack
		123	0	0	told exited=123 ack
		124	0	0	told exited=124 ack
		125	0	0	told exited=125 ack
		7	100	5	told out=100 err=5 exited=7 ack
		1	200000	70000	told out=200000 err=70000 exited=1 ack
		0	100	0	told late=100 exited=0 ack
		3	0	0	told exited=3 exited=4 ack
		3	0	0	told exited=3 failed ack
		3	0	0	told exited=3 giant ack
		3	0	0	told exited=3 poweroff
		3	0	0	told exited=3 reset
		3	0	0	told exited=3 announced
		3	0	0	told exited=3 bye
		3	0	0	told exited=3 spin
		3/123	0	0/-	told exited=3 panic
		3	50	0	told out=50 exited=3 late=9 spin
		3	50	0	told out=50 close=2 exited=3 ack
		3	0	0	told junk exited=3 ack
		3	20	0	told ring=0 out=20 ring=4000000000 exited=3 ack
		3	10	0	told out=10 marked kmsg seen exited=3 ack
		3	0	0	told kmsg marked seen exited=3 ack
		123	0	-	marked
		123	0	-	told exited=3 less=1 marked
		5	0	0	junk told close=1 open=1 exited=5 ack
		123	0	-	poweroff
		123	0	-	reset
		123	0	-	announced
		123	0	-	bye
		123	0	-	panic
		123	1000	-	told out=1000 panic
		123	1000	-	told out=1000 poweroff
		123	1000	-	told out=1000 late=0 reset
		123	0	-	told bye
		123	0	-	told close=0 poweroff
		123	10	-	told out=10 exited=0 less=5 ack
		123	10	-	told out=10 exited=0 more=5 poweroff
		123	10	-	told out=10 close=2 out=10 exited=0 ack
		123	0	-	told exited=256 ack
		123	0	-	hello exited=0 ack
		123	0	-	exited=0 ack
		123	0	-	started exited=0 ack
		123	0	-	hello hello
		123	0	-	told started
		123	0	-	told giant
		123	0	-	told raw=00000000 raw=00000000
		123	0	-	raw=0500000000000000
		123	0	-	told raw=03000000 poweroff
		123	0	-	told raw=0300000018000000 raw=0000 poweroff
		123	0	-	told raw=0300000017000000
		123	0	-	told raw=0300000019000000
		125	0	-	failed ack
		125	0	-	hello failed ack
		125	0	-	told failed ack
		125	0	-	told failed poweroff
		125	0	-	told failed reset
	END
}

wrong=0 n=0
run()	# STATUS OUT ERR WORDS
{
	timeout 60 "$lkvm" run --payload exec -p "${4/told/hello started}" -- words >"$tmp/out" 2>"$tmp/err" </dev/null
	status=$?
	n=$((n + 1))
	out=$(stat -c %s "$tmp/out")
	err=$(stat -c %s "$tmp/err")
	! grep -q ^lkvm: "$tmp/err" || err=-
	case "/$1/" in *"/$status/"*) ;; *) false ;; esac && [ "$out" = "$2" ] &&
		case "/$3/" in *"/$err/"*) ;; *) false ;; esac && return
	wrong=$((wrong + 1))
	note "$4: status $status, $out bytes, $err on stderr; wanted $1, $2, $3: $(head -c 200 "$tmp/err" | tr -d '\0')"
}

ends >"$tmp/ends"
while [ "$n" -lt "$([ "${LONG-}" ] && echo 10000 || echo 300)" ]; do
	while IFS='	' read -r status out err words; do run "$status" "$out" "$err" "$words"; done <"$tmp/ends"
done
is "$wrong" 0 "$n runs that end in every way there is: no verdict wrong, lost or hung"

run "123" 10 - "told out=10 exited=0 more=5 spin"
is "$wrong" 0 "output that was announced and does not come is waited for, but not for ever"
run "123" 0 - "told close=0 spin"
is "$wrong" 0 "so is an init that closed its control port"
timeout 60 "$lkvm" run --timeout 1 --payload exec -p "hello started out=10 spin" -- words >"$tmp/out" 2>"$tmp/err" </dev/null
is "$? $(stat -c %s "$tmp/out")" "124 10" "a command that goes on meets the timeout"
timeout 60 "$lkvm" run --payload exec -p "failed ack" -- words >"$tmp/out" 2>"$tmp/err" </dev/null
is "$(cat "$tmp/err")" "lkvm: the payload ?[31mfails: No such file or directory (status 125)" "why there is no command: one line, that can't speak to the terminal"
"$lkvm" run --payload exec -- 2>"$tmp/err"
is "$?" 125 "no command behind --"
"$lkvm" run --payload exec --share "a,b=$tmp:cow" -- x 2>"$tmp/err"
is "$? $(grep -c 'the tag a,b of .*: with :cow it may have no comma' "$tmp/err")" "125 1" "a tag that the guest could not mount"
"$lkvm" run --payload exec -p "hello started echo exited=5 ack" -- x >"$tmp/out" 2>"$tmp/err" 0>/dev/null
is "$? $(cat "$tmp/out" "$tmp/err")" "5 " "a standard input that can only be written to, as nohup makes it, is at its end"

# The tracer's pipe is a regular file to whoever asks, and one that keeps its readers.
mkdir "$tmp/trace"
if unshare -m mount -t tracefs none "$tmp/trace" 2>/dev/null; then
	unshare -m sh -c 'mount -t tracefs none "$1/trace"; timeout -s KILL 60 "$0" run --timeout 1 --payload exec \
		-p "hello started echo exited=0 ack" -- x <"$1/trace/trace_pipe"' "$lkvm" "$tmp" >"$tmp/out" 2>"$tmp/err"
	is "$?" 124 "a file on standard input that never answers keeps no timeout from coming"
	like "$tmp/err" "standard input has not answered for" "and lkvm leaves it"
else
	skip "no tracefs here: a standard input that never answers"
fi
rmdir "$tmp/trace"

timeout 20 "$lkvm" run --console none --payload exec -p "hello started marked seen exited=3 ack" -- x >"$tmp/out" 2>"$tmp/err" </dev/null
is "$?" 3 "a mark that no console can show is not waited for"
timeout 20 "$lkvm" run --timeout 2 --payload exec -p "hello started marked seen exited=3 ack" -- x >"$tmp/out" 2>"$tmp/err" </dev/null
is "$?" 124 "nor is one told as seen that was not"

# ---- Streams ----
mib=$([ "${LONG-}" ] && echo 64 || echo 4)
bytes=$((mib * 1024 * 1024 + 12345))
head -c "$bytes" /dev/urandom >"$tmp/random"
sum=$(sha256sum <"$tmp/random")
command='hello started echo exited=9 ack'

is "$("$lkvm" run --payload exec -p "$command" -- cat <"$tmp/random" | sha256sum; echo "${PIPESTATUS[0]}")" "$sum
9" "$mib MiB from a file to a pipe"
"$lkvm" run --payload exec -p "$command" -- cat < <(cat "$tmp/random") >"$tmp/copy"
is "$? $(sha256sum <"$tmp/copy")" "9 $sum" "$mib MiB from a pipe to a file"
is "$(head -c 100000 "$tmp/random" | "$lkvm" run --payload exec -p "$command" -- cat | { sleep 1; sha256sum; })" \
	"$(head -c 100000 "$tmp/random" | sha256sum)" "a reader that comes late"
is "$({ head -c 5000 "$tmp/random"; sleep 0.5; head -c 300000 "$tmp/random"; } | "$lkvm" run --payload exec -p "$command" -- cat | sha256sum)" \
	"$({ head -c 5000 "$tmp/random"; head -c 300000 "$tmp/random"; } | sha256sum)" "a writer that takes its time"

pattern()	# BYTES: what the payload writes, from block 0 on
{
	perl -e 'my $n = shift; my $b = pack("V*", map { ($_ * 2654435761) & 0xffffffff } 0 .. 8191);
		for (my $i = 0; $n > 0; $i++, $n -= 32768) { substr($b, 0, 4) = pack("V", $i); print substr($b, 0, $n < 32768 ? $n : 32768) }' "$1"
}
"$lkvm" run --payload exec -p "hello started err=$bytes exited=0 ack" -- x >"$tmp/out" 2>"$tmp/err" </dev/null
is "$? $(stat -c %s "$tmp/out") $(sha256sum <"$tmp/err")" "0 0 $(pattern "$bytes" | sha256sum)" "$mib MiB to stderr, none of it to stdout"

is "$(echo word | "$lkvm" run --payload exec -p "$command" -- cat)" word "stdin a pipe"
is "$("$lkvm" run --payload exec -p "$command" -- cat </dev/null)" "" "stdin /dev/null: an end at once"
is "$("$lkvm" run --payload exec -p "$command" -- cat <&-)" "" "stdin closed: so, too"
"$lkvm" run --payload exec -p "hello started out=100 exited=4 ack" -- x </dev/null >&-
is "$?" 4 "stdout closed: the command's status"
"$lkvm" run --payload exec -p "hello started out=100000 exited=0 ack" -- x </dev/null >/dev/full 2>"$tmp/err"
is "$?" 125 "a full stdout is a failure of the host's"
like "$tmp/err" "standard output: No space left on device" "and said"
"$lkvm" run --payload exec -p "hello started out=10 exited=0 ack" -- x </dev/null >/dev/full 2>"$tmp/err"
is "$?" 125 "also when it shows at the very end"
"$lkvm" run --payload exec -p "hello started echo exited=0 ack" -- x <"$tmp" >"$tmp/out" 2>"$tmp/err"
is "$?" 125 "a stdin that can't be read is one, too"

# The payload waits until its stdout is closed outside, as a command's SIGPIPE would tell it.
{ "$lkvm" run --payload exec -p "hello started out=300000 await=2 out=300000 exited=141 ack" -- x </dev/null; echo $? >"$tmp/status"; } | head -c 10 >/dev/null
is "$(cat "$tmp/status")" 141 "a reader that has gone is told to the guest"
yes | { "$lkvm" run --payload exec -p "hello started close=1 exited=0 ack" -- x >"$tmp/out"; echo $? >"$tmp/status"; }
is "${PIPESTATUS[0]} $(cat "$tmp/status")" "141 0" "a stdin that the guest closes ends who writes to it"

# ---- Tests ----
junit()	# STATUS TEXT WANTED DESCRIPTION: of a command that prints this
{
	printf "$2" | "$lkvm" run --payload exec -p "hello started echo exited=$1 ack" --junit "$tmp/junit.xml" -- x >"$tmp/out"
	is "${PIPESTATUS[1]} $(sed -n 's/^<testsuites name="lkvm" \(.*\)>$/\1/p' "$tmp/junit.xml" | tr -d '"')" "$1 $3" "$4"
}
junit 0 '1..2\nok 1 a\nok 2 b\n' "tests=2 failures=0 errors=0 skipped=0" "good tests"
junit 1 '1..2\nok 1 a\nok 2 b\n' "tests=3 failures=0 errors=1 skipped=0" "good tests of a program that fails"
junit 1 '1..2\nok 1 a\nnot ok 2 b\n' "tests=2 failures=1 errors=0 skipped=0" "a test that tells why it does"
junit 139 '1..2\nok 1 a\nnot ok 2 b\n' "tests=3 failures=1 errors=1 skipped=0" "one that failed before the program died"
junit 4 '1..0 # SKIP no device\n' "tests=1 failures=0 errors=0 skipped=1" "tests that were skipped"
junit 4 '1..2\nok 1 a # SKIP\nok 2 b\n' "tests=3 failures=0 errors=1 skipped=1" "some that were, and a status that tells of all"

# ---- Signals ----
# (A shell's background job ignores SIGINT.)
start() { setsid perl -e '$SIG{INT} = "DEFAULT"; exec @ARGV' "$lkvm" run --payload exec -p "$1" -- x </dev/null >"$tmp/out" 2>"$tmp/err" & pid=$!; for _ in $(seq 100); do [ ! -s "$tmp/out" ] || break; sleep 0.05; done; }
mkfifo "$tmp/fifo"
setsid perl -e '$SIG{INT} = "DEFAULT"; exec @ARGV' "$lkvm" run --payload exec -p "hello started out=5 close=2 signal exited=0 ack" -- x </dev/null >"$tmp/fifo" &
pid=$!
is "$(timeout 20 cat "$tmp/fifo" | wc -c)" 5 "a stdout that the guest closes is at its end outside"
kill -INT $pid
wait $pid
is "$?" 0 "while the guest goes on"
start "hello started out=1 signal exited ack"
kill -INT $pid
wait $pid
is "$?" 130 "the first Ctrl-C is the command's, which ends by it"
is "$(stat -c %s "$tmp/err")" 0 "(and says so)"
start "hello started out=1 spin"
kill -INT $pid
sleep 0.3
check "one that does not end by it goes on" kill -0 $pid
kill -INT $pid
wait $pid
is "$?" 130 "the second ends the VM"
start "out=1 spin"
kill -INT $pid
wait $pid
is "$?" 130 "and so does the first, where there is no command"
start "hello started out=1 spin"
kill -TERM $pid
wait $pid
is "$?" 143 "SIGTERM ends the VM"
{ "$lkvm" run --payload exec -p "hello started out=300000 exited=0 ack" -- x </dev/null & pid=$!; sleep 0.7; kill -TERM $pid; wait $pid; echo $? >"$tmp/status"; } | sleep 2
is "$(cat "$tmp/status")" 143 "also while a reader keeps it waiting"
start "hello started out=1 spin"
kill -KILL $pid
wait $pid 2>/dev/null
is "$?" 137 "killed outright"
is "$(pgrep -g $pid | wc -l)" 0 "it leaves no process"
# ---- Readers that don't read ----
# It is full, and both its ends are ours.
mkfifo "$tmp/stuck"
exec 9<>"$tmp/stuck"
dd if=/dev/zero of="$tmp/stuck" bs=65536 count=1 2>/dev/null
member() { sed -n "s/^	\"$1\": \(.*[^,]\),*\$/\1/p" "$tmp/result"; }
stuck()	# WANTED WHAT SCRIPT OPTION...: stdout is stuck, stderr a file
{
	wanted=$1 what=$2 script=$3
	shift 3
	rm -f "$tmp/result" "$tmp/junit"
	timeout -s KILL 40 "$lkvm" run "$@" --payload exec -p "$script" --result "$tmp/result" --junit "$tmp/junit" -- x </dev/null >"$tmp/stuck" 2>"$tmp/err"
	is $? "$wanted" "a reader that never reads, $what: ends with its status"
	is "$(member status) $(member output_written)" "$wanted false" "and has a result, which says so"
	check "and JUnit" test -s "$tmp/junit"
}
stuck 124 "and a timeout" "hello started out=3000000 exited=0 ack" --timeout 1
is "$(tail -n 2 "$tmp/err")" "lkvm: timeout: not over after 1.000 s (--timeout) (status 124)
lkvm: nobody has read the output for 5 s: what is left of it is lost" "and it is said in a line"
stuck 124 "a timeout, and little output" "hello started out=10 spin" --timeout 1
# stderr, too: no line of ours may keep us.
rm -f "$tmp/result"
timeout -s KILL 60 "$lkvm" run --timeout 1 --payload exec -p "hello started out=3000000 exited=0 ack" --result "$tmp/result" -- x </dev/null >"$tmp/stuck" 2>&1
is "$? $(member verdict)" '124 "timeout"' "and where nobody reads stderr either"
rm -f "$tmp/result"
timeout -s KILL 60 "$lkvm" run --timeout 1 --payload exec -p "hello started out=10 exited=0" --result "$tmp/result" -- x </dev/null >"$tmp/stuck" 2>&1 &
pid=$!
for _ in $(seq 200); do [ ! -s "$tmp/result" ] || break; sleep 0.1; done
is "$(member status) $(member output_written)" "0 false" "a command that ended in time: its result is there before its output is read"
check "which is waited for, as cat would" kill -0 $pid
dd if="$tmp/stuck" of="$tmp/out" bs=65536 count=1 2>/dev/null
wait $pid
is "$? $(member status) $(member output_written)" "0 0 true" "and once it is, all is well"
dd if="$tmp/stuck" of=/dev/null bs=65536 count=1 2>/dev/null
dd if=/dev/zero of="$tmp/stuck" bs=65536 count=1 2>/dev/null
begin=$(date +%s)
setsid "$lkvm" run --payload exec -p "hello started out=3000000 exited=0 ack" --result "$tmp/result" -- x </dev/null >"$tmp/stuck" 2>"$tmp/err" &
pid=$!
sleep 1
kill -TERM $pid
wait $pid
is "$? $(member verdict) $(member output_written)" '143 "signal" false' "a signal: so, too"
check "not at once, nor for long" test $(($(date +%s) - begin)) -ge 5 -a $(($(date +%s) - begin)) -le 30
exec 9>&-

# ---- Where results go ----
run_() { timeout 60 "$lkvm" run --payload exec -p "hello started out=5 exited=3 ack" "$@" -- x </dev/null; }
is "$(run_ --result /dev/stdout 2>&1 | tail -c +6 | head -c 9; echo "${PIPESTATUS[0]}")" "$(printf '{\n\t"lkvm"')3" "a result in the command's output, behind it, where that is asked for"
run_ --result /dev/stdout >"$tmp/out" 2>"$tmp/err"
is "$? $(tail -c +6 "$tmp/out" | perl -MJSON::PP -0777 -e 'print decode_json(<>)->{status}') $(stat -c %s "$tmp/err")" "3 3 0" "also in a file"
run_ --result /dev/stderr >"$tmp/out" 2>"$tmp/err"
is "$? $(stat -c %s "$tmp/out") $(head -c 1 "$tmp/err")" "3 5 {" "or on stderr"
run_ --result /dev/fd/7 7>"$tmp/result" >"$tmp/out" 2>"$tmp/err"
is "$? $(stat -c %s "$tmp/out") $(stat -c %s "$tmp/err") $(member status)" "3 5 0 3" "or by a descriptor"
run_ --result /dev/null --junit /dev/null >"$tmp/out" 2>"$tmp/err"
is "$? $(stat -c %s "$tmp/out") $(stat -c %s "$tmp/err")" "3 5 0" "or nowhere"
check "/dev/null is still a device" test -c /dev/null
cat "$tmp/fifo" >"$tmp/copy" &
run_ --result "$tmp/fifo" >"$tmp/out" 2>"$tmp/err"
is "$? $(stat -c %s "$tmp/out") $(stat -c %s "$tmp/err")" "3 5 0" "or into a FIFO"
wait $!
is "$(head -c 1 "$tmp/copy")" "{" "where it arrives"
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	chmod 711 "$tmp"
	cp "$lkvm" "$tmp/lkvm"
	# (What follows may fail, of /dev/kvm.)
	is "$(setpriv --reuid 65534 --clear-groups "$tmp/lkvm" run --payload exit --result /dev/null 2>&1 | grep -c -- --result)" 0 "who may not write to /dev may to /dev/null"
fi
run_ --result "$tmp/both" >"$tmp/both" 2>"$tmp/err"
is "$? $(stat -c %s "$tmp/both")" "125 0" "a file that is stdout already is refused"
like "$tmp/err" "say /dev/stdout" "and what to say instead is said"
run_ --result /dev/fd/77 >"$tmp/out" 2>"$tmp/err"
is "$?" 125 "so is a descriptor that is not open"
run_ --result "$tmp" >"$tmp/out" 2>"$tmp/err"
is "$?" 125 "and a folder"
# (One that begins as a result does, but isn't one.)
{ printf '{\n\t"'; cat "$tmp/random"; } >"$tmp/kernel"
cp "$tmp/kernel" "$tmp/kernel.before"
"$lkvm" run -k "$tmp/kernel" --result "$tmp/kernel" -- x >"$tmp/out" 2>"$tmp/err"
is "$?" 125 "and the kernel"
"$lkvm" run -k "$tmp/kernel" --nonsense --result "$tmp/kernel" -- x >"$tmp/out" 2>"$tmp/err"
is "$?" 125 "and where nothing is known yet"
check "which is as it was" cmp "$tmp/kernel" "$tmp/kernel.before"
"$lkvm" run --payload exit --result "$tmp/earlier" --junit "$tmp/earlier.xml" >"$tmp/out" 2>"$tmp/err"
cp "$tmp/earlier" "$tmp/earlier.before"
cp "$tmp/earlier.xml" "$tmp/earlier.before.xml"
"$lkvm" run --nonsense --result "$tmp/earlier" --junit "$tmp/earlier.xml" >"$tmp/out" 2>"$tmp/err"
is "$? $(grep -c host-failed "$tmp/earlier")" "125 1" "a result of an earlier run is replaced"
check "in JUnit's form, too" sh -c "! cmp -s $tmp/earlier.xml $tmp/earlier.before.xml"
done_testing
