/* SPDX-License-Identifier: MIT */
/*
 * Linux's zImage for 32-bit Arm (Documentation/arch/arm/booting.rst): a kernel that unpacks itself.
 *
 * It is entered at its first byte and may lie anywhere in the first 128 MiB of RAM, whose start
 * must be a multiple of 128 MiB: older ones find it from where they run, newer ones from the device
 * tree. They unpack to the start of RAM (text offset 0x8000 to 0x308000), first moving themselves
 * out of the way behind that. Device tree and initrd must be past `memory`, and out of the zImage's
 * own way.
 */
#ifndef GUEST_ZIMAGE_H
#define GUEST_ZIMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/log.h"

struct zimage {
	const uint8_t *data; /* the file, borrowed, and with it a device tree appended to it */
	size_t size;
	/*
	 * Bytes from the start of RAM that the kernel uses before it has read its device tree:
	 * unpacked with its bss, or with the zImage moved behind it, whichever is more. A guess for
	 * kernels before 4.15 (`exact` is false).
	 */
	uint64_t memory;
	bool exact;
	bool big_endian; /* the kernel switches by itself */
};

/* Checks every offset against the file. -EINVAL and a line for people, with `out` undefined. */
int zimage_parse(const void *data, size_t size, struct zimage *out, struct err *err);

#endif
