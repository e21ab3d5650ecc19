/* SPDX-License-Identifier: MIT */
/* What a stock kernel needs, one thing after the other; the status says which one failed. */
#include "guest/payload/arm64/lib.h"

#define BLOCK_1G 1ull
#define ACCESSED (1ull << 10)
#define INNER_SHAREABLE (3ull << 8)
#define ATTRIBUTES(n) ((n) << 2)
#define NO_EXECUTE (3ull << 53) /* at EL1 or EL0 */
#define MAIR 0xff00ull		/* 0: device memory, 1: normal, written back */

#define TCR_39_BITS 25ull      /* so the walk starts at the table of 1 GiB blocks */
#define TCR_CACHED (5ull << 8) /* the walk's own accesses */
#define TCR_SHAREABLE (3ull << 12)
#define TCR_NO_UPPER (1ull << 23) /* nothing at the negative addresses */

#define SCTLR_MMU_AND_CACHES (1ull << 12 | 1ull << 2 | 1)

extern uint8_t image_start[], image_end[];

static uint64_t table[512] __attribute__((aligned(4096)));
static uint32_t counter;

/* Each of these would trap where the VMM forbids it. */
static bool id_registers(void)
{
	read_sysreg(id_aa64pfr0_el1);
	read_sysreg(id_aa64pfr1_el1);
	read_sysreg(id_aa64dfr0_el1);
	read_sysreg(id_aa64isar0_el1);
	read_sysreg(id_aa64isar1_el1);
	read_sysreg(id_aa64mmfr0_el1);
	read_sysreg(id_aa64mmfr1_el1);
	read_sysreg(mpidr_el1);
	read_sysreg(ctr_el0);
	read_sysreg(dczid_el0);
	return read_sysreg(midr_el1) && read_sysreg(cntfrq_el0);
}

static bool floating_point(void)
{
	uint64_t product;

	write_sysreg(cpacr_el1, read_sysreg(cpacr_el1) | 3 << 20);
	asm volatile(".arch_extension fp; .arch_extension simd;"
		     "fmov d0, #1.5; fmov d1, #2.0; fmul d0, d0, d1; fmov %0, d0;"
		     "movi v0.16b, #1; add v0.16b, v0.16b, v0.16b"
		     : "=r"(product));
	return product == 0x4008000000000000; /* 3.0 */
}

static bool supervisor_call(void)
{
	uint32_t before = caught;

	asm volatile("svc #7" ::: "memory");
	return caught == before + 1 && ESR_CLASS(caught_esr) == CLASS_SVC &&
	       (caught_esr & 0xffff) == 7;
}

/* What the caches may still hold from before: memory, written with them off, is newer. */
static void forget_cached_image(void)
{
	uint64_t line = 4ull << (read_sysreg(ctr_el0) >> 16 & 15);

	for (uint64_t at = (uint64_t)image_start & ~(line - 1); at < (uint64_t)image_end;
	     at += line)
		asm volatile("dc ivac, %0" ::"r"(at) : "memory");
	asm volatile("dsb sy; ic iallu; tlbi vmalle1; dsb sy; isb" ::: "memory");
}

/* Everything is where it was: the first GiB is devices, the second is RAM. */
static bool mmu(void)
{
	table[0] = BLOCK_1G | ACCESSED | NO_EXECUTE | ATTRIBUTES(0);
	table[1] = ARM_RAM | BLOCK_1G | ACCESSED | INNER_SHAREABLE | ATTRIBUTES(1);
	write_sysreg(mair_el1, MAIR);
	write_sysreg(tcr_el1, TCR_39_BITS | TCR_CACHED | TCR_SHAREABLE | TCR_NO_UPPER);
	write_sysreg(ttbr0_el1, (uint64_t)table);
	forget_cached_image();
	write_sysreg(sctlr_el1, read_sysreg(sctlr_el1) | SCTLR_MMU_AND_CACHES);
	return (read_sysreg(sctlr_el1) & SCTLR_MMU_AND_CACHES) == SCTLR_MMU_AND_CACHES;
}

/* Exclusive accesses work on cached memory only. */
static bool exclusives(void)
{
	uint32_t value, failed;

	do
		asm volatile("ldaxr %w0, [%2]; add %w0, %w0, #1; stlxr %w1, %w0, [%2]"
			     : "=&r"(value), "=&r"(failed)
			     : "r"(&counter)
			     : "memory");
	while (failed);
	return counter == 1;
}

static bool unaligned(void)
{
	static uint8_t bytes[16] = { 0, 1, 2, 3, 4 };

	return read32((uint64_t)bytes + 1) == 0x04030201;
}

int payload_main(const void *fdt)
{
	if (!id_registers())
		return 1;
	if (!floating_point())
		return 2;
	if (!supervisor_call())
		return 3;
	if (!mmu())
		return 4;
	if (!exclusives())
		return 5;
	if (!unaligned())
		return 6;
	gic_init(fdt);
	gic_enable(TIMER_INTID, false);
	return timer_tick() ? 0 : 7;
}
