/* SPDX-License-Identifier: MIT */
/*
 * Free page hinting (virtio 1.2, section 5.5.6.5), as a part of virtio/balloon.c: what passes
 * between the driver, which names free pages as an answer to a command, and who wants to know them
 * (struct balloon_hints).
 *
 * Any thread may call any of these. The user's functions are called with the lock held: so none
 * runs any more when hints_done() has returned.
 */
#ifndef VIRTIO_BALLOON_HINTS_H
#define VIRTIO_BALLOON_HINTS_H

#include <pthread.h>

#include "virtio/balloon.h"

enum hints_state {
	HINTS_OFF,
	HINTS_ASKED,  /* the driver has not answered yet: what it names is an answer to others */
	HINTS_COMING, /* what it names counts */
	HINTS_ENDED,  /* it keeps all that until hints_done() */
};

struct hints {
	pthread_mutex_t lock;
	bool possible; /* the queue is running */
	enum hints_state state;
	uint32_t command; /* free_page_hint_cmd_id */
	uint32_t last_id; /* of the commands: the driver remembers it, and must not have it twice */
	struct balloon_hints user;
};

void hints_init(struct hints *h);
void hints_fini(struct hints *h);

/* As balloon_start_hints() and balloon_end_hints(); 0 and true: the command is another. */
int hints_start(struct hints *h, const struct balloon_hints *user);
bool hints_done(struct hints *h);

/* The same as hints_done(), and the user is told. */
bool hints_cut_short(struct hints *h);

/* The queue is started or stopped; that cuts them short. */
void hints_set_possible(struct hints *h, bool possible);

/* The device is reset, its queues are stopped. */
void hints_reset(struct hints *h);

/* What the driver shall do: the field of the config space. */
uint32_t hints_command(struct hints *h);

/* The driver's side: what it answers, and a range that is free. */
void hints_answer(struct hints *h, uint32_t id);
void hints_free(struct hints *h, uint64_t gpa, uint64_t len);

/* Of a device at rest. load(): -EINVAL for what can't be. */
void hints_save(struct hints *h, struct buf *out);
int hints_load(struct hints *h, struct reader *in);

#endif
