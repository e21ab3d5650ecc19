#!/bin/sh
# SPDX-License-Identifier: MIT
# Linux's own drivers on our virtio devices, on arm64: disks, entropy, console.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs arm64
lab_initrd devices cloud virtio_mmio,virtio_blk,virtio_console,virtio_rng,ext4
truncate -s 32M "$LAB_OUT/direct.img"
lab_run arm64 --gic "${GIC:-3}" devices.l1
