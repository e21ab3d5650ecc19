/* SPDX-License-Identifier: MIT */
/* host/qcow2: what is wrong with an image, found when it is opened, or when it is read. */
#include "tests/unit/qcow2.h"

#include <errno.h>
#include <stdio.h>

/* ---- Found when it is opened ---- */

/* With one number of the header changed; `size` 1, 4 or 8 bytes. */
static void wrong_header(unsigned int version, unsigned int at, unsigned int size, uint64_t value,
			 int error, const char *words)
{
	struct image im = image_new(version, 16, 1 * MIB, 0);

	image_data(&im, 0, 1);
	if (size == 8)
		put_be64(im.bytes + at, value);
	else if (size == 4)
		put_be32(im.bytes + at, (uint32_t)value);
	else
		im.bytes[at] = (uint8_t)value;
	save(&im, "image");
	refused("image", error, words);
}

static void test_header(void)
{
	struct image im;
	struct disk *disk;

	wrong_header(3, 0, 4, 0x514649fc, EINVAL, "no qcow2 image");
	wrong_header(3, 4, 4, 1, ENOTSUP, "version 1");
	wrong_header(3, 4, 4, 4, ENOTSUP, "version 4");
	wrong_header(3, 20, 4, 8, EINVAL, "clusters of 2^8");
	wrong_header(3, 20, 4, 22, EINVAL, "clusters of 2^22");
	wrong_header(3, 20, 4, 0xffffffff, EINVAL, "clusters of 2^");
	wrong_header(3, 24, 8, 0, EINVAL, "empty");
	wrong_header(3, 24, 8, 513, EINVAL, "multiple of 512");
	wrong_header(3, 24, 8, 1ull << 63, EINVAL, "larger than any");
	wrong_header(3, 24, 8, UINT64_MAX, EINVAL, "larger than any");
	wrong_header(3, 24, 8, INT64_MAX, EFBIG, "too much for clusters of 65536");
	wrong_header(3, 24, 8, 1 * GIB, EINVAL, "too short");
	wrong_header(3, 36, 4, 0, EINVAL, "too short");
	wrong_header(3, 32, 4, 1, ENOTSUP, "encrypted");
	wrong_header(2, 32, 4, 2, ENOTSUP, "encrypted");
	wrong_header(3, 40, 8, 0, EINVAL, "not where a cluster begins");
	wrong_header(3, 40, 8, 65536 + 512, EINVAL, "not where a cluster begins");
	wrong_header(3, 40, 8, 1ull << 40, EINVAL, "beyond the file's end");
	wrong_header(3, 40, 8, 0xffffffffffff0000, EINVAL, "beyond the file's end");
	wrong_header(3, 72, 8, 2, EINVAL, "corrupt; qemu-img check");
	wrong_header(3, 72, 8, 32, ENOTSUP, "without a name (5)");
	wrong_header(3, 72, 8, 1ull << 63, ENOTSUP, "(63)");
	wrong_header(3, 72, 8, 8, EINVAL, "compression");
	wrong_header(3, 104, 1, 1, EINVAL, "compression");
	wrong_header(3, 100, 4, 96, EINVAL, "length");
	wrong_header(3, 100, 4, 109, EINVAL, "length");
	wrong_header(3, 100, 4, 0xfffffff8, EINVAL, "length");
	im = image_new(3, 16, 1 * MIB, 8);
	im.bytes[104] = 2;
	save(&im, "image");
	refused("image", ENOTSUP, "not known: 2");
	im = image_new(3, 12, 1 * MIB, 16);
	save(&im, "image");
	refused("image", EINVAL, "16 KiB");
	im = image_new(3, 16, 1 * MIB, 1ull << 7);
	image_extend(&im, 0x6803f857,
		     "\0\7time travel\0                                                   ", 48);
	save(&im, "image");
	refused("image", ENOTSUP, "time travel");

	im = image_new(3, 16, 1 * MIB, 0);
	image_back(&im, "raw", "raw");
	put_be64(im.bytes + 8, 65535);
	save(&im, "image");
	refused("image", EINVAL, "outside its header");
	im = image_new(3, 16, 1 * MIB, 0);
	put_be64(im.bytes + 8, 1000);
	put_be32(im.bytes + 16, 1024);
	save(&im, "image");
	refused("image", EINVAL, "too long");
	im = image_new(3, 16, 1 * MIB, 0);
	image_back(&im, "raw", "a format with a long name");
	save(&im, "image");
	refused("image", EINVAL, "format has no name");
	im = image_new(3, 16, 1 * MIB, 0);
	image_extend(&im, 0x12345678, "x", 1);
	put_be32(im.bytes + im.ext - 12, 0xffffffff); /* it would go on for ever */
	image_back(&im, "raw", "raw");
	save(&im, "image");
	refused("image", EINVAL, "which format");

	im = image_new(3, 16, 1 * MIB, 1);
	put_be64(im.bytes + 80, UINT64_MAX);
	put_be64(im.bytes + 88, UINT64_MAX & ~2ull);
	put_be32(im.bytes + 60, 3);	     /* snapshots */
	put_be64(im.bytes + 64, 1ull << 60); /* wherever */
	put_be64(im.bytes + 48, UINT64_MAX); /* reference counts, too */
	image_data(&im, 1, 0x55);
	save(&im, "image");
	disk = opened("image");
	ok(disk && is_all(disk, 65536, 65536, 0x55),
	   "dirty, with features that may be ignored, and snapshots: read");
	disk_close(disk);
}

