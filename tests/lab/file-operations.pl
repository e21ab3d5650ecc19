#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# file-operations.pl SEED COUNT DIR: operations on files below DIR, which is empty, chosen by chance but the same for
# the same SEED; what each came to is printed, and in the end what there is. Two file systems that are alike
# print the same.
use strict;
use warnings;
no warnings 'io';
use Fcntl qw(:DEFAULT :seek :flock :mode);
use POSIX ();

my ($seed, $count, $dir) = @ARGV;
chdir $dir or die "$dir: $!\n";
umask 022;

# Not perl's own: another perl may have another.
my $state = $seed;
sub chance { $state = ($state * 1103515245 + 12345) & 0x7fffffff; return ($state >> 8) % $_[0] }
sub pick { return $_[chance(scalar @_)] }

my @names = ('a' .. 'e', 'x' x 255, "sp ace", "\xc3\xa9");
my @dirs = ('.', qw(d1 d2 d1/d3));
sub path { return pick(@dirs) . '/' . pick(@names) }
sub any { return chance(4) ? path() : pick(@dirs[1 .. 3]) }

my %open; # by a small number: files that stay open whatever becomes of their names
sub said { my ($ok, @more) = @_; return $ok ? join(' ', 'ok', @more) : 'error ' . ($! + 0) }
sub handle { my @all = sort keys %open; return @all ? $open{pick(@all)} : undef }

my %operations = (
	create => sub {
		my ($path, $slot) = (path(), chance(6));
		my $flags = pick(O_RDWR, O_RDWR | O_TRUNC, O_RDWR | O_EXCL, O_RDWR | O_APPEND, O_WRONLY);
		my $mode = pick(0644, 0600, 0755, 0444, 04755, 02711);
		sysopen(my $fh, $path, $flags | O_CREAT | O_NONBLOCK, $mode) or return said(0);
		return 'special' if !-f $fh;
		$open{$slot} = $fh;
		return said(1, $path, (stat $fh)[2, 3, 7]);
	},
	open => sub {
		my ($path, $slot) = (path(), chance(6));
		sysopen(my $fh, $path, pick(O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_TRUNC) | O_NONBLOCK) or return said(0);
		return 'special' if !-f $fh;
		$open{$slot} = $fh;
		return said(1, $path, (stat $fh)[2, 3, 7]);
	},
	close => sub { my $slot = chance(6); return said(defined delete $open{$slot}) },
	write => sub {
		my $fh = handle() or return 'none';
		my ($at, $data) = (pick(0, 1, 4095, 4096, 100000, 5 << 30), chr(65 + chance(26)) x pick(1, 10, 5000, 70000));
		sysseek($fh, $at, SEEK_SET);
		my $n = syswrite($fh, $data);
		return said(defined $n, $n, -s $fh);
	},
	read => sub {
		my $fh = handle() or return 'none';
		sysseek($fh, pick(0, 4090, 99999, (5 << 30) - 3), SEEK_SET);
		my $n = sysread($fh, my $data, pick(1, 100, 100000));
		return said(defined $n, $n, unpack('%32C*', $data // ''));
	},
	truncate => sub { return said(truncate(path(), pick(0, 1, 5000, 1 << 33))) },
	ftruncate => sub { my $fh = handle() or return 'none'; return said(truncate($fh, pick(0, 3, 9999)), -s $fh) },
	fstat => sub { my $fh = handle() or return 'none'; my @st = stat $fh; return said(scalar @st, @st[2, 3, 7]) },
	stat => sub { my $path = any(); my @st = lstat $path; return said(scalar @st, $path, @st ? @st[2, 4, 5] : ()) },
	mkdir => sub { my $path = any(); return said(mkdir($path, pick(0755, 0700, 01777)), $path) },
	rmdir => sub { my $path = any(); return said(rmdir($path), $path) },
	unlink => sub { my $path = path(); return said(unlink($path), $path) },
	rename => sub { my ($from, $to) = (any(), any()); return said(rename($from, $to), $from, $to) },
	link => sub { my ($from, $to) = (path(), path()); return said(link($from, $to), $from, $to) },
	symlink => sub { my ($to, $path) = (pick('a', '../b', '/nowhere', 'd1/d3/a', '..'), path()); return said(symlink($to, $path), $path) },
	readlink => sub { my $to = readlink(any()); return said(defined $to, $to) },
	mkfifo => sub { my $path = path(); return said(POSIX::mkfifo($path, 0640), $path) },
	chmod => sub { my $path = any(); return 'link' if -l $path; return said(chmod(pick(0644, 0755, 06755, 0), $path), $path) },
	chown => sub { my $path = any(); return 'link' if -l $path; return said(chown(pick(0, 1000, -1), pick(0, 50, -1), $path), $path) },
	utime => sub { my $path = any(); return 'link' if -l $path; return said(utime(1e9, 1e9 + chance(1000), $path), (stat $path)[8, 9]) },
	list => sub { opendir(my $dh, pick(@dirs)) or return said(0); return said(1, sort readdir $dh) },
	flock => sub { my $fh = handle() or return 'none'; return said(flock($fh, pick(LOCK_SH, LOCK_EX, LOCK_UN) | LOCK_NB)) },
	fsync => sub { my $fh = handle() or return 'none'; require IO::Handle; return said($fh->sync) },
);

sub show {
	my ($path) = @_;
	my @st = lstat $path;
	my $mode = $st[2];
	my $what = S_ISLNK($mode) ? readlink $path : '';
	if (S_ISREG($mode) && $st[7] < 1 << 24 && open my $in, '<:raw', $path) {
		local $/;
		$what = unpack '%32C*', <$in> // '';
	}
	# Directories' links and sizes are each file system's own affair.
	printf "%s %o %s %s\n", $path, $mode, join(' ', @st[4, 5], S_ISDIR($mode) ? () : @st[3, 7]), $what;
	return if !S_ISDIR($mode) || !opendir(my $dh, $path);
	show("$path/$_") for grep { !/^\.\.?$/ } sort readdir $dh;
}

mkdir $_ for @dirs[1 .. 3];
my @kinds = sort keys %operations;
for my $i (1 .. $count) {
	my $kind = pick(@kinds);
	print "$i $kind: ", $operations{$kind}->(), "\n";
}
show('.');
