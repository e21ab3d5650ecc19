/* SPDX-License-Identifier: MIT */
/*
 * qcow2 images (host/qcow2.h), by the disk's public interface: what is opened is read, whole and in
 * parts, which must agree; under an overlay what was written is read. Beside the image lies a raw
 * file `b`, which it may stand on or have its data in.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "host/disk.h"
#include "tests/fuzz/fuzz.h"

#define PART (64 * KIB)
#define BELOW (1 * MIB)

/* Not the current folder: the fuzzer's own files have relative names. */
static char folder[] = "/tmp/kindling-fuzz-XXXXXX", image[64], below[64];

static void leave(void)
{
	CHECK(!unlink(image) && !unlink(below) && !rmdir(folder));
}

static void write_file(const char *name, const void *data, size_t len, size_t zeros)
{
	int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	CHECK(fd >= 0 && write(fd, data, len) == (ssize_t)len);
	CHECK(!ftruncate(fd, (off_t)(len + zeros)));
	close(fd);
}

static void make_folder(void)
{
	uint8_t *bytes;

	if (image[0])
		return;
	bytes = malloc(BELOW);
	CHECK(bytes && mkdtemp(folder));
	snprintf(image, sizeof(image), "%s/x", folder);
	snprintf(below, sizeof(below), "%s/b", folder);
	memset(bytes, 0xbb, BELOW);
	write_file(below, bytes, BELOW, 0);
	free(bytes);
	atexit(leave);
}

static int get(struct disk *disk, uint64_t offset, uint8_t *out, size_t len)
{
	struct iovec iov[2] = { { out, len / 2 }, { out + len / 2, len - len / 2 } };

	return disk_read(disk, iov, 2, offset);
}

/* What can be read at once can be read sector by sector, and is the same; to heap blocks, for ASan. */
static void check_part(struct disk *disk, uint64_t offset, size_t len)
{
	uint8_t *whole = malloc(len), *sector = malloc(DISK_SECTOR);
	int rc = get(disk, offset, whole, len);

	CHECK(rc == 0 || rc == -EIO);
	for (size_t at = 0; at < len; at += DISK_SECTOR) {
		int one = get(disk, offset + at, sector, DISK_SECTOR);

		CHECK(one == 0 || rc == -EIO);
		CHECK(rc || !memcmp(sector, whole + at, DISK_SECTOR));
	}
	free(whole);
	free(sector);
}

static void check_write(struct disk *disk, uint64_t offset)
{
	uint8_t data[DISK_SECTOR], got[DISK_SECTOR];
	struct iovec iov = { data, sizeof(data) };

	memset(data, 0xcc, sizeof(data));
	if (disk_read_only(disk)) {
		CHECK(disk_write(disk, &iov, 1, offset, true) == -EBADF);
		return;
	}
	CHECK(!disk_write(disk, &iov, 1, offset, true));
	CHECK(!get(disk, offset, got, sizeof(got)) && !memcmp(data, got, sizeof(got)));
}

/*
 * How: bit 0 read-only, bit 1 names of any folder. Then 64 KiB behind it, how many offsets (up to
 * 4), and those, in sectors. The rest is the image.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	uint8_t how = take_u8(&in), pad = take_u8(&in);
	uint64_t offsets[4];
	uint32_t n = take_below(&in, ARRAY_SIZE(offsets) + 1);
	struct disk_config config = { .path = image,
				      .format = "qcow2",
				      .read_only = how & 1,
				      .cow = true,
				      .backing_any = how & 2 };
	struct err err = { "" };
	struct disk *disk;

	make_folder();
	for (uint32_t i = 0; i < n; i++)
		offsets[i] = take_u64(&in);
	write_file(image, in.p, in.left, pad * 64 * KIB);
	if (disk_open(&config, &disk, &err)) {
		CHECK(err.text[0] && !strchr(err.text, '\n'));
		return 0;
	}
	CHECK(disk_size(disk) && disk_size(disk) % DISK_SECTOR == 0);
	check_part(disk, 0, (size_t)MIN(disk_size(disk), (uint64_t)PART));
	for (uint32_t i = 0; i < n; i++) {
		uint64_t at = offsets[i] % (disk_size(disk) / DISK_SECTOR) * DISK_SECTOR;

		check_part(disk, at, (size_t)MIN(disk_size(disk) - at, (uint64_t)PART));
		check_write(disk, at);
		check_part(disk, at, (size_t)MIN(disk_size(disk) - at, (uint64_t)PART));
	}
	disk_close(disk);
	return 0;
}
