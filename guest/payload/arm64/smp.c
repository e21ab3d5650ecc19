/* SPDX-License-Identifier: MIT */
/* Starts the second vCPU by PSCI and says what it answered; 0 when it did. */
#include "guest/payload/arm64/lib.h"

#define AFFINITY 0xff00ffffffull
#define PATIENCE 10 /* seconds */

static uint8_t stack[4096] __attribute__((aligned(16)));
static volatile uint64_t ap_mpidr;
static volatile bool ap_lives;

void payload_ap_main(void)
{
	ap_mpidr = read_sysreg(mpidr_el1) & AFFINITY;
	asm volatile("dmb sy" ::: "memory");
	ap_lives = true;
}

int payload_main(const void *fdt)
{
	uint64_t end = read_sysreg(cntvct_el0) + PATIENCE * read_sysreg(cntfrq_el0);
	uint64_t mpidr = 1;

	fdt_cpu(fdt, 1, &mpidr);
	if (payload_start_ap(mpidr, stack + sizeof(stack))) {
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
