/* SPDX-License-Identifier: MIT */
/*
 * Requests go to a disk queue, up to as many at a time as the driver's queue is long, and come back
 * in any order. The device's loop waits for both: the driver's kicks and what the disk has done. It
 * is a thread of its own, so that a slow disk keeps nobody waiting but its own guest.
 */
#include "virtio/blk.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "host/disk-queue.h"
#include "virtio/core.h"

#define QUEUE_SIZE 256
#define SEG_MAX (QUEUE_SIZE - 2) /* header and status take a descriptor each */
#define SECTOR DISK_SECTOR
/*
 * Bytes on their way at a time, unless one request alone has more: a reset or a pause waits for
 * them all, and a driver could ask for 256 times 4 GiB.
 */
#define MAX_BYTES (16 * MIB)

/* Up to what the features offered speak of. */
#define CONFIG_SIZE offsetof(struct virtio_blk_config, physical_block_exp)

/* One on its way to the disk. Some 10 KiB; memory is taken by those that were ever in use. */
struct request {
	struct disk_request io;
	struct request *next_free;
	uint64_t sector;
	uint32_t len;
	struct chain chain;
	struct iovec data[QUEUE_MAX_SIZE];
};

struct virtio_blk {
	struct virtio_dev dev;
	struct disk *disk;
	struct virtio_blk_config config;
	char serial[VIRTIO_BLK_ID_BYTES]; /* padded with zeros; none if it is full */
	const char *engine;
	struct ratelimit io_errors;
	/* While the queue is active. */
	struct loop *loop;
	struct disk_queue *io;
	loop_id io_source;
	struct request *requests, *free; /* free: those that have come back */
	unsigned int depth, n_fresh;	 /* how many there are, and have ever been used */
	unsigned int in_flight;
	uint64_t bytes;	    /* of those */
	bool starved;	    /* the driver has offered what had to wait for another to be done */
	struct chain chain; /* the one just popped */
};

static struct virtio_blk *blk_of(struct virtio_dev *dev)
{
	return container_of(dev, struct virtio_blk, dev);
}

static bool range_possible(const struct virtio_blk *blk, uint64_t sector, uint32_t len)
{
	uint32_t block = disk_block_size(blk->disk);

	return len % block == 0 && sector % (block / SECTOR) == 0 &&
	       range_in(sector, len / SECTOR, blk->config.capacity);
}

static const char *op_name(enum disk_op op)
{
	return op == DISK_READ ? "read" : op == DISK_WRITE ? "write" : "flush";
}

static int64_t answer(const struct chain *c, uint8_t status)
{
	chain_write(c, c->in_len - (uint32_t)sizeof(status), &status, sizeof(status));
	/* The status is the last byte: whatever came before it counts as written. */
	return c->in_len;
}

/* NULL: others must come back first. The one used last is taken first, while it is warm. */
static struct request *take_free(struct virtio_blk *blk, uint32_t len)
{
	struct request *r = blk->free;

	if (blk->in_flight && blk->bytes + len > MAX_BYTES)
		return NULL;
	if (r)
		blk->free = r->next_free;
	else if (blk->n_fresh < blk->depth)
		r = &blk->requests[blk->n_fresh++];
	return r;
}

/* Sends `len` bytes, which are in the chain, at `sector` on their way. */
static int64_t take(struct virtio_blk *blk, enum disk_op op, uint64_t sector, uint32_t len)
{
	struct request *r = take_free(blk, len);

	if (!r) {
		blk->starved = true;
		return VIRTIO_LATER;
	}
	blk->in_flight++;
	blk->bytes += len;
	chain_copy(&r->chain, &blk->chain);
	r->sector = sector;
	r->len = len;
	r->io = (struct disk_request){ .op = op, .iov = r->data, .offset = sector * SECTOR };
	/* A driver that can't flush takes what is done for safe (virtio 1.2, section 5.2.6.2). */
	r->io.stable = !virtio_has_feature(&blk->dev, VIRTIO_BLK_F_FLUSH);
	if (op == DISK_READ)
		r->io.n = chain_in_iov(&r->chain, 0, len, r->data);
	else if (op == DISK_WRITE)
		r->io.n = chain_out_iov(&r->chain, sizeof(struct virtio_blk_outhdr), len, r->data);
	disk_queue_submit(blk->io, &r->io);
	return VIRTIO_TAKEN;
}

