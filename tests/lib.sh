# SPDX-License-Identifier: MIT
# TAP for shell tests, to be sourced. Run them by prove.
tap_n=0 tap_failed=0

# report STATUS DESCRIPTION
report()
{
	tap_n=$((tap_n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $tap_n - $2"
	else
		echo "not ok $tap_n - $2"
		tap_failed=$((tap_failed + 1))
	fi
}

note() { echo "$*" | sed 's/^/# /'; }

# check DESCRIPTION COMMAND...: it succeeds.
check()
{
	what=$1
	shift
	if tap_output=$("$@" 2>&1); then
		report 0 "$what"
	else
		report 1 "$what"
		note "$* failed: $tap_output"
	fi
}

# is GOT WANTED DESCRIPTION
is()
{
	[ "$1" = "$2" ]
	report $? "$3"
	[ "$1" = "$2" ] || note "got '$1', wanted '$2'"
}

# like FILE REGEX DESCRIPTION: a line of FILE matches; CRs are ignored.
like()
{
	if tr -d '\r' <"$1" | grep -Eq -- "$2"; then
		report 0 "$3"
	else
		report 1 "$3"
		note "no line of $1 matches: $2"
		tail -n 5 "$1" | awk '{ print "#   " $0 }' # which ends the last line
	fi
}

skip() { tap_n=$((tap_n + 1)); echo "ok $tap_n - # skip $*"; }
skip_all() { echo "1..0 # SKIP $*"; exit 0; }
bail() { echo "Bail out! $*"; exit 1; }

done_testing()
{
	echo "1..$tap_n"
	[ "$tap_failed" = 0 ]
	exit
}
