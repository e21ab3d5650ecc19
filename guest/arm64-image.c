/* SPDX-License-Identifier: MIT */
#include "guest/arm64-image.h"

#include <errno.h>
#include <string.h>

#include "util/util.h"

/* Offsets in the header; its fields are little-endian whatever the kernel is. */
#define TEXT_OFFSET 8
#define IMAGE_SIZE 16
#define FLAGS 24
#define MAGIC 56
#define HEADER_END 64

#define FLAG_BIG_ENDIAN 1
#define FLAG_ANYWHERE 8

#define BASE_ALIGN (2 * MIB)
#define PAGE 4096ull
/* Linux's are multiples of a page; Unikraft's header is the 64 bytes before one. */
#define HEADER_ALIGN 64
#define SIZE_MAX_SANE (1ull << 48) /* arm64's physical addresses, without LPA2 */

/*
 * Before Linux 3.17 the header had no image_size and its text_offset no fixed byte order. What such
 * a kernel needs behind its file is zeroed data and its first page tables: less than 2 MiB with
 * arm64's defconfig of the time, so this is ample.
 */
#define OLD_TEXT_OFFSET 0x80000
#define OLD_TAIL (16 * MIB)

static unsigned int page_kib(uint64_t flags)
{
	static const unsigned int kib[] = { 0, 4, 16, 64 };

	return kib[flags >> 1 & 3];
}

int arm64_image_parse(const void *data, size_t size, struct arm64_image *out, struct err *err)
{
	const uint8_t *p = data;
	uint64_t flags;

	if (size < HEADER_END)
		return err_set(err, EINVAL,
			       "it is truncated: %zu bytes are less than an arm64 Image's header",
			       size);
	if (memcmp(p + MAGIC, "ARM\x64", 4))
		return err_set(err, EINVAL, "it is not an arm64 Image");
	flags = get_le64(p + FLAGS);
	*out = (struct arm64_image){
		.data = p,
		.size = size,
		.text_offset = get_le64(p + TEXT_OFFSET),
		.image_size = get_le64(p + IMAGE_SIZE),
		.big_endian = flags & FLAG_BIG_ENDIAN,
		.page_kib = page_kib(flags),
		.anywhere = flags & FLAG_ANYWHERE,
	};
	if (!out->image_size) {
		out->text_offset = OLD_TEXT_OFFSET;
		out->image_size = align_up(size, PAGE) + OLD_TAIL;
	}
	if (out->text_offset >= BASE_ALIGN || out->text_offset % HEADER_ALIGN)
		return err_set(err, EINVAL, "its header asks for the impossible text offset 0x%llx",
			       (unsigned long long)out->text_offset);
	if (out->image_size > SIZE_MAX_SANE)
		return err_set(err, EINVAL, "its header asks for 0x%llx bytes of RAM",
			       (unsigned long long)out->image_size);
	out->image_size = MAX(out->image_size, (uint64_t)size);
	return 0;
}
