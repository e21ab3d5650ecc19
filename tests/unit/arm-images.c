/* SPDX-License-Identifier: MIT */
/* Arm's kernel files, good ones and liars: arm64 Image, zImage, EFI zboot. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest/arm64-image.h"
#include "guest/image.h"
#include "guest/zboot.h"
#include "guest/zimage.h"
#include "tests/unit/tap.h"
#include "util/util.h"

#define FILE_SIZE 4096

/* On the heap, and no larger than it says, so that ASan sees a read past its end. */
static uint8_t *copy_of(const void *data, size_t size)
{
	uint8_t *p = malloc(size ? size : 1);

	memcpy(p, data, size);
	return p;
}

/* ---- arm64 Image ---- */

static void make_arm64(uint8_t p[FILE_SIZE])
{
	memset(p, 0, FILE_SIZE);
	memcpy(p, "MZ", 2); /* with an EFI stub */
	put_le64(p + 8, 0);
	put_le64(p + 16, 2 * MIB);
	put_le64(p + 24, 0xa);
	memcpy(p + 56, "ARM\x64", 4);
}

static int parse_arm64(const uint8_t *data, size_t size, struct arm64_image *out)
{
	uint8_t *p = copy_of(data, size);
	struct err err;
	int rc = arm64_image_parse(p, size, out, &err);

	free(p);
	return rc;
}

static void arm64_good(void)
{
	uint8_t p[FILE_SIZE];
	struct arm64_image a;

	make_arm64(p);
	ok(image_sniff(p, FILE_SIZE) == IMAGE_ARM64, "an arm64 Image is known, EFI stub or not");
	ok(!parse_arm64(p, FILE_SIZE, &a) && a.size == FILE_SIZE && a.text_offset == 0 &&
		   a.image_size == 2 * MIB && !a.big_endian && a.page_kib == 4 && a.anywhere,
	   "and read");
	put_le64(p + 24, 7);
	put_le64(p + 8, 0x80000);
	ok(!parse_arm64(p, FILE_SIZE, &a) && a.big_endian && a.page_kib == 64 && !a.anywhere &&
		   a.text_offset == 0x80000,
	   "another, with other flags");
	put_le64(p + 16, 100);
	ok(!parse_arm64(p, FILE_SIZE, &a) && a.image_size == FILE_SIZE,
	   "a size less than the file's is lifted");
	put_le64(p + 16, 0);
	put_le64(p + 8, 0x800000000000000);
	ok(!parse_arm64(p, FILE_SIZE, &a) && a.text_offset == 0x80000 &&
		   a.image_size >= FILE_SIZE + MIB,
	   "an old one, without a size: its text offset is known, its size guessed");
}

static void arm64_lies(void)
{
	uint8_t p[FILE_SIZE];
	struct arm64_image a;
	bool refused = true, sane = true;

	make_arm64(p);
	for (size_t size = 0; size < 64; size++)
		refused &= parse_arm64(p, size, &a) == -EINVAL;
	ok(refused, "arm64: a header cut short is refused");
	for (unsigned int bit = 0; bit < 64 * 8; bit++) {
		make_arm64(p);
		p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (!parse_arm64(p, FILE_SIZE, &a))
			sane &= a.image_size >= FILE_SIZE && a.image_size <= 1ull << 48 &&
				a.text_offset < 2 * MIB && a.text_offset % 64 == 0;
	}
	ok(sane, "whatever bit is wrong, what is accepted is sane");
	make_arm64(p);
	put_le64(p + 8, 2 * MIB);
	ok(parse_arm64(p, FILE_SIZE, &a) == -EINVAL, "a text offset of 2 MiB");
	put_le64(p + 8, 0x80010);
	ok(parse_arm64(p, FILE_SIZE, &a) == -EINVAL, "one within a header's length");
	put_le64(p + 8, 0xfffc0);
	ok(!parse_arm64(p, FILE_SIZE, &a) && a.text_offset == 0xfffc0,
	   "but for a header before a page");
	put_le64(p + 8, 0x1ff000);
	ok(!parse_arm64(p, FILE_SIZE, &a), "the highest that there can be");
	put_le64(p + 16, UINT64_MAX);
	ok(parse_arm64(p, FILE_SIZE, &a) == -EINVAL, "a size that wraps");
}

/* ---- zImage ---- */

#define TABLE 0x100
#define SIZE_AT 0x201 /* misaligned, as it most often is */

