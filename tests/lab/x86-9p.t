#!/bin/sh
# SPDX-License-Identifier: MIT
# Shared directories, mounted by Linux's 9p: against a file system of the host's own, and against who means ill.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs x86
for tool in perl git; do
	command -v $tool >/dev/null || skip_all "$tool is not installed"
done
lab_initrd 9p generic virtio_pci,virtio_mmio,9pnet_virtio,9p
LAB_SILENCE=${LAB_SILENCE:-250} # it is one guest mostly
lab_run x86-9p.l1
