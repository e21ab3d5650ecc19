/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/lib/loop.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

#define SOURCES 32
#define TIMERS 8
#define ROUNDS 16

struct loop {
	const char *name;
};

static struct source {
	struct loop *loop;
	loop_id id; /* LOOP_NONE: free */
	int fd;
	uint32_t events;
	loop_fn fn;
	void *opaque;
} sources[SOURCES];

/* By the eventfd that stands for it. */
static struct timer {
	int fd;
	bool set;
} timers[TIMERS];

struct loop *loop_create(const char *name)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	CHECK(loop);
	loop->name = name;
	return loop;
}

void loop_destroy(struct loop *loop)
{
	for (int i = 0; i < SOURCES; i++) {
		if (sources[i].id && sources[i].loop == loop)
			sources[i].id = LOOP_NONE;
	}
	free(loop);
}

int loop_add(struct loop *loop, int fd, uint32_t events, loop_fn fn, void *opaque, loop_id *id)
{
	static loop_id last;

	for (int i = 0; i < SOURCES; i++) {
		if (sources[i].id)
			continue;
		*id = ++last;
		sources[i] = (struct source){ loop, *id, fd, events, fn, opaque };
		return 0;
	}
	return -ENOSPC;
}

void loop_set_events(struct loop *loop, loop_id id, uint32_t events)
{
	for (int i = 0; i < SOURCES; i++) {
		if (id && sources[i].id == id && sources[i].loop == loop)
			sources[i].events = events;
	}
}

void loop_remove(struct loop *loop, loop_id id)
{
	for (int i = 0; i < SOURCES; i++) {
		if (id && sources[i].id == id && sources[i].loop == loop)
			sources[i].id = LOOP_NONE;
	}
}

void loop_found(struct loop *loop, unsigned int n)
{
	(void)loop;
	(void)n;
}

void loop_call(struct loop *loop, void (*fn)(void *opaque), void *opaque)
{
	(void)loop;
	fn(opaque);
}

/* EPOLLIN and EPOLLOUT are POLLIN and POLLOUT. */
static bool run_once(struct source *s)
{
	struct pollfd pfd = { .fd = s->fd, .events = (short)s->events };

	if (!s->id || !s->events || poll(&pfd, 1, 0) <= 0)
		return false;
	s->fn(s->opaque, (uint32_t)pfd.revents);
	return true;
}

void loops_run(void)
{
	bool any = true;

	for (int round = 0; any && round < ROUNDS; round++) {
		any = false;
		for (int i = 0; i < SOURCES; i++)
			any |= run_once(&sources[i]);
	}
}

void loops_end(void)
{
	for (int i = 0; i < SOURCES; i++)
		CHECK(!sources[i].id);
	memset(timers, 0, sizeof(timers));
}

/* The C library's own are not linked then. A timer's fd is never 0: a free one's is. */

int timerfd_create(clockid_t clock, int flags)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	(void)clock;
	(void)flags;
	CHECK(fd > 0);
	for (int i = 0; i < TIMERS; i++) {
		if (timers[i].fd && timers[i].fd != fd)
			continue;
		timers[i] = (struct timer){ .fd = fd };
		return fd;
	}
	close(fd);
	errno = EMFILE;
	return -1;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *when, struct itimerspec *old)
{
	uint64_t count;

	(void)flags;
	(void)old;
	for (int i = 0; i < TIMERS; i++) {
		if (timers[i].fd != fd)
			continue;
		timers[i].set = when->it_value.tv_sec || when->it_value.tv_nsec;
		/* An expiration that was not read is forgotten. */
		return read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN ? -1 : 0;
	}
	errno = EBADF;
	return -1;
}

void timers_expire(void)
{
	uint64_t one = 1;

	for (int i = 0; i < TIMERS; i++) {
		if (timers[i].set)
			CHECK(write(timers[i].fd, &one, sizeof(one)) == sizeof(one));
		timers[i].set = false;
	}
}
