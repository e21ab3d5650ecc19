/* SPDX-License-Identifier: MIT */
/* EFI zboot, what newer distributions call vmlinuz.efi: an EFI program around a packed kernel. */
#ifndef GUEST_ZBOOT_H
#define GUEST_ZBOOT_H

#include <stddef.h>
#include <stdint.h>

#include "util/log.h"

struct zboot {
	const uint8_t *payload; /* in the file, borrowed */
	size_t size;		/* bytes of it, never 0; four bytes of garbage may end it */
	char compression
		[33]; /* an unpacker's name (unpacker_by_name()), or one that is not known */
};

/* -EINVAL and a line for people, with `out` undefined. The name is printable. */
int zboot_parse(const void *data, size_t size, struct zboot *out, struct err *err);

#endif
