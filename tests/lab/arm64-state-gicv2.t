#!/bin/sh
# SPDX-License-Identifier: MIT
# Guests that are saved and restored, on a GICv2 and with GICv2m; a 32-bit one too.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs arm64 armhf
lab_initrd hops cloud virtio_pci,virtio_mmio,virtio_blk "$top/${KINDLING_ARM64:-build/arm64}/lab/guest/clock:/bin/clock"
lab_initrd --arch armhf hops32 generic virtio_pci,virtio_mmio,virtio_blk
export MACHINES="${MACHINES:-gicv2m:pci:2 gicv2:mmio:1:32${LONG:+ gicv2:mmio:2}}"
lab_run arm64 --gic 2 arm64-state.l1
