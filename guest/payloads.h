/* SPDX-License-Identifier: MIT */
/* Tiny guests that are part of the binary. The Makefile writes the table. */
#ifndef GUEST_PAYLOADS_H
#define GUEST_PAYLOADS_H

#include <stddef.h>

struct payload {
	const char *name;
	const void *data, *end; /* an ELF file */
};

extern const struct payload payloads[]; /* ends with a NULL name */

/* NULL: no such payload. */
const struct payload *payload_find(const char *name);

#endif