static int64_t move_sectors(struct virtio_blk *blk, enum disk_op op, uint64_t sector, uint32_t len)
{
	if ((op == DISK_WRITE && disk_read_only(blk->disk)) || !range_possible(blk, sector, len))
		return answer(&blk->chain, VIRTIO_BLK_S_IOERR);
	if (!len)
		return answer(&blk->chain, VIRTIO_BLK_S_OK);
	return take(blk, op, sector, len);
}

/* Header, data and status may be cut into descriptors anywhere (virtio 1.2, section 2.7.4). */
static int64_t serve(struct virtio_dev *dev, const struct chain *c)
{
	struct virtio_blk *blk = blk_of(dev);
	struct virtio_blk_outhdr header;
	uint32_t out_data, in_data;

	if (!chain_read(c, 0, &header, sizeof(header)) || !c->in_len)
		return VIRTIO_BROKEN;
	out_data = c->out_len - (uint32_t)sizeof(header);
	in_data = c->in_len - 1;
	switch (header.type) {
	case VIRTIO_BLK_T_IN:
		return move_sectors(blk, DISK_READ, header.sector, in_data);
	case VIRTIO_BLK_T_OUT:
		return move_sectors(blk, DISK_WRITE, header.sector, out_data);
	case VIRTIO_BLK_T_FLUSH:
		return take(blk, DISK_FLUSH, 0, 0);
	case VIRTIO_BLK_T_GET_ID:
		chain_write(c, 0, blk->serial, MIN(in_data, (uint32_t)sizeof(blk->serial)));
		return answer(c, VIRTIO_BLK_S_OK);
	default:
		return answer(c, VIRTIO_BLK_S_UNSUPP);
	}
}

static uint8_t status_of(struct virtio_blk *blk, const struct request *r)
{
	if (!r->io.result)
		return VIRTIO_BLK_S_OK;
	log_guest(blk->dev.env->log, &blk->io_errors, "%s: %s at sector %llu: %s",
		  blk->dev.device.name, op_name(r->io.op), (unsigned long long)r->sector,
		  strerror(-r->io.result));
	return VIRTIO_BLK_S_IOERR;
}

/* Gives back what the disk has done. */
static void complete(struct virtio_blk *blk)
{
	struct virtio_dev *dev = &blk->dev;
	struct disk_request *io;
	bool any = false;

	while ((io = disk_queue_done(blk->io))) {
		struct request *r = container_of(io, struct request, io);

		virtio_give_back(dev, 0, &r->chain, (uint32_t)answer(&r->chain, status_of(blk, r)));
		r->next_free = blk->free;
		blk->free = r;
		blk->in_flight--;
		blk->bytes -= r->len;
		any = true;
	}
	if (any)
		virtio_tell_driver(dev, 0);
	if (blk->starved && any) {
		blk->starved = false;
		virtio_notify(dev, 0);
	}
}

static void blk_kick(struct virtio_dev *dev, unsigned int i)
{
	struct virtio_blk *blk = blk_of(dev);

	virtio_serve(dev, i, &blk->chain, serve);
	disk_queue_commit(blk->io);
	complete(blk); /* what the host has in memory is done at once */
}

static void on_io(void *opaque, uint32_t events)
{
	(void)events;
	complete(opaque);
}

