#!/bin/sh
# SPDX-License-Identifier: MIT
# virtio-pci with Linux's drivers on x86.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs x86
lab_initrd pci cloud virtio_pci,virtio_mmio,virtio_blk,virtio_console,virtio_rng,ext4
lab_root root.img
lab_run pci.l1
