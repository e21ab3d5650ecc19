#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Shared directories beside QEMU's virtio-9p, in the x86 lab, on a tmpfs: throughput, small reads, git status. With
# LONG=1 3 rounds, judged; else one.
here=$(dirname "$0")
lab_dir=$(cd "$here/../lab" && pwd -P)
. "$here/../lib.sh"
. "$here/../lab/host.sh"

lab_needs x86
command -v git >/dev/null || skip_all "git is not installed"
lab_initrd 9p generic virtio_pci,virtio_mmio,9pnet_virtio,9p
LAB_TIMEOUT=${LAB_TIMEOUT:-900} LAB_SILENCE=0
lab_run ../bench/9p.l1
