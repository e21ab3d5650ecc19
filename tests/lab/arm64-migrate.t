#!/bin/sh
# SPDX-License-Identifier: MIT
# Linux at work on arm64, with fio and a TCP session, moved by lkvm's own commands: pause, snapshot, restore, migrate.
# GIC=2: with a GICv2, and a 32-bit Linux, too. LONG=1: twenty times.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

gic=${GIC:-3}
lab_needs arm64 $([ $gic = 3 ] || echo armhf)
guest=$top/${KINDLING_ARM64:-build/arm64}/lab/guest
lab_tools
lab_initrd legs cloud virtio_pci,virtio_mmio,virtio_blk,virtio_net,ext4 "$guest/clock:/bin/clock" "$guest/memory:/bin/memory" \
	"$guest/session:/bin/session"
if [ $gic = 2 ]; then
	[ -x "${guest}32/clock" ] || skip_all "gcc-arm-linux-gnueabihf is not installed"
	lab_tools armhf
	lab_initrd --arch armhf legs32 generic virtio_pci,virtio_mmio,virtio_blk,virtio_net,ext4 "${guest}32/clock:/bin/clock" \
		"${guest}32/memory:/bin/memory" "${guest}32/session:/bin/session"
	MACHINES=${MACHINES-gicv2:mmio:2: gicv2m:pci:2: gicv2:mmio:1:32}
fi
MACHINES=${MACHINES-gicv3-its:pci:2:${LONG:+ gicv3:mmio:2:}}
HOPS="pause tcp exec snapshot tcp local"
[ -z "${LONG-}" ] || HOPS="pause snapshot $(for _ in 1 2 3 4 5 6 7 8 9; do printf 'tcp exec '; done)snapshot tcp tcp local"
export MACHINES HOPS
LAB_TIMEOUT=${LAB_TIMEOUT:-${LONG:+7200}}
LAB_TIMEOUT=${LAB_TIMEOUT:-900}
lab_run arm64 --gic $gic arm64-migrate.l1
