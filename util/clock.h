/* SPDX-License-Identifier: MIT */
/* Time that passes whatever anybody sets the host's clock to: CLOCK_MONOTONIC, in nanoseconds. */
#ifndef UTIL_CLOCK_H
#define UTIL_CLOCK_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

#define CLOCK_MS 1000000ull
#define CLOCK_SECOND 1000000000ull

uint64_t clock_now(void);

/* `ns` from now, for pthread_cond_timedwait() with a condition that clock_cond_init() made. */
struct timespec clock_after(uint64_t ns);
void clock_cond_init(pthread_cond_t *cond);

/* `ns` as a timer takes it. */
struct timespec clock_timespec(uint64_t ns);

#endif
