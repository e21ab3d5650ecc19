/* SPDX-License-Identifier: MIT */
/*
 * A raw disk's content goes to another host over a wire while its guest writes to it.
 *
 * The source marks all of the disk, and sends what is marked, again and again: what the guest writes is marked when
 * it has been written (host/disk-queue.h), so a mark that was taken before its bytes were read can't be lost. When
 * nobody writes any more what is marked is the rest. A disk that was marked once goes on being marked until it is
 * closed, for a bit per DISK_MARK
 * bytes.
 */
#ifndef HOST_DISK_COPY_H
#define HOST_DISK_COPY_H

#include "host/disk.h"
#include "host/wire.h"
#include "util/limit.h"

#define DISK_COPIES 32u /* disks, each of which has frames of its own: */

#define WIRE_DISK 0x40u	      /* + its number. at: byte; body: what is there, whole blocks */
#define WIRE_DISK_ZEROS 0x60u /* the same, without a body; value: bytes that are zeros there */

/* All of it is marked, from now on: as long as it is now, which it may have become (host/disk-growth.h). -errno. */
int disk_mark_all(struct disk *disk);

/* What it has in bytes then; 0, before. */
uint64_t disk_copy_size(const struct disk *disk);

/* Bytes that are marked. */
uint64_t disk_marked(const struct disk *disk);

struct disk_sending {
	struct wire *wire;
	struct limit *limit;	/* to wait for; or NULL */
	_Atomic uint64_t *sent; /* is told bytes of the wire's */
	uint64_t end;		/* clock_now(), from when on it is too late: -ETIMEDOUT; 0: never */
};

/* Sends what is marked now. 0 or -errno and a line; what has not gone then is not marked. One thread. */
int disk_send(struct disk *disk, unsigned int number, const struct disk_sending *how,
	      struct err *err);

/* The target's side, of a frame of the disk's. The source is not believed. */
int disk_take(struct disk *disk, struct wire *wire, const struct frame *f, struct err *err);

#endif
