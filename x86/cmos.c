/* SPDX-License-Identifier: MIT */
/*
 * The CMOS of a PC: its clock, and how much memory there is, for images that know neither ACPI nor a
 * boot protocol's memory map. (Linux is told that there is no clock, and never asks.) What is written
 * to it is lost: the clock is the host's.
 */
#include <time.h>

#include "util/util.h"
#include "x86/map.h"
#include "x86/x86.h"

#define BLOCK (64 * KIB)

static uint8_t bcd(int v)
{
	return (uint8_t)((v / 10 % 10) << 4 | v % 10);
}

/* MC146818: time of day in BCD and 24 hours; registers A to D. */
static uint8_t read_clock(uint8_t index)
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

/* Byte `i` of a number that is told as the largest there is, where it is larger than that. */
static uint8_t byte_of(uint64_t number, uint64_t most, unsigned int i)
{
	return (uint8_t)(MIN(number, most) >> 8 * i);
}

/* Low RAM and what follows 1 MiB in KiB, what follows 16 MiB and what follows 4 GiB in blocks. */
static uint8_t read_memory(const struct mem *mem, uint8_t index)
{
	uint64_t low = mem->slots[0].size;
	uint64_t past_16m = low > 16 * MIB ? low - 16 * MIB : 0;
	uint64_t past_4g = mem->n_slots > 1 ? mem->slots[1].size : 0;

	switch (index) {
	case 0x15:
	case 0x16:
		return byte_of(X86_LOW_RAM_END / KIB, 0xffff, index - 0x15u);
	case 0x17:
	case 0x18:
		return byte_of((low - X86_HIGH_RAM) / KIB, 0xffff, index - 0x17u);
	case 0x30:
	case 0x31:
		return byte_of((low - X86_HIGH_RAM) / KIB, 0xffff, index - 0x30u);
	case 0x34:
	case 0x35:
		return byte_of(past_16m / BLOCK, 0xffff, index - 0x34u);
	default:
		return byte_of(past_4g / BLOCK, 0xffffff, index - 0x5bu);
	}
}

static bool is_memory(uint8_t index)
{
	return (index >= 0x15 && index <= 0x18) || index == 0x30 || index == 0x31 ||
	       index == 0x34 || index == 0x35 || (index >= 0x5b && index <= 0x5d);
}

static uint8_t read_cmos(struct vm *vm, uint8_t index)
{
	return is_memory(index) ? read_memory(&vm->mem, index) : read_clock(index);
}

void x86_cmos_ports(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	struct vm *vm = opaque;

	if (is_write) {
		if (offset == 0)
			atomic_store(&vm->arch->cmos_index, *(uint8_t *)data & 0x7f);
		return;
	}
	put_le(data, offset == 1 ? read_cmos(vm, atomic_load(&vm->arch->cmos_index)) : 0xff, len);
}
