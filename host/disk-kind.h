/* SPDX-License-Identifier: MIT */
/*
 * The kinds of disk behind host/disk.h: a raw file, an image of some format, a throw-away overlay
 * over any of them. A kind may stand on another one's disks.
 */
#ifndef HOST_DISK_KIND_H
#define HOST_DISK_KIND_H

#include <stdatomic.h>

#include "host/disk.h"
#include "host/iov.h"

/* Contracts as of their namesakes in host/disk.h. Any thread, several at once. */
struct disk_ops {
	int (*read)(struct disk *disk, struct iovec *iov, unsigned int n, uint64_t offset);
	int (*write)(struct disk *disk, struct iovec *iov, unsigned int n, uint64_t offset);
	/* NULL: for reading only. */
	int (*clear)(struct disk *disk, uint64_t offset, uint64_t len, bool discard);
	int (*flush)(struct disk *disk);
	void (*close)(struct disk *disk);
};

/* What was written to since it was sent (host/disk-copy.h): a bit per DISK_MARK bytes. */
struct disk_marks {
	struct disk_marks
		*older;	  /* of when the disk was shorter: somebody may have it in hand yet */
	uint64_t size, n; /* bytes; marks */
	_Atomic uint64_t count;
	_Atomic uint64_t bits[];
};

/* What all kinds begin with. Constant while the disk is open, but for `marks`. */
struct disk {
	const struct disk_ops *ops;
	int fd; /* a raw disk's, which the host's kernel may be asked directly; else -1 */
	bool read_only, direct;
	uint32_t block, physical; /* physical 0: as `block` */
	uint64_t size;
	struct disk_marks *_Atomic marks; /* NULL: it was never sent */
};

/* It has been written to there. Any thread. */
void disk_mark(struct disk *disk, uint64_t offset, uint64_t len);

/* One file to be opened as a disk: by the user's wish, or because another image stands on it. */
struct disk_source {
	const char *path;
	bool read_only, direct;
	bool unlocked;			 /* as in host/disk.h */
	bool any_size;			 /* it may be empty, or end within a block */
	bool backing_any;		 /* what it stands on may lie outside its folder */
	const struct disk_source *above; /* what stands on it, up to the user's own; or NULL */
};

int disk_open_raw(const struct disk_source *source, struct disk **out, struct err *err);

/*
 * Over `base`, which belongs to it from now on, even if it fails. `path` is for the error.
 */
int disk_open_cow(const char *path, struct disk *base, struct disk **out, struct err *err);

/* A format that maps: one file a format; the Makefile writes the table of those that Kconfig keeps. */
struct disk_format {
	const char *name;
	/* Always for reading only. */
	int (*open)(const struct disk_source *source, struct disk **out, struct err *err);
};

extern const struct disk_format *const disk_formats[]; /* ends with NULL */

/* NULL: no such format, or left out of this binary. "raw" is not among them. */
const struct disk_format *disk_format_by_name(const char *name);

#endif
