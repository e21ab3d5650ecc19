/* SPDX-License-Identifier: MIT */
/* host/disk: what is refused, with which words; locks; reads and writes, direct ones too. */
#include "host/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/tap.h"
#include "util/util.h"

/* In a folder of its own, on a disk rather than on tmpfs, where direct I/O is possible. */
static void make_file(const char *name, off_t size)
{
	int fd = open(name, O_CREAT | O_TRUNC | O_RDWR, 0600);

	if (fd < 0 || ftruncate(fd, size))
		ok(false, "%s is made", name);
	close(fd);
}

static void refused(const char *path, bool read_only, int error, const char *words)
{
	struct disk_config config = { .path = path, .read_only = read_only };
	struct err err = { "" };
	struct disk *disk;
	int rc = disk_open(&config, &disk, &err);

	ok(rc == -error && strstr(err.text, words) && strstr(err.text, path) &&
		   !strchr(err.text, '\n'),
	   "refused (%d): %s", rc, err.text);
}

static struct disk *opened(const char *path, bool read_only, bool direct)
{
	struct disk_config config = { .path = path, .read_only = read_only, .direct = direct };
	struct err err = { "" };
	struct disk *disk = NULL;

	if (disk_open(&config, &disk, &err))
		ok(false, "%s", err.text);
	return disk;
}

static void test_refusals(void)
{
	refused("missing", false, ENOENT, "No such file");
	mkdir("folder", 0700);
	refused("folder", false, EISDIR, "a directory");
	refused("folder", true, EISDIR, "a directory");
	make_file("empty", 0);
	refused("empty", false, EINVAL, "empty");
	make_file("odd", 513);
	refused("odd", false, EINVAL,
		"513 is not a multiple of 512; pad it with truncate -s %512 odd");
	mkfifo("fifo", 0600);
	refused("fifo", true, EINVAL, "neither");
	refused("/dev/null", false, EINVAL, "neither");
	if (geteuid()) { /* root may read and write anything */
		make_file("secret", 512);
		chmod("secret", 0);
		refused("secret", true, EACCES, "Permission");
		chmod("secret", 0400);
		refused("secret", false, EACCES, "add ,ro");
	}
}

/* What a guest may write to its own raw disk is not looked into. */
static void test_formats(void)
{
	struct disk_config config = { .path = "disk", .format = "raw" };
	struct err err = { "" };
	struct disk *disk;
	int fd;

	make_file("disk", 4096);
	fd = open("disk", O_WRONLY);
	ok(pwrite(fd, "QFI\xfb", 4, 0) == 4, "a raw disk that begins as a qcow2 image");
	close(fd);
	refused("disk", false, EINVAL, "say format=qcow2, or format=raw");
	refused("disk", true, EINVAL, "say format=qcow2, or format=raw");
	ok(!disk_open(&config, &disk, &err), "format=raw: it is a raw disk %s", err.text);
	disk_close(disk);
	config.format = "vmdk";
	ok(disk_open(&config, &disk, &err) == -ENOTSUP && strstr(err.text, "format vmdk"),
	   "refused: %s", err.text);
}

static void test_locks(void)
{
	struct disk *a, *b;

	make_file("disk", 4096);
	a = opened("disk", false, false);
	refused("disk", false, EBUSY, "in use");
	refused("disk", true, EBUSY, "in use");
	disk_close(a);
	a = opened("disk", true, false);
	b = opened("disk", true, false);
	ok(a && b, "two may read one disk");
	refused("disk", false, EBUSY, "in use");
	disk_close(a);
	refused("disk", false, EBUSY, "in use");
	disk_close(b);
	a = opened("disk", false, false);
	ok(a, "a disk that is closed is free");
	disk_close(a);
}

/* Three blocks' worth of bytes in odd pieces, to offset `at` and back. */
static void round_trip(struct disk *disk, uint64_t at, const char *what)
{
	size_t len = 3 * (size_t)disk_block_size(disk);
	uint8_t *from = malloc(len), *to = malloc(len + 1);
	struct iovec iov[3] = { { from, 7 }, { from + 7, 500 }, { from + 507, len - 507 } };
	int rc;

	for (size_t i = 0; i < len; i++)
		from[i] = (uint8_t)(i * 7 + at);
	rc = disk_write(disk, iov, 3, at, false);
	ok(!rc && !disk_flush(disk), "%s: written (%d)", what, rc);
	memset(to, 0, len);
	iov[0] = (struct iovec){ to + 1, 1 };
	iov[1] = (struct iovec){ to + 2, len - 1 };
	rc = disk_read(disk, iov, 2, at);
	ok(!rc && !memcmp(from, to + 1, len), "%s: read back (%d)", what, rc);
	free(from);
	free(to);
}

