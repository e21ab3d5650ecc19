/* SPDX-License-Identifier: MIT */
#include "util/limit.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/util.h"

/* ---- One bucket ---- */

static struct bucket bucket_of(uint64_t rate, uint64_t burst)
{
	struct bucket b = { .rate = MIN(rate, LIMIT_MOST), .credit = CLOCK_SECOND / 10 };

	if (rate && burst)
		b.credit = (uint64_t)MIN((double)burst * CLOCK_SECOND / (double)b.rate,
					 (double)INT64_MAX);
	return b;
}

uint64_t bucket_wait(struct bucket *b, uint64_t when)
{
	return b->free_at > when ? b->free_at - when : 0;
}

/* A rest is worth `credit` at most. */
void bucket_charge(struct bucket *b, uint64_t amount, uint64_t when)
{
	uint64_t cost, oldest = when > b->credit ? when - b->credit : 0;

	if (!b->rate)
		return;
	cost = MIN(amount, LIMIT_MOST) * CLOCK_SECOND + b->remainder;
	b->free_at = MAX(b->free_at, oldest) + cost / b->rate;
	b->remainder = cost % b->rate;
}

/* ---- Both of them ---- */

void limit_init(struct limit *limit, const struct limit_config *config)
{
	limit->on = config->bytes || config->ops;
	limit->bytes = bucket_of(config->bytes, config->burst);
	limit->ops = bucket_of(config->ops, 0);
	pthread_mutex_init(&limit->lock, NULL);
}

void limit_destroy(struct limit *limit)
{
	pthread_mutex_destroy(&limit->lock);
}

uint64_t limit_wait(struct limit *limit)
{
	uint64_t when, wait;

	if (!limit->on)
		return 0;
	when = clock_now();
	pthread_mutex_lock(&limit->lock);
	wait = MAX(bucket_wait(&limit->bytes, when), bucket_wait(&limit->ops, when));
	pthread_mutex_unlock(&limit->lock);
	return wait;
}

void limit_charge(struct limit *limit, uint64_t bytes)
{
	uint64_t when;

	if (!limit->on)
		return;
	when = clock_now();
	pthread_mutex_lock(&limit->lock);
	bucket_charge(&limit->bytes, bytes, when);
	bucket_charge(&limit->ops, 1, when);
	pthread_mutex_unlock(&limit->lock);
}

/* ---- Waiting ---- */

int limit_timer_open(void)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

void limit_timer_set(int fd, uint64_t wait)
{
	struct itimerspec when = { .it_value = { (time_t)(wait / CLOCK_SECOND),
						 (long)(wait % CLOCK_SECOND) } };

	timerfd_settime(fd, 0, &when, NULL);
}

void limit_timer_clear(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		return; /* set anew meanwhile */
}
