#!/bin/sh
# SPDX-License-Identifier: MIT
# How often a booting guest leaves its vCPU, and why, by the kernel's own tracepoints.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs x86
lab_initrd plain cloud
lab_initrd devices cloud virtio_mmio,virtio_blk,virtio_console,virtio_rng,virtio_net,vmw_vsock_virtio_transport,virtio_balloon
truncate -s 4M "$LAB_OUT/disk.img"
lab_run x86-exits.l1
