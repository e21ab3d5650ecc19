/* SPDX-License-Identifier: MIT */
/* qcow2 images made by hand, byte by byte: right ones, to be made wrong where a test wants it. */
#ifndef TESTS_UNIT_QCOW2_H
#define TESTS_UNIT_QCOW2_H

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "host/disk.h"
#include "tests/unit/tap.h"
#include "util/util.h"

#define IMAGE_MAX (40 * MIB)
#define PACKED (1ull << 62)
#define COPIED (1ull << 63)
#define ZERO 1ull

/* Header in cluster 0, first table from cluster 1 on. */
struct image {
	uint8_t *bytes;		  /* IMAGE_MAX zeros to begin with */
	uint64_t end;		  /* what the file has */
	unsigned int bits, width; /* of a cluster; words in an entry */
	uint64_t ext;		  /* where the next header extension goes */
};

static inline void put_be32(uint8_t *p, uint32_t v)
{
	for (unsigned int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static inline void put_be64(uint8_t *p, uint64_t v)
{
	put_be32(p, (uint32_t)(v >> 32));
	put_be32(p + 4, (uint32_t)v);
}

static inline uint64_t image_cluster(const struct image *im)
{
	return 1ull << im->bits;
}

/* `len` bytes in clusters of their own; their offset. */
static inline uint64_t image_add(struct image *im, uint64_t len)
{
	uint64_t at = im->end;

	im->end += align_up(len, image_cluster(im));
	if (im->end > IMAGE_MAX)
		abort();
	return at;
}

/* One that is all holes. `features`: the incompatible ones. */
static inline struct image image_new(unsigned int version, unsigned int bits, uint64_t size,
				     uint64_t features)
{
	struct image im = { .bytes = calloc(1, IMAGE_MAX), .bits = bits };
	uint8_t *p = im.bytes;
	uint64_t entries;

	im.width = features & 16 ? 2 : 1;
	entries = (size >> (2 * bits - 2 - im.width)) + 1;
	image_add(&im, 1);
	put_be32(p, 0x514649fb);
	put_be32(p + 4, version);
	put_be32(p + 20, bits);
	put_be64(p + 24, size);
	put_be32(p + 36, (uint32_t)entries);
	put_be64(p + 40, image_add(&im, entries * 8));
	im.ext = 72;
	if (version == 3) {
		put_be64(p + 72, features);
		put_be32(p + 96, 4);
		put_be32(p + 100, 112);
		im.ext = 112;
	}
	return im;
}

static inline void image_extend(struct image *im, uint32_t type, const void *data, size_t len)
{
	put_be32(im->bytes + im->ext, type);
	put_be32(im->bytes + im->ext + 4, (uint32_t)len);
	memcpy(im->bytes + im->ext + 8, data, len);
	im->ext += 8 + align_up(len, 8);
}

/* After all extensions. `format` NULL: it says none. */
static inline void image_back(struct image *im, const char *name, const char *format)
{
	if (format)
		image_extend(im, 0xe2792aca, format, strlen(format));
	im->ext += 8;
	put_be64(im->bytes + 8, im->ext);
	put_be32(im->bytes + 16, (uint32_t)strlen(name));
	memcpy(im->bytes + im->ext, name, strlen(name));
}

static inline uint8_t *image_l1(struct image *im, uint64_t i)
{
	return im->bytes + image_cluster(im) * 1 + i * 8;
}

/* A cluster's entry; makes its table if there is none. */
static inline uint8_t *image_entry(struct image *im, uint64_t cluster)
{
	unsigned int bits = im->bits - 2 - im->width;
	uint8_t *l1 = image_l1(im, cluster >> bits);

	if (!get_be64(l1))
		put_be64(l1, image_add(im, 1) | COPIED);
	return im->bytes + (get_be64(l1) & ~COPIED) +
	       (cluster & ((1ull << bits) - 1)) * 8 * im->width;
}

/* The offset of its new data, which are `fill`. */
static inline uint64_t image_data(struct image *im, uint64_t cluster, int fill)
{
	uint8_t *entry = image_entry(im, cluster);
	uint64_t at = image_add(im, 1);

	memset(im->bytes + at, fill, image_cluster(im));
	put_be64(entry, at | COPIED);
	return at;
}

/* Compressed data of `len` bytes, `shift` bytes into a cluster of the file. */
static inline void image_packed(struct image *im, uint64_t cluster, const void *data, size_t len,
				unsigned int shift)
{
	uint8_t *entry = image_entry(im, cluster);
	uint64_t at = image_add(im, shift + len) + shift;
	uint64_t more = (at % 512 + len - 1) / 512;

	memcpy(im->bytes + at, data, len);
	put_be64(entry, PACKED | more << (62 - (im->bits - 8)) | at);
}

/* False: it could not be written. */
static inline bool image_save(const struct image *im, const char *name)
{
	int fd = open(name, O_CREAT | O_TRUNC | O_RDWR, 0600);
	bool saved = fd >= 0 && !ftruncate(fd, (off_t)im->end);

	/* Mostly zeros: the file has holes where the image has. */
	for (uint64_t at = 0; saved && at < im->end; at += 4096) {
		uint64_t len = MIN(im->end - at, (uint64_t)4096);

		for (uint64_t i = 0; i < len; i++) {
			if (im->bytes[at + i]) {
				saved = pwrite(fd, im->bytes + at, len, (off_t)at) == (ssize_t)len;
				break;
			}
		}
	}
	close(fd);
	return saved;
}

static inline void image_free(struct image *im)
{
	free(im->bytes);
}

/* ---- Opened and read ---- */

static inline struct disk *opened(const char *path)
{
	struct disk_config config = { .path = path, .format = "qcow2", .read_only = true };
	struct err err = { "" };
	struct disk *disk = NULL;

	if (disk_open(&config, &disk, &err))
		ok(false, "%s", err.text);
	return disk;
}

/* With one line that has these words. */
static inline void refused(const char *path, int error, const char *words)
{
	struct disk_config config = { .path = path, .format = "qcow2", .read_only = true };
	struct err err = { "" };
	struct disk *disk = NULL;
	int rc = disk_open(&config, &disk, &err);

	ok(rc == -error && strstr(err.text, words) && !strchr(err.text, '\n'),
	   "refused (%d, %s): %s", rc, words, err.text);
	if (!rc)
		disk_close(disk);
}

static inline void save(struct image *im, const char *name)
{
	if (!image_save(im, name))
		ok(false, "%s is written", name);
	image_free(im);
}

static inline void make_raw(const char *name, size_t len, int fill)
{
	int fd = open(name, O_CREAT | O_TRUNC | O_RDWR, 0600);
	uint8_t *bytes = malloc(len + 1);

	memset(bytes, fill, len);
	if (fd < 0 || write(fd, bytes, len) != (ssize_t)len)
		ok(false, "%s is made", name);
	free(bytes);
	close(fd);
}

static inline int get(struct disk *disk, uint64_t offset, void *data, size_t len)
{
	struct iovec iov = { data, len };

	return disk_read(disk, &iov, 1, offset);
}

/* Are these `len` bytes all of this value? */
static inline bool is_all(struct disk *disk, uint64_t offset, uint64_t len, int value)
{
	uint8_t *bytes = malloc(len);
	bool all = bytes && !get(disk, offset, bytes, len);

	for (uint64_t i = 0; all && i < len; i++)
		all = bytes[i] == (uint8_t)value;
	free(bytes);
	return all;
}

/* The pattern that compressed clusters have. */
static inline uint8_t *text(size_t len)
{
	uint8_t *bytes = malloc(len);

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i / 61 + i % 61);
	return bytes;
}

static inline size_t pack(bool zstd, const uint8_t *in, size_t len, uint8_t *out, size_t max)
{
	z_stream z = { .next_in = (z_const Bytef *)in,
		       .avail_in = (uInt)len,
		       .next_out = out,
		       .avail_out = (uInt)max };

	if (zstd)
		return ZSTD_compress(out, max, in, len, 1);
	deflateInit2(&z, 9, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY);
	deflate(&z, Z_FINISH);
	deflateEnd(&z);
	return max - z.avail_out;
}

#endif
