#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# lkvm is killed outright at random moments, while its guest (the payload `disk`) writes and flushes one sector
# after the other and prints the number of each that is flushed: all those are in the host's file. By both
# engines; 10 times, with LONG=1 100 times.
use strict;
use warnings;
use File::Temp 'tempdir';
use Time::HiRes 'usleep';

my $lkvm = $ENV{LKVM} // 'build/lkvm';
my $times = $ENV{LONG} ? 100 : 10;
my $blocks = 64;
my $folder = tempdir(CLEANUP => 1, DIR => $ENV{LAB_OUT} // $ENV{KINDLING_BUILD} // 'build');
my $disk = "$folder/disk.img";
my ($flushed, $lost, $silent, $wrong) = (0, 0, 0, 0);

# What a run has printed until it was killed: the number of its last flushed turn.
sub cut
{
	my ($engine) = @_;
	my $pid = fork() // die "fork: $!";
	if (!$pid) {
		open STDIN, '<', '/dev/null';
		open STDOUT, '>', "$folder/out";
		exec $lkvm, qw(run --payload disk -m 64 -p), "blocks=$blocks", '-d', "$disk,io=$engine";
		die "$lkvm: $!";
	}
	usleep(50_000 + rand 200_000);
	kill KILL => $pid;
	waitpid $pid, 0;
	$wrong++ if ($? & 127) != 9;
	open my $out, '<', "$folder/out" or die;
	my $last = 0;
	while (<$out>) {
		$last = hex $1 if /^([0-9a-f]{16})\r?\n/;
	}
	return $last;
}

# Each block holds the last turn that wrote it, as far as turns were flushed; a later one may have arrived too.
sub check
{
	my ($last) = @_;
	open my $file, '<:raw', $disk or die;
	for my $turn (($last > $blocks ? $last - $blocks + 1 : 1) .. $last) {
		seek $file, ($turn % $blocks) * 512, 0;
		read $file, my $sector, 512;
		my @words = unpack 'V*', $sector;
		my @others = grep { $_ != $words[0] } @words;
		next if !@others && ($words[0] == $turn || $words[0] == $turn + $blocks);
		print "# turn $turn of $last: the file has $words[0]", @others ? ' and others' : '', "\n";
		$lost++;
	}
}

my $test = 0;
for my $engine (qw(uring threads)) {
	($flushed, $lost, $silent, $wrong) = (0, 0, 0, 0);
	for (1 .. $times) {
		open my $file, '>', $disk or die;
		truncate $file, $blocks * 512;
		close $file;
		my $last = cut($engine);
		$silent++ if !$last;
		$flushed += $last;
		check($last);
	}
	printf "%sok %d - %s: cut off %d times, %d sectors flushed, %d of them lost\n",
		$lost || $wrong || $silent == $times ? 'not ' : '', ++$test, $engine, $times, $flushed, $lost;
	print "# $wrong ended by themselves, $silent before the first flush\n" if $wrong || $silent;
}
print "1..$test\n";
exit($lost || $wrong ? 1 : 0);
