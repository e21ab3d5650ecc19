/* SPDX-License-Identifier: MIT */
/*
 * Is meant to be saved and restored, anywhere on its way: forty ticks of five milliseconds (or "ticks=" of them) by
 * the local APIC's timer, between which it sees to it that nothing is lost and no time goes back. 0 when all was
 * well, else what was not. A line after each tenth tick, so that outside one knows where it is; what comes by the
 * serial port goes back there.
 */
#include "guest/payload/option.h"
#include "guest/payload/x86/lib.h"

#include "x86/map.h"

#define VECTOR 0x40
#define LVT_TIMER (X86_LAPIC + 0x320)
#define TIMER_INITIAL (X86_LAPIC + 0x380)
#define TIMER_DIVIDE (X86_LAPIC + 0x3e0)
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_SYSTEM_TIME 0x4b564d01u
#define COM1 0x3f8
#define GS 0x123456789000ull
#define WORDS (1 << 12)

/* Documentation/virt/kvm/x86/msr.rst; KVM writes it while the guest is outside. */
static volatile struct {
	uint32_t version, pad;
	uint64_t tsc, system_time;
	uint32_t scale;
	int8_t shift;
	uint8_t flags, more[2];
} kvmclock __attribute__((aligned(32)));

static uint64_t memory[WORDS];

static uint64_t tsc(void)
{
	uint32_t low, high;

	asm volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static uint64_t pattern(uint32_t i, uint32_t tick)
{
	return i * 0x9e3779b97f4a7c15ull + tick;
}

/* A tenth of it each time, so that some of it is always being written to. */
static int check_memory(uint32_t tick)
{
	for (uint32_t i = tick % 10; i < WORDS; i += 10) {
		if (tick >= 10 && memory[i] != pattern(i, tick - 10))
			return 2;
		memory[i] = pattern(i, tick);
	}
	return 0;
}

static int check_time(void)
{
	static uint64_t last_tsc, last_system;
	/* The clock before the TSC: a pause between them gives a newer clock, not an older one. */
	uint64_t system = kvmclock.system_time, since = kvmclock.tsc, t = tsc();

	if (t <= last_tsc)
		return 3;
	if (!(kvmclock.version & 1) && system < last_system)
		return 4;
	/* What both make of this moment: were the TSC behind the clock's own reading, that would be ages ago. */
	if (t < since)
		return 5;
	last_tsc = t;
	last_system = system;
	return 0;
}

static void echo(void)
{
	char text[2] = "";

	while (inb(COM1 + 5) & 1) {
		text[0] = (char)inb(COM1);
		put_str(text);
	}
}

int payload_main(const void *zero_page)
{
	uint32_t ticks = option(payload_cmdline(zero_page), "ticks=", 40);
	int rc = 0;

	catch_vector(VECTOR);
	wrmsr(MSR_KERNEL_GS_BASE, GS);
	wrmsr(MSR_SYSTEM_TIME, (uint64_t)&kvmclock | 1);
	write32(TIMER_DIVIDE, 0xb);
	outb(COM1 + 1, 1); /* whoever wants interrupts of input is given some */
	write32(LVT_TIMER, VECTOR);
	for (uint32_t tick = 0; !rc && tick < ticks; tick++) {
		write32(TIMER_INITIAL, 5000000);
		wait_interrupt();
		if (caught != tick + 1)
			rc = 1;
		if (!rc)
			rc = check_memory(tick);
		if (!rc)
			rc = check_time();
		if (!rc && rdmsr(MSR_KERNEL_GS_BASE) != GS)
			rc = 6;
		echo();
		if (tick % 10 == 9)
			put_str("ten ticks\r\n");
	}
	return rc;
}
