/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. Sources live in a table; epoll carries {generation, index}, never a
 * pointer, so an event that was fetched just before its source went finds another generation and
 * is dropped. `running` names the source whose handler runs now: loop_remove() waits for it.
 *
 * One lock guards the table; it is not held while a handler runs, so handlers may call back.
 *
 * Patience. Where no CPU is idle, a thread that mostly sleeps takes one from whoever wakes it: a vCPU
 * that has asked for one thing, was about to ask for more, and is then interrupted for the first alone.
 * By SCHED_BATCH the thread waits until the vCPU sleeps or has had its turn, and may find thirty. But
 * where each request is waited for, there is never more than one, and others' turns would come in
 * between. Nobody tells a loop which it is. So it tries, for a few wake-ups, and stays with it where it
 * finds crowds; else it tries again ever more rarely.
 */
#include "util/loop.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "util/thread.h"
#include "util/util.h"

/* In wake-ups: a trial, and how long there is none after one. */
#define TRIAL 16u
#define FIRST_PAUSE 64u
#define LAST_PAUSE 8192u
#define FEW_SOURCES 16u /* that the table grows by */
#define CROWD 4u	/* pieces of work at a wake-up, on average */

struct source {
	loop_id id; /* LOOP_NONE: free */
	int fd;
	uint32_t events;
	bool plain; /* a file that epoll refuses: always ready */
	loop_fn fn;
	void *opaque;
};

struct loop {
	const char *name;
	pthread_mutex_t lock;
	pthread_cond_t done; /* `running` or `call` changed */
	pthread_t thread;
	bool started, stop;
	int epoll_fd, wake_fd;
	uint32_t generation;
	unsigned int plain_ready; /* sources that are plain and want events */
	loop_id running;
	struct call {
		void (*fn)(void *opaque);
		void *opaque;
		struct call *next;
		bool done;
	} * calls;
	/* Its thread's own. Both counts are since the last decision. */
	bool patient;
	unsigned int wakes, found, pause;
	struct source *sources; /* grows, in loop_add() */
	unsigned int n_sources; /* that it has room for */
};

struct loop *loop_create(const char *name)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return NULL;
	loop->name = name;
	loop->epoll_fd = -1;
	loop->wake_fd = -1;
	loop->pause = FIRST_PAUSE;
	pthread_mutex_init(&loop->lock, NULL);
	pthread_cond_init(&loop->done, NULL);
	return loop;
}

static void loop_wake(struct loop *loop)
{
	uint64_t one = 1;
	/* Only a full counter can fail, and then the loop is awake already. */
	ssize_t rc = write(loop->wake_fd, &one, sizeof(one));

	(void)rc;
}

/*
 * A source that wants nothing leaves epoll, which else reports its hang-up for ever and spins.
 * 0 or -errno, -EPERM for what epoll can't watch.
 */
static int watch(struct loop *loop, int fd, loop_id id, uint32_t old, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.u64 = id };
	int op = !events ? EPOLL_CTL_DEL : old ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	return epoll_ctl(loop->epoll_fd, op, fd, &ev) ? -errno : 0;
}

static void dispatch(struct loop *loop, loop_id id, uint32_t events)
{
	struct source copy;

	pthread_mutex_lock(&loop->lock);
	copy = loop->sources[(uint32_t)id]; /* the table never shrinks */
	/* A source that was silenced since its event was fetched stays silent. */
	if (copy.id != id || !copy.events || loop->stop) {
		pthread_mutex_unlock(&loop->lock);
		return;
	}
	loop->running = id;
	pthread_mutex_unlock(&loop->lock);

	copy.fn(copy.opaque, events);

	pthread_mutex_lock(&loop->lock);
	loop->running = LOOP_NONE;
	pthread_cond_broadcast(&loop->done);
	pthread_mutex_unlock(&loop->lock);
}

