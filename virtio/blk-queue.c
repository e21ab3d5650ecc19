/* SPDX-License-Identifier: MIT */
/*
 * Requests go to a disk queue, up to as many at a time as the driver's queue is long, and come back
 * in any order. Each queue has a disk queue and a loop of its own, which waits for both: the
 * driver's kicks and what the disk has done. It is a thread, so that a slow disk keeps nobody
 * waiting but its own guest.
 */
#include "virtio/blk-queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/*
 * Bytes on their way at a time, unless one request alone has more: a reset or a pause waits for
 * them all, and a driver could ask for 256 times 4 GiB.
 */
#define MAX_BYTES (16 * MIB)

/* Most hosts make a hole at once, some must write zeros: so a part of it counts as bytes on their way. */
#define CLEAR_PART 8

/* One on its way to the disk. Some 10 KiB; memory is taken by those that were ever in use. */
struct request {
	struct disk_request io;
	struct request *next_free;
	uint64_t sector;
	uint32_t len;
	struct chain chain;
	struct iovec data[QUEUE_MAX_SIZE];
};

static bool range_possible(const struct virtio_blk *blk, uint64_t sector, uint32_t len)
{
	uint32_t block = disk_block_size(blk->disk);

	return len % block == 0 && sector % (block / SECTOR) == 0 &&
	       range_in(sector, len / SECTOR, atomic_load(&blk->capacity));
}

static const char *op_name(enum disk_op op)
{
	switch (op) {
	case DISK_READ:
		return "read";
	case DISK_WRITE:
		return "write";
	case DISK_FLUSH:
		return "flush";
	case DISK_ZERO:
		return "write of zeros";
	default:
		return "discard";
	}
}

static int64_t answer(const struct chain *c, uint8_t status)
{
	chain_write(c, c->in_len - (uint32_t)sizeof(status), &status, sizeof(status));
	/* The status is the last byte: whatever came before it counts as written. */
	return c->in_len;
}

/* NULL: others must come back first. The one used last is taken first, while it is warm. */
static struct request *take_free(struct blk_queue *q, uint32_t len)
{
	struct request *r = q->free;

	if (q->in_flight && q->bytes + len > MAX_BYTES)
		return NULL;
	if (r)
		q->free = r->next_free;
	else if (q->n_fresh < q->depth)
		r = &q->requests[q->n_fresh++];
	return r;
}

static void put_free(struct blk_queue *q, struct request *r)
{
	r->next_free = q->free;
	q->free = r;
}

/*
 * Has this request to wait for its turn? Then so do all behind it in its queue, and the timer will
 * go on with them.
 */
static bool is_limited(struct blk_queue *q, enum disk_op op, uint32_t len)
{
	struct limit *limit = op == DISK_READ ? &q->blk->reads : &q->blk->writes;
	uint64_t wait = limit_wait(limit);

	if (wait)
		limit_timer_set(q->timer, wait);
	else
		limit_charge(limit, op == DISK_READ || op == DISK_WRITE ? len : 0);
	return wait;
}

/* Makes it one on its way; NULL: it must wait. */
static struct request *begin(struct blk_queue *q, enum disk_op op, uint64_t sector, uint32_t len)
{
	struct virtio_blk *blk = q->blk;
	struct request *r = take_free(q, len);

	if (!r) {
		q->starved = true;
		return NULL;
	}
	if (is_limited(q, op, len)) {
		put_free(q, r);
		return NULL;
	}
	q->in_flight++;
	q->bytes += len;
	chain_copy(&r->chain, &q->chain);
	r->sector = sector;
	r->len = len;
	r->io = (struct disk_request){ .op = op, .iov = r->data, .offset = sector * SECTOR };
	/* A driver that can't flush takes what is done for safe (virtio 1.2, section 5.2.6.2). */
	r->io.stable = !atomic_load(&blk->write_back) ||
		       !virtio_has_feature(&blk->dev, VIRTIO_BLK_F_FLUSH);
	return r;
}

/* Sends `len` bytes, which are in the chain, at `sector` on their way. */
static int64_t take(struct blk_queue *q, enum disk_op op, uint64_t sector, uint32_t len)
{
	struct request *r = begin(q, op, sector, len);

	if (!r)
		return VIRTIO_LATER;
	if (op == DISK_READ)
		r->io.n = chain_in_iov(&r->chain, 0, len, r->data);
	else if (op == DISK_WRITE)
		r->io.n = chain_out_iov(&r->chain, sizeof(struct virtio_blk_outhdr), len, r->data);
	disk_queue_submit(q->io, &r->io);
	return VIRTIO_TAKEN;
}

static int64_t move_sectors(struct blk_queue *q, enum disk_op op, uint64_t sector, uint32_t len)
{
	const struct virtio_blk *blk = q->blk;

	if ((op == DISK_WRITE && disk_read_only(blk->disk)) || !range_possible(blk, sector, len))
		return answer(&q->chain, VIRTIO_BLK_S_IOERR);
	if (!len)
		return answer(&q->chain, VIRTIO_BLK_S_OK);
	return take(q, op, sector, len);
}

