/* SPDX-License-Identifier: MIT */
/*
 * How long a run may take: in all, until its command starts, and without a word. One timer for the
 * three. Output does not touch it: it leaves a mark, which is looked at when the timer goes off.
 */
#ifndef VM_TIMEOUTS_H
#define VM_TIMEOUTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/log.h"
#include "util/loop.h"

/* Once one has expired: how long whoever was told has for it before he is told again, in ms. */
#define TIMEOUT_GRACE 5000

enum timeout { TIMEOUT_TOTAL, TIMEOUT_BOOT, TIMEOUT_SILENCE, TIMEOUTS };

struct timeouts_config {
	uint64_t ms[TIMEOUTS]; /* 0: none */
	/* On the loop; `again` when TIMEOUT_GRACE has passed, for the last time. */
	void (*expired)(void *opaque, enum timeout which, bool again);
	void *opaque;
};

struct timeouts {
	struct timeouts_config config;
	struct loop *loop;
	int fd; /* -1: there are none */
	loop_id source;
	uint64_t begun;
	_Atomic uint64_t active; /* when there was output */
	atomic_bool booted, done;
	bool over;
	enum timeout which; /* if over */
};

/* They run from here on. Nothing is taken of the host if there are none. -errno and a line. */
int timeouts_start(struct timeouts *t, const struct timeouts_config *config, struct loop *loop,
		   struct err *err);

/* expired() is not running afterwards, and never will. Also of one that is all zero, or stopped. */
void timeouts_stop(struct timeouts *t);

/* There was output; the command starts; its status is known, and none expires any more. Any thread. */
void timeouts_active(struct timeouts *t);
void timeouts_booted(struct timeouts *t);
void timeouts_done(struct timeouts *t);

/* "--boot-timeout", for people. */
const char *timeout_option(enum timeout which);

#endif