static void run_calls(struct loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	while (loop->calls) {
		struct call *call = loop->calls;

		loop->calls = call->next;
		pthread_mutex_unlock(&loop->lock);
		call->fn(call->opaque);
		pthread_mutex_lock(&loop->lock);
		call->done = true; /* its owner's stack frame may be gone after the unlock */
		pthread_cond_broadcast(&loop->done);
	}
	pthread_mutex_unlock(&loop->lock);
}

static void run_plain(struct loop *loop)
{
	bool more = true;

	for (unsigned int i = 0; more; i++) {
		struct source s = { 0 };

		pthread_mutex_lock(&loop->lock);
		more = i < loop->n_sources;
		if (more)
			s = loop->sources[i];
		pthread_mutex_unlock(&loop->lock);
		if (s.id != LOOP_NONE && s.plain && s.events)
			dispatch(loop, s.id, s.events);
	}
}

static void *loop_main(void *arg)
{
	struct loop *loop = arg;
	struct epoll_event events[16];

	pthread_setname_np(pthread_self(), loop->name);
	for (;;) {
		bool stop, plain;
		int n;

		pthread_mutex_lock(&loop->lock);
		stop = loop->stop;
		plain = loop->plain_ready;
		pthread_mutex_unlock(&loop->lock);
		if (stop)
			return NULL;
		n = epoll_wait(loop->epoll_fd, events, ARRAY_SIZE(events), plain ? 0 : -1);
		for (int i = 0; i < n; i++) {
			uint64_t count;

			if (events[i].data.u64 != LOOP_NONE) {
				dispatch(loop, events[i].data.u64, events[i].events);
			} else if (read(loop->wake_fd, &count, sizeof(count)) == sizeof(count)) {
				run_calls(loop);
			}
		}
		if (plain)
			run_plain(loop);
	}
}

/* With the lock held. */
static int start(struct loop *loop)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = LOOP_NONE };
	int rc;

	if (loop->started)
		return 0;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->epoll_fd < 0 || loop->wake_fd < 0 ||
	    epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &ev)) {
		rc = -errno;
		goto fail;
	}
	rc = -thread_start(&loop->thread, loop_main, loop);
	if (rc)
		goto fail;
	loop->started = true;
	return 0;
fail:
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	if (loop->wake_fd >= 0)
		close(loop->wake_fd);
	loop->epoll_fd = loop->wake_fd = -1;
	return rc;
}

/* With the lock held. 0 or -errno. */
static int free_source(struct loop *loop, struct source **out)
{
	unsigned int n = loop->n_sources;
	struct source *table;

	for (unsigned int i = 0; i < n; i++) {
		if (loop->sources[i].id == LOOP_NONE) {
			*out = &loop->sources[i];
			return 0;
		}
	}
	if (n == LOOP_SOURCES)
		return -ENOSPC;
	table = realloc(loop->sources, (n + FEW_SOURCES) * sizeof(*table));
	if (!table)
		return -ENOMEM;
	memset(table + n, 0, FEW_SOURCES * sizeof(*table));
	loop->sources = table;
	loop->n_sources += FEW_SOURCES;
	*out = &table[n];
	return 0;
}

int loop_begin(struct loop *loop)
{
	int rc;

	pthread_mutex_lock(&loop->lock);
	rc = start(loop);
	pthread_mutex_unlock(&loop->lock);
	return rc;
}

int loop_add(struct loop *loop, int fd, uint32_t events, loop_fn fn, void *opaque, loop_id *id)
{
	struct source *s;
	loop_id new;
	int rc;

	*id = LOOP_NONE;
	pthread_mutex_lock(&loop->lock);
	rc = start(loop);
	if (rc)
		goto out;
	rc = free_source(loop, &s);
	if (rc)
		goto out;
	loop->generation++;
	if (!loop->generation) /* 0 with index 0 would be LOOP_NONE */
		loop->generation = 1;
	new = (uint64_t)loop->generation << 32 | (uint32_t)(s - loop->sources);
	*s = (struct source){ .fd = fd, .events = events, .fn = fn, .opaque = opaque };
	rc = watch(loop, fd, new, 0, events | EPOLLERR);
	if (!rc && !events)
		watch(loop, fd, new, EPOLLERR, 0);
	if (rc == -EPERM) {
		rc = 0;
		s->plain = true;
		loop->plain_ready += !!events;
		loop_wake(loop);
	}
	if (!rc)
		*id = s->id = new;
out:
	pthread_mutex_unlock(&loop->lock);
	return rc;
}

