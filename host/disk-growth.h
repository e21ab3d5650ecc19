/* SPDX-License-Identifier: MIT */
/*
 * Tells when a raw disk's file becomes longer under a running guest (truncate -s +1G), within a
 * second or two. Costs nothing while nobody writes to the file, and two wakeups a second otherwise.
 * Of a device (lvextend) there is no event: that is looked at when the guest is saved or moved.
 */
#ifndef HOST_DISK_GROWTH_H
#define HOST_DISK_GROWTH_H

#include "host/disk.h"
#include "util/loop.h"

struct disk_growth {
	struct disk *disk;
	/*
	 * On the loop, or in disk_growth_start(): the disk has `size` bytes now, more than before, a
	 * multiple of its blocks.
	 */
	void (*grown)(void *opaque, uint64_t size);
	void *opaque;

	struct loop *loop; /* NULL: stopped */
	uint64_t size;	   /* the largest that was told of */
	int watch, timer;  /* -1: not there yet */
	loop_id watch_source, timer_source;
};

void disk_growth_init(struct disk_growth *g, struct disk *disk,
		      void (*grown)(void *opaque, uint64_t size), void *opaque);

/*
 * Until it is stopped. `size` is what was told of before. 0, or -errno: -ENOTSUP for a disk that
 * can't grow: it is no raw file.
 */
int disk_growth_start(struct disk_growth *g, struct loop *loop, uint64_t size);

/* Stops it, and looks once more. `size`: as above. Of any disk; on who stops it all: no handler of it runs. */
void disk_growth_look(struct disk_growth *g, uint64_t size);

/* May be called when it was not started, and again. */
void disk_growth_stop(struct disk_growth *g);

/* After disk_growth_stop(). */
void disk_growth_destroy(struct disk_growth *g);

#endif
