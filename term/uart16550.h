/* SPDX-License-Identifier: MIT */
/*
 * A 16550A UART: 8 registers a byte apart, on the PIO or the MMIO bus. Both FIFOs of 16 bytes,
 * their trigger levels and character time-out, line status with break, modem status with loopback,
 * interrupt identification by priority. Its line is raised on edges only (ISA's way): one edge each
 * time that the interrupt condition becomes true; a byte that the guest moves ends it for a moment.
 * On a level-triggered line the condition itself is told.
 *
 * Standard input is touched only when the guest shows that it would take some: it enables the
 * receive interrupt, or polls LSR without sending anything.
 *
 * Speed, parity and stop bits are kept and read back, and mean nothing. (PC16550D data sheet.)
 */
#ifndef TERM_UART16550_H
#define TERM_UART16550_H

#include "term/tty.h"
#include "vm/device.h"

#define UART16550_SIZE 8

struct uart16550_config {
	const char *name;
	bool is_pio;
	uint64_t base;
	struct irq_line irq;
	bool output_only; /* input is another console's */
	struct tty *tty;  /* NULL: output is dropped, no input */
};

/*
 * Claims its range; the device belongs to the caller's list from then on. Its destroy() waits until
 * the tty has taken what the guest sent.
 */
int uart16550_create(const struct device_env *env, const struct uart16550_config *config,
		     struct device **out, struct err *err);

#endif
