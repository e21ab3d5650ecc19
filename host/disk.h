/* SPDX-License-Identifier: MIT */
/*
 * A disk: a raw regular file or a block device, or an image of another format in one, locked while
 * it is open. Of a guest it knows nothing: it deals in bytes, iovecs and -errno.
 *
 * Any thread may read, write and flush, several at once; the rest is constant. For many requests at
 * a time there is host/disk-queue.h.
 */
#ifndef HOST_DISK_H
#define HOST_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "util/log.h"

#define DISK_SECTOR 512u
#define DISK_MARK 16384u /* bytes that are sent together (host/disk-copy.h) */

struct disk_config {
	const char *path;   /* not kept */
	const char *format; /* "raw", "qcow2" ...; NULL: raw, unless it looks like another one */
	bool read_only;
	bool cow;	  /* what is written is gone when it is closed; not if read_only */
	bool direct;	  /* past the host's page cache (O_DIRECT); raw disks only */
	bool backing_any; /* images that it stands on may lie outside its folder */
	bool unlocked;	  /* raw disks only: somebody else writes it yet; disk_lock() follows */
};

struct disk;

/*
 * Refused with one line in `err`: what can't be opened, is neither file nor block device, is empty,
 * is no multiple of the block size, or is in use: a disk that somebody writes has one user, in this
 * process or any other that locks. Formats other than raw are never written, and never guessed from
 * what a guest may have written. With cow the disk below is only read; what is written lies in
 * TMPDIR (/var/tmp).
 */
int disk_open(const struct disk_config *config, struct disk **out, struct err *err);
void disk_close(struct disk *disk); /* NULL is no disk */

/* When it was opened (host/disk-growth.h): bytes, a multiple of disk_block_size(). */
uint64_t disk_size(const struct disk *disk);

/* Now, if that can be told of its format: a raw one may have grown. */
uint64_t disk_size_now(const struct disk *disk);

bool disk_read_only(const struct disk *disk);

/* What offsets and lengths must be multiples of: DISK_SECTOR; more where the device has it so. */
uint32_t disk_block_size(const struct disk *disk);

/* What is written in one go below it, for a guest that wants to align: bytes, a power of two. */
uint32_t disk_physical_block(const struct disk *disk);

/*
 * All of it, or -errno and an unknown part of it. The range is inside the disk. `iov` is used up
 * (its entries change); its addresses and lengths may have any alignment. `stable`: as if flushed
 * at once.
 */
int disk_read(struct disk *disk, struct iovec *iov, unsigned int n, uint64_t offset);
int disk_write(struct disk *disk, struct iovec *iov, unsigned int n, uint64_t offset, bool stable);

/*
 * [offset, offset + len), a multiple of blocks, reads as zeros from now on, and takes no room on the
 * host where that can be; with `discard` the latter is wanted, and what it reads as is nobody's
 * concern.
 */
int disk_clear(struct disk *disk, uint64_t offset, uint64_t len, bool discard);

/* What was written is on stable storage when it returns. */
int disk_flush(struct disk *disk);

/* ---- A disk that changes hands ---- */

/*
 * Nobody reads or writes it, nor will before disk_lock() has made it ours (again): it waits up to a second, then
 * -EBUSY and a line; what was read before is read anew. Disks that are not written are nobody's, and are not locked.
 * `path` is for the error.
 */
void disk_unlock(struct disk *disk);
int disk_lock(struct disk *disk, const char *path, struct err *err);

/* ---- For disk queues ---- */

/* -1: it has none that holds its bytes as they are; only disk_read() and its like know where. */
int disk_fd(const struct disk *disk);

/* May these pieces of memory be read or written by the host's kernel as they lie? */
bool disk_is_aligned(const struct disk *disk, const struct iovec *iov, unsigned int n);

#endif
