/* SPDX-License-Identifier: MIT */
/*
 * A machine that is taken down waits for what its devices have in hand. That may be with a file server that
 * does not answer, on a thread that nothing can call back from there, and may never end: so somebody
 * watches.
 */
#include <errno.h>

#include "machine-parts.h"
#include "util/clock.h"
#include "util/thread.h"

static void *watch(void *opaque)
{
	struct machine *m = opaque;
	struct descent *d = &m->descent;
	struct timespec end = clock_after(m->config->stuck_ms * CLOCK_MS);
	bool stuck;
	int rc = 0;

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

	pthread_mutex_init(&d->lock, NULL);
	clock_cond_init(&d->changed);
}

/* A thread costs a tenth of a VM that does nothing. Without one it is as it would be without a watcher. */
void machine_watch_descent(struct machine *m)
{
	struct descent *d = &m->descent;

	if (!m->config->stuck || !m->config->stuck_ms || !atomic_load(&m->driven))
		return;
	pthread_mutex_lock(&d->lock);
	if (!d->watched && !d->over)
		d->watched = !thread_start(&d->watcher, watch, m);
	pthread_mutex_unlock(&d->lock);
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
