/* SPDX-License-Identifier: MIT */
/*
 * Direct I/O demands that offset, length and memory are aligned, to what only trying tells: file
 * systems and devices differ, and few host kernels say. A request whose memory is not aligned goes
 * through a bounce buffer; one whose offset isn't can't come, as the guest is told the block size.
 */
#include "host/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/util.h"

#define BOUNCE_SIZE (256 * KIB)
#define MAX_BLOCK (64 * KIB)
#define LOCK_TRIES 100 /* for a second in all */
#define LOCK_PAUSE_US 10000

struct disk {
	int fd;
	bool read_only, direct;
	uint32_t block;
	uint64_t size;
	uint8_t *bounce; /* direct only: BOUNCE_SIZE bytes, aligned to MAX_BLOCK */
	pthread_mutex_t bounce_lock;
};

uint64_t disk_size(const struct disk *disk)
{
	return disk->size;
}

bool disk_read_only(const struct disk *disk)
{
	return disk->read_only;
}

uint32_t disk_block_size(const struct disk *disk)
{
	return disk->block;
}

int disk_fd(const struct disk *disk)
{
	return disk->fd;
}

static int open_file(struct disk *disk, const struct disk_config *config, struct err *err)
{
	/* O_NONBLOCK: a FIFO given by mistake would wait for its other end. */
	int flags = O_CLOEXEC | O_NONBLOCK | (config->read_only ? O_RDONLY : O_RDWR) |
		    (config->direct ? O_DIRECT : 0);

	disk->fd = open(config->path, flags);
	/* For the opening only: io_uring would give EAGAIN for all that has to wait. */
	if (disk->fd >= 0 && !fcntl(disk->fd, F_SETFL, flags & ~O_NONBLOCK))
		return 0;
	if (errno == EISDIR)
		return err_set(err, EISDIR, "disk %s: a directory; give an image or a block device",
			       config->path);
	if (errno == EINVAL && config->direct)
		return err_set(err, EINVAL,
			       "disk %s: no direct I/O on its file system; leave it out",
			       config->path);
	if ((errno == EACCES || errno == EROFS) && !config->read_only &&
	    !access(config->path, R_OK))
		return err_set(err, errno, "disk %s: not writable; add ,ro", config->path);
	return err_set(err, errno, "disk %s: %s", config->path, strerror(errno));
}

