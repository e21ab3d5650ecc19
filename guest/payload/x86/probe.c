/* SPDX-License-Identifier: MIT */
/*
 * What a stock kernel needs and a KVM without virtualization hardware lacks: IRET in protected
 * mode, and SSE. Where KVM can't, it ends the VM with an emulation failure.
 */
#include "guest/payload/x86/lib.h"

int payload_main(const void *zero_page)
{
	uint64_t cr;

	(void)zero_page;
	asm volatile("mov %%cr4, %0; or $0x600, %0; mov %0, %%cr4"
		     : "=&r"(cr)); /* OSFXSR, OSXMMEXCPT */
	asm volatile("movaps %%xmm0, %%xmm1; addps %%xmm1, %%xmm0" ::: "memory");
	asm volatile("mov %%rsp, %%rax; pushq $0x10; push %%rax; pushfq; pushq $8;"
		     "lea 1f(%%rip), %%rax; push %%rax; iretq; 1:" ::
			     : "rax", "memory", "cc");
	return 0;
}
