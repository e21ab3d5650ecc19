/* SPDX-License-Identifier: MIT */
/*
 * A limit of bytes and of operations a second: a token bucket for each. Whatever the sizes, the mean
 * over time holds: what is larger than the bucket passes when there is no debt, and leaves one, which
 * the next has to wait for. So the cost may be told after the operation, when it is known.
 *
 * Several threads may share a limit; each waits by a timer of its own.
 */
#ifndef UTIL_LIMIT_H
#define UTIL_LIMIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define LIMIT_MOST (UINT64_MAX / 1000000000 / 4) /* of each of these: 4 GiB/s and more */

struct limit_config {
	uint64_t bytes, ops; /* a second; 0: as many as there are */
	uint64_t burst;	     /* bytes at once after a rest; 0: those of a tenth of a second */
};

/* Times are CLOCK_MONOTONIC's, in ns. */
struct bucket {
	uint64_t rate;
	uint64_t credit;    /* for how much time of rest there is a burst */
	uint64_t free_at;   /* when all that has gone will be paid for */
	uint64_t remainder; /* of the division by `rate`, which free_at lacks */
};

struct limit {
	bool on;
	pthread_mutex_t lock;
	struct bucket bytes, ops;
};

void limit_init(struct limit *limit, const struct limit_config *config);
void limit_destroy(struct limit *limit);

/* How long to wait until the next may go, in ns; 0: it may now, if it is then told of. */
uint64_t limit_wait(struct limit *limit);

/* One operation of so many bytes, at most LIMIT_MOST, goes. */
void limit_charge(struct limit *limit, uint64_t bytes);

/* A timer for one who waits: an fd that can be read once it is time. -errno; closed by close(). */
int limit_timer_open(void);
void limit_timer_set(int fd, uint64_t wait);
void limit_timer_clear(int fd);

/* The same by a clock of the caller's own, for tests. */
uint64_t bucket_wait(struct bucket *b, uint64_t now);
void bucket_charge(struct bucket *b, uint64_t amount, uint64_t now);

#endif
