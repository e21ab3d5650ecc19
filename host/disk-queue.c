/* SPDX-License-Identifier: MIT */
#include "host/disk-queue.h"

#include <errno.h>
#include <string.h>

#include "host/disk-kind.h"
#include "util/util.h"

static const struct disk_engine *const engines[] = { &disk_uring, &disk_threads };

int disk_queue_create(struct disk *disk, unsigned int depth, const char *engine,
		      struct disk_queue **out)
{
	int rc = -ENOTSUP;

	for (unsigned int i = 0; rc && i < ARRAY_SIZE(engines); i++) {
		if (engine && strcmp(engine, engines[i]->name))
			continue;
		rc = engines[i]->create(disk, depth, out);
		if (!rc) {
			(*out)->engine = engines[i];
			(*out)->disk = disk;
		}
	}
	return rc;
}

void disk_queue_destroy(struct disk_queue *q)
{
	if (q)
		q->engine->destroy(q);
}

const char *disk_queue_engine(const struct disk_queue *q)
{
	return q->engine->name;
}

int disk_queue_fd(const struct disk_queue *q)
{
	return q->engine->fd(q);
}

void disk_queue_submit(struct disk_queue *q, struct disk_request *r)
{
	r->first = r->offset;
	r->bytes = r->op == DISK_WRITE ? iov_total(r->iov, r->n) : r->len;
	q->engine->submit(q, r);
}

void disk_queue_commit(struct disk_queue *q)
{
	q->engine->commit(q);
}

struct disk_request *disk_queue_done(struct disk_queue *q)
{
	struct disk_request *r;

	if (!q->done)
		q->engine->reap(q, false);
	r = q->done;
	if (!r)
		return NULL;
	q->done = r->next;
	/* Whatever came of it. */
	if (r->op != DISK_READ && r->op != DISK_FLUSH)
		disk_mark(q->disk, r->first, r->bytes);
	return r;
}

void disk_queue_wait(struct disk_queue *q)
{
	if (!q->done)
		q->engine->reap(q, true);
}

void disk_queue_finish(struct disk_queue *q, struct disk_request *r, int result)
{
	r->result = result;
	r->next = q->done;
	q->done = r;
}

static int clear(struct disk *disk, struct disk_request *r)
{
	int rc = disk_clear(disk, r->offset, r->len, r->op == DISK_DISCARD);

	return !rc && r->stable ? disk_flush(disk) : rc;
}

int disk_request_run(struct disk *disk, struct disk_request *r)
{
	switch (r->op) {
	case DISK_READ:
		return disk_read(disk, r->iov, r->n, r->offset);
	case DISK_WRITE:
		return disk_write(disk, r->iov, r->n, r->offset, r->stable);
	case DISK_ZERO:
	case DISK_DISCARD:
		return clear(disk, r);
	default:
		return disk_flush(disk);
	}
}