static void test_sizes(void)
{
	struct image im = image_new(3, 16, 1 * MIB, 0);
	int fd;

	for (unsigned int len = 0; len < 120; len += 7) {
		im.end = len;
		image_save(&im, "image");
		refused("image", EINVAL, "image");
	}
	im.end = 65536;
	save(&im, "image");
	refused("image", EINVAL, "beyond the file's end");

	/* The largest tables that there may be, and one entry more. */
	im = image_new(3, 9, 1 * MIB, 0);
	put_be64(im.bytes + 24, 128 * GIB + 512);
	put_be32(im.bytes + 36, 0xffffffff);
	image_save(&im, "image");
	refused("image", EFBIG, "too much for clusters of 512");
	put_be64(im.bytes + 24, 128 * GIB);
	image_save(&im, "image");
	refused("image", EINVAL, "beyond the file's end");
	image_save(&im, "image");
	fd = open("image", O_RDWR);
	if (ftruncate(fd, 512 + 32 * (off_t)MIB))
		ok(false, "truncate");
	close(fd);
	image_free(&im);
	{
		struct disk *disk = opened("image");

		ok(disk && disk_size(disk) == 128 * GIB && is_all(disk, 127 * GIB, 4096, 0),
		   "128 GiB in clusters of 512 bytes");
		disk_close(disk);
	}
}

/* With one entry of the first table changed: refused; NULL: not. */
static void wrong_l1(uint64_t value, bool refuse)
{
	struct image im = image_new(3, 16, 1 * MIB, 0);
	struct disk *disk;

	image_data(&im, 0, 1);
	put_be64(image_l1(&im, 0), value);
	save(&im, "image");
	if (refuse) {
		refused("image", EINVAL, "entry 0 of its first table");
		return;
	}
	disk = opened("image");
	ok(disk, "an entry of the first table, %llx", (unsigned long long)value);
	disk_close(disk);
}

/* ---- Found when it is read ---- */

/* With one entry of a second table changed: reading there fails, beside it doesn't. */
static void wrong_l2(unsigned int version, uint64_t features, uint64_t value, uint64_t bitmap,
		     const char *what)
{
	uint64_t c = 65536;
	struct image im = image_new(version, 16, 4 * c, features);
	uint8_t *entry = image_entry(&im, 1);
	struct disk *disk;
	uint8_t byte;

	image_data(&im, 0, 0x11);
	image_data(&im, 2, 0x22);
	put_be64(entry, value);
	if (features & 16) {
		put_be64(entry + 8, bitmap);
		put_be64(image_entry(&im, 0) + 8, 0xffffffff);
		put_be64(image_entry(&im, 2) + 8, 0xffffffff);
	}
	save(&im, "image");
	disk = opened("image");
	ok(disk && get(disk, c, &byte, 1) == -EIO && !is_all(disk, c - 512, 1024, 0x11),
	   "late: %s: EIO", what);
	ok(disk && is_all(disk, 0, c, 0x11) && is_all(disk, 2 * c, c, 0x22),
	   "and what is beside it is read");
	disk_close(disk);
}

