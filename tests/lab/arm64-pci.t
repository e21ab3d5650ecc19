#!/bin/sh
# SPDX-License-Identifier: MIT
# virtio-pci with Linux's drivers on arm64: by the ITS; with GIC=2 by GICv2m, and with INTX=1 by lines, too.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs arm64
lab_initrd pci cloud virtio_pci,virtio_mmio,virtio_blk,virtio_console,virtio_rng,ext4
lab_root root.img
if [ "${INTX-}" ]; then
	export PCI=intx IRQCHIP=gicv${GIC:-3}
fi
lab_run arm64 --gic "${GIC:-3}" pci.l1
