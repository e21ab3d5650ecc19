#!/bin/sh
# SPDX-License-Identifier: MIT
# The memory balloon with Linux's driver: the host's resident memory falls by what it takes, and by what the guest
# frees; huge pages or not, on virtio-mmio and PCI.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs x86
lab_initrd balloon cloud virtio_pci,virtio_mmio,virtio_blk,virtio_balloon
LAB_TIMEOUT=${LAB_TIMEOUT:-400}
lab_run balloon.l1
