/* SPDX-License-Identifier: MIT */
/*
 * host/qcow2: images of each version and cluster size, and what they stand on. (qcow2-damaged.c has
 * what is wrong with them, qemu-img.c compares with QEMU's own reading.)
 */
#include "tests/unit/qcow2.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

#include "host/disk-queue.h"

/* ---- Reading ---- */

/* Clusters: 0 data, 1 hole, 2 zero, 3 zero with room, 4 and 5 data side by side, 6 data, a last half one. */
static void test_kinds(unsigned int version, unsigned int bits)
{
	uint64_t c = 1ull << bits, size = 7 * c + c / 2;
	struct image im = image_new(version, bits, align_up(size, 512), 0);
	struct disk *disk;
	uint8_t *all = malloc(size), *wanted = calloc(1, size);
	struct iovec iov[3] = { { all, 1 }, { all + 1, c }, { all + 1 + c, size - 1 - c } };

	image_data(&im, 6, 0x66);
	image_data(&im, 0, 0x11);
	if (version == 3) {
		put_be64(image_entry(&im, 2), ZERO);
		image_data(&im, 3, 0x33);
		put_be64(image_entry(&im, 3), get_be64(image_entry(&im, 3)) | ZERO);
	}
	image_data(&im, 4, 0x44);
	image_data(&im, 5, 0x55);
	image_data(&im, 7, 0x77);
	save(&im, "image");
	memset(wanted, 0x11, c);
	memset(wanted + 4 * c, 0x44, c);
	memset(wanted + 5 * c, 0x55, c);
	memset(wanted + 6 * c, 0x66, c);
	memset(wanted + 7 * c, 0x77, c / 2);
	disk = opened("image");
	if (!disk)
		return;
	ok(disk_size(disk) == align_up(size, 512) && disk_read_only(disk) &&
		   disk_block_size(disk) == 512,
	   "version %u, clusters of %u: size, block size, read-only", version, 1u << bits);
	ok(!disk_read(disk, iov, 3, 0) && !memcmp(all, wanted, size), "all in odd pieces");
	ok(!get(disk, c - 1, all, 4 * c) && !memcmp(all, wanted + c - 1, 4 * c), "across clusters");
	iov[0] = (struct iovec){ all, 512 };
	ok(disk_write(disk, iov, 1, 0, true) == -EBADF && !disk_flush(disk), "no writing");
	disk_close(disk);
	free(all);
	free(wanted);
}

static void test_packed(bool zstd, unsigned int bits)
{
	size_t c = (size_t)1 << bits, len;
	struct image im = image_new(3, bits, 6 * c, zstd ? 8 : 0);
	uint8_t *bytes = text(2 * c), *out = malloc(4 * c + 512);
	struct disk *disk;
	bool same = true;

	im.bytes[104] = zstd;
	for (unsigned int i = 0; i < 2; i++) {
		len = pack(zstd, bytes + i * c, c, out, 4 * c + 512);
		image_packed(&im, 1 + i, out, len, i * 77);
	}
	im.end = align_down(im.end, c) - c + 77 + len; /* the last sector is not whole */
	save(&im, "image");
	disk = opened("image");
	if (!disk)
		return;
	for (unsigned int i = 0; i < 2; i++) { /* unpacked, then kept */
		same &= !get(disk, c - 3, out, 2 * c) && !out[0] && !out[2] &&
			!memcmp(out + 3, bytes, 2 * c - 3);
		same &= !get(disk, c + 100, out, 300) && !memcmp(out, bytes + 100, 300);
	}
	ok(same, "%s, clusters of %zu", zstd ? "zstd" : "zlib", c);
	ok(is_all(disk, 3 * c, 3 * c, 0), "and the rest is zeros");
	disk_close(disk);
	free(bytes);
	free(out);
}

/* More of them than are kept, by several threads. */
struct crew {
	struct disk *disk;
	const uint8_t *wanted;
	size_t len;
	unsigned int seed, wrong;
};

static void *reader(void *arg)
{
	struct crew *crew = arg;
	uint8_t data[5000];

	for (unsigned int i = 0; i < 2000; i++) {
		size_t at = (size_t)rand_r(&crew->seed) % (crew->len - sizeof(data));

		crew->wrong += get(crew->disk, at, data, sizeof(data)) ||
			       memcmp(data, crew->wanted + at, sizeof(data));
	}
	return NULL;
}

