/* SPDX-License-Identifier: MIT */
/*
 * What the fuzz targets share: an input that is taken apart number by number (past its end there
 * are zeros), a check that stays in whatever the build is, and a hold of the stand-ins in lib/.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(what)                                                                        \
	do {                                                                               \
		if (!(what)) {                                                             \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what); \
			abort();                                                           \
		}                                                                          \
	} while (0)

struct input {
	const uint8_t *p;
	size_t left;
};

/* The next `bytes` (1 to 8) as a number. */
static inline uint64_t take(struct input *in, uint32_t bytes)
{
	uint32_t n = (uint32_t)MIN(in->left, (size_t)bytes);
	uint64_t v = get_le(in->p, n);

	in->p += n;
	in->left -= n;
	return v;
}

static inline uint8_t take_u8(struct input *in)
{
	return (uint8_t)take(in, 1);
}

static inline uint16_t take_u16(struct input *in)
{
	return (uint16_t)take(in, 2);
}

static inline uint32_t take_u32(struct input *in)
{
	return (uint32_t)take(in, 4);
}

static inline uint64_t take_u64(struct input *in)
{
	return take(in, 8);
}

/* 0 to n - 1. */
static inline uint32_t take_below(struct input *in, uint32_t n)
{
	return take_u8(in) % n;
}

/* A copy that is no longer than it says, so that ASan sees a read past its end. Never NULL. */
static inline uint8_t *heap_copy(const void *data, size_t size)
{
	uint8_t *p = malloc(MAX(size, (size_t)1));

	CHECK(p);
	memcpy(p, data, size);
	return p;
}

#endif
