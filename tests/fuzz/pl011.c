/* SPDX-License-Identifier: MIT */
/* Arm's UART, clock and GPIOs (term/pl011.c, platform/pl031.c, pl061.c): see lib/registers.h. */
#include "platform/pl031.h"
#include "platform/pl061.h"
#include "tests/fuzz/lib/registers.h"
#include "term/uart.h"

#define BASE 0x09000000ull

static void make_uart(struct registers *r, uint8_t how)
{
	struct uart_config config = {
		.name = "uart0",
		.base = BASE,
		.irq = r->irq,
		.output_only = how & 4,
		.tty = how & 8 ? NULL : &r->tty,
	};

	CHECK(!pl011_type.create(&r->env, &config, &r->dev, NULL));
}

static void make_clock(struct registers *r)
{
	struct pl031_config config = { .name = "rtc0", .base = BASE, .irq = r->irq };

	CHECK(!pl031_type.create(&r->env, &config, &r->dev, NULL));
}

static void make_gpio(struct registers *r)
{
	struct power_button_config config = { .name = "gpio", .base = BASE, .irq = r->irq };

	CHECK(!pl061_type.create(&r->env, &config, &r->dev, NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	uint8_t how = take_u8(&in);
	struct registers r;

	registers_set_up(&r, how & 1 ? IRQ_EDGE : IRQ_LEVEL);
	if (how & 16)
		make_gpio(&r);
	else if (how & 2)
		make_clock(&r);
	else
		make_uart(&r, how);
	registers_run(&r, &in);
	return 0;
}
