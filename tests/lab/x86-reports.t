#!/bin/sh
# SPDX-License-Identifier: MIT
# What a real kernel reports, and what lkvm makes of it.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs x86
lab_initrd reports cloud virtio_pci,virtio_mmio,virtio_blk,ext4,pvpanic-mmio
LAB_TIMEOUT=${LAB_TIMEOUT:-400}
lab_run x86-reports.l1
