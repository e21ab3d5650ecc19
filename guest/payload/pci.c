/* SPDX-License-Identifier: MIT */
#include "guest/payload/pci.h"

#include "guest/payload/port.h"

#define FUNCTION_STEP 0x8000 /* from device to device in ECAM */
#define VENDOR 0x1af4
#define FIRST_ID 0x1040
#define CAPABILITIES 0x34
#define CAPABILITY_VIRTIO 9
#define TYPE_WINDOW 5
#define MEMORY_AND_MASTER 6

#define COMMON_QUEUE_SEL 0x16
#define COMMON_STATUS 0x14
#define ISR 0x1000
#define DEVICE 0x2000

/* Where it is in the BAR, and its width. */
static uint32_t place_of(uint32_t reg, unsigned int *size)
{
	*size = 4;
	switch (reg) {
	case REG_FEATURES_SEL:
		return 0x00;
	case REG_FEATURES:
		return 0x04;
	case REG_DRIVER_FEATURES_SEL:
		return 0x08;
	case REG_DRIVER_FEATURES:
		return 0x0c;
	case REG_STATUS:
		*size = 1;
		return COMMON_STATUS;
	case REG_QUEUE_SEL:
	case REG_QUEUE_NUM:
	case REG_QUEUE_READY:
		*size = 2;
		return reg == REG_QUEUE_SEL ? COMMON_QUEUE_SEL : reg == REG_QUEUE_NUM ? 0x18 : 0x1c;
	case REG_INTERRUPT_ACK:
		*size = 1;
		return ISR;
	}
	if (reg >= REG_CONFIG)
		return DEVICE + reg - REG_CONFIG;
	/* Three addresses, 16 bytes from each other there and 8 here. */
	return PCI_RINGS + (reg - REG_QUEUE_DESC) / 2 + (reg & 4 ? 2 : 0);
}

uint32_t pci_register_read(const struct device *d, uint32_t reg)
{
	unsigned int size;
	uint32_t at = place_of(reg, &size);

	return (uint32_t)mmio_read(d->base + at, size);
}

void pci_register_write(const struct device *d, uint32_t reg, uint32_t v)
{
	unsigned int size;
	uint32_t at = place_of(reg, &size);

	if (reg == REG_QUEUE_NOTIFY)
		mmio_write(d->base + PCI_NOTIFY + 4 * (v % 32), v, 2);
	else if (reg == REG_INTERRUPT_ACK)
		mmio_read(d->base + at, size);
	else
		mmio_write(d->base + at, v, size);
}

void pci_go_home(const struct device *d)
{
	mmio_write(d->config + PCI_COMMAND, 0, 2);
	mmio_write(d->config + PCI_BAR, (uint32_t)d->base, 4);
	mmio_write(d->config + PCI_BAR + 4, d->base >> 32, 4);
	mmio_write(d->config + PCI_COMMAND, MEMORY_AND_MASTER, 2);
}

/* Where configuration space reaches the BAR; 0: nowhere. */
static uint32_t find_window(const struct device *d)
{
	uint32_t at = (uint32_t)mmio_read(d->config + CAPABILITIES, 1);

	while (at && (mmio_read(d->config + at, 1) != CAPABILITY_VIRTIO ||
		      mmio_read(d->config + at + 3, 1) != TYPE_WINDOW))
		at = (uint32_t)mmio_read(d->config + at + 1, 1);
	return at;
}

bool pci_find(struct device *d, unsigned int i)
{
	uint64_t config = port_ecam + (i + 1ull) * FUNCTION_STEP;
	uint32_t name = (uint32_t)mmio_read(config, 4);

	if ((name & 0xffff) != VENDOR)
		return false;
	d->config = config;
	d->id = (name >> 16) - FIRST_ID;
	d->base = (mmio_read(config + PCI_BAR, 4) & ~15ull) | mmio_read(config + PCI_BAR + 4, 4)
								      << 32;
	d->window = find_window(d);
	pci_go_home(d);
	return true;
}
