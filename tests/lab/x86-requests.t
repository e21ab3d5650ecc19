#!/bin/sh
# SPDX-License-Identifier: MIT
# A queue that is notified very often has its notifications taken by KVM.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs x86
lab_initrd pci cloud virtio_pci,virtio_mmio,virtio_blk
lab_run x86-requests.l1
