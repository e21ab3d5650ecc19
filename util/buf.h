/* SPDX-License-Identifier: MIT */
/*
 * A growing byte buffer for what we write (tables, saved state), and a reader that can't be made to
 * read past its end. Errors are sticky: write or read on, then ask once.
 */
#ifndef UTIL_BUF_H
#define UTIL_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *data; /* owned; buf_free() releases it */
	size_t len, cap;
	bool failed; /* out of memory: `data` is incomplete */
};

void buf_put(struct buf *b, const void *data, size_t len);
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_le16(struct buf *b, uint16_t v);
void buf_put_le32(struct buf *b, uint32_t v);
void buf_put_le64(struct buf *b, uint64_t v);
void buf_put_zeros(struct buf *b, size_t len);
/* Text without a NUL behind it. */
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
void buf_free(struct buf *b);

struct reader {
	const uint8_t *p; /* borrowed */
	size_t left;
	bool failed; /* asked for more than there was: what was read is zeros */
};

/* Copies the next `len` bytes to `out`, or zeros and `failed`. */
void reader_get(struct reader *r, void *out, size_t len);
uint8_t reader_u8(struct reader *r);
uint16_t reader_le16(struct reader *r);
uint32_t reader_le32(struct reader *r);
uint64_t reader_le64(struct reader *r);

#endif
