#!/bin/sh
# SPDX-License-Identifier: MIT
#
# L1 dies at once, with all that its kernel held in memory, while a guest of lkvm in it writes to a disk, a
# file on L1's ext4 (the payload `disk`): what the guest was told to be on stable storage is on the host's. By a
# driver that flushes, and by one that doesn't know how to. A flush that is none fails here (and not in
# tests/payload/powercut.t, where the host's kernel lives on).
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs x86
cuts=1
[ -z "${LONG-}" ] || cuts=5
disk=$LAB_OUT/disk.img image=$LAB_OUT/ext4.img
blocks=64

# lost LAST: how many are. Each block holds its last turn up to LAST, or the next one.
lost()
{
	perl -e '
		my ($path, $last, $blocks) = @ARGV;
		my $lost = 0;
		open my $file, "<:raw", $path or die;
		for my $turn (($last > $blocks ? $last - $blocks + 1 : 1) .. $last) {
			seek $file, ($turn % $blocks) * 512, 0;
			read $file, my $word, 4;
			my $found = unpack "V", $word;
			next if $found == $turn || $found == $turn + $blocks;
			print STDERR "turn $turn of $last: the file has $found\n";
			$lost++;
		}
		print $lost;
	' "$disk" "$1" $blocks
}

# cut ENGINE MODE
cut()
{
	mkdir -p "$LAB_OUT/files"
	# No holes: then it lies where it does, whatever ext4's journal still has to say.
	head -c 64K /dev/zero | tr '\0' x >"$LAB_OUT/files/disk.img"
	rm -f "$image"
	mke2fs -q -t ext4 -d "$LAB_OUT/files" "$image" 16M >/dev/null || bail "mke2fs failed"
	"$lab_dir/lab" x86 --timeout "${LAB_TIMEOUT:-100}" --drive "$image" -- \
		sh tests/lab/x86-powercut.l1 "$1" "blocks=$blocks $2" >"$LAB_OUT/turns" 2>/dev/null
	is $? 125 "$1, $2: L1 dies"
	debugfs -R "dump /disk.img $disk" "$image" 2>/dev/null
	last=$(tr -d '\r' <"$LAB_OUT/turns" | grep -E '^[0-9a-f]{16}$' | tail -n 1)
	last=$(printf %d "0x${last:-0}")
	check "after $last turns" test "$last" -gt 0
	is "$(lost "$last")" 0 "and all of them are in the host's file"
}

for round in $(seq $cuts); do
	for engine in uring threads; do
		for mode in flush=1 flush=0; do cut $engine $mode; done
	done
done
rm -rf "$disk" "$image" "$LAB_OUT/files"
done_testing