/* With the lock held. */
static struct source *find(struct loop *loop, loop_id id)
{
	struct source *s;

	if (id == LOOP_NONE)
		return NULL;
	s = &loop->sources[(uint32_t)id]; /* an id's place is there, always */
	return s->id == id ? s : NULL;
}

void loop_set_events(struct loop *loop, loop_id id, uint32_t events)
{
	struct source *s;

	pthread_mutex_lock(&loop->lock);
	s = find(loop, id);
	if (s && s->events != events) {
		if (s->plain) {
			loop->plain_ready += (unsigned int)!!events - (unsigned int)!!s->events;
			loop_wake(loop);
		} else {
			watch(loop, s->fd, id, s->events, events);
		}
		s->events = events;
	}
	pthread_mutex_unlock(&loop->lock);
}

void loop_remove(struct loop *loop, loop_id id)
{
	struct source *s;

	pthread_mutex_lock(&loop->lock);
	s = find(loop, id);
	if (s) {
		if (s->plain)
			loop->plain_ready -= !!s->events;
		else if (s->events)
			watch(loop, s->fd, id, s->events, 0);
		*s = (struct source){ 0 };
	}
	while (id != LOOP_NONE && loop->running == id &&
	       !pthread_equal(pthread_self(), loop->thread))
		pthread_cond_wait(&loop->done, &loop->lock);
	pthread_mutex_unlock(&loop->lock);
}

/* A policy that somebody chose for us stays. */
static void set_patient(struct loop *loop, bool on)
{
	struct sched_param param = { 0 };
	int policy;

	if (!pthread_getschedparam(loop->thread, &policy, &param) &&
	    policy == (on ? SCHED_OTHER : SCHED_BATCH) &&
	    !pthread_setschedparam(loop->thread, on ? SCHED_BATCH : SCHED_OTHER, &param))
		loop->patient = on;
}

void loop_found(struct loop *loop, unsigned int n)
{
	bool crowds;

	loop->wakes++;
	loop->found += n;
	if (loop->wakes < (loop->patient ? TRIAL : loop->pause))
		return;
	crowds = loop->found >= CROWD * loop->wakes;
	loop->wakes = loop->found = 0;
	if (!loop->patient) {
		set_patient(loop, true);
	} else if (crowds) {
		loop->pause = FIRST_PAUSE;
	} else {
		set_patient(loop, false);
		loop->pause = MIN(2 * loop->pause, LAST_PAUSE);
	}
}

void loop_call(struct loop *loop, void (*fn)(void *opaque), void *opaque)
{
	struct call call = { .fn = fn, .opaque = opaque };

	pthread_mutex_lock(&loop->lock);
	if (!loop->started || pthread_equal(pthread_self(), loop->thread)) {
		pthread_mutex_unlock(&loop->lock);
		fn(opaque);
		return;
	}
	call.next = loop->calls;
	loop->calls = &call;
	loop_wake(loop);
	while (!call.done)
		pthread_cond_wait(&loop->done, &loop->lock);
	pthread_mutex_unlock(&loop->lock);
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	pthread_mutex_lock(&loop->lock);
	loop->stop = true;
	if (loop->started)
		loop_wake(loop);
	pthread_mutex_unlock(&loop->lock);
	if (loop->started) {
		pthread_join(loop->thread, NULL);
		close(loop->epoll_fd);
		close(loop->wake_fd);
	}
	pthread_mutex_destroy(&loop->lock);
	pthread_cond_destroy(&loop->done);
	free(loop->sources);
	free(loop);
}
