# SPDX-License-Identifier: MIT
#
# Inside 9p.l1's guests, at the root of the share: how long each load takes, in microseconds. Large reads and writes are
# one buffer's, over and over, and a file is overwritten, as fio does: what it costs the guest to fill buffers and the
# host to find (and clear) memory for a file is no server's time.
use strict;
use warnings;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);
$| = 1;

# transfer NAME, MODE, BYTES, TIMES: a whole file by so many calls.
sub transfer
{
	my ($name, $mode, $bytes, $times) = @_;
	my $buffer = "\x5a" x $bytes;

	open my $file, $mode, $name or die "$name: $!\n";
	for (1 .. $times) {
		my $n = $mode eq '<' ? sysread $file, $buffer, $bytes : syswrite $file, $buffer, $bytes;
		($n // 0) == $bytes or die "$name: $!\n";
	}
	close $file or die "$name: $!\n";
}

my %loads = (
	read   => sub { transfer 'large', '<', 1 << 20, 32 },
	write  => sub { transfer 'written', '+<', 1 << 20, 32 },
	small  => sub { transfer 'large', '<', 4096, 500 },
	status => sub { system('git', '-C', 'repository', 'status', '-s') and die "git: $?\n" },
);

transfer 'written', '>', 1 << 20, 32;
$_->() for @loads{qw(status read)};
for my $load (qw(status read write small)) {
	my $begun = clock_gettime CLOCK_MONOTONIC;

	$loads{$load}();
	printf "guest: %s %d\n", $load, 1e6 * (clock_gettime(CLOCK_MONOTONIC) - $begun);
}
unlink 'written';