/* One range, as the config space says: discarded, or made zeros (section 5.2.6). */
static int64_t clear_sectors(struct blk_queue *q, enum disk_op op, uint32_t out_data)
{
	struct virtio_blk_discard_write_zeroes range;
	struct request *r;

	if (disk_read_only(q->blk->disk) || out_data != sizeof(range) ||
	    !chain_read(&q->chain, sizeof(struct virtio_blk_outhdr), &range, sizeof(range)))
		return answer(&q->chain, VIRTIO_BLK_S_IOERR);
	if (range.flags & ~(op == DISK_ZERO ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0u))
		return answer(&q->chain, VIRTIO_BLK_S_UNSUPP);
	if (range.num_sectors > CLEAR_SECTORS ||
	    !range_possible(q->blk, range.sector, range.num_sectors * SECTOR))
		return answer(&q->chain, VIRTIO_BLK_S_IOERR);
	if (!range.num_sectors)
		return answer(&q->chain, VIRTIO_BLK_S_OK);
	r = begin(q, op, range.sector, range.num_sectors * SECTOR / CLEAR_PART);
	if (!r)
		return VIRTIO_LATER;
	r->io.len = (uint64_t)range.num_sectors * SECTOR;
	disk_queue_submit(q->io, &r->io);
	return VIRTIO_TAKEN;
}

/* Header, data and status may be cut into descriptors anywhere (virtio 1.2, section 2.7.4). */
static int64_t serve_queue(struct blk_queue *q)
{
	const struct chain *c = &q->chain;
	const struct virtio_blk *blk = q->blk;
	struct virtio_blk_outhdr header;
	uint32_t out_data, in_data;

	if (!chain_read(c, 0, &header, sizeof(header)) || !c->in_len)
		return VIRTIO_BROKEN;
	out_data = c->out_len - (uint32_t)sizeof(header);
	in_data = c->in_len - 1;
	switch (header.type) {
	case VIRTIO_BLK_T_IN:
		return move_sectors(q, DISK_READ, header.sector, in_data);
	case VIRTIO_BLK_T_OUT:
		return move_sectors(q, DISK_WRITE, header.sector, out_data);
	case VIRTIO_BLK_T_FLUSH:
		return take(q, DISK_FLUSH, 0, 0);
	case VIRTIO_BLK_T_DISCARD:
		return clear_sectors(q, DISK_DISCARD, out_data);
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return clear_sectors(q, DISK_ZERO, out_data);
	case VIRTIO_BLK_T_GET_ID:
		chain_write(c, 0, blk->serial, MIN(in_data, (uint32_t)sizeof(blk->serial)));
		return answer(c, VIRTIO_BLK_S_OK);
	default:
		return answer(c, VIRTIO_BLK_S_UNSUPP);
	}
}

static int64_t serve(struct virtio_dev *dev, const struct chain *c)
{
	(void)dev;
	return serve_queue(container_of(c, struct blk_queue, chain));
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
static void complete(struct blk_queue *q)
{
	struct virtio_dev *dev = &q->blk->dev;
	struct disk_request *io;
	bool any = false;

	while ((io = disk_queue_done(q->io))) {
		struct request *r = container_of(io, struct request, io);

		virtio_give_back(dev, q->index, &r->chain,
				 (uint32_t)answer(&r->chain, status_of(q->blk, r)));
		put_free(q, r);
		q->in_flight--;
		q->bytes -= r->len;
		any = true;
	}
	if (any)
		virtio_tell_driver(dev, q->index);
	if (q->starved && any) {
		q->starved = false;
		virtio_notify(dev, q->index);
	}
}
void blk_queue_kick(struct blk_queue *q)
{
	virtio_serve(&q->blk->dev, q->index, &q->chain, serve);
	disk_queue_commit(q->io);
	complete(q); /* what the host has in memory is done at once */
}

static void on_io(void *opaque, uint32_t events)
{
	(void)events;
	complete(opaque);
}

static void on_timer(void *opaque, uint32_t events)
{
	struct blk_queue *q = opaque;

	(void)events;
	limit_timer_clear(q->timer);
	virtio_notify(&q->blk->dev, q->index);
}

static int start_timer(struct blk_queue *q)
{
	if (!q->blk->reads.on)
		return 0;
	q->timer = limit_timer_open();
	return q->timer < 0 ? q->timer
			    : loop_add(q->loop, q->timer, EPOLLIN, on_timer, q, &q->timer_source);
}

/* As many requests as the queue is long: a driver that keeps its rules never needs more. */
static int make_requests(struct blk_queue *q, unsigned int n)
{
	q->requests = calloc(n, sizeof(q->requests[0]));
	q->depth = n;
	q->n_fresh = 0;
	return q->requests ? 0 : -ENOMEM;
}

static void close_queue(struct blk_queue *q)
{
	disk_queue_destroy(q->io);
	loop_destroy(q->loop);
	if (q->timer >= 0)
		close(q->timer);
	q->timer = -1;
	free(q->requests);
	q->io = NULL;
	q->loop = NULL;
	q->requests = q->free = NULL;
	q->starved = false;
}

int blk_queue_start(struct blk_queue *q)
{
	struct virtio_blk *blk = q->blk;
	unsigned int depth = blk->dev.queues[q->index].ring.size;
	int rc = make_requests(q, depth);

	if (!rc)
		rc = disk_queue_create(blk->disk, depth, blk->engine, &q->io);
	q->loop = rc ? NULL : loop_create("blk");
	if (!rc && !q->loop)
		rc = -ENOMEM;
	if (!rc)
		rc = loop_add(q->loop, disk_queue_fd(q->io), EPOLLIN, on_io, q, &q->io_source);
	if (!rc)
		rc = start_timer(q);
	if (rc)
		close_queue(q);
	return rc;
}

void blk_queue_stop(struct blk_queue *q)
{
	loop_remove(q->loop, q->io_source);
	loop_remove(q->loop, q->timer_source);
	while (q->in_flight) {
		disk_queue_wait(q->io);
		complete(q);
	}
	close_queue(q);
}
