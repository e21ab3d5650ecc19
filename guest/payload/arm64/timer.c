/* SPDX-License-Identifier: MIT */
/* The virtual timer, a millisecond five times; powers off when all came. */
#include "guest/payload/arm64/lib.h"

int payload_main(const void *fdt)
{
	gic_init(fdt);
	gic_enable(TIMER_INTID, false);
	for (int i = 0; i < 5; i++)
		if (!timer_tick())
			return 1;
	put_str("five ticks\r\n");
	payload_poweroff();
}
