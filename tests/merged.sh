# SPDX-License-Identifier: MIT
#
# merged DIR: the memory that a snapshot with --diff is restored with, in the file `merged`, by another reader than
# ours; how many runs it has in `runs`. Needs perl.
merged()
{
	cp --sparse=always "$1/base/memory" merged && perl -e '
		my ($dir) = @ARGV;
		sub all { open my $f, "<", $_[0] or die; binmode $f; local $/; <$f> }
		my $state = all("$dir/state");
		open my $from, "<", "$dir/memory.diff" or die;
		open my $to, "+<", "merged" or die;
		for (my $at = 16; $at < length $state;) {
			my ($name, $length) = unpack "Z24 x8 Q<", substr $state, $at, 48;
			my $body = substr $state, $at + 48, $length;
			$at += 48 + $length;
			next unless $name eq "diff";
			my ($sum, $n, @runs) = unpack "Q< L< Q<*", $body;
			print STDERR "$n runs\n";
			while (my ($at, $len) = splice @runs, 0, 2) {
				sysseek $from, $at, 0; sysread $from, my $data, $len;
				sysseek $to, $at, 0; syswrite $to, $data;
			}
		}' "$1" 2>runs
}
