/* SPDX-License-Identifier: MIT */
/* Numbers as people write them. */
#ifndef UTIL_NUMBER_H
#define UTIL_NUMBER_H

#include <stdint.h>

/*
 * Decimal, or hexadecimal after 0x; never octal. `*end` is what follows it. -EINVAL: no number, or
 * more than 64 bits.
 */
int number_parse(const char *text, uint64_t *out, const char **end);

#endif
