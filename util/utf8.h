/* SPDX-License-Identifier: MIT */
#ifndef UTIL_UTF8_H
#define UTIL_UTF8_H

#include <stddef.h>
#include <stdint.h>

/*
 * Length of the UTF-8 sequence at `p` (1 to 4), and its code point; 0 where the next `left` bytes
 * begin with none: overlong forms, surrogates and what is cut short are none (RFC 3629).
 */
size_t utf8_next(const uint8_t *p, size_t left, uint32_t *code);

#endif
