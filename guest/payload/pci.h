/* SPDX-License-Identifier: MIT */
/*
 * Virtio devices on PCI (virtio 1.2, section 4.1), by the names of virtio-mmio's registers: so that
 * the drivers of driver.h need not know where theirs is. All is where Kindling has it.
 */
#ifndef PAYLOAD_PCI_H
#define PAYLOAD_PCI_H

#include "guest/payload/driver.h"

#define PCI_CONFIG_SIZE 0x100
#define PCI_COMMAND 0x04
#define PCI_BAR 0x10 /* the only one, of 64 bits */

/* Parts of the BAR. */
#define PCI_BAR_SIZE 0x8000
#define PCI_COMMON_SIZE 0x40
#define PCI_RINGS 0x20 /* of the common part: three addresses of rings */
#define PCI_RINGS_END 0x38
#define PCI_NOTIFY 0x3000
#define PCI_TABLE 0x4000 /* MSI-X */

/* Virtio's function number `i`: d->config, base, window and id. False: there is none. */
bool pci_find(struct device *d, unsigned int i);

/* Its BAR is where it was in the beginning, and decoded, unless another is there. */
void pci_go_home(const struct device *d);

/* A register of virtio-mmio's, by what PCI has in its place. */
uint32_t pci_register_read(const struct device *d, uint32_t reg);
void pci_register_write(const struct device *d, uint32_t reg, uint32_t v);

#endif
