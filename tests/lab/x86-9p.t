#!/bin/sh
# SPDX-License-Identifier: MIT
# Shared directories, mounted by Linux's 9p: against a file system of the host's own, and against who means ill. LONG=1: more
# and larger.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs x86
for tool in perl git make; do
	command -v $tool >/dev/null || skip_all "$tool is not installed"
done
lab_tools
lab_initrd 9p generic virtio_pci,virtio_mmio,virtio_blk,ext4,9pnet_virtio,9p
cp "$("$lab_dir/fetch" x86)/busybox" "$LAB_OUT/" || bail "no busybox"
LAB_TIMEOUT=${LAB_TIMEOUT:-${LONG:+2400}}
LAB_TIMEOUT=${LAB_TIMEOUT:-600}
LAB_SILENCE=${LAB_SILENCE:-${LONG:+1200}}
LAB_SILENCE=${LAB_SILENCE:-250} # it is two guests mostly
lab_run x86-9p.l1
