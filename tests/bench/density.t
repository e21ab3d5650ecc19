#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Density: 500 VMs at once, that have said hello and stay: how long until all have, beside 500 times what KVM's own
# floor takes (tests/bench/x86/raw.c), and what memory each costs. 100 of them without LONG=1, which also judges.
. tests/lib.sh
build=${KINDLING_BUILD:-build}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
raw=$build/bench/x86/raw
lkvm=$tmp/lkvm
mib=128
[ -e /dev/kvm ] || skip_all "no /dev/kvm here"
[ -x "$raw" ] || skip_all "not built on this architecture, or by a sanitizer"
cp "$build/lkvm-static" "$lkvm" && strip "$lkvm"
count=100
[ -z "${LONG-}" ] || count=500

# figure NAME: of the last swarm.
figure() { sed -n "s/^$1 //p" "$tmp/swarm"; }

most()
{
	if [ "${LONG-}" ]; then
		check "$3: $1, $2 at most" awk "BEGIN { exit !($1 <= $2) }"
	else
		report 0 "$3: $1"
	fi
}

# The floor and the swarm in turns, as times depend on the hour: medians of five.
for round in 1 2 3 4 5; do
	"$build/bench/interleave" 41 "$raw" split >"$tmp/raw" || bail "raw ioctls failed"
	"$build/bench/swarm" $count $mib "$raw" split stay $mib >"$tmp/swarm" || bail "raw ioctls failed at once"
	floor=$(figure started-ms)
	"$build/bench/swarm" $count $mib "$lkvm" run --payload hello -p stay -m $mib >"$tmp/swarm" || bail "a VM failed"
	awk -v n=$count -v ms="$(figure started-ms)" '{ printf "%.2f %d %d '"$floor"'\n", ms * 1000 / ($1 * n), $1, ms }' "$tmp/raw" >>"$tmp/ratios"
done
note "$(awk '{ print $1 ": one by raw ioctls " $2 " us, '$count' VMs at once " $3 " ms, by raw ioctls " $4 " ms" }' "$tmp/ratios")"
most "$(sort -n "$tmp/ratios" | awk 'NR == 3 { print $1 }')" 1.2 "$count VMs are there, to $count times raw ioctls"
most "$(($(figure pss-kib) - $(figure guest-kib)))" 700 "KiB of memory for each, beside the guest's own ($(figure guest-kib))"
is "$(figure bad-ends)" 0 "all ended as they were told to, in $(figure ended-ms) ms"
done_testing
