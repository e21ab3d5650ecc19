/* SPDX-License-Identifier: MIT */
/* The local APIC's timer, one-shot, five times; 0 when all came. */
#include "guest/payload/x86/lib.h"

#include "x86/map.h"

#define VECTOR 0x40
#define LVT_TIMER (X86_LAPIC + 0x320)
#define TIMER_INITIAL (X86_LAPIC + 0x380)
#define TIMER_DIVIDE (X86_LAPIC + 0x3e0)

int payload_main(const void *zero_page)
{
	(void)zero_page;
	catch_vector(VECTOR);
	write32(TIMER_DIVIDE, 0xb);
	write32(LVT_TIMER, VECTOR);
	for (uint32_t i = 1; i <= 5; i++) {
		write32(TIMER_INITIAL, 1000000); /* a millisecond */
		wait_interrupt();
		if (caught != i)
			return 1;
	}
	put_str("five ticks\r\n");
	return 0;
}
