/* SPDX-License-Identifier: MIT */
#include "util/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/util.h"

static bool buf_reserve(struct buf *b, size_t more)
{
	size_t cap = b->cap ? b->cap : 256;
	uint8_t *data;

	if (b->failed || more > SIZE_MAX / 4 || b->len > SIZE_MAX / 4) {
		b->failed = true;
		return false;
	}
	if (b->len + more <= b->cap)
		return true;
	while (cap < b->len + more)
		cap *= 2;
	data = realloc(b->data, cap);
	if (!data) {
		b->failed = true;
		return false;
	}
	b->data = data;
	b->cap = cap;
	return true;
}

void buf_put(struct buf *b, const void *data, size_t len)
{
	if (!len || !buf_reserve(b, len))
		return;
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	char *text;
	int len = vasprintf(&text, fmt, ap);

	if (len < 0) {
		b->failed = true;
		return;
	}
	buf_put(b, text, (size_t)len);
	free(text);
}

void buf_put_zeros(struct buf *b, size_t len)
{
	if (!len || !buf_reserve(b, len))
		return;
	memset(b->data + b->len, 0, len);
	b->len += len;
}

void buf_put_u8(struct buf *b, uint8_t v)
{
	buf_put(b, &v, 1);
}

void buf_put_le16(struct buf *b, uint16_t v)
{
	uint8_t raw[2];

	put_le16(raw, v);
	buf_put(b, raw, sizeof(raw));
}

void buf_put_le32(struct buf *b, uint32_t v)
{
	uint8_t raw[4];

	put_le32(raw, v);
	buf_put(b, raw, sizeof(raw));
}

void buf_put_le64(struct buf *b, uint64_t v)
{
	uint8_t raw[8];

	put_le64(raw, v);
	buf_put(b, raw, sizeof(raw));
}

void buf_free(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ 0 };
}

void reader_get(struct reader *r, void *out, size_t len)
{
	if (r->failed || len > r->left) {
		r->failed = true;
		memset(out, 0, len);
		return;
	}
	memcpy(out, r->p, len);
	r->p += len;
	r->left -= len;
}

uint8_t reader_u8(struct reader *r)
{
	uint8_t v;

	reader_get(r, &v, 1);
	return v;
}

uint16_t reader_le16(struct reader *r)
{
	uint8_t raw[2];

	reader_get(r, raw, sizeof(raw));
	return get_le16(raw);
}

uint32_t reader_le32(struct reader *r)
{
	uint8_t raw[4];

	reader_get(r, raw, sizeof(raw));
	return get_le32(raw);
}

uint64_t reader_le64(struct reader *r)
{
	uint8_t raw[8];

	reader_get(r, raw, sizeof(raw));
	return get_le64(raw);
}
