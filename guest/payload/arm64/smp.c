/* SPDX-License-Identifier: MIT */
/* Starts the second vCPU by PSCI and says what it answered; 0 when it did. */
#include "guest/payload/arm64/lib.h"

#define AFFINITY 0xff00ffffffull
#define PATIENCE 10 /* seconds */

static volatile uint64_t ap_mpidr;
static volatile bool ap_lives;

void payload_ap_main(void)
{
	ap_mpidr = read_sysreg(mpidr_el1) & AFFINITY;
	asm volatile("dmb sy" ::: "memory");
	ap_lives = true;
}

/* The second `reg` below /cpus: one cell or two. */
static uint64_t second_cpu(const void *fdt)
{
	struct fdt_walk w;
	bool in_cpus = false;
	int n = 0;

	fdt_begin(&w, fdt);
	while (fdt_next(&w)) {
		if (w.depth == 2)
			in_cpus = str_eq(w.node, "cpus");
		if (w.depth != 3 || !in_cpus || !str_eq(w.name, "reg") || ++n != 2)
			continue;
		if (w.len == 4)
			return get_be32(w.value);
		if (w.len == 8)
			return (uint64_t)get_be32(w.value) << 32 | get_be32(w.value + 4);
	}
	return 1;
}

int payload_main(const void *fdt)
{
	uint64_t mpidr = second_cpu(fdt);
	uint64_t end = read_sysreg(cntvct_el0) + PATIENCE * read_sysreg(cntfrq_el0);

	if (payload_start_ap(mpidr)) {
		put_str("PSCI starts no second CPU\r\n");
		return 1;
	}
	while (!ap_lives && read_sysreg(cntvct_el0) < end)
		asm volatile("yield");
	asm volatile("dmb sy" ::: "memory");
	put_str("second CPU has MPIDR ");
	put_hex(ap_mpidr);
	put_str("\r\n");
	return ap_lives && ap_mpidr == mpidr ? 0 : 1;
}
