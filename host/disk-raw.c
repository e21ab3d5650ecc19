/* SPDX-License-Identifier: MIT */
/*
 * A raw disk: the file's bytes are the disk's. Also what a mapped image (host/qcow2.h) lies in.
 *
 * Direct I/O demands that offset, length and memory are aligned, to what only trying tells: file
 * systems and devices differ, and few host kernels say. A request whose memory is not aligned goes
 * through a bounce buffer; one whose offset isn't can't come, as the guest is told the block size.
 */
#include "host/disk-kind.h"

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

struct raw {
	struct disk disk;
	uint8_t *bounce; /* direct only: BOUNCE_SIZE bytes, aligned to MAX_BLOCK */
	pthread_mutex_t bounce_lock;
};

static struct raw *raw_of(struct disk *disk)
{
	return container_of(disk, struct raw, disk);
}

static int open_file(struct disk *disk, const struct disk_source *source, struct err *err)
{
	/* O_NONBLOCK: a FIFO given by mistake would wait for its other end. */
	int flags = O_CLOEXEC | O_NONBLOCK | (source->read_only ? O_RDONLY : O_RDWR) |
		    (source->direct ? O_DIRECT : 0);

	disk->fd = open(source->path, flags);
	/* For the opening only: io_uring would give EAGAIN for all that has to wait. */
	if (disk->fd >= 0 && !fcntl(disk->fd, F_SETFL, flags & ~O_NONBLOCK))
		return 0;
	if (errno == EISDIR)
		return err_set(err, EISDIR, "disk %s: a directory; give an image or a block device",
			       source->path);
	if (errno == EINVAL && source->direct)
		return err_set(err, EINVAL,
			       "disk %s: no direct I/O on its file system; leave it out",
			       source->path);
	if ((errno == EACCES || errno == EROFS) && !source->read_only &&
	    !access(source->path, R_OK))
		return err_set(err, errno, "disk %s: not writable; add ,ro or ,cow", source->path);
	return err_set(err, errno, "disk %s: %s", source->path, strerror(errno));
}

static bool is_block(blksize_t size)
{
	return size >= (blksize_t)DISK_SECTOR && size <= (blksize_t)MAX_BLOCK &&
	       !(size & (size - 1));
}

/* Of a device: what is on it goes by its sectors, so a guest must see the same. */
static void find_blocks(struct disk *disk)
{
	int sector;

	if (!ioctl(disk->fd, BLKSSZGET, &sector) && is_block(sector))
		disk->block = (uint32_t)sector;
	if (ioctl(disk->fd, BLKPBSZGET, &disk->physical) || !is_block(disk->physical))
		disk->physical = 0;
}

