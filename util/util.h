/* SPDX-License-Identifier: MIT */
/*
 * Small things that every folder uses: checked arithmetic for numbers that a guest, a file or a
 * peer supplied, alignment, and little- and big-endian access to unaligned bytes.
 */
#ifndef UTIL_UTIL_H
#define UTIL_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Evaluates each argument once; both sides must have the same type. */
#define MIN(a, b)                              \
	({                                     \
		__auto_type min_a = (a);       \
		__auto_type min_b = (b);       \
		min_a < min_b ? min_a : min_b; \
	})
#define MAX(a, b)                              \
	({                                     \
		__auto_type max_a = (a);       \
		__auto_type max_b = (b);       \
		max_a > max_b ? max_a : max_b; \
	})

/* len > 0. */
static inline bool bytes_are_zero(const uint8_t *p, size_t len)
{
	return !p[0] && !memcmp(p, p + 1, len - 1);
}

/* Is [off, off+len) inside [0, size)? Never wraps. An empty range at the very end is inside. */
static inline bool range_in(uint64_t off, uint64_t len, uint64_t size)
{
	return off <= size && len <= size - off;
}

/* Do [a, a+alen) and [b, b+blen) share a byte? Neither may wrap. */
static inline bool range_overlap(uint64_t a, uint64_t alen, uint64_t b, uint64_t blen)
{
	return alen && blen && a < b + blen && b < a + alen;
}

/* Round to a power of two. align_up() saturates instead of wrapping. */
static inline uint64_t align_down(uint64_t v, uint64_t to)
{
	return v & ~(to - 1);
}

static inline uint64_t align_up(uint64_t v, uint64_t to)
{
	return v > UINT64_MAX - (to - 1) ? align_down(UINT64_MAX, to) : align_down(v + to - 1, to);
}

static inline uint16_t get_le16(const void *p)
{
	const uint8_t *b = p;

	return (uint16_t)(b[0] | b[1] << 8);
}

static inline uint32_t get_le32(const void *p)
{
	const uint8_t *b = p;

	return get_le16(b) | (uint32_t)get_le16(b + 2) << 16;
}

static inline uint64_t get_le64(const void *p)
{
	const uint8_t *b = p;

	return get_le32(b) | (uint64_t)get_le32(b + 4) << 32;
}

static inline void put_le16(void *p, uint16_t v)
{
	uint8_t *b = p;

	b[0] = (uint8_t)v;
	b[1] = (uint8_t)(v >> 8);
}

static inline void put_le32(void *p, uint32_t v)
{
	uint8_t *b = p;

	put_le16(b, (uint16_t)v);
	put_le16(b + 2, (uint16_t)(v >> 16));
}

static inline void put_le64(void *p, uint64_t v)
{
	uint8_t *b = p;

	put_le32(b, (uint32_t)v);
	put_le32(b + 4, (uint32_t)(v >> 32));
}

static inline uint32_t get_be32(const void *p)
{
	const uint8_t *b = p;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static inline uint64_t get_be64(const void *p)
{
	const uint8_t *b = p;

	return (uint64_t)get_be32(b) << 32 | get_be32(b + 4);
}

/* The first `len` bytes as a number (len 1 to 8), and back; more bytes than eight are zero. */
static inline uint64_t get_le(const void *p, uint32_t len)
{
	const uint8_t *b = p;
	uint64_t v = 0;

	for (uint32_t i = 0; i < len && i < 8; i++)
		v |= (uint64_t)b[i] << (8 * i);
	return v;
}

static inline void put_le(void *p, uint64_t v, uint32_t len)
{
	uint8_t *b = p;

	for (uint32_t i = 0; i < len; i++)
		b[i] = i < 8 ? (uint8_t)(v >> (8 * i)) : 0;
}

#endif
