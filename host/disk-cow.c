/* SPDX-License-Identifier: MIT */
/*
 * A throw-away overlay: what is written goes to a sparse file without a name, at the disk's own
 * offsets, and a map says for each sector where it is to be read from. A sector is the least that
 * can be written, so nothing is ever copied from the image, and writers need no lock: bits are only
 * ever set, each after its sector has been written.
 *
 * The map is an eighth of a thousandth of the disk in address space (one bit for 512 bytes); of
 * memory it takes a page for each 16 MiB that something was written to.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host/disk-kind.h"
#include "util/util.h"

#define WORD_BITS 64u

struct cow {
	struct disk disk;
	struct disk *base;
	int file;	       /* what was written */
	_Atomic uint64_t *map; /* a bit for each sector: it is in `file` */
	size_t map_size;       /* bytes */
};

static struct cow *cow_of(struct disk *disk)
{
	return container_of(disk, struct cow, disk);
}

/* Of the sectors from `sector` on, how many, up to `n`, lie in the same place? `*ours`: the file. */
static uint64_t run_at(const struct cow *cow, uint64_t sector, uint64_t n, bool *ours)
{
	unsigned int bit = sector % WORD_BITS;
	uint64_t word = cow->map[sector / WORD_BITS] >> bit;
	uint64_t same = word & 1 ? UINT64_MAX : 0;
	uint64_t run = 0;

	*ours = same;
	for (;;) {
		uint64_t others = (word ^ same) & (UINT64_MAX >> bit);

		if (others)
			return MIN(run + (unsigned int)__builtin_ctzll(others), n);
		run += WORD_BITS - bit;
		if (run >= n)
			return n;
		bit = 0;
		word = cow->map[(sector + run) / WORD_BITS];
	}
}

static int cow_read(struct disk *disk, struct iovec *iov, unsigned int n, uint64_t offset)
{
	struct cow *cow = cow_of(disk);
	uint64_t left = iov_total(iov, n);
	struct iov_parts parts = { .iov = iov, .n = n };

	while (left) {
		struct iovec *part;
		bool ours;
		uint64_t skip = offset % DISK_SECTOR;
		uint64_t sectors = (skip + left + DISK_SECTOR - 1) / DISK_SECTOR;
		uint64_t run = run_at(cow, offset / DISK_SECTOR, sectors, &ours) * DISK_SECTOR;
		uint64_t len = MIN(run - skip, left);
		unsigned int n_part = iov_next_part(&parts, len, &part);
		int rc = ours ? iov_pread(cow->file, part, n_part, offset)
			      : disk_read(cow->base, part, n_part, offset);

		if (rc)
			return rc;
		offset += len;
		left -= len;
	}
	return 0;
}

static void mark(struct cow *cow, uint64_t sector, uint64_t n)
{
	while (n) {
		unsigned int bit = sector % WORD_BITS;
		uint64_t bits = MIN(n, (uint64_t)(WORD_BITS - bit));

		cow->map[sector / WORD_BITS] |= UINT64_MAX >> (WORD_BITS - bits) << bit;
		sector += bits;
		n -= bits;
	}
}

/* What failed stays unmarked: some of it may be in the file already, where nobody looks. */
static int cow_write(struct disk *disk, struct iovec *iov, unsigned int n, uint64_t offset)
{
	struct cow *cow = cow_of(disk);
	uint64_t len = iov_total(iov, n);
	int rc = iov_pwrite(cow->file, iov, n, offset);

	if (!rc)
		mark(cow, offset / DISK_SECTOR, len / DISK_SECTOR);
	return rc;
}

static int cow_clear(struct disk *disk, uint64_t offset, uint64_t len, bool discard)
{
	struct cow *cow = cow_of(disk);
	int rc = file_clear(cow->file, offset, len, false);

	(void)discard; /* what is below must not appear again */
	if (!rc)
		mark(cow, offset / DISK_SECTOR, len / DISK_SECTOR);
	return rc;
}

/* It does not outlive us, so nothing need outlive the host. */
static int cow_flush(struct disk *disk)
{
	(void)disk;
	return 0;
}

static void cow_close(struct disk *disk)
{
	struct cow *cow = cow_of(disk);

	if (cow->map)
		munmap((void *)cow->map, cow->map_size);
	if (cow->file >= 0)
		close(cow->file);
	disk_close(cow->base);
	free(cow);
}

static const struct disk_ops cow_ops = {
	.read = cow_read,
	.write = cow_write,
	.clear = cow_clear,
	.flush = cow_flush,
	.close = cow_close,
};

/* fd or -errno. Not every file system knows files without names (O_TMPFILE). */
static int open_nameless(const char *folder)
{
	char name[4096];
	int fd = open(folder, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0)
		return fd;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
		return -errno;
	if (snprintf(name, sizeof(name), "%s/lkvm-XXXXXX", folder) >= (int)sizeof(name))
		return -ENAMETOOLONG;
	fd = mkostemp(name, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	unlink(name);
	return fd;
}

/* /var/tmp is on a disk where /tmp often is memory. */
static int make_file(struct cow *cow, const char *path, struct err *err)
{
	const char *folder = secure_getenv("TMPDIR");
	bool said = folder && *folder;

	if (!said)
		folder = access("/var/tmp", W_OK | X_OK) ? "/tmp" : "/var/tmp";
	cow->file = open_nameless(folder);
	if (cow->file < 0)
		return err_set(err, -cow->file,
			       "disk %s: no file for cow in %s: %s; name a folder in TMPDIR", path,
			       folder, strerror(-cow->file));
	if (ftruncate(cow->file, (off_t)cow->disk.size))
		return err_set(err, errno,
			       "disk %s: no file as large in %s for cow: %s; name a folder on "
			       "another file system in TMPDIR",
			       path, folder, strerror(errno));
	return 0;
}

/* Address space only: a page costs memory once it is written. */
static int make_map(struct cow *cow, const char *path, struct err *err)
{
	void *p = MAP_FAILED;

	cow->map_size = align_up(cow->disk.size / DISK_SECTOR, WORD_BITS) / 8;
	p = mmap(NULL, cow->map_size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return err_set(err, errno,
			       "disk %s: %llu GiB is more than cow can keep a map of: %s", path,
			       (unsigned long long)(cow->disk.size / GIB), strerror(errno));
	cow->map = p;
	return 0;
}

int disk_open_cow(const char *path, struct disk *base, struct disk **out, struct err *err)
{
	struct cow *cow = calloc(1, sizeof(*cow));
	int rc;

	if (!cow) {
		disk_close(base);
		return err_set(err, ENOMEM, "disk %s: no memory", path);
	}
	cow->disk = (struct disk){ .ops = &cow_ops,
				   .fd = -1,
				   .block = base->block,
				   .size = base->size,
				   .physical = base->physical };
	cow->base = base;
	cow->file = -1;
	rc = make_file(cow, path, err);
	if (!rc)
		rc = make_map(cow, path, err);
	if (rc) {
		cow_close(&cow->disk);
		return rc;
	}
	*out = &cow->disk;
	return 0;
}
