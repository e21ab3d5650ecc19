#!/bin/sh
# SPDX-License-Identifier: MIT
# The same with SVE, pointer authentication and a PMU.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs arm64
lab_initrd hops cloud virtio_pci,virtio_mmio,virtio_blk "$top/${KINDLING_ARM64:-build/arm64}/lab/guest/clock:/bin/clock"
export MACHINES="gicv3-its:pci:1"
lab_run arm64 --cpu max,pauth-impdef=on --machine mte=on arm64-state.l1
