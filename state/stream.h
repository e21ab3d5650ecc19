/* SPDX-License-Identifier: MIT */
/*
 * The one stream that snapshots, restores and migrations speak (DESIGN.md, section 5), as it lies in memory:
 *
 *	magic, format version
 *	sections, each { name, instance, version, length, checksum } and its body
 *	the section "end", empty
 *
 * All numbers are little-endian. A checksum is of the section's head, itself being 0, and its body, so that no
 * flipped bit, wherever, goes unseen. A stream is somebody else's word: saved_open() looks at all of it, and
 * lets go of none of it before it has.
 */
#ifndef STATE_STREAM_H
#define STATE_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "util/buf.h"
#include "util/log.h"

#define SAVED_VERSION 1u
#define SAVED_NAME 24		 /* bytes of a section's name, with its NUL */
#define SAVED_MOST (64u << 20)	 /* bytes of a stream */
#define SAVED_SECTIONS 1024u	 /* in a stream */
#define SAVED_SECTION_VERSION 1u /* of every section there is */

void saved_begin(struct buf *out);

/* `name` is shorter than SAVED_NAME. A `body` that has failed makes `out` fail. */
void saved_add(struct buf *out, const char *name, uint32_t instance, const struct buf *body);
void saved_end(struct buf *out);

/* Takes the end off again: there is more to add. */
void saved_reopen(struct buf *out);

struct saved_section {
	const char *name; /* in the stream */
	uint32_t instance, version;
	struct reader body;
};

struct saved {
	unsigned int n_sections;
	struct saved_section sections[SAVED_SECTIONS];
};

/*
 * `data` outlives the stream. -EINVAL, and a line that says what is wrong with it: no stream of ours, another
 * version's, cut short, damaged, two sections of one name and instance.
 */
int saved_open(struct saved *s, const void *data, size_t size, struct err *err);

/* NULL: there is none. */
const struct saved_section *saved_find(const struct saved *s, const char *name, uint32_t instance);

#endif
