#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A disk as Linux sees it, in the x86 lab: 64 MiB read, and written with fsync, by each engine and beside QEMU's
# microvm. With LONG=1 15 rounds, else one; nothing is judged: the host's file is in memory, the processor software.
here=$(dirname "$0")
lab_dir=$(cd "$here/../lab" && pwd -P)
. "$here/../lib.sh"
. "$here/../lab/host.sh"

lab_needs x86
lab_initrd devices cloud virtio_mmio,virtio_blk,virtio_rng,virtio_console,ext4
LAB_TIMEOUT=${LAB_TIMEOUT:-900} LAB_SILENCE=0
lab_run ../bench/disk.l1
