/* SPDX-License-Identifier: MIT */
/* The 16550A (term/uart16550.c and term/serial.c): see lib/registers.h. */
#include "tests/fuzz/lib/registers.h"
#include "term/uart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	uint8_t how = take_u8(&in);
	struct registers r;
	struct uart_config config = {
		.name = "uart0",
		.is_pio = how & 2,
		.base = 0x3f8,
		.output_only = how & 4,
		.tty = how & 8 ? NULL : &r.tty,
	};

	registers_set_up(&r, how & 1 ? IRQ_LEVEL : IRQ_EDGE);
	config.irq = r.irq;
	CHECK(!uart16550_type.create(&r.env, &config, &r.dev, NULL));
	registers_run(&r, &in);
	return 0;
}
