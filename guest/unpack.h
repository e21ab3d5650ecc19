/* SPDX-License-Identifier: MIT */
/*
 * Packed kernels, unpacked into memory of our own. One file a format (unpack-gzip.c and so on),
 * each with one `const struct unpacker`; the Makefile writes the table of those that Kconfig keeps.
 */
#ifndef GUEST_UNPACK_H
#define GUEST_UNPACK_H

#include <stddef.h>
#include <stdint.h>

#include "guest/image.h"
#include "util/log.h"

struct unpacker {
	const char *name; /* "gzip" */
	enum image_kind kind;
	/*
	 * Unpacks `in` to at most `max` bytes at `out`; neither is NULL. Archives of the format
	 * that follow are unpacked too; what is no archive behind one is ignored. Takes at most
	 * 300 MiB of memory besides. Returns the unpacked size; -EINVAL damaged or cut short,
	 * -E2BIG it has more than `max` bytes, -ENOMEM.
	 */
	int64_t (*unpack)(const void *in, size_t len, void *out, size_t max);
};

extern const struct unpacker *const unpackers[]; /* ends with NULL */

/* NULL: there is none, or it was left out of this binary. */
const struct unpacker *unpacker_for_kind(enum image_kind kind);
const struct unpacker *unpacker_by_name(const char *name);

struct unpacked {
	uint8_t *data; /* page-aligned, writable, owned: unpacked_free() releases it */
	size_t size;
	size_t mapped; /* bytes of address space that it takes */
};

/*
 * Unpacks to at most `max` bytes (the guest's RAM: more could not be loaded), of which only address
 * space is taken ahead. On failure -errno, a line for people, and nothing to free: -EINVAL damaged,
 * -E2BIG too large, -ENOMEM.
 */
int unpack(const struct unpacker *u, const void *in, size_t len, size_t max, struct unpacked *out,
	   struct err *err);

/*
 * The same into `out`, which is there already, `max` bytes of it. Whatever happens, all of them may
 * have been written.
 */
int unpack_to(const struct unpacker *u, const void *in, size_t len, void *out, size_t max,
	      size_t *size, struct err *err);

/* Zeros are fine, and what has been freed already. */
void unpacked_free(struct unpacked *u);

#endif
