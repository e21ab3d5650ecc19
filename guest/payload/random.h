/* SPDX-License-Identifier: MIT */
/* xorshift64*: the same seed gives the same numbers. */
#ifndef PAYLOAD_RANDOM_H
#define PAYLOAD_RANDOM_H

#include <stdint.h>

struct random {
	uint64_t state; /* not 0 */
};

static inline void random_seed(struct random *r, uint64_t seed)
{
	r->state = (seed + 1) * 0x9e3779b97f4a7c15ull;
	r->state += !r->state;
}

static inline uint64_t random_next(struct random *r)
{
	r->state ^= r->state >> 12;
	r->state ^= r->state << 25;
	r->state ^= r->state >> 27;
	return r->state * 0x2545f4914f6cdd1dull;
}

static inline uint32_t random_below(struct random *r, uint32_t n)
{
	return (uint32_t)((random_next(r) >> 32) * n >> 32);
}

/* True once in `n` times. */
static inline int random_once(struct random *r, uint32_t n)
{
	return !random_below(r, n);
}

#endif
