#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What a request costs the host, in the x86 lab, beside QEMU (io_uring, an iothread): exits to user space, and the
# CPU time of threads that are no vCPU. fio at depth 32 on a disk, and 64-byte datagrams to a tap; by virtio-mmio
# and by virtio-pci. With LONG=1 3 rounds, judged; else one.
here=$(dirname "$0")
lab_dir=$(cd "$here/../lab" && pwd -P)
. "$here/../lib.sh"
. "$here/../lab/host.sh"

lab_needs x86
lab_tools
set -- "$(command -v perl):/bin/perl" || skip_all "perl is not installed"
for library in $(ldd "$(command -v perl)" | grep -o '/[^ ]*'); do set -- "$@" "$library:$library"; done
lab_initrd requests cloud virtio_pci,virtio_mmio,virtio_blk,virtio_net,ext4 "$@"
LAB_TIMEOUT=${LAB_TIMEOUT:-1500} LAB_SILENCE=0
lab_run ../bench/requests.l1
