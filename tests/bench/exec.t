#!/bin/sh
# SPDX-License-Identifier: MIT
#
# From `lkvm run -- COMMAND` to that command's first byte, in the x86 lab, beside the same by hand with QEMU's q35: an
# initramfs with the modules needed, the host's root by virtio-9p, a virtio-serial port. With LONG=1 9 rounds, judged;
# else one.
here=$(dirname "$0")
lab_dir=$(cd "$here/../lab" && pwd -P)
. "$here/../lib.sh"
. "$here/../lab/host.sh"

lab_needs x86
"$lab_dir/mkinitrd" "$LAB_OUT/by-hand.cpio.gz" generic "$here/by-hand.sh" \
	--modules virtio_pci,virtio_console,9pnet_virtio,9p || bail "cannot make the initrd"
LAB_TIMEOUT=${LAB_TIMEOUT:-900} LAB_SILENCE=0
lab_run ../bench/exec.l1
