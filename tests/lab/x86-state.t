#!/bin/sh
# SPDX-License-Identifier: MIT
# Guests that are saved and restored while they work. The generic kernel: the cloud one knows no VMGenID.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs x86
export KERNEL=generic MACHINES="${MACHINES:-split:pci${LONG:+ full:mmio split:mmio full:pci}}"
lab_initrd hops $KERNEL virtio_pci,virtio_mmio,virtio_blk "$top/${KINDLING_BUILD:-build}/lab/guest/clock:/bin/clock"
lab_run x86-state.l1