static void make_zimage(uint8_t p[FILE_SIZE])
{
	memset(p, 0, FILE_SIZE);
	put_le32(p + 0x24, 0x016f2818);
	put_le32(p + 0x2c, FILE_SIZE);
	put_le32(p + 0x30, 0x04030201);
	put_le32(p + 0x34, 0x45454545);
	put_le32(p + 0x38, TABLE);
	put_le32(p + TABLE, 4);
	put_le32(p + TABLE + 4, 0x5a534c4b);
	put_le32(p + TABLE + 8, SIZE_AT);
	put_le32(p + TABLE + 12, MIB);
	put_le32(p + SIZE_AT, 10 * MIB);
}

static int parse_zimage(const uint8_t *data, size_t size, struct zimage *out)
{
	uint8_t *p = copy_of(data, size);
	struct err err;
	int rc = zimage_parse(p, size, out, &err);

	free(p);
	return rc;
}

static void zimage_good(void)
{
	uint8_t p[FILE_SIZE];
	struct zimage z;

	make_zimage(p);
	ok(image_sniff(p, FILE_SIZE) == IMAGE_ZIMAGE, "a zImage is known");
	ok(!parse_zimage(p, FILE_SIZE, &z) && z.exact && !z.big_endian &&
		   z.memory >= 11 * MIB + 0x308000 && z.memory <= 16 * MIB,
	   "and its table read");
	put_le32(p + TABLE + 12, 0);
	ok(!parse_zimage(p, FILE_SIZE, &z) && z.memory >= 10 * MIB + 0x308000 + FILE_SIZE,
	   "without a bss there is still room for its own copy");
	put_le32(p + TABLE, 2);
	ok(!parse_zimage(p, FILE_SIZE, &z) && z.exact, "a table with the old, wrong length");
	memmove(p + TABLE + 20, p + TABLE, 16);
	put_le32(p + TABLE, 5);
	put_le32(p + TABLE + 4, 0x12345678);
	ok(!parse_zimage(p, FILE_SIZE, &z) && z.exact, "a table with a tag before the one");
	put_le32(p + TABLE, 0);
	ok(!parse_zimage(p, FILE_SIZE, &z) && !z.exact && z.memory >= 4 * FILE_SIZE,
	   "a table that ends before it: guessed");
	put_le32(p + 0x34, 0);
	ok(!parse_zimage(p, FILE_SIZE, &z) && !z.exact, "no table: guessed");
	put_le32(p + 0x2c, FILE_SIZE - 100);
	ok(!parse_zimage(p, FILE_SIZE, &z) && z.size == FILE_SIZE, "a device tree is appended");
	put_le32(p + 0x28, 0x60000000);
	put_le32(p + 0x2c, 0x60000000 + FILE_SIZE);
	ok(!parse_zimage(p, FILE_SIZE, &z), "linked at an address of its own");
}

static void zimage_big_endian(void)
{
	uint8_t p[FILE_SIZE];
	struct zimage z;

	make_zimage(p);
	put_le32(p + 0x30, 0x01020304);
	ok(!parse_zimage(p, FILE_SIZE, &z) && z.big_endian && z.exact,
	   "a big-endian kernel, its header little-endian");
	put_le32(p + 0x24, __builtin_bswap32(0x016f2818));
	put_le32(p + 0x2c, __builtin_bswap32(FILE_SIZE));
	ok(!parse_zimage(p, FILE_SIZE, &z) && z.big_endian &&
		   image_sniff(p, FILE_SIZE) == IMAGE_ZIMAGE,
	   "an old one, its header big-endian too");
}

static void zimage_lies(void)
{
	uint8_t p[FILE_SIZE];
	struct zimage z;
	bool refused = true, sane = true;

	make_zimage(p);
	for (size_t size = 0; size < FILE_SIZE; size++)
		refused &= parse_zimage(p, size, &z) == -EINVAL;
	ok(refused, "zImage: every truncation is refused");
	for (unsigned int bit = 0; bit < (TABLE + 20) * 8; bit++) {
		make_zimage(p);
		p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (!parse_zimage(p, FILE_SIZE, &z))
			sane &= z.memory > FILE_SIZE && z.memory < 16 * GIB;
	}
	ok(sane, "whatever bit is wrong, what is accepted is sane");
	make_zimage(p);
	put_le32(p + TABLE + 8, FILE_SIZE - 3);
	ok(parse_zimage(p, FILE_SIZE, &z) == -EINVAL, "a size that is not in the file");
	put_le32(p + TABLE + 8, UINT32_MAX);
	ok(parse_zimage(p, FILE_SIZE, &z) == -EINVAL, "nor there");
	put_le32(p + 0x38, FILE_SIZE - 15);
	ok(!parse_zimage(p, FILE_SIZE, &z) && !z.exact, "a table past the end is none");
	put_le32(p + 0x38, UINT32_MAX);
	ok(!parse_zimage(p, FILE_SIZE, &z) && !z.exact, "nor one far past it");
	make_zimage(p);
	put_le32(p + TABLE, UINT32_MAX);
	put_le32(p + TABLE + 4, 1);
	ok(!parse_zimage(p, FILE_SIZE, &z) && !z.exact, "a tag with a lying length");
	put_le32(p + 0x28, FILE_SIZE + 1);
	ok(parse_zimage(p, FILE_SIZE, &z) == -EINVAL, "an end before its start");
}