static int find_size(struct disk *disk, const struct disk_source *source, struct err *err)
{
	const char *path = source->path;
	struct stat st;
	off_t end;
	int locked = 0;

	if (fstat(disk->fd, &st))
		return err_set(err, errno, "disk %s: %s", path, strerror(errno));
	if (S_ISREG(st.st_mode) && is_block(st.st_blksize))
		disk->physical = (uint32_t)st.st_blksize;
	if (S_ISDIR(st.st_mode))
		return err_set(err, EISDIR, "disk %s: a directory; give an image or a block device",
			       path);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(err, EINVAL, "disk %s: neither a regular file nor a block device",
			       path);
	if (S_ISBLK(st.st_mode))
		find_blocks(disk);
	/* Such a device opens for writing all the same. */
	if (S_ISBLK(st.st_mode) && !disk->read_only && !ioctl(disk->fd, BLKROGET, &locked) &&
	    locked)
		return err_set(err, EROFS, "disk %s: a read-only device; add ,ro or ,cow", path);
	end = lseek(disk->fd, 0, SEEK_END);
	if (end < 0)
		return err_set(err, errno, "disk %s: %s", path, strerror(errno));
	if (!end && !source->any_size)
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

static void unlock(struct disk *disk)
{
	fcntl(disk->fd, F_OFD_SETLK, &(struct flock){ .l_type = F_UNLCK });
}

void disk_unlock(struct disk *disk)
{
	if (disk->fd >= 0 && !disk->read_only)
		unlock(disk);
}

int disk_lock(struct disk *disk, const char *path, struct err *err)
{
	int rc = disk->fd >= 0 && !disk->read_only ? lock(disk, path, err) : 0;

	/* What this host has read of a disk that another host wrote since is not what is on it. */
	if (!rc && disk->fd >= 0)
		posix_fadvise(disk->fd, 0, 0, POSIX_FADV_DONTNEED);
	return rc;
}

/* The smallest block, and alignment of memory, with which reading works. */
static int find_direct_block(struct raw *raw, const char *path, struct err *err)
{
	struct disk *disk = &raw->disk;

	if (posix_memalign((void **)&raw->bounce, MAX_BLOCK, BOUNCE_SIZE)) {
		raw->bounce = NULL;
		return err_set(err, ENOMEM, "disk %s: no memory for direct I/O", path);
	}
	for (uint32_t block = disk->block; block <= MAX_BLOCK; block *= 2) {
		/* At an address that is aligned to the block and to no more. */
		if (pread(disk->fd, raw->bounce + block % MAX_BLOCK, block, 0) >= 0) {
			disk->block = block;
			return 0;
		}
		if (errno != EINVAL)
			return err_set(err, errno, "disk %s: %s", path, strerror(errno));
	}
	return err_set(err, EINVAL, "disk %s: no direct I/O on its file system; leave it out",
		       path);
}

static int prepare(struct raw *raw, const struct disk_source *source, struct err *err)
{
	struct disk *disk = &raw->disk;
	const char *path = source->path;
	int rc = open_file(disk, source, err);

	if (!rc)
		rc = find_size(disk, source, err);
	if (!rc && !source->unlocked)
		rc = lock(disk, path, err);
	if (!rc && disk->direct)
		rc = find_direct_block(raw, path, err);
	if (rc)
		return rc;
	if (disk->size % disk->block && !source->any_size)
		return err_set(err, EINVAL,
			       "disk %s: size %llu is not a multiple of %u; "
			       "pad it with truncate -s %%%u %s",
			       path, (unsigned long long)disk->size, disk->block, disk->block,
			       path);
	return 0;
}

static void raw_close(struct disk *disk)
{
	struct raw *raw = raw_of(disk);

	if (disk->fd >= 0) {
		/* By hand: a ring that knew the file may hold it for a moment longer. */
		unlock(disk);
		close(disk->fd);
	}
	free(raw->bounce);
	pthread_mutex_destroy(&raw->bounce_lock);
	free(raw);
}

static int read_bounced(struct raw *raw, struct iovec *iov, unsigned int n, uint64_t offset)
{
	size_t left = iov_total(iov, n);

	while (left) {
		struct iovec part = { raw->bounce, MIN(left, (size_t)BOUNCE_SIZE) };
		size_t len = part.iov_len;
		int rc = iov_pread(raw->disk.fd, &part, 1, offset);

		if (rc)
			return rc;
		iov_from_buf(&iov, &n, raw->bounce, len);
		offset += len;
		left -= len;
	}
	return 0;
}

static int write_bounced(struct raw *raw, struct iovec *iov, unsigned int n, uint64_t offset)
{
	for (;;) {
		size_t len = iov_to_buf(&iov, &n, raw->bounce, BOUNCE_SIZE);
		struct iovec part = { raw->bounce, len };
		int rc;

		if (!len)
			return 0;
		rc = iov_pwrite(raw->disk.fd, &part, 1, offset);
		if (rc)
			return rc;
		offset += len;
	}
}

static int raw_read(struct disk *disk, struct iovec *iov, unsigned int n, uint64_t offset)
{
	struct raw *raw = raw_of(disk);
	int rc;

	if (disk_is_aligned(disk, iov, n))
		return iov_pread(disk->fd, iov, n, offset);
	pthread_mutex_lock(&raw->bounce_lock);
	rc = read_bounced(raw, iov, n, offset);
	pthread_mutex_unlock(&raw->bounce_lock);
	return rc;
}

static int raw_write(struct disk *disk, struct iovec *iov, unsigned int n, uint64_t offset)
{
	struct raw *raw = raw_of(disk);
	int rc;

	if (disk_is_aligned(disk, iov, n))
		return iov_pwrite(disk->fd, iov, n, offset);
	pthread_mutex_lock(&raw->bounce_lock);
	rc = write_bounced(raw, iov, n, offset);
	pthread_mutex_unlock(&raw->bounce_lock);
	return rc;
}

static int raw_clear(struct disk *disk, uint64_t offset, uint64_t len, bool discard)
{
	return file_clear(disk->fd, offset, len, discard);
}

static int raw_flush(struct disk *disk)
{
	return fdatasync(disk->fd) ? -errno : 0;
}

static const struct disk_ops raw_ops = {
	.read = raw_read,
	.write = raw_write,
	.clear = raw_clear,
	.flush = raw_flush,
	.close = raw_close,
};

int disk_open_raw(const struct disk_source *source, struct disk **out, struct err *err)
{
	struct raw *raw = calloc(1, sizeof(*raw));
	int rc;

	if (!raw)
		return err_set(err, ENOMEM, "disk %s: no memory", source->path);
	raw->disk = (struct disk){
		.ops = &raw_ops,
		.fd = -1,
		.read_only = source->read_only,
		.direct = source->direct,
		.block = DISK_SECTOR,
	};
	pthread_mutex_init(&raw->bounce_lock, NULL);
	rc = prepare(raw, source, err);
	if (rc) {
		raw_close(&raw->disk);
		return rc;
	}
	*out = &raw->disk;
	return 0;
}
