/* SPDX-License-Identifier: MIT */
#ifndef UTIL_THREAD_H
#define UTIL_THREAD_H

#include <pthread.h>

/*
 * A thread that takes no signals but what it opens itself to: they are for who started the process. 0 or an errno,
 * as pthread_create() has it.
 */
int thread_start(pthread_t *id, void *(*main)(void *opaque), void *opaque);

#endif