/* ---- EFI zboot ---- */

#define PAYLOAD 0x400
#define PAYLOAD_SIZE 0x800

static void make_zboot(uint8_t p[FILE_SIZE], const char *compression)
{
	memset(p, 0, FILE_SIZE);
	memcpy(p, "MZ\0\0zimg", 8);
	put_le32(p + 8, PAYLOAD);
	put_le32(p + 12, PAYLOAD_SIZE);
	memcpy(p + 24, compression, strlen(compression));
	put_le32(p + 0x38, 0x818223cd);
}

/* The payload's distance from the file's start goes to *at: the copy does not outlive this. */
static int parse_zboot(const uint8_t *data, size_t size, struct zboot *out, size_t *at)
{
	uint8_t *p = copy_of(data, size);
	struct err err;
	int rc = zboot_parse(p, size, out, &err);

	if (!rc)
		*at = (size_t)(out->payload - p);
	free(p);
	return rc;
}

static void zboot_named(const char *name, const char *meaning)
{
	uint8_t p[FILE_SIZE];
	struct zboot z;
	size_t at;

	make_zboot(p, name);
	ok(!parse_zboot(p, FILE_SIZE, &z, &at) && at == PAYLOAD && z.size == PAYLOAD_SIZE &&
		   !strcmp(z.compression, meaning),
	   "zboot with %s is unpacked by %s", name, meaning);
}

static void zboot_lies(void)
{
	uint8_t p[FILE_SIZE];
	struct zboot z;
	size_t at;
	bool refused = true, sane = true;

	make_zboot(p, "gzip");
	ok(image_sniff(p, FILE_SIZE) == IMAGE_ZBOOT, "a zboot image is known");
	for (size_t size = 0; size < PAYLOAD + PAYLOAD_SIZE; size++)
		refused &= parse_zboot(p, size, &z, &at) == -EINVAL;
	ok(refused, "every truncation is refused");
	for (unsigned int bit = 0; bit < 64 * 8; bit++) {
		make_zboot(p, "zstd22");
		p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (!parse_zboot(p, FILE_SIZE, &z, &at))
			sane &= z.size > 0 && range_in(at, z.size, FILE_SIZE) && z.compression[0];
	}
	ok(sane, "whatever bit is wrong, what is accepted is sane");
	make_zboot(p, "");
	ok(parse_zboot(p, FILE_SIZE, &z, &at) == -EINVAL, "no name");
	make_zboot(p, "gz\nip");
	ok(parse_zboot(p, FILE_SIZE, &z, &at) == -EINVAL, "one that is not for people");
	make_zboot(p, "gzip\xff");
	ok(parse_zboot(p, FILE_SIZE, &z, &at) == -EINVAL, "nor in ASCII");
	make_zboot(p, "gzip");
	put_le32(p + 12, 0);
	ok(parse_zboot(p, FILE_SIZE, &z, &at) == -EINVAL, "no payload");
	put_le32(p + 12, UINT32_MAX);
	ok(parse_zboot(p, FILE_SIZE, &z, &at) == -EINVAL, "one that wraps");
	make_zboot(p, "gzip");
	put_le32(p + 8, 0);
	ok(parse_zboot(p, FILE_SIZE, &z, &at) == -EINVAL, "one that is the header itself");
}

int main(void)
{
	arm64_good();
	arm64_lies();
	zimage_good();
	zimage_big_endian();
	zimage_lies();
	zboot_named("gzip", "gzip");
	zboot_named("lz4", "lz4");
	zboot_named("xzkern", "xz");
	zboot_named("zstd", "zstd");
	zboot_named("zstd22", "zstd");
	zboot_named("lzma", "lzma");
	zboot_named("thirty-two-characters-of-a-name!", "thirty-two-characters-of-a-name!");
	zboot_lies();
	return done_testing();
}
