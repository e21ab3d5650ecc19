/* SPDX-License-Identifier: MIT */
#include "x86/aml.h"

#include <string.h>

#include "util/util.h"

#define OP_ZERO 0x00
#define OP_ONE 0x01
#define OP_NAME 0x08
#define OP_BYTE 0x0a
#define OP_WORD 0x0b
#define OP_DWORD 0x0c
#define OP_STRING 0x0d
#define OP_SCOPE 0x10
#define OP_BUFFER 0x11
#define OP_PACKAGE 0x12
#define OP_EXT 0x5b
#define OP_EXT_REGION 0x80
#define OP_EXT_FIELD 0x81
#define OP_EXT_DEVICE 0x82
#define OP_METHOD 0x14
#define OP_LOCAL0 0x60
#define OP_STORE 0x70
#define OP_AND 0x7b
#define OP_NOTIFY 0x86
#define OP_IF 0xa0

#define REGION_PORTS 1
#define FIELD_BYTES 1 /* accessed so, without a lock */
#define NOTIFY_STATUS 0x80

/*
 * Package lengths are always written in their three-byte form (up to 1 MiB), so that the space can
 * be reserved before the contents are known.
 */
#define PKG_LENGTH_BYTES 3

static size_t open_package(struct buf *b)
{
	size_t mark = b->len;

	buf_put_zeros(b, PKG_LENGTH_BYTES);
	return mark;
}

void aml_end(struct buf *b, size_t mark)
{
	size_t len = b->len - mark; /* counts the length bytes themselves */

	if (b->failed)
		return;
	if (len >= 1u << 20) {
		b->failed = true;
		return;
	}
	b->data[mark] = (uint8_t)(2u << 6 | (len & 0xf));
	b->data[mark + 1] = (uint8_t)(len >> 4);
	b->data[mark + 2] = (uint8_t)(len >> 12);
}

static void name_seg(struct buf *b, const char *name)
{
	char seg[4] = { '_', '_', '_', '_' };

	memcpy(seg, name, MIN(strlen(name), sizeof(seg)));
	buf_put(b, seg, sizeof(seg));
}

size_t aml_scope(struct buf *b, const char *path)
{
	size_t mark;

	buf_put_u8(b, OP_SCOPE);
	mark = open_package(b);
	buf_put_u8(b, '\\');
	name_seg(b, path);
	return mark;
}

size_t aml_device(struct buf *b, const char *name)
{
	size_t mark;

	buf_put_u8(b, OP_EXT);
	buf_put_u8(b, OP_EXT_DEVICE);
	mark = open_package(b);
	name_seg(b, name);
	return mark;
}

static void name_op(struct buf *b, const char *name)
{
	buf_put_u8(b, OP_NAME);
	name_seg(b, name);
}

void aml_int(struct buf *b, uint32_t value)
{
	if (value <= 1) {
		buf_put_u8(b, value ? OP_ONE : OP_ZERO);
	} else if (value <= 0xff) {
		buf_put_u8(b, OP_BYTE);
		buf_put_u8(b, (uint8_t)value);
	} else if (value <= 0xffff) {
		buf_put_u8(b, OP_WORD);
		buf_put_le16(b, (uint16_t)value);
	} else {
		buf_put_u8(b, OP_DWORD);
		buf_put_le32(b, value);
	}
}

void aml_name_int(struct buf *b, const char *name, uint32_t value)
{
	name_op(b, name);
	aml_int(b, value);
}

void aml_string(struct buf *b, const char *value)
{
	buf_put_u8(b, OP_STRING);
	buf_put(b, value, strlen(value) + 1);
}

void aml_name_string(struct buf *b, const char *name, const char *value)
{
	name_op(b, name);
	aml_string(b, value);
}

void aml_port_byte(struct buf *b, const char *region, const char *field, uint16_t port)
{
	size_t mark;

	buf_put_u8(b, OP_EXT);
	buf_put_u8(b, OP_EXT_REGION);
	name_seg(b, region);
	buf_put_u8(b, REGION_PORTS);
	aml_int(b, port);
	aml_int(b, 1);
	buf_put_u8(b, OP_EXT);
	buf_put_u8(b, OP_EXT_FIELD);
	mark = open_package(b);
	name_seg(b, region);
	buf_put_u8(b, FIELD_BYTES);
	name_seg(b, field);
	buf_put_u8(b, 8); /* bits */
	aml_end(b, mark);
}

size_t aml_method(struct buf *b, const char *name, uint8_t args)
{
	size_t mark;

	buf_put_u8(b, OP_METHOD);
	mark = open_package(b);
	name_seg(b, name);
	buf_put_u8(b, args);
	return mark;
}

void aml_load(struct buf *b, const char *field)
{
	buf_put_u8(b, OP_STORE);
	name_seg(b, field);
	buf_put_u8(b, OP_LOCAL0);
}