static void test_transfers(void)
{
	struct disk *disk;
	uint8_t byte, block[1024];
	struct iovec iov;
	int fd;

	make_file("disk", 1 * MIB);
	disk = opened("disk", false, false);
	ok(disk_size(disk) == 1 * MIB && disk_block_size(disk) == 512 && !disk_read_only(disk),
	   "size, block size, writable");
	round_trip(disk, 0, "at the start");
	round_trip(disk, 1 * MIB - 1536, "at the end");
	fd = open("disk", O_RDONLY);
	ok(pread(fd, &byte, 1, 1) == 1 && byte == 7, "it is in the file");
	close(fd);
	if (truncate("disk", 512))
		ok(false, "truncate");
	iov = (struct iovec){ block, sizeof(block) };
	ok(disk_read(disk, &iov, 1, 0) == -EIO, "a file that became shorter: EIO, no endless loop");
	disk_close(disk);

	disk = opened("disk", true, false);
	iov = (struct iovec){ block, 512 };
	ok(disk_read_only(disk) && disk_write(disk, &iov, 1, 0, false) == -EBADF,
	   "a read-only disk can't be written");
	disk_close(disk);
}

static void test_direct(void)
{
	struct disk_config config = { .path = "disk", .direct = true };
	struct err err = { "" };
	struct disk *disk;
	size_t len = 600 * KIB;
	uint8_t *data;
	struct iovec iov;
	unsigned int wrong = 0;
	int rc;

	make_file("disk", 1 * MIB);
	rc = disk_open(&config, &disk, &err);
	if (rc == -EINVAL) {
		ok(strstr(err.text, "direct"), "# SKIP %s", err.text);
		return;
	}
	ok(!rc && 1 * MIB % disk_block_size(disk) == 0, "direct: opened, blocks of %u",
	   rc ? 0 : disk_block_size(disk));
	if (rc)
		return;
	round_trip(disk, 0, "direct, bounced");
	/* More than one bounce buffer, at an odd address; then aligned. */
	data = aligned_alloc(4096, len + 4096);
	for (size_t i = 0; i < len; i++)
		data[i + 1] = (uint8_t)(i / 512 + i);
	iov = (struct iovec){ data + 1, len };
	ok(!disk_write(disk, &iov, 1, 4096, true), "direct: a long write is bounced in parts");
	memset(data, 0, len + 4096);
	iov = (struct iovec){ data, len };
	ok(!disk_read(disk, &iov, 1, 4096), "direct: and read without bouncing");
	for (size_t i = 0; i < len; i++)
		wrong += data[i] != (uint8_t)(i / 512 + i);
	memset(data, 0, len + 4096);
	iov = (struct iovec){ data + 3, len };
	ok(!disk_read(disk, &iov, 1, 4096), "direct: and with");
	for (size_t i = 0; i < len; i++)
		wrong += data[i + 3] != (uint8_t)(i / 512 + i);
	ok(!wrong, "direct: every byte is the same");
	free(data);
	disk_close(disk);
}

/* A loop device of `sector` bytes over `file`, by losetup; where that can't be: "". */
static void attach_loop(const char *file, unsigned int sector, char path[64])
{
	char command[256];
	FILE *said;

	snprintf(command, sizeof(command), "losetup -f --show -b %u %s 2>/dev/null", sector, file);
	said = popen(command, "r");
	if (!said || !fgets(path, 64, said))
		path[0] = 0;
	path[strcspn(path, "\n")] = 0;
	if (said)
		pclose(said);
}

/* Its guest must see 4 KiB, too, or its partition table is somewhere else; so with cow. */
static void test_large_sectors(void)
{
	struct disk_config config = { .cow = true };
	char path[64], command[128];
	struct err err = { "" };
	struct disk *disk;

	make_file("disk", 1 << 20);
	attach_loop("disk", 4096, path);
	if (!path[0]) {
		ok(true, "# SKIP no loop devices here");
		return;
	}
	disk = opened(path, false, false);
	ok(disk && disk_block_size(disk) == 4096, "a device of 4 KiB sectors: that is its block");
	ok(!disk_clear(disk, 4096, 4096, false), "of which one can be cleared");
	disk_close(disk);
	config.path = path;
	ok(!disk_open(&config, &disk, &err) && disk_block_size(disk) == 4096,
	   "and of what lies over it %s", err.text);
	disk_close(disk);
	snprintf(command, sizeof(command), "losetup -d %s", path);
	ok(!system(command), "the device is gone");
}

int main(void)
{
	char folder[] = "/var/tmp/kindling-disk-XXXXXX";

	if (!mkdtemp(folder) || chdir(folder)) {
		printf("Bail out! no folder for files\n");
		return 1;
	}
	test_refusals();
	test_formats();
	test_locks();
	test_transfers();
	test_direct();
	test_large_sectors();
	unlink("empty");
	unlink("odd");
	unlink("fifo");
	unlink("disk");
	unlink("secret");
	rmdir("folder");
	ok(!chdir("/") && !rmdir(folder), "all is cleaned up");
	return done_testing();
}
