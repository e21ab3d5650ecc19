/* SPDX-License-Identifier: MIT */
#include "vm/pace.h"

#include "util/clock.h"
#include "util/thread.h"

#define PERIOD \
	(20 * CLOCK_MS) /* so short that a guest's timers are late by less than a tick or two */

void pace_begin(struct pace *p, struct vm *vm)
{
	*p = (struct pace){ .vm = vm };
	pthread_mutex_init(&p->lock, NULL);
	clock_cond_init(&p->changed);
}

/* With the lock held. Less, if it is over. */
static void wait_part(struct pace *p, unsigned int percent)
{
	struct timespec end = clock_after(PERIOD / 100 * percent);

	while (!p->over && !pthread_cond_timedwait(&p->changed, &p->lock, &end))
		;
}

static void *pace_main(void *opaque)
{
	struct pace *p = opaque;
	unsigned int percent;
	int rc = 0;

	pthread_setname_np(pthread_self(), "lkvm-pace");
	pthread_mutex_lock(&p->lock);
	while (!p->over && !rc) {
		percent = p->percent;
		pthread_mutex_unlock(&p->lock);
		rc = vm_pause(p->vm);
		pthread_mutex_lock(&p->lock);
		if (rc)
			break; /* it has ended */
		wait_part(p, percent);
		vm_resume(p->vm);
		wait_part(p, 100 - percent);
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
