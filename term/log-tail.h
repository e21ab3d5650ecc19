/* SPDX-License-Identifier: MIT */
/* The last of what the guest's consoles printed, for when a run fails. */
#ifndef TERM_LOG_TAIL_H
#define TERM_LOG_TAIL_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_TAIL_SIZE (32 * 1024)

struct log_tail {
	pthread_mutex_t lock;
	uint64_t end; /* bytes ever fed */
	char *data;   /* LOG_TAIL_SIZE, from the first byte on: few guests that are small print */
};

void log_tail_init(struct log_tail *tail);
void log_tail_destroy(struct log_tail *tail);

/* Any thread. */
void log_tail_feed(struct log_tail *tail, const void *data, size_t len);

/* How many bytes were ever fed. */
uint64_t log_tail_end(struct log_tail *tail);

/*
 * Its last `lines` lines, or as many of them as there are, without escape sequences and whatever
 * else a terminal might obey: what the guest prints is no command to ours.
 */
void log_tail_lines(struct log_tail *tail, unsigned int lines,
		    void (*line)(void *opaque, const char *text), void *opaque);

#endif
