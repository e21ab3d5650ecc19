/* SPDX-License-Identifier: MIT */
/* A block device (virtio 1.2, section 5.2). Each queue has a loop of its own while it runs. */
#ifndef VIRTIO_BLK_H
#define VIRTIO_BLK_H

#include "host/disk.h"
#include "util/limit.h"
#include "vm/device.h"

struct blk_config {
	const char *name;  /* borrowed; "virtio-blk.0" */
	struct disk *disk; /* the device's own once create() has succeeded: it closes it */
	/* Borrowed; how the disk is reached: see host/disk-queue.h; NULL: the best there is. */
	const char *engine;
	unsigned int queues; /* up to VIRTIO_QUEUES; 0: one */
	/* Of reads, and as much again of all else; shared by the queues. */
	struct limit_config limit;
	const char *serial; /* copied, the first 20 bytes of it; NULL: none */
};

extern const struct device_type virtio_blk_type;

#endif
