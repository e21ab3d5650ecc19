/* SPDX-License-Identifier: MIT */
/*
 * The VM's generation: 16 random bytes in guest RAM that become others when the guest goes on as one of several
 * that have one past, so that no two draw the same keys from one pool of entropy (Microsoft's "Virtual Machine
 * Generation ID"; Linux's drivers/virt/vmgenid.c). They are there before the restored guest's first instruction.
 */
#ifndef PLATFORM_VMGENID_H
#define PLATFORM_VMGENID_H

#include "vm/device.h"

struct vmgenid_config {
	const char *name;    /* borrowed */
	uint64_t gpa;	     /* of the bytes: in a page that no guest takes for memory of its own */
	struct irq_line irq; /* an edge tells the guest, but for: */
	void (*tell)(void *opaque); /* by somebody else's interrupt; or NULL */
	void *opaque;
	bool same_vm; /* what is restored is this one's only future: it was moved, not copied */
};

extern const struct device_type vmgenid_type; /* "vmgenid" */

#endif
