/* SPDX-License-Identifier: MIT */
/* Starts the second vCPU by INIT and SIPI; both write to the serial port; 0 when it answered. */
#include "guest/payload/x86/lib.h"

#include "x86/map.h"

static uint8_t stack[4096] __attribute__((aligned(16)));
static volatile uint32_t ap_id;

void payload_ap_main(void)
{
	ap_id = read32(X86_LAPIC + 0x20) >> 24;
}

int payload_main(const void *zero_page)
{
	(void)zero_page;
	payload_start_ap(1, stack + sizeof(stack));
	for (uint32_t i = 0; i < 10000000 && !ap_id; i++)
		asm volatile("pause");
	put_str("second CPU has APIC ID ");
	put_hex(ap_id);
	put_str("\r\n");
	return ap_id == 1 ? 0 : 1;
}
