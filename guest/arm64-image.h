/* SPDX-License-Identifier: MIT */
/* Linux's arm64 Image (Documentation/arch/arm64/booting.rst): a header of 64 bytes, then code. */
#ifndef GUEST_ARM64_IMAGE_H
#define GUEST_ARM64_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/log.h"

struct arm64_image {
	const uint8_t *data; /* the file, borrowed: all is loaded, and entered at its first byte */
	size_t size;
	uint64_t text_offset;  /* bytes from a 2 MiB-aligned base to load it at; below 2 MiB */
	uint64_t image_size;   /* bytes of RAM it needs from its load address on; >= size */
	bool big_endian;       /* it switches by itself, if the CPU can */
	unsigned int page_kib; /* its page size: 4, 16 or 64; 0: it does not say */
	bool anywhere;	       /* false: RAM below its base is lost to it, so put it low */
};

/* -EINVAL and a line for people, with `out` undefined. */
int arm64_image_parse(const void *data, size_t size, struct arm64_image *out, struct err *err);

#endif
