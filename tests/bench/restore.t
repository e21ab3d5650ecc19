#!/bin/sh
# SPDX-License-Identifier: MIT
#
# From `lkvm restore` to the guest's first instruction, and the process's end, against raw ioctls that make such a
# machine, and tell KVM a processor, as restoring does (tests/bench/x86/raw.c): medians of 15. With LONG=1 more rounds, and the ratios are judged. The guest
# is one that was saved while it spun, into whose memory the end of it was written.
. tests/lib.sh
build=${KINDLING_BUILD:-build}
tmp=$(mktemp -d)
export XDG_RUNTIME_DIR=$tmp/run
mkdir "$tmp/run"
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$tmp"' EXIT
raw=$build/bench/x86/raw
lkvm=$tmp/lkvm
[ -e /dev/kvm ] || skip_all "no /dev/kvm here"
[ -x "$raw" ] || skip_all "not built on this architecture, or by a sanitizer"
cp "$build/lkvm-static" "$lkvm" && strip "$lkvm"
rounds=15
[ -z "${LONG-}" ] || rounds=101

measure() { "$build/bench/interleave" $rounds "$@" >"$tmp/lines" && note "$(sed "s,$tmp/,,g;s,$build/bench/x86/,," "$tmp/lines")"; }
median() { awk -v n="$1" 'NR == n { print $1 }' "$tmp/lines"; }
quotient() { awk "BEGIN { printf \"%.2f\", $1 / $2 }"; }

# most FIGURE LIMIT DESCRIPTION: judged in the long form only.
most()
{
	if [ "${LONG-}" ]; then
		check "$3: $1, $2 at most" awk "BEGIN { exit !($1 <= $2) }"
	else
		report 0 "$3: $1"
	fi
}

# save MEMORY KIND: a snapshot that ends at once with 0, in $tmp/MEMORY-KIND.
save()
{
	dir=$tmp/$1-$2
	"$lkvm" run --payload end -p spin -m "$1" --irqchip "$2" --name saved </dev/null >/dev/null 2>&1 &
	guest=$!
	for _ in $(seq 100); do
		sleep 0.05
		rip=$("$lkvm" debug -n saved -d 2>/dev/null | awk '$1 == "rip" { print $2; exit }')
		[ -n "$rip" ] && break
	done
	sleep 0.3
	rip=$("$lkvm" debug -n saved -d | awk '$1 == "rip" { print $2; exit }')
	"$lkvm" snapshot saved "$dir" >/dev/null
	kill $guest 2>/dev/null
	wait $guest 2>/dev/null
	# mov $0, %al; out %al, $0xf4
	printf '\260\000\346\364' | dd of="$dir/memory" bs=1 seek=$((0x$rip)) conv=notrunc 2>/dev/null
	"$lkvm" restore "$dir" </dev/null || bail "what was saved does not end"
}

for kind in split full none; do
	save 1G $kind
	measure "$raw" $kind cpuid 1024 -- "$lkvm" restore "$tmp/1G-$kind" || bail "a command failed"
	case $kind in
	# What a process ends with jumps between 5 and 25 ms there, KVM's own or ours.
	full) report 0 "with the full one: $(quotient "$(median 2)" "$(median 1)")" ;;
	*) most "$(quotient "$(median 2)" "$(median 1)")" 1.5 "restoring 1 GiB, to raw ioctls, irqchip $kind" ;;
	esac
done
save 128M split
save 8G split
measure "$raw" split cpuid 128 -- "$raw" split cpuid 8192 -- "$lkvm" restore "$tmp/128M-split" -- "$lkvm" restore "$tmp/8G-split" ||
	bail "a command failed"
most "$(awk 'NR == 1 { a = $1 } NR == 2 { b = $1 } NR == 3 { c = $1 } NR == 4 { d = $1 }
	END { printf "%.2f", (d - c - (b - a)) / 1000 }' "$tmp/lines")" 0.3 "8 GiB instead of 128 MiB, in ms beyond what KVM takes"
done_testing
