#!/bin/sh
# SPDX-License-Identifier: MIT
# Linux's own drivers on our virtio devices: disks, entropy, console.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs x86
lab_initrd devices cloud virtio_mmio,virtio_blk,virtio_console,virtio_rng,ext4
truncate -s 32M "$LAB_OUT/direct.img"
lab_run devices.l1
