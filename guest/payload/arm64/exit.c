/* SPDX-License-Identifier: MIT */
/* Powers off, and nothing else: what starting and ending a VM costs. */
#include "guest/payload/arm64/lib.h"

int payload_main(const void *fdt)
{
	(void)fdt;
	payload_poweroff();
}
