/* SPDX-License-Identifier: MIT */
/* virtio/blk's own: the device, and a queue of it with what is on its way to the disk. */
#ifndef VIRTIO_BLK_QUEUE_H
#define VIRTIO_BLK_QUEUE_H

#include <linux/virtio_blk.h>

#include "host/disk-growth.h"
#include "host/disk-queue.h"
#include "util/limit.h"
#include "virtio/core.h"

#define SECTOR DISK_SECTOR

/* A driver may ask for so many to be cleared at a time. */
#define CLEAR_SECTORS (32 * MIB / SECTOR)

struct request;

/* While it is active. */
struct blk_queue {
	struct virtio_blk *blk;
	unsigned int index;
	struct loop *loop;
	struct disk_queue *io;
	loop_id io_source;
	int timer; /* for when a limit is reached; -1: there is none */
	loop_id timer_source;
	struct request *requests, *free; /* free: those that have come back */
	unsigned int depth, n_fresh;	 /* how many there are, and have ever been used */
	unsigned int in_flight;
	uint64_t bytes;	    /* of those */
	bool starved;	    /* the driver has offered what had to wait for another to be done */
	struct chain chain; /* the one just popped */
};

struct virtio_blk {
	struct virtio_dev dev;
	struct disk *disk;
	struct virtio_blk_config config;  /* but for `capacity` and `wce` */
	_Atomic uint64_t capacity;	  /* in sectors */
	struct disk_growth growth;	  /* runs with the first queue */
	_Atomic bool write_back;	  /* a write need not be stable until there is a flush */
	char serial[VIRTIO_BLK_ID_BYTES]; /* padded with zeros; none if it is full */
	const char *engine;
	struct ratelimit io_errors;
	struct limit reads, writes;
	struct blk_queue queues[];
};

static inline struct virtio_blk *blk_of(struct virtio_dev *dev)
{
	return container_of(dev, struct virtio_blk, dev);
}

/* Makes its loop and all that its requests need; 0, or -errno and nothing is left. */
int blk_queue_start(struct blk_queue *q);

/* Its loop looks at no more kicks: waits until what is on its way has come back, ends the loop. */
void blk_queue_stop(struct blk_queue *q);

/* On its loop: sends what the driver has offered on its way. */
void blk_queue_kick(struct blk_queue *q);

#endif
