#!/bin/sh
# SPDX-License-Identifier: MIT
# Guests that are saved and restored, on a GICv3 and with its ITS.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs arm64
lab_initrd hops cloud virtio_pci,virtio_mmio,virtio_blk "$top/${KINDLING_ARM64:-build/arm64}/lab/guest/clock:/bin/clock"
export MACHINES="${MACHINES:-gicv3:mmio:2${LONG:+ gicv3-its:pci:2}}"
lab_run arm64 --gic 3 arm64-state.l1