/* As many requests as the queue is long: a driver that keeps its rules never needs more. */
static int make_requests(struct virtio_blk *blk, unsigned int n)
{
	blk->requests = calloc(n, sizeof(blk->requests[0]));
	blk->depth = n;
	blk->n_fresh = 0;
	return blk->requests ? 0 : -ENOMEM;
}

static void close_queue(struct virtio_blk *blk)
{
	disk_queue_destroy(blk->io);
	loop_destroy(blk->loop);
	free(blk->requests);
	blk->io = NULL;
	blk->loop = NULL;
	blk->requests = blk->free = NULL;
	blk->starved = false;
}

static int blk_activate(struct virtio_dev *dev, unsigned int i)
{
	struct virtio_blk *blk = blk_of(dev);
	unsigned int depth = dev->queues[i].ring.size;
	int rc = make_requests(blk, depth);

	if (!rc)
		rc = disk_queue_create(blk->disk, depth, blk->engine, &blk->io);
	blk->loop = rc ? NULL : loop_create("blk");
	if (!rc && !blk->loop)
		rc = -ENOMEM;
	if (!rc)
		rc = loop_add(blk->loop, disk_queue_fd(blk->io), EPOLLIN, on_io, blk,
			      &blk->io_source);
	if (rc) {
		close_queue(blk);
		return rc;
	}
	dev->queues[i].loop = blk->loop;
	log_at(dev->env->log, LOG_INFO, "%s: started, I/O by %s", dev->device.name,
	       disk_queue_engine(blk->io));
	return 0;
}

static void blk_stop(struct virtio_dev *dev, unsigned int i)
{
	struct virtio_blk *blk = blk_of(dev);

	(void)i;
	loop_remove(blk->loop, blk->io_source);
	while (blk->in_flight) {
		disk_queue_wait(blk->io);
		complete(blk);
	}
	close_queue(blk);
}

static void blk_config_read(struct virtio_dev *dev, uint32_t offset, void *data, uint32_t len)
{
	memcpy(data, (uint8_t *)&blk_of(dev)->config + offset, len);
}

static void blk_destroy(struct virtio_dev *dev)
{
	struct virtio_blk *blk = blk_of(dev);

	virtio_fini(dev);
	disk_close(blk->disk);
	free(blk);
}

static const struct virtio_ops blk_ops = {
	.config_read = blk_config_read,
	.activate = blk_activate,
	.kick = blk_kick,
	.stop = blk_stop,
	.destroy = blk_destroy,
};

static int blk_create(const struct device_env *env, const void *config, struct device **out,
		      struct err *err)
{
	const struct blk_config *c = config;
	struct virtio_blk *blk = calloc(1, sizeof(*blk));

	if (!blk)
		return err_set(err, ENOMEM, "no memory for %s", c->name);
	blk->disk = c->disk;
	blk->engine = c->engine;
	blk->config.capacity = disk_size(c->disk) / SECTOR;
	blk->config.seg_max = SEG_MAX;
	blk->config.blk_size = disk_block_size(c->disk);
	if (c->serial)
		memcpy(blk->serial, c->serial, strnlen(c->serial, sizeof(blk->serial)));
	blk->dev.ops = &blk_ops;
	blk->dev.id = VIRTIO_ID_BLOCK;
	blk->dev.n_queues = 1;
	blk->dev.often = true;
	blk->dev.queue_size = QUEUE_SIZE;
	blk->dev.config_size = CONFIG_SIZE;
	blk->dev.features = FEATURE(VIRTIO_BLK_F_SEG_MAX) | FEATURE(VIRTIO_BLK_F_BLK_SIZE) |
			    FEATURE(VIRTIO_BLK_F_FLUSH);
	if (disk_read_only(c->disk))
		blk->dev.features |= FEATURE(VIRTIO_BLK_F_RO);
	virtio_init(&blk->dev, c->name, env);
	*out = &blk->dev.device;
	return 0;
}

const struct device_type virtio_blk_type = { "virtio_blk", blk_create };
