/* SPDX-License-Identifier: MIT */
/*
 * Many requests to one disk at a time. They may end in any order; one that must see another's
 * effect is submitted when that has ended. By io_uring; by a few threads where the host doesn't
 * allow that (old kernels, seccomp, kernel.io_uring_disabled), or the disk is no raw file.
 *
 * A queue is used by one thread at a time.
 */
#ifndef HOST_DISK_QUEUE_H
#define HOST_DISK_QUEUE_H

#include "host/disk.h"

enum disk_op { DISK_READ, DISK_WRITE, DISK_FLUSH, DISK_ZERO, DISK_DISCARD };

/* The caller's, who must not touch it between submit and done. */
struct disk_request {
	enum disk_op op;
	struct iovec *iov;	   /* used up: its entries change; any alignment */
	unsigned int n;		   /* up to 1,024 */
	uint64_t offset;	   /* bytes; all of it is inside the disk; used up, too */
	uint64_t len;		   /* of what is to be cleared: see disk_clear() */
	bool stable;		   /* what is done is on stable storage */
	int result;		   /* when done: 0 (all of it) or -errno (an unknown part) */
	struct disk_request *next; /* the queue's own; so is what it writes to: */
	uint64_t first, bytes;
};

struct disk_queue;

/*
 * For up to `depth` requests at a time. `engine` NULL: the best that works; else "uring" or
 * "threads". -ENOTSUP for other words and for uring where the disk is no raw file, or what stands
 * in the way of the last one tried. The disk is borrowed. Takes host resources: for a disk that its
 * guest has started.
 */
int disk_queue_create(struct disk *disk, unsigned int depth, const char *engine,
		      struct disk_queue **out);
void disk_queue_destroy(struct disk_queue *q); /* nothing in flight any more; NULL is no queue */

const char *disk_queue_engine(const struct disk_queue *q);

/* Readable when requests may be done. Not to be read from. */
int disk_queue_fd(const struct disk_queue *q);

/*
 * Takes a request; commit sends all that were taken. Some are done at once: ask after a commit,
 * too.
 */
void disk_queue_submit(struct disk_queue *q, struct disk_request *r);
void disk_queue_commit(struct disk_queue *q);

/* One that is done, with its result; NULL: none now. */
struct disk_request *disk_queue_done(struct disk_queue *q);

/* Sleeps until one is done: only while some are in flight. */
void disk_queue_wait(struct disk_queue *q);

/* ---- For engines ---- */

/* What an engine works on, and hands its results to. */
struct disk_queue {
	const struct disk_engine *engine;
	struct disk *disk;
	struct disk_request *done; /* ready to be asked for */
};

struct disk_engine {
	const char *name;
	/*
	 * Allocates a struct that begins with struct disk_queue; the first two fields are filled in
	 * later.
	 */
	int (*create)(struct disk *disk, unsigned int depth, struct disk_queue **out);
	void (*destroy)(struct disk_queue *q);
	int (*fd)(const struct disk_queue *q);
	void (*submit)(struct disk_queue *q, struct disk_request *r);
	void (*commit)(struct disk_queue *q);
	void (*reap)(struct disk_queue *q, bool wait); /* moves what has ended to `done` */
};

extern const struct disk_engine disk_uring, disk_threads;

/* Its result is known. */
void disk_queue_finish(struct disk_queue *q, struct disk_request *r, int result);

/* All of it on the calling thread: 0 or -errno. */
int disk_request_run(struct disk *disk, struct disk_request *r);

#endif
