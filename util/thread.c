/* SPDX-License-Identifier: MIT */
#include "util/thread.h"

#include <signal.h>

/* It inherits the mask: there is no moment in which it has another. */
int thread_start(pthread_t *id, void *(*main)(void *opaque), void *opaque)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(id, NULL, main, opaque);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc;
}
