/* SPDX-License-Identifier: MIT */
/*
 * inotify has one event for a file that grows and for one that is written to, as the guest does all
 * the time. So the watch is good for one event, and is set again a second after it.
 *
 * The first is set a second after the start: closing an inotify instance that watches waits for a
 * grace period, 8 or 16 ms, more than all else that a short guest takes.
 */
#include "host/disk-growth.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "util/util.h"

static void watch_once(struct disk_growth *g)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", disk_fd(g->disk));
	inotify_add_watch(g->watch, path, IN_MODIFY | IN_ONESHOT);
}

static void look(struct disk_growth *g)
{
	uint64_t size = disk_size_now(g->disk);

	if (size <= g->size)
		return;
	g->size = size;
	g->grown(g->opaque, size);
}

static void in_a_second(struct disk_growth *g)
{
	static const struct itimerspec second = { .it_value.tv_sec = 1 };

	timerfd_settime(g->timer, 0, &second, NULL);
}

static void on_change(void *opaque, uint32_t events)
{
	struct disk_growth *g = opaque;
	char event[sizeof(struct inotify_event) + NAME_MAX + 1];

	(void)events;
	/* It tells of itself, too: that it is gone. */
	while (read(g->watch, event, sizeof(event)) > 0)
		;
	look(g);
	in_a_second(g);
}

static bool make_watch(struct disk_growth *g)
{
	if (g->watch < 0)
		g->watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	return g->watch >= 0 &&
	       (g->watch_source != LOOP_NONE ||
		!loop_add(g->loop, g->watch, EPOLLIN, on_change, g, &g->watch_source));
}

static void on_second(void *opaque, uint32_t events)
{
	struct disk_growth *g = opaque;
	uint64_t count;

	(void)events;
	if (read(g->timer, &count, sizeof(count)) < 0)
		return;
	/* Of a host that has no more watches for us the guest sees the size that was there. */
	if (make_watch(g))
		watch_once(g); /* before looking: what comes later is an event */
	look(g);
}

static bool can_grow(const struct disk *disk)
{
	struct stat st;

	return disk_fd(disk) >= 0 && !fstat(disk_fd(disk), &st) && S_ISREG(st.st_mode);
}

static int start(struct disk_growth *g)
{
	if (g->timer < 0)
		g->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (g->timer < 0)
		return -errno;
	look(g); /* it may have grown since it was opened */
	in_a_second(g);
	return loop_add(g->loop, g->timer, EPOLLIN, on_second, g, &g->timer_source);
}

void disk_growth_init(struct disk_growth *g, struct disk *disk,
		      void (*grown)(void *opaque, uint64_t size), void *opaque)
{
	*g = (struct disk_growth){
		.disk = disk, .grown = grown, .opaque = opaque, .watch = -1, .timer = -1
	};
}

int disk_growth_start(struct disk_growth *g, struct loop *loop, uint64_t size)
{
	int rc;

	if (!can_grow(g->disk))
		return -ENOTSUP;
	g->loop = loop;
	g->size = size;
	rc = start(g);
	if (rc)
		disk_growth_stop(g);
	return rc;
}

/* The descriptors stay: a driver that starts and stops in turns does not wait for them. */
void disk_growth_stop(struct disk_growth *g)
{
	if (!g->loop)
		return;
	/* The timer's handler makes the watch: it goes first. */
	loop_remove(g->loop, g->timer_source);
	loop_remove(g->loop, g->watch_source);
	g->timer_source = g->watch_source = LOOP_NONE;
	g->loop = NULL;
}

void disk_growth_look(struct disk_growth *g, uint64_t size)
{
	disk_growth_stop(g);
	g->size = size;
	look(g);
}

void disk_growth_destroy(struct disk_growth *g)
{
	if (g->watch >= 0)
		close(g->watch);
	if (g->timer >= 0)
		close(g->timer);
	g->watch = g->timer = -1;
}
