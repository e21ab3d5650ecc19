/* SPDX-License-Identifier: MIT */
/*
 * Waits for three edges on the line of virtio slot 0, masking it in between. The first must come
 * after "ready" (a GIC loses an edge before it is told that the line has edges), and is let in only
 * once it was seen to wait behind the mask.
 */
#include "guest/payload/arm64/lib.h"

#define INTID (32 + ARM_SPI_VIRTIO)

static bool take_edge(void)
{
	bool taken;

	gic_set_mask(INTID, false);
	taken = wait_interrupt() == INTID;
	gic_set_mask(INTID, true);
	gic_eoi(INTID);
	return taken && !gic_is_pending(INTID);
}

int payload_main(const void *fdt)
{
	gic_init(fdt);
	gic_enable(INTID, true);
	gic_set_mask(INTID, true);
	put_str("ready\r\n");
	while (!gic_is_pending(INTID))
		;
	for (int i = 0; i < 3; i++) {
		if (!take_edge())
			return 1;
		put_str("edge\r\n");
	}
	return 0;
}