static void test_tables(void)
{
	struct image im;
	struct disk *disk;
	uint8_t byte;

	wrong_l1(0, false);
	wrong_l1(0x10000, true); /* itself */
	wrong_l1(0x20000 | COPIED, false);
	wrong_l1(0x20200, true); /* within a cluster */
	wrong_l1(0x20001, true);
	wrong_l1(0x20000 | 1ull << 56, true);
	wrong_l1(0x40000, true); /* the file's end */
	wrong_l1(0x00ffffffffff0000, true);
	wrong_l2(3, 0, 0x40000000, 0, "data beyond the file's end");
	wrong_l2(3, 0, 0x00ffffffffff0000, 0, "data beyond any file's end");
	wrong_l2(3, 0, 0x20200, 0, "data within a cluster");
	wrong_l2(3, 0, 0x10000, 0, "data in the first table");
	wrong_l2(3, 0, COPIED, 0, "data in the header");
	wrong_l2(3, 0, 0x30000 | 2, 0, "a reserved bit");
	wrong_l2(3, 0, 0x30000 | 1ull << 60, 0, "a reserved bit");
	wrong_l2(2, 0, 0x30000 | ZERO, 0, "a zero cluster in version 2");
	wrong_l2(3, 16, 0x30000 | ZERO, 0, "a zero cluster beside subclusters");
	wrong_l2(3, 16, 0x30000, 1 | 1ull << 32, "a subcluster that is two things");
	wrong_l2(3, 16, 0, 1, "a subcluster without a cluster");
	wrong_l2(3, 0, PACKED | 1ull << 53 | 0x10000, 0, "compressed data that are none");
	wrong_l2(3, 0, PACKED | 0x40000000, 0, "compressed data beyond the file's end");
	wrong_l2(3, 0, PACKED | ((1ull << 62) - 1), 0, "compressed data beyond any");

	/* Tables that go in a circle: data are where the table itself is. */
	im = image_new(3, 16, 1 * MIB, 0);
	put_be64(image_entry(&im, 0), 0x20000);
	save(&im, "image");
	disk = opened("image");
	ok(disk && !get(disk, 5, &byte, 1) && byte == 0x02, "a table as its own data: read, once");
	disk_close(disk);
	im = image_new(3, 9, 64 * KIB, 0);
	image_data(&im, 0, 0x11);
	put_be64(image_l1(&im, 1), get_be64(image_l1(&im, 0)));
	save(&im, "image");
	disk = opened("image");
	ok(disk && is_all(disk, 32 * KIB, 512, 0x11), "a table that is used twice: twice the same");
	disk_close(disk);
	im = image_new(3, 16, 1 * MIB, 0);
	image_data(&im, 0, 0x11);
	im.end -= 4096;
	save(&im, "image");
	disk = opened("image");
	ok(disk && is_all(disk, 0, 65536 - 4096, 0x11) && get(disk, 65535, &byte, 1) == -EIO,
	   "a file that is cut short: EIO where it is");
	if (truncate("image", 0x20000 + 512))
		ok(false, "truncate");
	disk_close(disk);
	refused("image", EINVAL, "entry 0 of its first table");
}

/* Compressed data of a wrong length, of each method. */
static void test_packed_wrong(bool zstd)
{
	size_t c = 65536, len;
	uint8_t *bytes = text(c), *out = malloc(2 * c);
	struct image im = image_new(3, 16, 8 * c, zstd ? 8 : 0);
	struct disk *disk;
	uint8_t byte;

	im.bytes[104] = zstd;
	len = pack(zstd, bytes, c - 1, out, 2 * c);
	image_packed(&im, 0, out, len, 0);
	len = pack(zstd, bytes, c, out, 2 * c);
	image_packed(&im, 1, out, len, 0);
	put_be64(image_entry(&im, 2), get_be64(image_entry(&im, 1)) & ~(0xffull << 54));
	out[len / 2] ^= 0xff;
	out[len / 2 + 1] ^= 0xff;
	if (zstd)
		out[4] ^= 0xff;
	else
		out[0] = 0xff;
	image_packed(&im, 3, out, len, 0);
	save(&im, "image");
	disk = opened("image");
	ok(disk && get(disk, 0, &byte, 1) == -EIO, "%s: too short: EIO", zstd ? "zstd" : "zlib");
	ok(disk && !get(disk, c, out, c) && !memcmp(out, bytes, c), "right");
	ok(disk && (len <= 512 || get(disk, 2 * c, &byte, 1) != -EIO || true),
	   "cut short: no crash");
	ok(disk && get(disk, 3 * c, &byte, 1) == -EIO, "damaged: EIO");
	disk_close(disk);
	free(bytes);
	free(out);
}

int main(void)
{
	char folder[] = "/var/tmp/kindling-qcow2-XXXXXX";

	if (!mkdtemp(folder) || chdir(folder)) {
		printf("Bail out! no folder for files\n");
		return 1;
	}
	test_header();
	test_sizes();
	test_tables();
	test_packed_wrong(false);
	test_packed_wrong(true);
	unlink("image");
	ok(!chdir("/") && !rmdir(folder), "all is cleaned up");
	return done_testing();
}
