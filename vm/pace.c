/* SPDX-License-Identifier: MIT */
#include "vm/pace.h"

#include "util/clock.h"
#include "util/thread.h"
#include "util/util.h"

#define PERIOD \
	(20 * CLOCK_MS) /* so short that a guest's timers are late by less than a tick or two */
#define LONGEST (10 * PERIOD) /* that they stand still in one go */

void pace_begin(struct pace *p, struct vm *vm)
{
	*p = (struct pace){ .vm = vm };
	pthread_mutex_init(&p->lock, NULL);
	clock_cond_init(&p->changed);
}

/* With the lock held. Less, if it is over. */
static void wait_for(struct pace *p, uint64_t ns)
{
	struct timespec end = clock_after(ns);

	while (!p->over && !pthread_cond_timedwait(&p->changed, &p->lock, &end))
		;
}

/*
 * On a busy host this thread wakes late, and vCPUs have run for longer than they were to: so they stand still by
 * how long that was.
 */
static void *pace_main(void *opaque)
{
	struct pace *p = opaque;
	uint64_t resumed = clock_now(), ran;
	int rc = 0;

	pthread_setname_np(pthread_self(), "lkvm-pace");
	pthread_mutex_lock(&p->lock);
	while (!p->over && !rc) {
		pthread_mutex_unlock(&p->lock);
		rc = vm_pause(p->vm);
		ran = clock_now() - resumed;
		pthread_mutex_lock(&p->lock);
		if (rc)
			break; /* it has ended */
		wait_for(p, MIN(ran * p->percent / (100 - p->percent), LONGEST));
		vm_resume(p->vm);
		resumed = clock_now();
		wait_for(p, PERIOD / 100 * (100 - p->percent));
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

void pace_set(struct pace *p, unsigned int percent)
{
	pthread_mutex_lock(&p->lock);
	p->percent = percent;
	pthread_mutex_unlock(&p->lock);
	if (!p->started)
		p->started = !thread_start(&p->thread, pace_main, p);
}

void pace_end(struct pace *p)
{
	if (!p->vm)
		return;
	pthread_mutex_lock(&p->lock);
	p->over = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	if (p->started)
		pthread_join(p->thread, NULL);
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	p->vm = NULL;
}
