/* SPDX-License-Identifier: MIT */
/*
 * Is meant to be migrated, again and again: until a byte comes on the serial port it ticks by the local APIC's
 * timer, and sees to it that nothing of its memory is lost, that no time goes back, and that what it wrote to
 * its disk, if it has one, is there. A line with its number after each tick. With "dirty=N" it writes to N pages
 * over and over between two ticks, with "fill=N" to N MiB before the first. 0 when all was well, else what was not.
 */
#include "guest/payload/driver.h"
#include "guest/payload/option.h"
#include "guest/payload/x86/lib.h"

#include "x86/map.h"

#define VECTOR 0x40
#define LVT_TIMER (X86_LAPIC + 0x320)
#define TIMER_INITIAL (X86_LAPIC + 0x380)
#define TIMER_DIVIDE (X86_LAPIC + 0x3e0)
#define TICK 5000000
#define COM1 0x3f8
#define PAGE 4096
#define AREA 0x1000000ull   /* 16 MiB: behind all that the image has */
#define FILLED 0x4000000ull /* 64 MiB */
#define PAGES 256
#define TURNS 64 /* sectors of the disk */

static volatile uint64_t *word(uint32_t page)
{
	return (volatile uint64_t *)(AREA + (uint64_t)page * PAGE + page % 512 * 8);
}

static uint64_t tsc(void)
{
	uint32_t low, high;

	asm volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

/* An eighth of it each time. A page in each sixteen becomes zeros again. */
static int check_memory(uint32_t tick)
{
	for (uint32_t page = tick % 8; page < PAGES; page += 8) {
		uint64_t before = tick < 8		   ? 0
				  : (page + tick - 8) % 16 ? page * 0x9e3779b97f4a7c15ull + tick - 8
							   : 0;

		if (*word(page) != before)
			return 2;
		*word(page) = (page + tick) % 16 ? page * 0x9e3779b97f4a7c15ull + tick : 0;
	}
	return 0;
}

static int check_disk(struct device *d, uint32_t tick)
{
	volatile uint32_t *data = disk_data(d);

	if (tick >= TURNS) {
		if (!disk_transfer(d, DISK_IN, tick % TURNS, DISK_SECTOR))
			return 4;
		if (data[0] != tick - TURNS || data[127] != tick - TURNS)
			return 5;
	}
	for (unsigned int i = 0; i < DISK_SECTOR / 4; i++)
		data[i] = tick;
	return disk_transfer(d, DISK_OUT, tick % TURNS, DISK_SECTOR) ? 0 : 6;
}

static void write_pages(uint32_t n, uint32_t turn)
{
	for (uint32_t page = 0; page < n; page++)
		*(volatile uint64_t *)(AREA + (uint64_t)(PAGES + page) * PAGE) = turn + page + 1;
}

static void fill(uint32_t mib)
{
	for (uint64_t at = 0; at < (uint64_t)mib << 20; at += PAGE)
		*(volatile uint64_t *)(FILLED + at) = at + 1;
}

/* Only who looks again and again is given what comes. */
static bool is_told(void)
{
	for (unsigned int i = 0; i < 20; i++) {
		if (inb(COM1 + 5) & 1)
			return true;
	}
	return false;
}

int payload_main(const void *boot)
{
	uint32_t dirty = option(payload_cmdline(boot), "dirty=", 0);
	struct device *d;
	uint64_t last = 0, now;
	int rc = 0;

	port_init();
	fill(option(payload_cmdline(boot), "fill=", 0));
	d = device_find(ID_BLOCK);
	if (d && !device_start(d, 0, 8))
		return 1;
	catch_vector(VECTOR);
	write32(TIMER_DIVIDE, 0xb);
	write32(LVT_TIMER, VECTOR);
	for (uint32_t tick = 0; !rc && !is_told(); tick++) {
		write32(TIMER_INITIAL, TICK);
		wait_interrupt();
		if (caught != tick + 1)
			rc = 7;
		now = tsc();
		if (now <= last)
			rc = 3;
		last = now;
		if (!rc)
			rc = check_memory(tick);
		if (!rc && d)
			rc = check_disk(d, tick);
		write_pages(dirty, tick);
		put_hex(tick);
		put_str("\r\n");
	}
	return rc;
}
