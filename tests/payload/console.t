#!/bin/sh
# SPDX-License-Identifier: MIT
# What is printed comes out whole, whatever stdin and stdout are.
. tests/lib.sh
lkvm=${LKVM:-build/lkvm}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
hello=$(printf 'Hello from inside the guest.\r')

is "$("$lkvm" run --payload hello </dev/null)" "$hello" "stdin /dev/null, stdout a pipe"
is "$(echo input | "$lkvm" run --payload hello)" "$hello" "stdin a pipe"
is "$("$lkvm" run --payload hello <"$0")" "$hello" "stdin a file"
is "$("$lkvm" run --payload hello <&-)" "$hello" "stdin closed"
"$lkvm" run --payload hello </dev/null >"$tmp/out"
is "$(cat "$tmp/out")" "$hello" "stdout a file"
"$lkvm" run --payload hello </dev/null >&-
is $? 0 "stdout closed"
"$lkvm" run --payload hello --console-log "$tmp/log" </dev/null >&-
is "$(cat "$tmp/log")" "$hello" "the log has it when stdout is closed"
"$lkvm" run --payload hello </dev/null >/dev/full 2>"$tmp/err"
is $? 0 "a full stdout does not change the verdict"
"$lkvm" run --payload hello --console-log /dev/full </dev/null >"$tmp/out" 2>"$tmp/err"
is "$? $(cat "$tmp/out")" "0 $hello" "a full log does not, either"
check "but is reported" test -s "$tmp/err"

begin=$(date +%s)
"$lkvm" run --payload end -p flood </dev/null >/dev/null
limit=$((2 * ($(date +%s) - begin) + 4)) # a second time it may be slower
{ "$lkvm" run --payload end -p flood --timeout $limit </dev/null; echo $? >"$tmp/status"; } | { sleep $((limit + 1)); wc -c; } >"$tmp/out"
is "$(cat "$tmp/status") $(cat "$tmp/out")" "0 100000" "what ended in time is no timeout, however late its reader"
{ "$lkvm" run --payload end -p flood </dev/null & pid=$!; sleep $((limit - 1)); kill -TERM $pid; wait $pid; echo $? >"$tmp/status"; } | { sleep $((limit + 1)); wc -c; } >"$tmp/out"
is "$(cat "$tmp/status")" 143 "a signal ends it while it waits for its reader"
{ "$lkvm" run --payload hello </dev/null; echo $? >"$tmp/status"; } | true
sleep 0.2
is "$(cat "$tmp/status")" 0 "a reader that is gone is dropped"
{ "$lkvm" run --payload hello </dev/null; echo $? >"$tmp/status"; } | { sleep 1; cat; } >"$tmp/out"
is "$(cat "$tmp/status") $(cat "$tmp/out")" "0 $hello" "a late reader gets all of it"
done_testing
