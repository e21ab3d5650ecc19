#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Guests that mean harm: the payloads `garbage` (registers, PCI's configuration) and `rings` (virtqueues) on all CPUs. The
# VMM must live, without a word from a sanitizer; whatever was done to a device, it must work after a
# reset, and the others all the while: the payloads check that and end with 0 only then. A read-only
# disk keeps every byte, a disk its size.
#
# LONG=1 [SECONDS=600] [SEED=1]: run after run with a new seed for that long, for instance
#	make BUILD=build/tsan SANITIZE=thread lkvm &&
#	KINDLING_BUILD=build/tsan LONG=1 prove -v tests/payload/x86/hostile.t
#
# Bug classes seen in other VMMs, and the tests that have them (tests/unit/ unless said):
#	a queue's number unchecked, on select or notify	virtio: registers of queues that don't exist ...
#	queue registers changed after activation	virtio: after DRIVER_OK no queue changes
#	offset plus length that wraps, odd sizes	virtio: any offset and size reads what is there; vm:
#							an access across two devices reads ones
#	length against the end of the RAM slot		queue: a piece past the end of its slot; vm: an
#							access may not leave its slot
#	chain loops					queue: a loop of one, of two, in a table
#	iov overflow					queue: one piece too many
#	indirect table of a guest's size		queue: an indirect table too large, past RAM ...
#	avail.idx too far ahead				queue: avail.idx too far ahead, behind
#	ring over the hole				queue: a descriptor table over the hole
#	allocation by a guest's number			virtio: at most 4 KiB at a time; virtio-blk:
#							without memory for them
#	reply longer than its buffer			queue: not written past its end
#	use after free at reset or pause		virtio: a reset, a pause waits for the request ...;
#							virtio-blk: resets during requests; this test
#	read-only disk written				virtio-blk: a read-only disk is not written; this
#	sector beyond the end				virtio-blk: not past it ... wrap to 0; this test
#	loaders						images, arm-images, unpack: every truncation ...;
#							refusals.t
#	device state of lying lengths			virtio*, pl011, pl031, uart16550, ioapic: cut short
#	exit status thrown away				vm: verdicts; ends.t: a vCPU that KVM can't run,
#							panic, then power-off
. tests/lib.sh
build=${KINDLING_BUILD:-build}
lkvm=${LKVM:-$build/lkvm}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

head -c 1M /dev/urandom >"$tmp/ro.img"
truncate -s 1M "$tmp/rw.img"
before=$(md5sum <"$tmp/ro.img")

# attack PAYLOAD CPUS SEED ROUNDS OPTION...: does the machine stand it?
attack()
{
	payload=$1 cpus=$2 seed=$3 rounds=$4
	shift 4
	timeout -k 10 "${LIMIT:-120}" "$lkvm" run --payload "$payload" -m 64 -c "$cpus" \
		-p "cpus=$cpus seed=$seed rounds=$rounds" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	status=$?
	reports=$(grep -ac 'Sanitizer\|runtime error:' "$tmp/err")
	[ $status = 0 ] && [ "$reports" = 0 ] && return 0
	note "lkvm run --payload $payload -m 64 -c $cpus -p 'cpus=$cpus seed=$seed rounds=$rounds' $*"
	note "status $status, $reports reports; the guest's last words:"
	tr -cd '\n -~' <"$tmp/out" | tail -n 5 | sed 's/^/#   /'
	grep -a -m 1 -A 20 'Sanitizer\|runtime error:' "$tmp/err" | sed 's/^/#   /'
	return 1
}

stands()	# DESCRIPTION PAYLOAD CPUS SEED ROUNDS OPTION...
{
	what=$1
	shift
	attack "$@"
	report $? "$what"
}

disks="-d $tmp/ro.img,ro -d $tmp/rw.img"

long()
{
	seconds=$(printenv SECONDS || echo 600) # (which some shells have a use for)
	end=$(($(date +%s) + seconds))
	seed=${SEED:-1}
	runs=0
	while [ "$(date +%s)" -lt $end ]; do
		attack garbage 2 $seed 20 $disks --rng &&
			attack rings 2 $seed 4 $disks --rng &&
			attack garbage 3 $seed 20 $disks --rng --virtio-transport pci &&
			attack garbage 2 $seed 20 $disks --rng --console virtio &&
			attack rings 2 $seed 4 $disks --rng --console virtio || break
		runs=$((runs + 5)) seed=$((seed + 1))
	done
	[ "$(date +%s)" -ge $end ]
	report $? "$runs runs in $seconds s: no report, and the VMM lives"
}

short()
{
	stands "garbage to every register" garbage 1 1 5 $disks --rng
	like "$tmp/out" '^all devices work$' "and text comes out of the serial port"
	stands "on two CPUs" garbage 2 2 8 $disks --rng
	stands "on three, with a virtio console" garbage 3 3 5 $disks --rng --console virtio
	like "$tmp/out" '^virtio console$' "whose text comes out"
	stands "with KVM's own interrupt controller" garbage 2 4 5 $disks --rng --irqchip full
	stands "rings" rings 1 1 2 $disks --rng
	stands "rings on two CPUs" rings 2 2 2 $disks --rng
	stands "with a virtio console" rings 2 3 2 $disks --rng --console virtio
	stands "PCI: to configuration spaces and BARs too, which are moved" \
		garbage 2 1 3 $disks --rng --virtio-transport pci
	stands "on three CPUs" garbage 3 2 2 $disks --rng --console virtio --virtio-transport pci
	stands "rings on PCI" rings 2 1 2 $disks --rng --virtio-transport pci
	if command -v passt >/dev/null; then
		stands "with a network" rings 2 5 3 --rng -n mode=user
		stands "on PCI" garbage 2 5 3 --rng -n mode=user --virtio-transport pci
	fi
	# A program that lets its guests wait, and sends them away.
	perl -MIO::Socket::UNIX -e '$l = IO::Socket::UNIX->new(Local => shift, Listen => 64) or die;
		while ($c = $l->accept) { $c->send("hello" x 10000, 64); push @c, $c; shift @c if @c > 30 }' "$tmp/vsock_9" &
	stands "with sockets" rings 2 4 6 $disks --vsock "3,uds=$tmp/vsock"
	kill $!
	stands "with sockets, and nobody there" garbage 2 4 5 $disks --vsock "3,uds=$tmp/vsock"
}

if [ -n "${LONG-}" ]; then long; else short; fi
is "$(md5sum <"$tmp/ro.img")" "$before" "the read-only disk is as it was"
is "$(stat -c %s "$tmp/rw.img")" 1048576 "the other has its size"
done_testing
