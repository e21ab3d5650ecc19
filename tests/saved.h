/* SPDX-License-Identifier: MIT */
/* A section of the stream (state/stream.h), as it lies in memory, by who changes some of it. */
#ifndef TESTS_SAVED_H
#define TESTS_SAVED_H

#include "state/stream.h"
#include "util/hash.h"
#include "util/util.h"

#define SECTION_FIRST 16 /* where the first begins */
#define SECTION_HEAD (SAVED_NAME + 24)

static inline uint64_t section_length(const uint8_t *section)
{
	return get_le64(section + SAVED_NAME + 8);
}

/* Its body is all there. */
static inline void section_seal(uint8_t *section)
{
	uint8_t *sum = section + SECTION_HEAD - 8;

	put_le64(sum, hash_bytes(hash_bytes(0, section, (size_t)(sum - section)),
				 section + SECTION_HEAD, (size_t)section_length(section)));
}

/* All whose length can be believed; the rest stays as it is. */
static inline void sections_seal(uint8_t *data, size_t size)
{
	for (size_t at = SECTION_FIRST; at + SECTION_HEAD <= size;) {
		uint64_t length = section_length(data + at);

		if (length > size - at - SECTION_HEAD)
			return;
		section_seal(data + at);
		at += SECTION_HEAD + (size_t)length;
	}
}

#endif