static int find_size(struct disk *disk, const char *path, struct err *err)
{
	struct stat st;
	off_t end;

	int locked = 0;

	if (fstat(disk->fd, &st))
		return err_set(err, errno, "disk %s: %s", path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return err_set(err, EISDIR, "disk %s: a directory; give an image or a block device",
			       path);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(err, EINVAL, "disk %s: neither a regular file nor a block device",
			       path);
	/* Such a device opens for writing all the same. */
	if (S_ISBLK(st.st_mode) && !disk->read_only && !ioctl(disk->fd, BLKROGET, &locked) &&
	    locked)
		return err_set(err, EROFS, "disk %s: a read-only device; add ,ro", path);
	end = lseek(disk->fd, 0, SEEK_END);
	if (end < 0)
		return err_set(err, errno, "disk %s: %s", path, strerror(errno));
	if (!end)
		return err_set(err, EINVAL, "disk %s: empty; give it a size with truncate -s",
			       path);
	disk->size = (uint64_t)end;
	return 0;
}

/*
 * The lock belongs to this open file, not to the process: a second disk of ours conflicts too. A VM
 * that was killed may hold it for a moment longer, while the host's kernel ends what was on its way
 * to the file.
 */
static int lock(struct disk *disk, const char *path, struct err *err)
{
	struct flock whole = {
		.l_type = disk->read_only ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
	};
	int rc = fcntl(disk->fd, F_OFD_SETLK, &whole);

	for (int i = 0; rc && (errno == EAGAIN || errno == EACCES) && i < LOCK_TRIES; i++) {
		usleep(LOCK_PAUSE_US);
		rc = fcntl(disk->fd, F_OFD_SETLK, &whole);
	}
	/* Some network file systems know no locks: no reason to refuse the disk. */
	if (!rc || (errno != EAGAIN && errno != EACCES))
		return 0;
	if (disk->read_only)
		return err_set(err, EBUSY, "disk %s: in use, another disk or VM writes it", path);
	return err_set(err, EBUSY,
		       "disk %s: in use by another disk or VM; only read-only disks can be shared",
		       path);
}

/* The smallest block, and alignment of memory, with which reading works. */
static int find_direct_block(struct disk *disk, const char *path, struct err *err)
{
	if (posix_memalign((void **)&disk->bounce, MAX_BLOCK, BOUNCE_SIZE)) {
		disk->bounce = NULL;
		return err_set(err, ENOMEM, "disk %s: no memory for direct I/O", path);
	}
	for (uint32_t block = DISK_SECTOR; block <= MAX_BLOCK; block *= 2) {
		/* At an address that is aligned to the block and to no more. */
		if (pread(disk->fd, disk->bounce + block % MAX_BLOCK, block, 0) >= 0) {
			disk->block = block;
			return 0;
		}
		if (errno != EINVAL)
			return err_set(err, errno, "disk %s: %s", path, strerror(errno));
	}
	return err_set(err, EINVAL, "disk %s: no direct I/O on its file system; leave it out",
		       path);
}

static int prepare(struct disk *disk, const struct disk_config *config, struct err *err)
{
	const char *path = config->path;
	int rc = open_file(disk, config, err);

	if (!rc)
		rc = find_size(disk, path, err);
	if (!rc)
		rc = lock(disk, path, err);
	if (!rc && disk->direct)
		rc = find_direct_block(disk, path, err);
	if (rc)
		return rc;
	if (disk->size % disk->block)
		return err_set(err, EINVAL,
			       "disk %s: size %llu is not a multiple of %u; "
			       "pad it with truncate -s %%%u %s",
			       path, (unsigned long long)disk->size, disk->block, disk->block,
			       path);
	return 0;
}

int disk_open(const struct disk_config *config, struct disk **out, struct err *err)
{
	struct disk *disk = calloc(1, sizeof(*disk));
	int rc;

	if (!disk)
		return err_set(err, ENOMEM, "disk %s: no memory", config->path);
	disk->fd = -1;
	disk->read_only = config->read_only;
	disk->direct = config->direct;
	disk->block = DISK_SECTOR;
	pthread_mutex_init(&disk->bounce_lock, NULL);
	rc = prepare(disk, config, err);
	if (rc) {
		disk_close(disk);
		return rc;
	}
	*out = disk;
	return 0;
}

void disk_close(struct disk *disk)
{
	if (!disk)
		return;
	if (disk->fd >= 0) {
		/* By hand: a ring that knew the file may hold it for a moment longer. */
		fcntl(disk->fd, F_OFD_SETLK, &(struct flock){ .l_type = F_UNLCK });
		close(disk->fd);
	}
	free(disk->bounce);
	pthread_mutex_destroy(&disk->bounce_lock);
	free(disk);
}

typedef ssize_t (*vector_fn)(int fd, const struct iovec *iov, int n, off_t offset);

unsigned int iov_advance(struct iovec **iov, unsigned int n, size_t done)
{
	while (n && done >= (*iov)->iov_len) {
		done -= (*iov)->iov_len;
		(*iov)++;
		n--;
	}
	if (n) {
		(*iov)->iov_base = (uint8_t *)(*iov)->iov_base + done;
		(*iov)->iov_len -= done;
	}
	return n;
}

static int transfer(int fd, vector_fn fn, struct iovec *iov, unsigned int n, uint64_t offset)
{
	while (n) {
		ssize_t done = fn(fd, iov, (int)n, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		if (!done) /* the file has become shorter under us */
			return -EIO;
		offset += (uint64_t)done;
		n = iov_advance(&iov, n, (size_t)done);
	}
	return 0;
}

bool disk_is_aligned(const struct disk *disk, const struct iovec *iov, unsigned int n)
{
	for (unsigned int i = 0; disk->direct && i < n; i++) {
		if (((uintptr_t)iov[i].iov_base | iov[i].iov_len) % disk->block)
			return false;
	}
	return true;
}

/* Copies up to `len` bytes between the front of `iov`, which advances, and `buf`. */
static size_t copy(struct iovec **iov, unsigned int *n, uint8_t *buf, size_t len, bool to_buf)
{
	size_t done = 0;

	while (*n && done < len) {
		size_t part = MIN((*iov)->iov_len, len - done);

		if (to_buf)
			memcpy(buf + done, (*iov)->iov_base, part);
		else
			memcpy((*iov)->iov_base, buf + done, part);
		done += part;
		*n = iov_advance(iov, *n, part);
	}
	return done;
}

static size_t total(const struct iovec *iov, unsigned int n)
{
	size_t sum = 0;

	for (unsigned int i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

static int read_bounced(struct disk *disk, struct iovec *iov, unsigned int n, uint64_t offset)
{
	size_t left = total(iov, n);

	while (left) {
		struct iovec part = { disk->bounce, MIN(left, (size_t)BOUNCE_SIZE) };
		size_t len = part.iov_len;
		int rc = transfer(disk->fd, preadv, &part, 1, offset);

		if (rc)
			return rc;
		copy(&iov, &n, disk->bounce, len, false);
		offset += len;
		left -= len;
	}
	return 0;
}

static int write_bounced(struct disk *disk, struct iovec *iov, unsigned int n, uint64_t offset)
{
	for (;;) {
		size_t len = copy(&iov, &n, disk->bounce, BOUNCE_SIZE, true);
		struct iovec part = { disk->bounce, len };
		int rc;

		if (!len)
			return 0;
		rc = transfer(disk->fd, pwritev, &part, 1, offset);
		if (rc)
			return rc;
		offset += len;
	}
}

int disk_read(struct disk *disk, struct iovec *iov, unsigned int n, uint64_t offset)
{
	int rc;

	if (disk_is_aligned(disk, iov, n))
		return transfer(disk->fd, preadv, iov, n, offset);
	pthread_mutex_lock(&disk->bounce_lock);
	rc = read_bounced(disk, iov, n, offset);
	pthread_mutex_unlock(&disk->bounce_lock);
	return rc;
}

static int write_any(struct disk *disk, struct iovec *iov, unsigned int n, uint64_t offset)
{
	int rc;

	if (disk_is_aligned(disk, iov, n))
		return transfer(disk->fd, pwritev, iov, n, offset);
	pthread_mutex_lock(&disk->bounce_lock);
	rc = write_bounced(disk, iov, n, offset);
	pthread_mutex_unlock(&disk->bounce_lock);
	return rc;
}

int disk_write(struct disk *disk, struct iovec *iov, unsigned int n, uint64_t offset, bool stable)
{
	int rc = write_any(disk, iov, n, offset);

	return !rc && stable ? disk_flush(disk) : rc;
}

int disk_flush(struct disk *disk)
{
	return fdatasync(disk->fd) ? -errno : 0;
}