void aml_notify_if(struct buf *b, uint8_t bit, const char *device)
{
	size_t mark;

	buf_put_u8(b, OP_IF);
	mark = open_package(b);
	buf_put_u8(b, OP_AND);
	buf_put_u8(b, OP_LOCAL0);
	aml_int(b, bit);
	buf_put_u8(b, OP_ZERO); /* its result goes nowhere else */
	buf_put_u8(b, OP_NOTIFY);
	name_seg(b, device);
	aml_int(b, NOTIFY_STATUS);
	aml_end(b, mark);
}

static uint32_t hex_digit(char c)
{
	return (uint32_t)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/* Three letters of five bits and four hex digits, big-endian (ACPI 6.4, EISAID). */
void aml_name_eisa(struct buf *b, const char *name, const char *id)
{
	uint32_t v = 0;

	for (int i = 0; i < 3; i++)
		v = v << 5 | ((uint32_t)(id[i] - '@') & 0x1f);
	for (int i = 3; i < 7; i++)
		v = v << 4 | hex_digit(id[i]);
	name_op(b, name);
	buf_put_u8(b, OP_DWORD);
	buf_put_le32(b, __builtin_bswap32(v));
}

size_t aml_name_list(struct buf *b, const char *name, uint8_t n)
{
	size_t mark;

	name_op(b, name);
	buf_put_u8(b, OP_PACKAGE);
	mark = open_package(b);
	buf_put_u8(b, n);
	return mark;
}

void aml_name_package(struct buf *b, const char *name, const uint8_t *values, uint8_t n)
{
	size_t mark = aml_name_list(b, name, n);

	for (uint8_t i = 0; i < n; i++)
		aml_int(b, values[i]);
	aml_end(b, mark);
}

/* The buffer's own size comes before its bytes, as a word that aml_end_buffer() fills in. */
size_t aml_name_buffer(struct buf *b, const char *name)
{
	size_t mark;

	name_op(b, name);
	buf_put_u8(b, OP_BUFFER);
	mark = open_package(b);
	buf_put_u8(b, OP_WORD);
	buf_put_le16(b, 0);
	return mark;
}

void aml_end_buffer(struct buf *b, size_t mark)
{
	size_t contents = mark + PKG_LENGTH_BYTES + 3;

	buf_put_u8(b, 0x79); /* end tag; a checksum of zero is not checked */
	buf_put_u8(b, 0);
	if (!b->failed)
		put_le16(b->data + contents - 2, (uint16_t)(b->len - contents));
	aml_end(b, mark);
}

void aml_io(struct buf *b, uint16_t port, uint8_t size)
{
	buf_put_u8(b, 0x47); /* small item: I/O port, 7 bytes */
	buf_put_u8(b, 1);    /* all 16 address lines are decoded */
	buf_put_le16(b, port);
	buf_put_le16(b, port);
	buf_put_u8(b, 1);
	buf_put_u8(b, size);
}

void aml_memory32(struct buf *b, uint32_t base, uint32_t size)
{
	buf_put_u8(b, 0x86); /* large item: 32-bit fixed memory */
	buf_put_le16(b, 9);
	buf_put_u8(b, 1); /* writable */
	buf_put_le32(b, base);
	buf_put_le32(b, size);
}

#define PRODUCED_FIXED 0x0c /* both ends are fixed, and positively decoded */

void aml_buses(struct buf *b, uint8_t first, uint8_t last)
{
	buf_put_u8(b, 0x88); /* large item: word address space */
	buf_put_le16(b, 13);
	buf_put_u8(b, 2); /* bus numbers */
	buf_put_u8(b, PRODUCED_FIXED);
	buf_put_u8(b, 0);
	buf_put_le16(b, 0);
	buf_put_le16(b, first);
	buf_put_le16(b, last);
	buf_put_le16(b, 0);
	buf_put_le16(b, (uint16_t)(last - first + 1));
}

void aml_memory_window32(struct buf *b, uint32_t base, uint32_t size)
{
	buf_put_u8(b, 0x87); /* large item: double word address space */
	buf_put_le16(b, 23);
	buf_put_u8(b, 0); /* memory */
	buf_put_u8(b, PRODUCED_FIXED);
	buf_put_u8(b, 1); /* read and write, not cached */
	buf_put_le32(b, 0);
	buf_put_le32(b, base);
	buf_put_le32(b, base + size - 1);
	buf_put_le32(b, 0);
	buf_put_le32(b, size);
}

void aml_interrupt(struct buf *b, uint32_t gsi, bool level)
{
	buf_put_u8(b, 0x89); /* large item: extended interrupt */
	buf_put_le16(b, 6);
	buf_put_u8(b, level ? 0x01 : 0x03); /* consumer, edge in bit 1 */
	buf_put_u8(b, 1);		    /* one interrupt */
	buf_put_le32(b, gsi);
}
