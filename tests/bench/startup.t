#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Start-up: whole processes from exec to exit, against KVM's own floor (tests/bench/x86/raw.c) in the same
# rounds; medians of 15. With LONG=1 more rounds, and the ratios are judged; times depend on the hour.
. tests/lib.sh
build=${KINDLING_BUILD:-build}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
raw=$build/bench/x86/raw
lkvm=$tmp/lkvm
[ -e /dev/kvm ] || skip_all "no /dev/kvm here"
[ -x "$raw" ] || skip_all "not built on this architecture, or by a sanitizer"
cp "$build/lkvm-static" "$lkvm" && strip "$lkvm"
cp "$build/payload/exit.elf" "$tmp"
truncate -s 1M "$tmp/disk"
rounds=15
[ -z "${LONG-}" ] || rounds=101

# measure COMMAND... [-- COMMAND...]: shows the lines of tests/bench/interleave.c
measure() { "$build/bench/interleave" $rounds "$@" >"$tmp/lines" && note "$(sed "s,$tmp/,,;s,$build/bench/x86/,," "$tmp/lines")"; }

# ratio A B: of the median times of the A-th and the B-th command.
ratio() { awk -v a="$1" -v b="$2" 'NR == a { x = $1 } NR == b { y = $1 } END { printf "%.2f", x / y }' "$tmp/lines"; }

# extra A B: milliseconds that the A-th takes more than the B-th.
extra() { awk -v a="$1" -v b="$2" 'NR == a { x = $1 } NR == b { y = $1 } END { printf "%.3f", (x - y) / 1000 }' "$tmp/lines"; }

# most FIGURE LIMIT DESCRIPTION: judged in the long form only.
most()
{
	if [ "${LONG-}" ]; then
		check "$3: $1, $2 at most" awk "BEGIN { exit !($1 <= $2) }"
	else
		report 0 "$3: $1"
	fi
}

# Kind by kind: the full irqchip's grace periods go on behind it, and are paid for by whoever comes next.
for kind in split full none; do
	measure "$raw" $kind -- "$lkvm" run --payload exit --irqchip $kind || bail "a command failed"
	case $kind in
	# What a process ends with jumps between 5 and 25 ms there, KVM's own or ours.
	full) report 0 "with the full one: $(ratio 2 1)" ;;
	*) most "$(ratio 2 1)" 1.4 "a payload, to raw ioctls, irqchip $kind" ;;
	esac
done

measure "$lkvm" run --payload exit -- "$lkvm" run --payload exit -d "$tmp/disk" -- "$lkvm" run --payload exit --rng -- \
	"$lkvm" run --payload exit --console virtio -- "$lkvm" run --payload exit --vsock "3,uds=$tmp/vsock" ||
	bail "a command failed"
most "$(extra 2 1)" 0.2 "a disk that is not started, in ms"
most "$(extra 3 1)" 0.2 "a source of entropy, the same"
most "$(extra 4 1)" 0.2 "a virtio console, the same"
most "$(extra 5 1)" 0.2 "a socket device, the same"

# Solo5's: of as much memory as the raw one, whose size KVM takes time for.
truncate -s 64K "$tmp/disk1"
truncate -s 64K "$tmp/disk2"
measure "$raw" none -- "$raw" split -- "$lkvm" run "$build/hvt/empty.hvt" -m 128 -- "$lkvm" run "$build/hvt/two.hvt" -m 128 \
	--block:first="$tmp/disk1" --block:second="$tmp/disk2" || bail "a command failed"
most "$(awk 'NR == 1 { a = $1 } NR == 2 { b = $1 } NR == 3 { printf "%.2f", $1 / (a < b ? a : b) }' "$tmp/lines")" 1.3 \
	"an empty Solo5 guest, to the lower of raw ioctls"
most "$(awk 'NR == 3 { a = $1 } NR == 4 { printf "%.3f", ($1 - a) / 2000 }' "$tmp/lines")" 0.1 "a block device more, in ms"

measure "$raw" split ioeventfd -- "$lkvm" run --payload disk -d "$tmp/disk" || bail "a command failed"
most "$(ratio 2 1)" 1.2 "a disk driven to DRIVER_OK and read, to raw ioctls with one ioeventfd"

# Someone else's image may ask for its processor; where the host is a guest, telling KVM costs as much as a VM.
measure "$raw" split -- "$raw" split cpuid -- "$lkvm" run -k "$tmp/exit.elf" -m 128 || bail "a command failed"
note "an ELF file by its path, to raw ioctls without CPUID: $(ratio 3 1)"
most "$(ratio 3 2)" 1.4 "an ELF file by its path, to raw ioctls that set CPUID"

# Where KVM itself takes longer for more memory, that much is its own.
measure "$raw" split 128 -- "$raw" split 8192 -- "$lkvm" run --payload exit -m 128 -- "$lkvm" run --payload exit -m 8G ||
	bail "a command failed"
most "$(awk 'NR == 1 { a = $1 } NR == 2 { b = $1 } NR == 3 { c = $1 } NR == 4 { d = $1 }
	END { printf "%.2f", (d - c - (b - a)) / 1000 }' "$tmp/lines")" 0.3 "8 GiB instead of 128 MiB, in ms beyond what KVM takes"

# Resident memory while the guest runs: all has been touched that ever will be.
resident() { "$@" >/dev/null & sleep 0.3; awk '/^Rss/ { print $2 }' /proc/$!/smaps_rollup; kill $!; wait $! 2>/dev/null; }
note "raw ioctls: $(resident "$raw" split spin) KiB"
most "$(resident "$lkvm" run --payload end -p spin)" 1000 "resident memory of a run, in KiB"
report 0 "the static binary, stripped, in KiB: $(($(stat -c %s "$lkvm") / 1024))"
# Made by tests/bars.
if [ "${KINDLING_LEAN-}" ]; then
	cp "$KINDLING_LEAN" "$tmp/lean" && strip "$tmp/lean"
	most "$(($(stat -c %s "$tmp/lean") / 1024))" 400 "and without the decompressors"
fi
done_testing
