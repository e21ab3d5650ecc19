/* SPDX-License-Identifier: MIT */
/*
 * Interrupts, seen from a device: a line is raised, and lowered if it is level-triggered. What the
 * line leads to (an IOAPIC of ours, KVM's, a vGIC) is the port's affair, behind struct irq_chip.
 *
 * MSIs, for PCI, and lines raised from outside the process, for vhost, need entries in KVM's GSI
 * routing table: struct irq owns that table. Rewriting it waits for a grace period in the host's
 * kernel (milliseconds on some), so it is done only when an entry really changes.
 *
 * All functions may be called from any thread.
 */
#ifndef VM_IRQ_H
#define VM_IRQ_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/log.h"

#define IRQ_ROUTES 512 /* GSIs with a route, at most */

enum irq_trigger { IRQ_EDGE, IRQ_LEVEL };

struct irq_chip;

/* A message that a PCI function writes to memory. */
struct msi {
	uint64_t address;
	uint32_t data;
	uint32_t devid; /* of the function that sends it: an ITS asks */
};

/* Fixed at creation. `gsi` is the line's number as ACPI or the device tree tells it. */
struct irq_line {
	struct irq_chip *chip; /* NULL: a line that leads nowhere; raising it does nothing */
	uint32_t gsi;
	enum irq_trigger trigger;
};

/* A port's interrupt controller. */
struct irq_chip {
	uint32_t lines; /* GSIs 0 to lines-1 exist */
	/* An edge, or the level going up; the level going down. */
	void (*raise)(struct irq_chip *chip, const struct irq_line *line);
	void (*lower)(struct irq_chip *chip, const struct irq_line *line);
	/* Lets eventfd `fd` raise the line (edge) from now on, or no longer. 0 or -errno. */
	int (*bind_fd)(struct irq_chip *chip, const struct irq_line *line, int fd, bool bind);
	/* Delivers it, without a route. NULL: this chip takes no messages. */
	void (*send_msi)(struct irq_chip *chip, const struct msi *msi);
};

static inline void irq_raise(const struct irq_line *line)
{
	if (line->chip)
		line->chip->raise(line->chip, line);
}

static inline void irq_lower(const struct irq_line *line)
{
	if (line->chip)
		line->chip->lower(line->chip, line);
}

/*
 * An eventfd whose writes raise the (edge) line without us: the caller owns it, and hands it to
 * irq_fd_close() in the end. Edges that come while the pin is masked are kept. fd or -errno;
 * -EAGAIN where the port has none before its vCPUs are ready.
 */
int irq_fd(const struct irq_line *line);
void irq_fd_close(const struct irq_line *line, int fd);

struct kvm_irq_routing;

struct irq {
	int vm_fd;
	pthread_mutex_t lock;
	struct kvm_irq_routing *routes; /* the table as KVM has it; allocated at first use */
	uint8_t used[IRQ_ROUTES];	/* GSI taken by irq_msi_alloc() or a pin of the chip */
	uint32_t pins; /* set by a port whose chip KVM routes by itself: GSIs 0 to pins-1 */
};

/* GSIs below `chip_lines` belong to the chip and are never handed out for MSIs. */
int irq_init(struct irq *irq, int vm_fd, uint32_t chip_lines);
void irq_destroy(struct irq *irq);

/*
 * A GSI for an MSI (-ENOSPC when none is left), its message, and its end. A route to address 0 is
 * no route.
 */
int irq_msi_alloc(struct irq *irq, uint32_t *gsi);
int irq_route_set(struct irq *irq, uint32_t gsi, uint64_t address, uint32_t data);
void irq_msi_free(struct irq *irq, uint32_t gsi);

/*
 * Sends a message at once, without a route. `with_devid`: KVM has an ITS, which asks for it. 0 or
 * -errno.
 */
int irq_msi_send(struct irq *irq, const struct msi *msi, bool with_devid);

/* Binds or unbinds an eventfd to a GSI that has a route, in KVM. 0 or -errno. */
int irq_kvm_irqfd(struct irq *irq, uint32_t gsi, int fd, bool bind);

#endif
