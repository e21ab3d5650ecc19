/* SPDX-License-Identifier: MIT */
/*
 * The UARTs, as a machine makes them: each is a struct device_type whose create() takes a struct
 * uart_config, and claims its range of the bus. The device belongs to the caller's list from then
 * on. Its destroy() waits until the tty has taken what the guest sent.
 *
 * Standard input is touched only when the guest shows that it would take some: it enables the
 * receiver's interrupt, or polls the line's status without sending anything. With several UARTs on
 * one tty input goes to the one that the guest opened last.
 */
#ifndef TERM_UART_H
#define TERM_UART_H

#include "term/tty.h"
#include "vm/device.h"

struct uart_config {
	const char *name; /* "uart0"; borrowed */
	bool is_pio;
	uint64_t base;
	struct irq_line irq;
	bool output_only; /* input is another console's */
	struct tty *tty;  /* NULL: output is dropped, no input */
};

extern const struct device_type uart16550_type; /* "uart16550": 8 registers, a byte apart */
extern const struct device_type
	pl011_type; /* "pl011": 4 KiB, level-triggered on a PL011's boards */

#endif
