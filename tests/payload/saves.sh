# SPDX-License-Identifier: MIT
#
# For guests that are saved, to be sourced by bash behind tests/lib.sh: see moves.sh. They are the payload `state`, which
# checks after each tick that nothing of it was lost, and says a line after ten.
payload=state
. tests/payload/moves.sh
lines() { grep -c 'ten ticks' "$1"; }
has_lines() { [ "$(lines "$1")" -ge "$2" ]; }

# up NAME COMMAND WORD...: `lkvm COMMAND WORD...` as that guest, in the background: its process is $guest.
up()
{
	name=$1 word=$2
	shift 2
	"$lkvm" "$word" --name "$name" "$@" </dev/null >"$tmp/$name.out" 2>"$tmp/$name.err" &
	guest=$!
	wait_for "$lkvm" stat "$name" || bail "$name does not come up: $(cat "$tmp/$name.err")"
}

# refused LINE WORD...: status 125, and that line.
refused()
{
	line=$1
	shift
	timeout 30 "$lkvm" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	is $? 125 "refused: ${*//$tmp\//}"
	like "$tmp/err" "$line" "and said"
}
