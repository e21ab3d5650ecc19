/* SPDX-License-Identifier: MIT */
/*
 * MSI-X of one PCI function (PCI Local Bus 3.0, section 6.8.2): a table of messages in a BAR, each
 * of which can be masked, and a bit for each that came while it was.
 *
 * A message is sent at once, without a route in KVM: routes cost milliseconds where they change.
 *
 * Any thread; a lock of its own, under which no other is taken but the interrupt controller's.
 */
#ifndef VM_MSIX_H
#define VM_MSIX_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/buf.h"
#include "vm/irq.h"

#define MSIX_VECTORS 64 /* of a function, at most: the pending bits are one word */
#define MSIX_ENTRY 16	/* bytes in the table */

/* What the guest sees. */
struct msix_vector {
	uint64_t address;
	uint32_t data;
	uint32_t control; /* bit 0: masked */
};

struct msix {
	pthread_mutex_t lock;
	struct irq_chip *chip;
	uint32_t n;	      /* vectors */
	uint32_t devid;	      /* who sends: an ITS asks; 0 at first */
	bool enabled, masked; /* all of them */
	uint64_t pending;
	struct msix_vector vectors[MSIX_VECTORS];
};

void msix_init(struct msix *msix, struct irq_chip *chip, uint32_t n);
void msix_fini(struct msix *msix);

/* All masked, none pending, MSI-X off. */
void msix_reset(struct msix *msix);

/* Sends it, or keeps it while it is masked. A vector that isn't there, or MSI-X off: nothing. */
void msix_raise(struct msix *msix, uint32_t vector);

/* The message control word of the capability was written. */
void msix_control(struct msix *msix, bool enabled, bool masked);

/* `offset` from the table's begin, and from the pending bits'. */
void msix_table_access(struct msix *msix, uint64_t offset, void *data, uint32_t len, bool is_write);
void msix_pending_access(struct msix *msix, uint64_t offset, void *data, uint32_t len,
			 bool is_write);

/* MSIX_SAVED(n) bytes; the control word is the configuration space's. */
#define MSIX_SAVED(n) (8 + (n)*MSIX_ENTRY)
void msix_save(struct msix *msix, struct buf *out);
void msix_load(struct msix *msix, struct reader *in);

#endif
