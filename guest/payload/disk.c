/* SPDX-License-Identifier: MIT */
/*
 * Starts the first disk and reads a sector of it. With "blocks=N" it then writes for ever, one sector
 * at a time and N in turn: each is filled with the number of its turn, which is printed when the disk
 * has said that it is on stable storage: by a flush, or with "flush=0" by the write itself, which a
 * driver may believe that has not agreed on flushes. Whoever cuts the power looks for it there.
 */
#include "guest/payload/driver.h"
#include "guest/payload/option.h"
#include "guest/payload/port.h"

static bool write_turn(struct device *d, uint32_t turn, uint32_t blocks, bool flush)
{
	volatile uint32_t *data = disk_data(d);

	for (unsigned int i = 0; i < DISK_SECTOR / 4; i++)
		data[i] = turn;
	return disk_transfer(d, DISK_OUT, turn % blocks, DISK_SECTOR) &&
	       (!flush || disk_transfer(d, DISK_FLUSH, 0, 0));
}

int payload_main(const void *boot)
{
	uint32_t blocks = option(payload_cmdline(boot), "blocks=", 0);
	bool flush = option(payload_cmdline(boot), "flush=", 1);
	struct device *d;

	port_init();
	d = device_find(ID_BLOCK);
	if (!d || !device_start(d, flush ? FEATURE_BLK_FLUSH : 0, 8) ||
	    !disk_transfer(d, DISK_IN, 0, DISK_SECTOR))
		return 1;
	for (uint32_t turn = 1; blocks; turn++) {
		if (!write_turn(d, turn, blocks, flush))
			return 2;
		put_hex(turn);
		put_str("\n");
	}
	return 0;
}
