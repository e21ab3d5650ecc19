/* SPDX-License-Identifier: MIT */
/* A bounded queue of bytes. All zero is one without room; whoever shares it locks it. */
#ifndef TERM_RING_H
#define TERM_RING_H

#include <stddef.h>
#include <stdint.h>

#define RING_SIZE (64 * 1024)

struct ring {
	uint32_t head, len;
	uint8_t *data; /* RING_SIZE bytes, or NULL */
};

/* Gives it its room, if it has none yet. 0 or -ENOMEM. */
int ring_make(struct ring *r);
void ring_free(struct ring *r);

/* For a ring with room: stores at most `len` bytes, as many as fit: returns how many. */
size_t ring_put(struct ring *r, const uint8_t *data, size_t len);

/* The bytes that lie at the front in one piece: how many. */
size_t ring_front(const struct ring *r, const uint8_t **data);

/* Takes `n` bytes from the front, which are there. */
void ring_drop(struct ring *r, size_t n);

#endif
