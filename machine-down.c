/* SPDX-License-Identifier: MIT */
/*
 * A machine that is taken down waits for what its devices have in hand. That may be with a file server that
 * does not answer, on a thread that nothing can call back from there, and may never end: so somebody
 * watches.
 */
#include <errno.h>
#include <signal.h>
#include <time.h>

#include "machine-parts.h"

static void add_ms(struct timespec *t, unsigned int ms)
{
	t->tv_sec += ms / 1000;
	t->tv_nsec += (long)(ms % 1000) * 1000000;
	if (t->tv_nsec >= 1000000000) {
		t->tv_nsec -= 1000000000;
		t->tv_sec++;
	}
}

static void *watch(void *opaque)
{
	struct machine *m = opaque;
	struct descent *d = &m->descent;
	struct timespec end;
	bool stuck;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &end);
	add_ms(&end, m->config->stuck_ms);
	pthread_mutex_lock(&d->lock);
	while (!d->over && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&d->changed, &d->lock, &end);
	stuck = !d->over;
	atomic_store(&d->stuck, stuck);
	pthread_mutex_unlock(&d->lock);
	if (stuck)
		m->config->stuck(m->config->stuck_opaque, m);
	atomic_store(&d->stuck, false);
	return NULL;
}

void machine_init_descent(struct machine *m)
{
	struct descent *d = &m->descent;
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->changed, &attr);
	pthread_condattr_destroy(&attr);
}

/* A thread costs a tenth of a VM that does nothing. Without one it is as it would be without a watcher. */
void machine_watch_descent(struct machine *m)
{
	struct descent *d = &m->descent;
	sigset_t all, old;

	if (!m->config->stuck || !m->config->stuck_ms || !atomic_load(&m->driven))
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_mutex_lock(&d->lock);
	if (!d->watched && !d->over)
		d->watched = !pthread_create(&d->watcher, NULL, watch, m);
	pthread_mutex_unlock(&d->lock);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void machine_end_descent(struct machine *m)
{
	struct descent *d = &m->descent;

	pthread_mutex_lock(&d->lock);
	d->over = true;
	pthread_cond_signal(&d->changed);
	pthread_mutex_unlock(&d->lock);
	if (d->watched)
		pthread_join(d->watcher, NULL);
	d->watched = false;
}
