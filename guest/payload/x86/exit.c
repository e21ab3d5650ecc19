/* SPDX-License-Identifier: MIT */
/* Powers off, and nothing else: what starting and ending a VM costs. */
#include "guest/payload/x86/lib.h"

int payload_main(const void *zero_page)
{
	(void)zero_page;
	payload_poweroff();
}
