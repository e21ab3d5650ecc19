/* SPDX-License-Identifier: MIT */
/*
 * For who saves and restores it: 40 lines, each after five ticks of the virtual timer, while a second
 * CPU, if there is one, counts. Fails when the counter goes back or leaps, when the other CPU stands
 * still, or when a vector register is another than it was.
 */
#include "guest/payload/arm64/lib.h"

#define LINES 40
#define LEAP 5 /* seconds between two lines, in a software CPU */
#define MARK 0x5afe0123456789abull

static uint8_t stack[4096] __attribute__((aligned(16)));
static volatile uint64_t beats;

void payload_ap_main(void)
{
	for (;;)
		beats++;
}

static void set_vectors(void)
{
	write_sysreg(cpacr_el1, 3 << 20);
	asm volatile("fmov d7, %0; fmov v31.d[1], %0" ::"r"(MARK));
}

static bool vectors_are_set(void)
{
	uint64_t low, high;

	asm volatile("fmov %0, d7; fmov %1, v31.d[1]" : "=r"(low), "=r"(high));
	return low == MARK && high == MARK;
}

static void put_number(unsigned int n)
{
	put_char((char)('0' + n / 10));
	put_char((char)('0' + n % 10));
	put_str("\r\n");
}

/* On a busy host it may not run for a while. */
static bool stands_still(uint64_t seen)
{
	uint64_t end = read_sysreg(cntvct_el0) + LEAP * read_sysreg(cntfrq_el0);

	while (beats == seen) {
		if (read_sysreg(cntvct_el0) > end)
			return true;
	}
	return false;
}

static int give_up(const char *why)
{
	put_str(why);
	return 1;
}

int payload_main(const void *fdt)
{
	uint64_t mpidr, before, now = read_sysreg(cntvct_el0), seen = 0;
	bool has_other = fdt_cpu(fdt, 1, &mpidr);

	if (has_other && payload_start_ap(mpidr, stack + sizeof(stack)))
		return give_up("PSCI starts no second CPU\r\n");
	set_vectors();
	gic_init(fdt);
	gic_enable(TIMER_INTID, false);
	for (unsigned int line = 0; line < LINES; line++) {
		put_number(line);
		for (int i = 0; i < 5; i++)
			if (!timer_tick())
				return give_up("another interrupt came\r\n");
		before = now;
		now = read_sysreg(cntvct_el0);
		if (now <= before || now - before > LEAP * read_sysreg(cntfrq_el0))
			return give_up("the counter leaps\r\n");
		if (!vectors_are_set())
			return give_up("a vector register has changed\r\n");
		if (has_other && line > 1 && stands_still(seen))
			return give_up("the second CPU stands still\r\n");
		seen = beats;
	}
	return 0;
}
