/* SPDX-License-Identifier: MIT */
#include "guest/zboot.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/util.h"

/* Offsets (drivers/firmware/efi/libstub/zboot-header.S). */
#define PAYLOAD_OFFSET 8
#define PAYLOAD_SIZE 12
#define COMPRESSION 24
#define COMPRESSION_END 0x38
#define HEADER_END 0x40

/* The kernel's build names the tool that packs; two of them only pack another way. */
static const char *plain_name(const char *name)
{
	static const char *const names[][2] = { { "xzkern", "xz" }, { "zstd22", "zstd" } };

	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcmp(name, names[i][0]))
			return names[i][1];
	}
	return name;
}

static int get_compression(const uint8_t *p, char out[33], struct err *err)
{
	char name[COMPRESSION_END - COMPRESSION + 1] = "";

	memcpy(name, p + COMPRESSION, sizeof(name) - 1);
	for (const char *c = name; *c; c++) {
		if (!isascii(*c) || !isgraph(*c)) /* it goes into messages */
			return err_set(err, EINVAL, "its header names no compression");
	}
	if (!name[0])
		return err_set(err, EINVAL, "its header names no compression");
	snprintf(out, 33, "%s", plain_name(name));
	return 0;
}

int zboot_parse(const void *data, size_t size, struct zboot *out, struct err *err)
{
	const uint8_t *p = data;
	uint32_t offset, len;

	if (size < HEADER_END)
		return err_set(err, EINVAL,
			       "it is truncated: %zu bytes are less than a zboot header", size);
	if (memcmp(p, "MZ\0\0zimg", 8))
		return err_set(err, EINVAL, "it is not an EFI zboot image");
	offset = get_le32(p + PAYLOAD_OFFSET);
	len = get_le32(p + PAYLOAD_SIZE);
	if (!range_in(offset, len, size))
		return err_set(
			err, EINVAL,
			"it is truncated: its header promises %u bytes at %u, the file has %zu",
			len, offset, size);
	if (offset < HEADER_END || !len)
		return err_set(err, EINVAL, "its header has %u bytes of kernel at %u", len, offset);
	*out = (struct zboot){ .payload = p + offset, .size = len };
	return get_compression(p, out->compression, err);
}
