# SPDX-License-Identifier: MIT
# Process 1 of the labs' guests: does what act=... on its command line says, then ends as it says.
# Run by busybox's sh. $act may be several words joined by commas.
act=$(sed -n 's/.*\bact=\([^ ]*\).*/\1/p' /proc/cmdline)

# hvc0 comes with a module, after the kernel has opened /dev/console for us in vain.
if grep -q console=hvc0 /proc/cmdline; then
	exec </dev/hvc0 >/dev/hvc0 2>&1
	stty -echo
fi

say() { echo "guest: $*"; }

# The serial console: ttyS0, and on arm ttyAMA0 unless asked otherwise.
tty=$(sed -n 's/.*\bconsole=\(tty[A-Z]*[0-9]\).*/\1/p' /proc/cmdline)
tty=${tty:-ttyS0}

hello()
{
	say "cpus $(grep -c ^processor /proc/cpuinfo)"
	say "gic $(grep -q GICv3 /proc/interrupts && echo 3 || echo 2)"
	say "memory $(awk '/MemTotal/ { print int($2 / 1024) }' /proc/meminfo)"
	for port in ttyS0 ttyAMA0; do
		[ ! -c /dev/$port ] || echo "guest: written to $port by user space" >/dev/$port
	done
}

# Where the kernel's code lies.
text() { say "text $(sed -n 's/ . _text$//p' /proc/kallsyms)"; }

# What an arm64 kernel found of its processor.
features()
{
	say "features $(sed -n 's/^Features.*: //p' /proc/cpuinfo | head -n 1)"
	say "pvtime $(dmesg | grep -c 'using stolen time')"
	say "pmu $(ls /sys/bus/event_source/devices | grep pmu || echo none)"
	echo -1 >/proc/sys/abi/sve_default_vector_length # as long as they can be
	say "sve $(cat /proc/sys/abi/sve_default_vector_length)"
}

# Nothing more to do: for whoever counts what happened until now.
hold()
{
	say "holding"
	sleep 1000
}

ready() { say "ready"; }

