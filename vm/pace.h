/* SPDX-License-Identifier: MIT */
/* Keeps vCPUs from running for a part of the time, by a thread that pauses them again and again. */
#ifndef VM_PACE_H
#define VM_PACE_H

#include "vm/vm.h"

struct pace {
	struct vm *vm;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned int percent; /* that they stand still: below 100 */
	bool over;
};

void pace_begin(struct pace *p, struct vm *vm);

/* The thread is made when it is needed first; without one nothing is slowed down. */
void pace_set(struct pace *p, unsigned int percent);

/* They run as they did. Again is fine. */
void pace_end(struct pace *p);

#endif