static void test_threads(void)
{
	size_t c = 4096, n = 1500, len = n * c;
	struct image im = image_new(3, 12, len, 0);
	uint8_t *wanted = text(len), *out = malloc(2 * c);
	struct crew crew[4];
	pthread_t threads[4];
	unsigned int wrong = 0;

	for (size_t i = 0; i < n; i++) {
		if (i % 3 == 2)
			memset(wanted + i * c, (int)i, c);
		if (i % 3 == 2)
			image_data(&im, i, (int)i);
		else
			image_packed(&im, i, out, pack(false, wanted + i * c, c, out, 2 * c), 0);
	}
	save(&im, "image");
	for (unsigned int i = 0; i < 4; i++) {
		crew[i] = (struct crew){ i ? crew[0].disk : opened("image"), wanted, len, i, 0 };
		pthread_create(&threads[i], NULL, reader, &crew[i]);
	}
	for (unsigned int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		wrong += crew[i].wrong;
	}
	ok(!wrong, "four threads read at random (%u wrong)", wrong);
	disk_close(crew[0].disk);
	free(wanted);
	free(out);
}

/* More tables than are kept: every one of them is found, twice. */
static void test_many_tables(void)
{
	uint64_t c = 512, step = 64 * c, n = 1000;
	struct image im = image_new(3, 9, n * step, 0);
	struct disk *disk;
	bool same = true;

	for (uint64_t i = 0; i < n; i++)
		image_data(&im, i * 64 + i % 64, (int)(i % 251 + 1));
	save(&im, "image");
	disk = opened("image");
	for (uint64_t i = 0; disk && i < 2 * n; i++) {
		uint64_t k = i % n;

		same &= is_all(disk, k * step + k % 64 * c, c, (int)(k % 251 + 1));
		same &= is_all(disk, k * step + (k + 1) % 64 * c, c, 0);
	}
	ok(same, "a thousand tables");
	disk_close(disk);
}

static void test_extended(void)
{
	uint64_t c = 16384, sub = 512;
	struct image im = image_new(3, 14, 8 * c, 16);
	uint64_t at = image_data(&im, 1, 0xaa);
	struct disk *disk;

	/* Cluster 1: subclusters 0-3 there, 4-7 zero, 8-30 below, 31 there. 2: all zero. 4: all there. */
	put_be64(image_entry(&im, 1) + 8, 0x8000000full | 0xf0ull << 32);
	put_be64(image_entry(&im, 2) + 8, 0xffffffffull << 32);
	image_data(&im, 4, 0x44);
	put_be64(image_entry(&im, 4) + 8, 0xffffffff);
	image_data(&im, 5, 0x55);
	put_be64(image_entry(&im, 5) + 8, 0xffffffff);
	memset(im.bytes + at + 4 * sub, 0xee, 4 * sub);
	image_back(&im, "below", "raw");
	make_raw("below", 8 * c, 0xbb);
	save(&im, "image");
	disk = opened("image");
	ok(disk && is_all(disk, c, 4 * sub, 0xaa) && is_all(disk, c + 4 * sub, 4 * sub, 0) &&
		   is_all(disk, c + 8 * sub, 23 * sub, 0xbb) &&
		   is_all(disk, c + 31 * sub, sub, 0xaa),
	   "extended entries: subclusters");
	ok(disk && is_all(disk, 0, c, 0xbb) && is_all(disk, 2 * c, c, 0) &&
		   is_all(disk, 3 * c, c, 0xbb) && is_all(disk, 4 * c, c, 0x44) &&
		   is_all(disk, 5 * c + 700, c - 700, 0x55) && is_all(disk, 6 * c, 2 * c, 0xbb),
	   "and whole clusters");
	disk_close(disk);
	unlink("below");
}

