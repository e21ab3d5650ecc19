/* SPDX-License-Identifier: MIT */
/*
 * By io_uring: one ring a queue, the disk as its registered file 0. Buffers are not registered:
 * that would pin the guest's RAM. The ring has an entry for each request that may be in flight, so
 * neither of its queues ever overflows. What ended short is continued; what can't go past the page
 * cache as it lies in memory is done at once, through disk_read() and its like, which know how.
 */
#include <errno.h>
#if !__has_include(<liburing.h>)
#error "liburing.h is missing: install liburing-dev, or run tests/install-needs build"
#endif
#include <liburing.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/disk-queue.h"
#include "host/iov.h"
#include "util/util.h"

#define RETRY_US 1000

struct uring {
	struct disk_queue queue;
	struct io_uring ring;
};

static struct uring *uring_of(const struct disk_queue *q)
{
	return container_of((struct disk_queue *)q, struct uring, queue);
}

static int uring_create(struct disk *disk, unsigned int depth, struct disk_queue **out)
{
	struct uring *u;
	int fd = disk_fd(disk), rc;

	if (fd < 0)
		return -ENOTSUP;
	u = calloc(1, sizeof(*u));
	if (!u)
		return -ENOMEM;
	rc = io_uring_queue_init(depth, &u->ring, 0);
	if (rc) {
		free(u);
		return rc;
	}
	rc = io_uring_register_files(&u->ring, &fd, 1);
	/* A filter may allow all but this one, and requests would never end. */
	if (!rc && syscall(__NR_io_uring_enter, u->ring.ring_fd, 0, 0, 0, NULL, 0) < 0)
		rc = -errno;
	if (rc) {
		io_uring_queue_exit(&u->ring);
		free(u);
		return rc;
	}
	*out = &u->queue;
	return 0;
}

static void uring_destroy(struct disk_queue *q)
{
	struct uring *u = uring_of(q);

	/* Else the ring keeps the file for a moment longer, and its file system busy. */
	io_uring_unregister_files(&u->ring);
	io_uring_queue_exit(&u->ring);
	free(u);
}

static int uring_fd(const struct disk_queue *q)
{
	return uring_of(q)->ring.ring_fd;
}

static bool clears(const struct disk_request *r)
{
	return r->op == DISK_ZERO || r->op == DISK_DISCARD;
}

static void enqueue(struct uring *u, struct disk_request *r)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	if (!sqe) { /* more than `depth` at a time */
		disk_queue_finish(&u->queue, r, -EBUSY);
		return;
	}
	switch (r->op) {
	case DISK_READ:
		io_uring_prep_readv(sqe, 0, r->iov, r->n, r->offset);
		break;
	case DISK_WRITE:
		io_uring_prep_writev2(sqe, 0, r->iov, r->n, r->offset, r->stable ? RWF_DSYNC : 0);
		break;
	case DISK_FLUSH:
		io_uring_prep_fsync(sqe, 0, IORING_FSYNC_DATASYNC);
		break;
	case DISK_ZERO:
	case DISK_DISCARD:
		io_uring_prep_fallocate(sqe, 0, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					(off_t)r->offset, (off_t)r->len);
		break;
	}
	io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
	io_uring_sqe_set_data(sqe, r);
}

static void uring_submit(struct disk_queue *q, struct disk_request *r)
{
	bool moves = r->op == DISK_READ || r->op == DISK_WRITE;

	if ((moves && !disk_is_aligned(q->disk, r->iov, r->n)) || (clears(r) && r->stable))
		disk_queue_finish(q, r, disk_request_run(q->disk, r));
	else
		enqueue(uring_of(q), r);
}

/*
 * Until all are sent: the kernel stops short where it can't begin one of them, and that one ends with
 * its error. When it refuses for now, it lacks memory, or has work of its own first.
 */
static void uring_commit(struct disk_queue *q)
{
	struct io_uring *ring = &uring_of(q)->ring;

	while (io_uring_sq_ready(ring)) {
		int rc = io_uring_submit(ring);

		if (rc < 0 && rc != -EINTR)
			usleep(RETRY_US);
	}
}

/* False: it goes on. */
static bool has_ended(struct disk *disk, struct disk_request *r, int res)
{
	if (res == -EINTR)
		return false;
	r->result = MIN(res, 0);
	/* What the kernel won't wait for by itself. */
	if (res == -EAGAIN || (res == -EOPNOTSUPP && clears(r)))
		r->result = disk_request_run(disk, r);
	if (res < 0 || r->op == DISK_FLUSH || clears(r))
		return true;
	if (!res) { /* the file has become shorter under us */
		r->result = -EIO;
		return true;
	}
	r->offset += (unsigned int)res;
	r->n = iov_advance(&r->iov, r->n, (size_t)res);
	return !r->n;
}

static void uring_reap(struct disk_queue *q, bool wait)
{
	struct uring *u = uring_of(q);
	struct io_uring_cqe *cqe;

	while (!q->done &&
	       !(wait ? io_uring_wait_cqe(&u->ring, &cqe) : io_uring_peek_cqe(&u->ring, &cqe))) {
		struct disk_request *r = io_uring_cqe_get_data(cqe);
		bool ended = has_ended(q->disk, r, cqe->res);

		io_uring_cqe_seen(&u->ring, cqe);
		if (ended) {
			disk_queue_finish(q, r, r->result);
		} else {
			enqueue(u, r);
			uring_commit(q);
		}
	}
}

const struct disk_engine disk_uring = {
	.name = "uring",
	.create = uring_create,
	.destroy = uring_destroy,
	.fd = uring_fd,
	.submit = uring_submit,
	.commit = uring_commit,
	.reap = uring_reap,
};
