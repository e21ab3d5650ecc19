#!/bin/sh
# SPDX-License-Identifier: MIT
# lkvm stop: the power key of a Linux guest, and its driver for it, which Debian's cloud kernel leaves out.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs arm64
lab_initrd button generic virtio_mmio,virtio_blk,gpio_keys,evdev
lab_run stop.l1
