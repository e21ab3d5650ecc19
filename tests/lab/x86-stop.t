#!/bin/sh
# SPDX-License-Identifier: MIT
# lkvm stop: the power button of a Linux guest, and its driver for it.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs x86
lab_initrd button cloud virtio_pci,virtio_mmio,virtio_blk,button,evdev
lab_run stop.l1