static void test_external(void)
{
	uint64_t c = 65536;
	struct image im = image_new(3, 16, 4 * c, 4);
	struct disk *disk;

	image_extend(&im, 0x44415441, "data", 4);
	put_be64(image_entry(&im, 0), COPIED); /* offset 0 is a place here */
	put_be64(image_entry(&im, 2), 2 * c | COPIED);
	put_be64(image_entry(&im, 3), 1 * c | COPIED);
	make_raw("data", 3 * c, 0xdd);
	save(&im, "image");
	disk = opened("image");
	ok(disk && is_all(disk, 0, c, 0xdd) && is_all(disk, c, c, 0) &&
		   is_all(disk, 2 * c, c, 0xdd),
	   "data in another file");
	ok(disk && !is_all(disk, 3 * c, c, 0xdd), "where each cluster has its own place");
	disk_close(disk);
	unlink("data");
	refused("image", ENOENT, "data file data: No such file");
	im = image_new(3, 16, 4 * c, 4);
	save(&im, "image");
	refused("image", ENOTSUP, "does not say which");
	im = image_new(3, 16, 4 * c, 4);
	image_extend(&im, 0x44415441, "image", 5);
	save(&im, "image");
	refused("image", ELOOP, "itself");
}

/* ---- What it stands on ---- */

static void test_backing(void)
{
	uint64_t c = 4096;
	struct image im = image_new(3, 12, 6 * c, 0);
	struct disk *disk;

	/* top -> middle -> raw, each shorter than what stands on it, and of other clusters. */
	make_raw("raw", 3 * c - 100, 0xaa);
	mkdir("sub", 0700);
	image_data(&im, 1, 0x11);
	put_be64(image_entry(&im, 2), ZERO);
	image_back(&im, "raw", "raw");
	save(&im, "middle");
	im = image_new(2, 9, 8 * c, 0);
	image_data(&im, 0, 0x22);
	image_back(&im, "./middle", "qcow2");
	save(&im, "top");
	disk = opened("top");
	ok(disk && is_all(disk, 0, 512, 0x22) && is_all(disk, 512, c - 512, 0xaa) &&
		   is_all(disk, c, c, 0x11) && is_all(disk, 2 * c, 6 * c, 0),
	   "a chain of three");
	disk_close(disk);
	im = image_new(3, 12, 4 * c, 0);
	image_back(&im, "raw", "raw");
	save(&im, "top");
	disk = opened("top");
	ok(disk && is_all(disk, 0, 3 * c - 100, 0xaa) && is_all(disk, 3 * c - 100, c + 100, 0),
	   "what is below may end within a sector");
	ok(disk && is_all(disk, 3 * c - 200, 512, 0) == false, "and is read up to there");
	disk_close(disk);
}

/* A link from one name to another image of the same format, and so on. */
static void back(const char *image, const char *name, const char *format)
{
	struct image im = image_new(3, 12, 65536, 0);

	image_back(&im, name, format);
	save(&im, image);
}

static void test_backing_refused(void)
{
	struct disk_config any = {
		.path = "top", .format = "qcow2", .read_only = true, .backing_any = true
	};
	char name[16], below[16], here[512];
	struct err err = { "" };
	struct disk *disk;

	make_raw("raw", 65536, 1);
	back("top", "raw", NULL);
	refused("top", EINVAL, "which format its backing file raw has; say it by qemu-img rebase");
	back("top", "raw", "vmdk");
	refused("top", ENOTSUP, "backing file raw is vmdk; only raw and qcow2");
	back("top", "raw", "qcow2");
	refused("top", EINVAL, "no qcow2 image: it does not begin as one (below top)");
	back("top", "missing", "raw");
	refused("top", ENOENT, "backing file missing: No such file");
	back("top", "json:{\"driver\":\"file\"}", "raw");
	refused("top", ENOTSUP, "no plain file");
	back("top", "nbd://host/x", "raw");
	refused("top", ENOTSUP, "no plain file");
	back("top", "two\nlines", "raw");
	refused("top", EINVAL, "control characters");
	back("top", "sub", "raw");
	refused("top", EISDIR, "directory");

	make_raw("../outside", 65536, 0x99);
	back("top", "../outside", "raw");
	refused("top", EPERM, "outside is outside its folder; add ,backing=any");
	ok(!disk_open(&any, &disk, &err) && is_all(disk, 0, 65536, 0x99), "backing=any %s",
	   err.text);
	disk_close(disk);
	ok(!symlink("../outside", "link"), "a link");
	back("top", "link", "raw");
	refused("top", EPERM, "outside its folder");
	unlink("link");
	unlink("../outside");
	mkdir("../inside", 0700); /* "in" and more */
	make_raw("../inside/raw", 512, 1);
	back("top", "../inside/raw", "raw");
	refused("top", EPERM, "outside its folder");
	unlink("../inside/raw");
	rmdir("../inside");
	back("top", "/etc/passwd", "raw");
	refused("top", EPERM, "outside its folder");
	back("sub/top", "../raw", "raw");
	refused("sub/top", EPERM, "outside its folder");
	back("top", "sub/../raw", "raw");
	disk = opened("top");
	ok(disk && is_all(disk, 0, 65536, 1), "a long way to its own folder");
	disk_close(disk);
	if (getcwd(here, sizeof(here) - 8))
		back("top", strcat(here, "/raw"), "raw");
	disk = opened("top");
	ok(disk, "as is the whole way");
	disk_close(disk);

	back("top", "top", "qcow2");
	refused("top", ELOOP, "stands on itself");
	back("a", "b", "qcow2");
	back("b", "a", "qcow2");
	refused("a", ELOOP, "stands on itself");
	back("a", "b", "raw"); /* what b says is not looked at */
	disk = opened("a");
	ok(disk, "a raw file is what stands below, whatever it looks like");
	disk_close(disk);
	for (unsigned int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "chain%u", i);
		snprintf(below, sizeof(below), "chain%u", i + 1);
		back(name, below, "qcow2");
	}
	back("chain40", "raw", "raw");
	refused("chain8", ELOOP, "more than 32");
	disk = opened("chain10");
	ok(disk && is_all(disk, 0, 65536, 1), "a chain of 32");
	disk_close(disk);
	refused("chain0", ELOOP, "more than 32");
	for (unsigned int i = 0; i < 41; i++) {
		snprintf(name, sizeof(name), "chain%u", i);
		unlink(name);
	}
}