# The power button is pressed so many times.
buttons()
{
	for event in /sys/class/input/event*; do
		! grep -Eq 'Power Button|gpio-keys' "$event/device/name" || button=/dev/input/${event##*/}
	done
	[ "$button" ] || say "there is no button: $(cat /sys/class/input/*/device/name)"
	times=0
	exec 3<"$button"
	say "ready"
	while [ $times -lt "$1" ]; do
		[ "$(dd bs=24 count=1 <&3 2>/dev/null | od -An -tu2 -j16 | tr -s ' ')" = " 1 116 1 0" ] || continue
		times=$((times + 1))
		say "the button, $times times"
	done
	exec 3<&-
}

# Two lines, ten seconds of the guest's own between them.
ten()
{
	say "ten begins"
	sleep 10
	say "ten ends"
}

# ext2 on vda, written, synced, read back; then the sums that the host compares.
disk()
{
	mke2fs -q /dev/vda >/dev/null 2>&1 || mke2fs /dev/vda >/dev/null || say "mke2fs failed"
	mount -t ext4 /dev/vda /mnt || say "mount failed"
	dd if=/dev/urandom of=/mnt/file bs=1M count=8 conv=fsync 2>/dev/null
	before=$(sha256sum </mnt/file)
	umount /mnt
	echo 3 >/proc/sys/vm/drop_caches
	mount -t ext4 -o ro /dev/vda /mnt
	after=$(sha256sum </mnt/file)
	umount /mnt
	[ "$before" = "$after" ] && say "file is the same"
	dd if=/dev/vda of=/dev/null bs=512 count=1000 2>/dev/null && say "small reads work"
	say "serial $(cat /sys/block/vda/serial)"
	say "vda $(sha256sum </dev/vda | cut -d' ' -f1)"
}

# In the background, until hops is over: a line about the clocks, twenty times a second.
clocks() { clock & }

# For who saves and restores it: ten times (or rounds=N) a MiB (or kib=N) to vda, and back, while another process computes; and
# a clock that does not go back.
hops()
{
	kib=$(sed -n 's/.*\bkib=\([^ ]*\).*/\1/p' /proc/cmdline)
	rounds=$(sed -n 's/.*\brounds=\([^ ]*\).*/\1/p' /proc/cmdline)
	sha256sum </dev/zero &
	renice -n 19 -p $! # else who ran when it stood makes up for all that time
	before=0
	said=$(dmesg | wc -l)
	for hop in $(seq ${rounds:-10}); do
		say "hop $hop"
		head -c $((${kib:-1024} * 1024)) /dev/urandom >/tmp/mib
		dd if=/tmp/mib of=/dev/vda bs=64k conv=fsync 2>/dev/null || say "vda is not written"
		echo 3 >/proc/sys/vm/drop_caches
		dd if=/dev/vda bs=64k count=$((${kib:-1024} / 64)) 2>/dev/null | cmp - /tmp/mib || say "vda holds something else"
		now=$(sed 's/\.\(..\) .*/\1/' /proc/uptime)
		[ "$now" -ge "$before" ] && [ "$now" -lt $((before + 12000)) ] || say "the clock leaps"
		before=$now
	done
	killall sha256sum
	dmesg | tail -n +$((said + 1)) | grep -v 'random: crng\|drop_caches\|hrtimer: interrupt took' && say "the kernel complains"
	say "interrupts: $(grep -c 'ITS-' /proc/interrupts) by an ITS, $(awk '/virtio/ { n += $2 + $3 } END { print n }' /proc/interrupts) of virtio"
	killall clock 2>/dev/null
	say "it is over"
}

# load MIB: for who is moved about: eth0 as net= says, a processor that computes, as much memory that is written to and looked
# at, fio on vdb.
load()
{
	net=$(sed -n 's/.*\bnet=\([^ ]*\).*/\1/p' /proc/cmdline)
	ip link set lo up
	ip link set eth0 up
	ip addr add "$net" dev eth0
	tool fio --version >/dev/null # whose disk is mounted then
	said=$(dmesg | wc -l)
	sha256sum </dev/zero &
	computes=$!
	memory "$1" &
	fio_passes &
}

# load_ends NAME: the passes by that name, and all that there is to complain about.
load_ends()
{
	killall clock 2>/dev/null
	kill $computes || say "nobody computes any more"
	[ "$(pidof memory)" ] || say "memory is not written to any more"
	touch /tmp/enough
	until [ -e /tmp/passes ]; do usleep 100000; done
	say "$1: $(cat /tmp/passes) passes"
	dmesg | tail -n +$((said + 1)) | grep -v 'virtual machine fork\|random: crng\|hrtimer: interrupt took' | sed 's/^/guest: the kernel says /'
}

# With that, clocks, and a TCP session until the host ends it.
moves()
{
	load 16
	renice -n 19 -p $computes
	shares=
	if grep -q work /sys/bus/virtio/drivers/9pnet_virtio/*/mount_tag 2>/dev/null; then
		share_moves &
		shares=$!
	fi
	say "at work"
	clock &
	session "${net%.*}.1" 5001 || say "the session is broken"
	load_ends fio
	[ -z "$shares" ] || wait $shares
	forks
	say "it is over"
}

# A file of the share is made, renamed and read without end, while another stays open.
share_moves()
{
	mkdir /shared
	share work /shared
	exec 5>/shared/open
	n=0
	until [ -e /tmp/enough ]; do
		n=$((n + 1))
		echo $n >/shared/new && mv /shared/new /shared/now && [ "$(cat /shared/now)" = $n ] ||
			say "the share has another $n"
		echo $n >&5
		usleep 50000
	done
	exec 5>&-
	seq $n | cmp - /shared/open || say "the file that was open is another"
	say "share: $n files"
}

# All of vdb, one pass after the other; how many it were is in /tmp/passes then.
fio_passes()
{
	passes=0
	until [ -e /tmp/enough ]; do
		tool fio --name=randrw --rw=randrw --filename=/dev/vdb --direct=1 --ioengine=libaio --iodepth=16 \
			--bssplit=512/10:4k/70:64k/20 --verify=crc32c --verify_fatal=1 --thread --randrepeat=0 \
			>/tmp/fio 2>&1 || { say "fio is not content"; sed 's/^/guest: /' /tmp/fio; }
		passes=$((passes + 1))
	done
	echo $passes >/tmp/passes.new
	mv /tmp/passes.new /tmp/passes
}

# With the same, until who moves it types a line.
legs()
{
	stty -echo
	load 4
	say "at work"
	session "${net%.*}.1" 5001 || say "the session is broken" &
	session=$!
	clock &
	read -r line
	say "told $line"
	wait $session
	load_ends disk
	say "it is over"
}

# How often it was told that it is one of several that have one past.
forks() { say "forks $(dmesg | grep -c 'reseeded due to virtual machine fork')"; }

# 64 MiB from vda, and to it: in hundredths of a second.
disk_speed()
{
	now() { sed 's/\.\(..\) .*/\1/' /proc/uptime; }
	begun=$(now)
	dd if=/dev/vda of=/dev/null bs=1M count=64 2>/dev/null
	say "read in $(($(now) - begun))"
	begun=$(now)
	dd if=/dev/zero of=/dev/vda bs=1M count=64 conv=fsync 2>/dev/null
	say "written in $(($(now) - begun))"
}

# Sectors one after the other, past the page cache: a notification for each.
requests()
{
	dd if=/dev/vda of=/dev/null bs=4k count=10000 iflag=direct 2>/dev/null && say "10000 requests"
}

# counted WHAT FILE WORK: for who counts what that costs: it begins when he has sent a line, and ends with one that
# says of how many requests it was, by FILE's first number; then it waits for him again.
counted()
{
	n=$(sed -n 's/.*\bn=\([^ ]*\).*/\1/p' /proc/cmdline)
	say "ready for $1"
	read -r line
	before=$(awk '{ print $1 }' "$2")
	"$3"
	say "done with $1: $(($(awk '{ print $1 }' "$2") - before))"
	read -r line
}

# n=N reads at depth 32 from vdb.
deep_reads()
{
	tool fio --name=read --filename=/dev/vdb --rw=randread --bs=4k --iodepth=32 --direct=1 --norandommap \
		--io_size=$((n * 4))k --ioengine=libaio --thread >/tmp/fio 2>&1 || cat /tmp/fio
}

counted_disk()
{
	say begun
	tool fio --parse-only --name=read --ioengine=libaio >/dev/null 2>&1 # which is in memory then
	counted disk /sys/block/vdb/stat deep_reads
}

# n=N datagrams of 64 bytes to who is not there.
small_packets()
{
	perl -e 'socket(S, 2, 2, 17) && connect(S, pack("S n C4 x8", 2, 9, 192, 168, 44, 9)) or die;
		my $it = "x" x 64; send(S, $it, 0) // die $! for 1 .. shift' "$n"
}

counted_net()
{
	ip link set eth0 up
	ip addr add 192.168.44.2/24 dev eth0
	arp -s 192.168.44.9 02:00:00:00:00:09
	counted net /sys/class/net/eth0/statistics/tx_packets small_packets
}

many()
{
	n=0
	for disk in /dev/vd*; do
		dd if=$disk of=/dev/null bs=64k count=1 2>/dev/null && n=$((n + 1))
	done
	say "$n disks read"
}

read_only()
{
	say "ro $(cat /sys/block/vdb/ro)"
	dd if=/dev/zero of=/dev/vdb bs=512 count=1 conv=fsync 2>/dev/null && say "wrote to vdb"
	# The block layer refuses that; the device must as well, if the driver is made to try.
	blockdev --setrw /dev/vdb
	dd if=/dev/zero of=/dev/vdb bs=512 count=1 conv=fsync 2>/dev/null && say "wrote to vdb by force"
	say "vdb $(sha256sum </dev/vdb | cut -d' ' -f1)"
}

# What interrupts the virtio devices have, a line each.
interrupts() { grep virtio /proc/interrupts | tr -s ' ' | sed 's/^/guest: irq/'; }

pci() { for dev in /sys/bus/pci/devices/*; do say "pci ${dev##*/} $(cat "$dev/vendor" "$dev/device" | tr '\n' ' ')"; done; }

# Goes on as /sbin/init of the system on vda.
root()
{
	mount -t ext4 /dev/vda /mnt || say "mount failed"
	for dir in proc sys dev; do mount --move /$dir /mnt/$dir; done
	exec switch_root /mnt /sbin/init
}

# The tools' disk is vda. TOOL and its ARGUMENTS see our /dev, /proc and /sys.
tool()
{
	if [ ! -d /tools ]; then
		mkdir /tools
		mount -t ext4 -o ro /dev/vda /tools || say "the tools' disk can't be mounted"
		for dir in dev proc sys mnt; do mount --bind /$dir /tools/$dir; done
		mount -t tmpfs tmpfs /tools/tmp
	fi
	PATH=/sbin:/bin:/usr/sbin:/usr/bin chroot /tools "$@"
}

# Each disk after the first: as many jobs as it has queues, which write over all of it and read it again, in each
# of the ways fio=WAY,...
fio()
{
	ways=$(sed -n 's/.*\bfio=\([^ ]*\).*/\1/p' /proc/cmdline)
	for disk in /sys/block/vd[b-z]; do
		disk=${disk##*/}
		queues=$(ls /sys/block/$disk/mq | wc -l)
		size=$(($(cat /sys/block/$disk/size) / 2 / queues))k
		for rw in $(echo "$ways" | tr , ' '); do
			tool fio --name=$rw --rw=$rw --filename=/dev/$disk --direct=1 --ioengine=libaio --iodepth=16 \
				--bssplit=512/10:4k/70:64k/20 --numjobs=$queues --size=$size --offset_increment=$size \
				--verify=crc32c --verify_fatal=1 --thread --group_reporting >/tmp/fio 2>&1 &&
				say "fio $disk $rw by $queues" || cat /tmp/fio
		done
	done
}

# An ext4 on vdb and an xfs on vdc, with files of many sizes, some deleted and trimmed; checked when unmounted.
fill()
{
	fill_one vdb mkfs.ext4 e2fsck -f -n
	fill_one vdc mkfs.xfs xfs_repair -n
}

fill_one()
{
	disk=$1 mkfs=$2
	shift 2
	tool $mkfs -q /dev/$disk && mount /dev/$disk /mnt || say "no file system on $disk"
	for n in $(seq 100); do
		head -c $((n * 500)) /dev/urandom >/mnt/small$n
	done
	head -c 8000000 /dev/urandom >/mnt/large
	sync
	rm /mnt/small*[0-4] /mnt/large
	# XFS frees deleted files in the background: only unmounting waits for it.
	umount /mnt && mount /dev/$disk /mnt
	fstrim /mnt && say "trimmed $disk"
	umount /mnt
	tool "$@" /dev/$disk >/tmp/fsck 2>&1 && say "checked $disk" || cat /tmp/fsck
}

rng()
{
	say "rng $(cat /sys/class/misc/hw_random/rng_current)"
	say "random $(dd if=/dev/hwrng bs=64 count=4 2>/dev/null | wc -c)"
}

# What the network device is like; then its address: net=ADDRESS/BITS, or by DHCP. The host is at $router.
net_up()
{
	features=$(cat /sys/bus/virtio/drivers/virtio_net/virtio*/features)
	net=$(sed -n 's/.*\bnet=\([^ ]*\).*/\1/p' /proc/cmdline)
	ip link set lo up
	ip link set eth0 up
	if [ "$net" ]; then
		ip addr add "$net" dev eth0
		router=${net%.*}.1
	else
		cat >/tmp/udhcpc <<-'END'
			#!/bin/sh
			[ "$1" = bound ] || exit 0
			ip addr add "$ip/$mask" dev eth0
			ip route add default via "$router"
			[ -z "$mtu" ] || ip link set eth0 mtu "$mtu"
			echo "$router" >/tmp/router
		END
		chmod +x /tmp/udhcpc
		udhcpc -i eth0 -n -q -t 10 -T 1 -s /tmp/udhcpc >/dev/null 2>&1 || say "no DHCP"
		router=$(cat /tmp/router)
	fi
	say "net features $features"
	say "net $(cat /sys/class/net/eth0/address) mtu $(cat /sys/class/net/eth0/mtu) router $router"
}

# Small ones, and such as take several frames.
# Fragments that a flood has left behind keep new ones out for half a minute.
net_ping()
{
	for size in 56 8000; do
		try=0
		until ping -c 1 -w 3 -s $size "$router" >/dev/null; do
			try=$((try + 1))
			[ $try -lt 15 ] || return
		done
	done
	say "ping works"
}

# One of each length goes to the host's port 5004, which sends it back; it may get lost a few times. $1: the longest.
net_datagrams()
{
	perl -e '
		my ($host, @lengths) = @ARGV;
		socket(S, 2, 2, 17) && connect(S, pack("S n C4 x8", 2, 5004, split(/\./, $host))) or die;
		for my $length (@lengths) {
			my $sent = join("", map { chr(rand(256)) } 1 .. $length);
			for (1 .. 10) {
				send(S, $sent, 0) or print "guest: $length: $!\n";
				vec(my $ready = "", fileno(S), 1) = 1;
				next if !select($ready, undef, undef, 0.5) || !defined(recv(S, my $got, 65536, 0));
				next if length($got) != $length; # late, of the one before
				print "guest: datagram $length ", $got eq $sent ? "intact" : "damaged", "\n";
				last;
			}
		}' "$router" 1 100 1472 1473 9000 "$1"
}

# For an nc that only takes: at the end of its input it would say goodbye, and the other side's then ends.
quiet()
{
	[ -p /tmp/quiet ] || mkfifo /tmp/quiet
	"$@" <>/tmp/quiet
}

# To the host's port 5001, from its 5002.
net_out()
{
	head -c 1048576 /dev/urandom >/tmp/sent
	say "sent $(sha256sum </tmp/sent)"
	nc "$router" 5001 </tmp/sent
	quiet nc "$router" 5002 >/tmp/got
	say "got $(sha256sum </tmp/got)"
}

net_iperf()
{
	cd /sys/class/net/eth0/statistics
	bytes=$(cat tx_bytes) frames=$(cat tx_packets)
	iperf3 -c "$router" -t 1 >/tmp/iperf 2>&1 && say "iperf3 works" || cat /tmp/iperf
	say "bytes a frame $((($(cat tx_bytes) - bytes) / ($(cat tx_packets) - frames)))"
	iperf3 -c "$router" -t 1 -R >/tmp/iperf 2>&1 && say "iperf3 -R works" || cat /tmp/iperf
}

# Our port 5003.
net_in()
{
	say "serving"
	quiet nc -l -p 5003 >/tmp/served
	say "served $(sha256sum </tmp/served)"
}

net_down()
{
	say "waiting for the link"
	while [ "$(cat /sys/class/net/eth0/carrier)" = 1 ]; do usleep 100000; done
	say "link down"
}

net_flap()
{
	net_down
	while [ "$(cat /sys/class/net/eth0/carrier)" = 0 ]; do usleep 100000; done
	say "link up"
}

# The driver lets go of the device, and takes it again.
net_again()
{
	device=$(basename "$(readlink /sys/class/net/eth0/device)")
	echo "$device" >/sys/bus/virtio/drivers/virtio_net/unbind
	echo "$device" >/sys/bus/virtio/drivers/virtio_net/bind
	ip link set eth0 up
	ip addr add "$net" dev eth0
	say "eth0 again"
}

# Frames to the host's port 9 as fast as can be, for so many seconds.
net_flood()
{
	say "flooding"
	perl -e '
		my ($host, $seconds) = @ARGV;
		socket(S, 2, 2, 17) && connect(S, pack("S n C4 x8", 2, 9, split(/\./, $host))) or die;
		my $end = time + $seconds;
		my $sent = 0;
		my @them = map { "x" x $_ } 1, 100, 1400, 9000;
		while (time < $end) { $sent += defined(send(S, $them[$_ % 4], 0)) for 1 .. 100 }
		print "guest: flooded by $sent\n"' "$router" "$1"
	sleep 5 # what is on its way may get lost
}

# As they are; and after a change to one pair and back, which is the driver's wish to the device.
net_queues()
{
	say "queues $(ls /sys/class/net/eth0/queues | tr '\n' ' ')"
	ethtool -L eth0 combined 1 && ethtool -L eth0 combined 2
	say "pairs $(ethtool -l eth0 | sed -n 's/^Combined:[^0-9]*//p' | tr '\n' ' ')"
}

# Streams both ways, streams=N at a time: to the host, and whatever the host asks for, until it comes to port 99.
vsock()
{
	streams=$(seq $(sed -n 's/.*\bstreams=\([0-9]*\).*/\1/p' /proc/cmdline))
	sum() { sha256sum | cut -d' ' -f1; }
	host() { socat -t 60 - VSOCK-CONNECT:2:$1; }
	# Linux waits 2 s for an answer: in a lab that has other things to do this is short.
	echo_of() { for try in 1 2 3 4 5; do host 5001 <$1 >$2 && return; done; }

	dd if=/dev/urandom of=/tmp/file bs=1M count=6 2>/dev/null
	socat -t 60 VSOCK-LISTEN:52,fork SYSTEM:sha256sum &
	socat -t 60 VSOCK-LISTEN:53,fork,backlog=64 EXEC:cat &
	socat -U VSOCK-LISTEN:54,fork FILE:/tmp/file,rdonly &
	[ "$(host 5000 </tmp/file | cut -d' ' -f1)" = "$(sum </tmp/file)" ] && say "the host got 6 MiB"
	host 7 </dev/null 2>/dev/null || say "nobody is at port 7"
	for n in $streams; do
		dd if=/dev/urandom bs=64k count=2 2>/dev/null >/tmp/in$n
		echo_of /tmp/in$n /tmp/out$n &
		pids="$pids $!"
	done
	wait $pids
	same=0
	for n in $streams; do cmp -s /tmp/in$n /tmp/out$n && same=$((same + 1)); done
	say "$same echoes at a time"
	say "file $(sum </tmp/file)"
	socat -u VSOCK-LISTEN:99 - >/dev/null
}

# Answers what it reads, until "end".
echo_lines()
{
	say "ready"
	while read -r line; do
		[ "$line" = end ] && break
		say "got $line"
	done
}

# Runs what it reads, a line at a time, and says what came of it.
commands()
{
	n=0
	say "ready"
	while read -r line; do
		eval "$line" </dev/null
		status=$?
		n=$((n + 1))
		say "command $n: $status"
	done
}

share() { mount -t 9p -o "trans=virtio,version=9p2000.L,msize=512000${3-}" "$1" "$2" || say "no $1"; }

# L1's root as ours, but for /tmp, /mnt (what is shared as work) and /srv (as fixed, which is read-only).
share_roots()
{
	mkdir /r
	share root /r ,cache=loose
	ls /r/proc >/dev/null 2>&1 && say "the host's processes can be seen"
	mount -t tmpfs tmpfs /r/tmp
	for dir in proc sys dev; do mount --bind /$dir /r/$dir; done
	share work /r/mnt
	grep -q fixed /sys/bus/virtio/drivers/9pnet_virtio/*/mount_tag && share fixed /r/srv
}

# The same operations that L1 does on a file system of its own.
share_operations()
{
	for seed in $(seq $(sed -n 's/.*\bseeds=\([0-9]*\).*/\1/p' /proc/cmdline)); do
		mkdir /r/mnt/operations-$seed
		chroot /r perl /mnt/file-operations.pl $seed 300 /mnt/operations-$seed >/r/mnt/operations-$seed.guest 2>&1
	done
	say "operations done"
}

share_large()
{
	dd if=/r/mnt/large bs=1M 2>/dev/null | sha256sum >/r/mnt/large.sum
	dd if=/dev/urandom of=/r/mnt/larger bs=1M count=6 2>/dev/null
	dd if=/r/mnt/larger bs=1M 2>/dev/null | sha256sum >/r/mnt/larger.sum
	set -- /r/mnt/many/*
	say "entries $#"
}

share_git()
{
	chroot /r git clone -q /mnt/repository /mnt/clone 2>&1
	chroot /r git -C /mnt/clone fsck --full >/dev/null 2>&1 && say "fsck is content"
	say "status $(chroot /r git -C /mnt/clone status --porcelain | wc -l)"
}

# A process locks a file, and a child of its own closes it; then it unlocks by another fd. L1 looks each time.
share_locks()
{
	chroot /r perl -e '
		use Fcntl;
		sub set { return fcntl($_[0], F_SETLK, pack("s s x4 q q l x4", $_[1], 0, 0, 10, 0)) }
		sub said { syswrite(STDOUT, "guest: it is $_[0]\n"); select(undef, undef, undef, 0.1) until -e "/mnt/seen-$_[0]" }
		open(my $one, "+<", "/mnt/locked") or die $!;
		open(my $two, "+<", "/mnt/locked") or die $!;
		set($one, F_WRLCK) or die $!;
		my $child = fork;
		exit if !$child;
		waitpid($child, 0);
		said("locked");
		set($two, F_UNLCK) or die $!;
		said("unlocked")'
}

# By four at a time; then there is nothing more to do, and of what has changed no more than that.
share_build()
{
	build() { chroot /r make -C /mnt/build -j4 "$@" 2>&1; }
	build >/tmp/build || cat /tmp/build
	build -q && say "all is built"
	sleep 1 # the next file is younger, whatever a time's grain is
	touch /r/mnt/build/src/3/7
	say "again $(build --no-print-directory -n | grep -c 'mv ')"
	build >/tmp/build && build -q && say "all is built again" || cat /tmp/build
}

# fio writes and verifies: small and large pieces, past the page cache, and by mmap() and msync().
share_fio()
{
	size=$(sed -n 's/.*\bfio=\([^ ]*\).*/\1/p' /proc/cmdline)
	umount /r/mnt
	share work /mnt ,cache=mmap
	mkdir /mnt/fio
	for way in "psync 0 randwrite 2" "psync 0 randrw 1" "psync 1 randrw 1" "mmap 0 randrw 1"; do
		set -- $way
		tool fio --name=$1$2$3 --directory=/mnt/fio --ioengine=$1 --direct=$2 --rw=$3 --numjobs=$4 --size=$size \
			--bssplit=4k/70:64k/20:384k/10 --verify=crc32c --verify_fatal=1 --fsync=16 --end_fsync=1 \
			--thread --group_reporting >/tmp/fio 2>&1 && say "fio $way" || cat /tmp/fio
	done
	(cd /mnt/fio && sha256sum *) >/mnt/fio.sums
	umount /tools/mnt
	umount /mnt
}

# Each says so when it succeeds.
share_trespass()
{
	touch /r/srv/new 2>/dev/null && say "made a file"
	mkdir /r/srv/dir 2>/dev/null && say "made a directory"
	echo x 2>/dev/null >>/r/srv/file && say "wrote"
	rm -f /r/srv/file 2>/dev/null && say "removed"
	mv /r/srv/file /r/srv/other 2>/dev/null && say "renamed"
	ln /r/srv/file /r/srv/other 2>/dev/null && say "linked"
	chmod 777 /r/srv/file 2>/dev/null && say "changed a mode"
	touch -d 2001-01-01 /r/srv/file 2>/dev/null && say "changed a time"
	mknod /r/mnt/null c 1 3 2>/dev/null && say "made a device"
	say "file: $(cat /r/srv/file)"
}

# L1 puts now a directory there, now a link to one that is not shared: until it says so.
share_race()
{
	say "racing"
	tries=0
	until [ -e /r/mnt/raced ]; do
		grep -l outside /r/mnt/moving/secret /r/mnt/moving/../secret 2>/dev/null
		tries=$((tries + 1))
	done
	say "tries $((tries > 10))"
}

# In microseconds: tests/bench/9p.pl.
share_speed() { chroot /r sh -c 'cd /mnt && perl load.pl'; }

# Whoever lkvm runs as: its files are root's here.
share_owners()
{
	mkdir /s
	share own /s
	say "owner $(stat -c %u:%g:%a /s/file)"
	echo new >/s/new && say "new $(stat -c %u:%g:%a /s/new)"
	chown 0:0 /s/new && say "kept"
	chown 5 /s/new 2>/dev/null && say "given away"
	chmod 640 /s/new && mv /s/new /s/newer && cat /s/newer
}

# What of its memory is free when it does not become less any more: a balloon has taken its part.
balloon()
{
	free=999999
	until before=$free; free=$(awk '/MemFree/ { print int($2 / 1024) }' /proc/meminfo); [ $free -ge $before ]; do
		sleep 2
	done
	say "free $free"
}

# What a kernel says when it is in trouble, by a program: on the console; and as root has the kernel say it.
words()
{
	echo "WARNING: CPU: 0 PID: 1 at kernel/x.c:1 f+0x1/0x2"
	echo "Oops: 0002 [#1] SMP"
	echo "BUG: KASAN: use-after-free in f+0x1/0x2"
	say "said"
}
kmsg() { echo "<2>BUG: by root's own will" >/dev/kmsg; }

# A task that waits for a frozen file system.
hung()
{
	mke2fs /dev/vda >/dev/null && mount -t ext4 /dev/vda /mnt || say "mount failed"
	echo 1 >/proc/sys/kernel/hung_task_timeout_secs
	echo 1 >/proc/sys/kernel/hung_task_check_interval_secs
	fsfreeze --freeze /mnt
	echo x >/mnt/file &
	sleep 4
	fsfreeze --unfreeze /mnt
	say "thawed"
}

ktap()
{
	cat <<-'END'
		TAP version 13
		1..3
		ok 1 one
		# why it failed
		not ok 2 two
		ok 3 three # SKIP no device
	END
}

end()
{
	case $1 in
	poweroff) poweroff -f ;;
	reboot) reboot -f ;;
	panic) echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger ;;
	shell)
		hostname guest
		echo "A shell in the guest; exit, or Ctrl-a x, ends it."
		setsid -c sh -c 'exec sh -i </dev/'$tty' >/dev/'$tty' 2>&1'
		poweroff -f
		;;
	uname) uname -a; poweroff -f ;;
	esac
}

for word in $(echo "$act" | tr , ' '); do
	case $word in
	net_datagrams_*) net_datagrams "${word##*_}" ;;
	net_flood_*) net_flood "${word##*_}" ;;
	buttons_*) buttons "${word##*_}" ;;
	poweroff | reboot | panic | shell | uname) end "$word" ;;
	*) $word ;;
	hello | text | features | hold | ten | disk | disk_speed | read_only | requests | many | rng | interrupts | pci | root | echo_lines | commands | balloon)
		$word ;;
	*) end "$word" ;;
	esac
done
sleep 2
say "still here"
poweroff -f
