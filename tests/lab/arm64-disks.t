#!/bin/sh
# SPDX-License-Identifier: MIT
# fio and file systems on disks of every kind, by Linux's own driver on arm64. LONG=1: larger ones.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs arm64
lab_tools
lab_initrd disks cloud virtio_pci,virtio_mmio,virtio_blk,ext4,xfs
LAB_TIMEOUT=${LAB_TIMEOUT:-${LONG:+1800}}
LAB_TIMEOUT=${LAB_TIMEOUT:-280}
LAB_SILENCE=${LAB_SILENCE:-${LONG:+0}}
LAB_SILENCE=${LAB_SILENCE:-170}
lab_run arm64 disks.l1
