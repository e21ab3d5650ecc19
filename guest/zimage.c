/* SPDX-License-Identifier: MIT */
#include "guest/zimage.h"

#include <errno.h>

#include "util/util.h"

/* Offsets of 32-bit words (arch/arm/boot/compressed/head.S). */
#define MAGIC 0x24
#define START 0x28
#define END 0x2c
#define ENDIAN 0x30 /* in the kernel's own byte order; old kernels have code here */
#define TABLE_MAGIC 0x34
#define TABLE 0x38
#define HEADER_END 0x3c

#define ZIMAGE_MAGIC 0x016f2818u
#define ENDIAN_LITTLE 0x04030201u
#define ENDIAN_BIG 0x01020304u
#define ZIMAGE_TABLE_MAGIC 0x45454545u

/*
 * The table (vmlinux.lds.S there) holds tags: their length in words, their name, their data. There
 * is one kind; its data are the offset of the unpacked size, the size of the bss, and in newer
 * kernels the text offset and the size of the heap.
 */
#define TAG_KERNEL_SIZE 0x5a534c4bu
#define TAG_BYTES 16
#define MAX_TAGS 64

/* The largest text offset is 0x308000; the rest is for the stack and heap of what unpacks. */
#define ROOM (4 * MIB)

/* What kexec-tools assume as well: a kernel packs to no less than a quarter. */
#define GUESSED_RATIO 4

/* `swapped`: as in old big-endian kernels. Newer ones have a little-endian header all the same. */
static uint32_t get_word(const uint8_t *p, bool swapped)
{
	uint32_t v = get_le32(p);

	return swapped ? __builtin_bswap32(v) : v;
}

/* The tag's offset in the file, at which TAG_BYTES are; 0: there is none. */
static uint64_t find_tag(const struct zimage *z)
{
	uint64_t at = get_le32(z->data + TABLE);

	for (int i = 0; i < MAX_TAGS && range_in(at, TAG_BYTES, z->size); i++) {
		uint32_t words = get_le32(z->data + at);

		if (get_le32(z->data + at + 4) == TAG_KERNEL_SIZE)
			return at; /* whatever its length: older kernels say 2 and mean 4 */
		if (!words)
			return 0;
		at += (uint64_t)words * 4;
	}
	return 0;
}

static int get_memory(struct zimage *z, bool swapped, struct err *err)
{
	uint64_t tag = 0, unpacked, bss;

	/* The table is younger than the fixed byte order. */
	if (!swapped && get_le32(z->data + TABLE_MAGIC) == ZIMAGE_TABLE_MAGIC)
		tag = find_tag(z);
	z->exact = tag;
	if (!tag) {
		z->memory = ROOM + (uint64_t)z->size * (GUESSED_RATIO + 1);
		return 0;
	}
	if (!range_in(get_le32(z->data + tag + 8), 4, z->size))
		return err_set(err, EINVAL,
			       "its header says that its unpacked size is at 0x%x, past its end",
			       get_le32(z->data + tag + 8));
	unpacked = get_le32(z->data + get_le32(z->data + tag + 8));
	bss = get_le32(z->data + tag + 12);
	z->memory = ROOM + unpacked + MAX(bss, (uint64_t)z->size);
	return 0;
}

int zimage_parse(const void *data, size_t size, struct zimage *out, struct err *err)
{
	const uint8_t *p = data;
	bool swapped;
	uint32_t start, end;

	if (size < HEADER_END)
		return err_set(err, EINVAL,
			       "it is truncated: %zu bytes are less than a zImage's header", size);
	swapped = get_word(p + MAGIC, true) == ZIMAGE_MAGIC;
	if (!swapped && get_word(p + MAGIC, false) != ZIMAGE_MAGIC)
		return err_set(err, EINVAL, "it is not a zImage for 32-bit Arm");
	start = get_word(p + START, swapped);
	end = get_word(p + END, swapped);
	if (end < start || end - start < HEADER_END)
		return err_set(err, EINVAL, "its header says that it is from 0x%x to 0x%x", start,
			       end);
	if (end - start > size)
		return err_set(err, EINVAL,
			       "it is truncated: its header promises %u bytes, the file has %zu",
			       end - start, size);
	*out = (struct zimage){
		.data = p,
		.size = size,
		.big_endian = swapped || get_le32(p + ENDIAN) == ENDIAN_BIG,
	};
	return get_memory(out, swapped, err);
}
