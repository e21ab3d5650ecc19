/* SPDX-License-Identifier: MIT */
/* Opens a pin that leads to no device here of the IOAPIC and waits for three edges, masking it in between. */
#include "guest/payload/x86/lib.h"

#include "x86/map.h"

#define VECTOR 0x41
#define MASKED (1u << 16)
#define REDIRECTION (0x10 + 2 * X86_GSI_VIRTIO_0)

static void set_pin(uint32_t entry)
{
	write32(X86_IOAPIC, REDIRECTION);
	write32(X86_IOAPIC + 0x10, entry);
}

int payload_main(const void *zero_page)
{
	(void)zero_page;
	catch_vector(VECTOR);
	for (uint32_t i = 1; i <= 3; i++) {
		set_pin(VECTOR);
		wait_interrupt();
		set_pin(VECTOR | MASKED);
		if (caught != i)
			return 1;
		put_str("edge\r\n");
	}
	return 0;
}
