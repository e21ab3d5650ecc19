/* SPDX-License-Identifier: MIT */
/*
 * The IOAPIC in user space, beside KVM's local APICs (KVM_CAP_SPLIT_IRQCHIP). It has as many pins
 * as the machine has lines. Intel 82093AA data sheet, version register 0x20 (with an EOI register).
 */
#ifndef X86_IOAPIC_H
#define X86_IOAPIC_H

#include "vm/bus.h"
#include "vm/device.h"
#include "vm/irq.h"

#define IOAPIC_PINS 120

/* As the guest sees it; saved as it is. */
struct ioapic_state {
	uint64_t redirection[IOAPIC_PINS];
	uint32_t id;
	uint32_t select;
	uint8_t level[IOAPIC_PINS];   /* the line is high */
	uint8_t latched[IOAPIC_PINS]; /* an edge came while the pin was masked */
};

struct ioapic {
	struct device device; /* private: for reset, save and load */
	struct irq_chip chip;
	pthread_mutex_t lock;
	struct irq *irq;
	struct bus *mmio;
	struct ioapic_state st;
	int fd[IOAPIC_PINS];	    /* bound eventfd, or -1 */
	bool attached[IOAPIC_PINS]; /* that fd is with KVM now */
};

int ioapic_create(struct irq *irq, struct bus *mmio, uint32_t pins, struct ioapic **out,
		  struct err *err);

/* KVM_EXIT_IOAPIC_EOI: a vCPU has ended the interrupt with this vector. */
void ioapic_eoi(struct ioapic *ioapic, uint8_t vector);

#endif
