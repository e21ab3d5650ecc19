/* SPDX-License-Identifier: MIT */
/* The PCI transport, modern only (virtio 1.2, section 4.1). */
#ifndef VIRTIO_PCI_H
#define VIRTIO_PCI_H

#include "virtio/core.h"
#include "vm/pci.h"

/*
 * Makes `dev`, not plugged in yet, a function of the bus, which outlives it. On error the device is
 * as before: the caller destroys it.
 */
int virtio_pci_plug(struct virtio_dev *dev, struct pci_bus *bus, unsigned int slot,
		    struct err *err);

#endif
