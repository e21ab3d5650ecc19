# SPDX-License-Identifier: MIT
# session.pl PORT LOG END: the host's end of tests/lab/guest/session.c, for one connection. Each record goes back, and of
# each there is a line in LOG: its number, by how many microseconds its clock is behind ours, and by how many more its
# two clocks are apart than in the first. When there is a file END no more goes back. Ends with 0 if they came one by one.
use strict;
use warnings;
use IO::Socket::INET;
use Time::HiRes qw(time);

my ($port, $log, $end) = @ARGV;
my $record = 1024;
my $server = IO::Socket::INET->new(LocalPort => $port, Listen => 1, ReuseAddr => 1) or die "port $port: $!";
my $peer = $server->accept or die $!;
open(my $out, '>', $log) or die $!;
$out->autoflush(1);

my ($next, $over, $apart) = (0, 0);
while (1) {
	my $got = '';
	while (length($got) < $record) {
		my $n = sysread($peer, $got, $record - length($got), length($got));
		die "record $next: $!" if !defined $n;
		last if !$n;
	}
	last if $got eq '';
	die 'the end came within a record' if length($got) < $record;
	my ($number, $real, $mono) = $got =~ /^(\d+) (\d+) (\d+) / or die "record $next is none";
	die "record $number came for $next" if $number != $next++;
	next if $over;
	$apart //= $real - $mono;
	printf $out "%d %.0f %.0f\n", $number, time() * 1e6 - $real / 1e3, ($real - $mono - $apart) / 1e3;
	if (-e $end) {
		$over = 1;
		shutdown($peer, 1);
		next;
	}
	for (my $at = 0; $at < $record;) {
		$at += syswrite($peer, $got, $record - $at, $at) // die "record $number: $!";
	}
}
die 'the guest has ended it' if !$over;