/* ---- As other disks ---- */

static void test_writing(void)
{
	struct disk_config config = { .path = "image", .format = "qcow2" };
	struct image im = image_new(3, 16, 1 * MIB, 0);
	struct err err = { "" };
	struct disk *disk, *other;
	struct disk_queue *q;
	uint8_t data[1024] = { 0x99 };
	struct iovec iov = { data, sizeof(data) };

	image_data(&im, 0, 0x11);
	save(&im, "image");
	ok(disk_open(&config, &disk, &err) == -ENOTSUP && strstr(err.text, "add ,ro, or ,cow"),
	   "refused: %s", err.text);
	config.direct = config.read_only = true;
	ok(disk_open(&config, &disk, &err) == -EINVAL && strstr(err.text, "direct"), "refused: %s",
	   err.text);
	config.direct = config.read_only = false;
	config.cow = true;
	ok(!disk_open(&config, &disk, &err) && !disk_read_only(disk), "cow %s", err.text);
	memset(data, 0x99, sizeof(data));
	ok(!disk_write(disk, &iov, 1, 512, false) && is_all(disk, 0, 512, 0x11) &&
		   is_all(disk, 512, 1024, 0x99) && is_all(disk, 1536, 512, 0x11),
	   "cow: written, and read with what is around it");
	config = (struct disk_config){ .path = "image", .format = "raw" };
	ok(disk_open(&config, &other, &err) == -EBUSY, "while it is in use nobody may write it");
	ok(disk_queue_create(disk, 4, "uring", &q) == -ENOTSUP, "io_uring knows nothing of it");
	disk_close(disk);
	disk = opened("image");
	ok(disk && is_all(disk, 0, 65536, 0x11), "afterwards it is as it was");
	disk_close(disk);
}

int main(void)
{
	char folder[] = "/var/tmp/kindling-qcow2-XXXXXX";

	if (!mkdtemp(folder) || chdir(folder) || mkdir("in", 0700) || chdir("in")) {
		printf("Bail out! no folder for files\n");
		return 1;
	}
	for (unsigned int bits = 9; bits <= 21; bits += 4) {
		test_kinds(2, bits);
		test_kinds(3, bits);
	}
	test_packed(false, 9);
	test_packed(false, 16);
	test_packed(false, 21);
	test_packed(true, 9);
	test_packed(true, 16);
	test_packed(true, 21);
	test_threads();
	test_many_tables();
	test_extended();
	test_external();
	test_backing();
	test_backing_refused();
	test_writing();
	{
		const char *const left[] = { "image", "top", "middle", "raw", "sub/top", "a", "b" };

		for (unsigned int i = 0; i < ARRAY_SIZE(left); i++)
			unlink(left[i]);
	}
	rmdir("sub");
	ok(!chdir("..") && !rmdir("in") && !rmdir(folder), "all is cleaned up");
	return done_testing();
}
