/* SPDX-License-Identifier: MIT */
/*
 * The IOAPIC's registers, its latches, and its saved state. KVM is not there: messages go nowhere.
 */
#include <string.h>

#include "tests/unit/tap.h"
#include "x86/ioapic.h"
#include "x86/map.h"

static struct bus bus;
static struct irq irq;
static struct ioapic *io;

static uint32_t reg(uint32_t index)
{
	uint32_t v;

	bus_access(&bus, X86_IOAPIC, &index, 4, true);
	bus_access(&bus, X86_IOAPIC + 0x10, &v, 4, false);
	return v;
}

static void set_reg(uint32_t index, uint32_t v)
{
	bus_access(&bus, X86_IOAPIC, &index, 4, true);
	bus_access(&bus, X86_IOAPIC + 0x10, &v, 4, true);
}

static void registers(void)
{
	ok(reg(1) == (0x20 | 7 << 16), "version and number of pins");
	ok(reg(0x10) == 1 << 16, "a pin is masked at first");
	set_reg(0, 0xffffffff);
	ok(reg(0) == 0x0f000000, "the ID has four bits");
	set_reg(0x10 + 6, 0xffffffff);
	ok(reg(0x10 + 6) == (0x1ffff & ~(1u << 12 | 1u << 14)), "status bits can't be written");
	set_reg(0x10 + 16, 0);
	ok(reg(0x10 + 16) == 0 && io->st.redirection[8] == 1 << 16, "there is no pin 8");
	set_reg(0xff, 0xffffffff);
	ok(reg(0xff) == 0, "nor a register 0xff");
	for (uint64_t at = 0; at < 0x60; at++) {
		uint8_t data[8];

		for (uint32_t len = 1; len <= 8; len++) {
			memset(data, 0xa5, sizeof(data));
			bus_access(&bus, X86_IOAPIC + at, data, len, true);
			bus_access(&bus, X86_IOAPIC + at, data, len, false);
		}
	}
	ok(true, "every width at every offset");
}

static void edges(void)
{
	const struct irq_line line = { .chip = &io->chip, .gsi = 2, .trigger = IRQ_EDGE };
	const struct irq_line level = { .chip = &io->chip, .gsi = 3, .trigger = IRQ_LEVEL };
	const struct irq_line none = { .chip = &io->chip, .gsi = 100, .trigger = IRQ_EDGE };

	io->device.ops->reset(&io->device);
	irq_raise(&line);
	ok(io->st.latched[2], "an edge at a masked pin is latched");
	set_reg(0x10 + 4, 0x41);
	ok(!io->st.latched[2], "and delivered on unmask");
	irq_raise(&line);
	ok(!io->st.latched[2], "an edge at an open pin is delivered at once");
	irq_raise(&none);
	irq_lower(&none);
	ok(true, "a line that no pin has");

	set_reg(0x10 + 6, 1 << 15 | 0x42);
	irq_raise(&level);
	ok(reg(0x10 + 6) & 1 << 14, "a level interrupt is in service");
	ioapic_eoi(io, 0x42);
	ok(reg(0x10 + 6) & 1 << 14, "and again after its EOI, while the line is high");
	irq_lower(&level);
	ioapic_eoi(io, 0x42);
	ok(!(reg(0x10 + 6) & 1 << 14), "not when it is low");
}

static void state(void)
{
	struct buf first = { 0 }, second = { 0 };
	struct reader in;
	int rc;

	set_reg(0x10 + 8, 0x55);
	io->device.ops->save(&io->device, &first);
	io->device.ops->reset(&io->device);
	in = (struct reader){ .p = first.data, .left = first.len };
	rc = io->device.ops->load(&io->device, &in);
	io->device.ops->save(&io->device, &second);
	ok(!rc && first.len == second.len && !memcmp(first.data, second.data, first.len),
	   "save, reset, load, save gives equal bytes");
	in = (struct reader){ .p = first.data, .left = first.len - 1 };
	ok(io->device.ops->load(&io->device, &in) < 0, "a state cut short is refused");
	memset(first.data, 0xff, first.len);
	in = (struct reader){ .p = first.data, .left = first.len };
	ok(io->device.ops->load(&io->device, &in) < 0, "an impossible state is refused");
	buf_free(&first);
	buf_free(&second);
}

int main(void)
{
	struct err err;

	if (bus_init(&bus) || irq_init(&irq, -1, 8) || ioapic_create(&irq, &bus, 8, &io, &err))
		return 1;
	ok(ioapic_create(&irq, &bus, 121, &io, &err) < 0, "no more than 120 pins");
	registers();
	edges();
	state();
	io->device.ops->destroy(&io->device);
	irq_destroy(&irq);
	bus_destroy(&bus);
	return done_testing();
}
