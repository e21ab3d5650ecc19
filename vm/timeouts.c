/* SPDX-License-Identifier: MIT */
#include "vm/timeouts.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/util.h"

static uint64_t due(const struct timeouts *t, enum timeout which)
{
	uint64_t from = which == TIMEOUT_SILENCE ? atomic_load(&t->active) : t->begun;

	if (!t->config.ms[which] || atomic_load(&t->done) ||
	    (which == TIMEOUT_BOOT && atomic_load(&t->booted)))
		return UINT64_MAX;
	return from + t->config.ms[which] * CLOCK_MS;
}

/* The one that is due next. */
static enum timeout next(const struct timeouts *t)
{
	enum timeout first = TIMEOUT_TOTAL;

	for (int i = 1; i < TIMEOUTS; i++)
		first = due(t, (enum timeout)i) < due(t, first) ? (enum timeout)i : first;
	return first;
}

static int set_timer(struct timeouts *t, uint64_t when)
{
	struct itimerspec at = { .it_value = clock_timespec(when) };

	if (when == UINT64_MAX)
		at = (struct itimerspec){ 0 };
	return timerfd_settime(t->fd, TFD_TIMER_ABSTIME, &at, NULL) ? -errno : 0;
}

static void on_timer(void *opaque, uint32_t events)
{
	struct timeouts *t = opaque;
	enum timeout which = next(t);
	uint64_t now = clock_now();
	uint64_t count;
	ssize_t rc = read(t->fd, &count, sizeof(count));

	(void)events;
	(void)rc;
	if (t->over) {
		set_timer(t, UINT64_MAX);
		t->config.expired(t->config.opaque, t->which, true);
	} else if (due(t, which) <= now) {
		t->over = true;
		t->which = which;
		set_timer(t, now + TIMEOUT_GRACE * CLOCK_MS);
		t->config.expired(t->config.opaque, which, false);
	} else {
		set_timer(t, due(t, which));
	}
}

int timeouts_start(struct timeouts *t, const struct timeouts_config *config, struct loop *loop,
		   struct err *err)
{
	int rc;

	*t = (struct timeouts){ .config = *config, .loop = loop, .fd = -1 };
	t->begun = clock_now();
	atomic_store(&t->active, t->begun);
	if (due(t, next(t)) == UINT64_MAX)
		return 0;
	t->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	rc = t->fd < 0 ? -errno : set_timer(t, due(t, next(t)));
	if (!rc)
		rc = loop_add(loop, t->fd, EPOLLIN, on_timer, t, &t->source);
	return rc ? err_set(err, -rc, "cannot set a timer: %s", strerror(-rc)) : 0;
}

void timeouts_stop(struct timeouts *t)
{
	if (!t->loop)
		return;
	loop_remove(t->loop, t->source);
	t->source = LOOP_NONE;
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
}

void timeouts_active(struct timeouts *t)
{
	if (t->config.ms[TIMEOUT_SILENCE])
		atomic_store(&t->active, clock_now());
}

void timeouts_booted(struct timeouts *t)
{
	atomic_store(&t->booted, true);
}

void timeouts_done(struct timeouts *t)
{
	atomic_store(&t->done, true);
}

const char *timeout_option(enum timeout which)
{
	static const char *const names[TIMEOUTS] = { "--timeout", "--boot-timeout",
						     "--silence-timeout" };

	return names[which];
}
