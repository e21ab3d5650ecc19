/* SPDX-License-Identifier: MIT */
/* What a kernel module says of itself: "key=value" words in a section of its ELF file. */
#ifndef GUEST_MODINFO_H
#define GUEST_MODINFO_H

#include <stddef.h>

/*
 * The value of the first word of that key, which ends in a NUL inside `data`. NULL: there is none, or
 * the file is no 64-bit little-endian module, or damaged.
 */
const char *modinfo_get(const void *data, size_t size, const char *key);

#endif
