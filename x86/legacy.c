/* SPDX-License-Identifier: MIT */
/*
 * The few I/O ports of a PC that a machine without firmware still answers: every way to power off
 * and to reset, and a CMOS clock for images that know no ACPI. (Linux is told that there is no
 * clock, and never asks.)
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "util/util.h"
#include "x86/map.h"
#include "x86/x86.h"

#define SLEEP_ENABLE (1u << 5) /* ACPI 6.4, table 4.17 */
#define SLEEP_TYPE(v) ((v) >> 2 & 7)
#define PM1_SLEEP_ENABLE (1u << 13)

#define KBD_RESET 0xfe

#define CF9_RESET (1u << 2)

static void acpi_ports(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	struct vm *vm = opaque;
	uint8_t value = *(uint8_t *)data;

	if (!is_write) {
		memset(data, 0, len);
		return;
	}
	if (offset == 0 && value & SLEEP_ENABLE && SLEEP_TYPE(value) == X86_ACPI_S5)
		vm_end(vm, VERDICT_POWEROFF, 0);
	else if (offset == 2 && value == X86_ACPI_RESET_VALUE)
		vm_end(vm, VERDICT_RESET, 0);
}

/* PM1a control as QEMU's q35 has it: sleep type 0 is S5 there. */
static void pm1a_port(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	if (!is_write)
		memset(data, 0, len);
	else if (offset == 0 && get_le(data, len) & PM1_SLEEP_ENABLE)
		vm_end(opaque, VERDICT_POWEROFF, 0);
}

/* No keyboard behind it: always ready for a command, of which one is known. */
static void keyboard_command(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	(void)offset;
	if (!is_write)
		memset(data, 0, len);
	else if (*(uint8_t *)data == KBD_RESET)
		vm_end(opaque, VERDICT_RESET, 0);
}

static void reset_port(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	(void)offset;
	if (!is_write)
		memset(data, 0, len);
	else if (*(uint8_t *)data & CF9_RESET)
		vm_end(opaque, VERDICT_RESET, 0);
}

static uint8_t bcd(int v)
{
	return (uint8_t)((v / 10 % 10) << 4 | v % 10);
}

/* MC146818: time of day in BCD and 24 hours; registers A to D. */
static uint8_t cmos_read(uint8_t index)
{
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	switch (index) {
	case 0x00:
		return bcd(tm.tm_sec);
	case 0x02:
		return bcd(tm.tm_min);
	case 0x04:
		return bcd(tm.tm_hour);
	case 0x06:
		return bcd(tm.tm_wday + 1);
	case 0x07:
		return bcd(tm.tm_mday);
	case 0x08:
		return bcd(tm.tm_mon + 1);
	case 0x09:
		return bcd(tm.tm_year % 100);
	case 0x32:
		return bcd(19 + tm.tm_year / 100);
	case 0x0a:
		return 0x26; /* divider as on a PC; never "update in progress" */
	case 0x0b:
		return 0x02; /* 24 hours, BCD */
	case 0x0d:
		return 0x80; /* the battery is good */
	default:
		return 0;
	}
}

static void cmos_ports(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	struct vm *vm = opaque;

	if (is_write) {
		if (offset == 0)
			atomic_store(&vm->arch->cmos_index, *(uint8_t *)data & 0x7f);
		return;
	}
	put_le(data, offset == 1 ? cmos_read(atomic_load(&vm->arch->cmos_index)) : 0xff, len);
}

int x86_legacy_claim(struct vm *vm, struct err *err)
{
	const struct {
		uint64_t base, size;
		bus_fn fn;
		const char *name;
	} ports[] = {
		{ X86_PORT_KBD_COMMAND, 1, keyboard_command, "keyboard" },
		{ X86_PORT_CMOS, 2, cmos_ports, "cmos" },
		{ X86_PORT_ACPI, 4, acpi_ports, "acpi" },
		{ X86_PORT_PM1A, 4, pm1a_port, "pm1a" },
		{ X86_PORT_RESET, 1, reset_port, "reset" },
	};
	int rc = 0;

	for (unsigned int i = 0; !rc && i < ARRAY_SIZE(ports); i++)
		rc = bus_claim(&vm->pio, ports[i].base, ports[i].size, ports[i].fn, vm,
			       ports[i].name, err);
	return rc;
}
