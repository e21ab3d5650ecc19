/* SPDX-License-Identifier: MIT */
/*
 * qcow2 images, for reading: QEMU's docs/interop/qcow2.rst, which the comments of these files call
 * the format's text. Everything in a file is hostile: what its header and its first table say is
 * judged when it is opened, the rest when a guest's read comes to it (-EIO then).
 *
 * qcow2-header.c reads the header, qcow2-files.c opens the files that it names, qcow2-map.c looks
 * up where a byte of the disk lies, qcow2-packed.c unpacks compressed clusters, and qcow2.c puts
 * them together as a disk. Besides the unused parts of the files, a disk takes at most 32 MiB for
 * the first table, 1 MiB of others and 4 MiB of unpacked clusters, each file of a chain anew.
 */
#ifndef HOST_QCOW2_H
#define HOST_QCOW2_H

#include <pthread.h>

#include "host/disk-kind.h"

#define QCOW2_NAME_MAX 1023u

/* ---- The header ---- */

struct qcow2_header {
	unsigned int version;	   /* 2 or 3 */
	unsigned int cluster_bits; /* 9 to 21 */
	uint64_t size;		   /* of the disk, 1 to 2^63 - 1 bytes */
	uint64_t l1_offset;  /* of the first table: inside the file, a multiple of the cluster */
	uint32_t l1_entries; /* as many as the disk needs, up to 4 Mi */
	bool extended;	     /* entries of second tables have two words */
	bool external;	     /* guest data lie in another file */
	uint8_t compression; /* 0 zlib, 1 zstd */
	/* Printable. Empty: none. */
	char backing[QCOW2_NAME_MAX + 1], backing_format[16];
	char data_file[QCOW2_NAME_MAX + 1];
};

/* Refused with one line: what is no image, is damaged, or needs what is not there. */
int qcow2_read_header(struct disk *file, const char *path, struct qcow2_header *h, struct err *err);

/* ---- The files that it names ---- */

/*
 * Opened for reading. NULL if there is none. Each must be in the image's own folder or below it,
 * unless the source says any; of a chain no more than 32 files, none twice.
 */
int qcow2_open_backing(const struct disk_source *source, const struct qcow2_header *h,
		       struct disk **out, struct err *err);
int qcow2_open_data(const struct disk_source *source, const struct qcow2_header *h,
		    struct disk **out, struct err *err);

/* ---- Where things lie ---- */

enum qcow2_kind {
	QCOW2_HOLE, /* what lies below has it */
	QCOW2_ZERO,
	QCOW2_DATA,
	QCOW2_PACKED
};

/* A stretch of the disk that lies in one place. */
struct qcow2_run {
	enum qcow2_kind kind;
	uint64_t len;	   /* bytes, not 0 */
	uint64_t offset;   /* DATA: in the file; PACKED: there the compressed cluster begins */
	uint32_t file_len; /* PACKED: up to so many bytes */
};

#define QCOW2_SLICES 256u

/* The tables: the first one whole, of the second ones as many parts as there is room for. */
struct qcow2_map {
	struct disk *file;
	struct qcow2_header h;
	uint64_t *l1; /* file offsets of the second tables; 0: none */
	pthread_mutex_t lock;
	struct qcow2_slice {
		uint64_t offset; /* in the file */
		uint8_t *bytes;	 /* NULL: this one is free */
	} slices[QCOW2_SLICES];
};

/* `file` is borrowed. To be ended also where it failed. */
int qcow2_map_init(struct qcow2_map *map, struct disk *file, const struct qcow2_header *h,
		   const char *path, struct err *err);
void qcow2_map_fini(struct qcow2_map *map);

/*
 * What lies at `offset`, `len` bytes (not 0, inside the disk) or the first of them. -EIO: a table
 * says what can't be. Any thread.
 */
int qcow2_map_find(struct qcow2_map *map, uint64_t offset, uint64_t len, struct qcow2_run *run);

/* ---- Compressed clusters ---- */

/* One file a method (qcow2-NAME.c); the Makefile writes the table of those that Kconfig keeps. */
struct qcow2_codec {
	uint8_t type; /* as in the header */
	/* To `size` bytes, no less. What follows them is ignored. 0, -EIO or -ENOMEM. Any thread. */
	int (*unpack)(const void *in, size_t len, void *out, size_t size);
};

extern const struct qcow2_codec *const qcow2_codecs[]; /* ends with NULL */

/* Those that were unpacked last. */
struct qcow2_packed {
	struct disk *file;
	const struct qcow2_codec *codec;
	size_t cluster_size;
	pthread_mutex_t lock;
	unsigned int n_slots;
	struct qcow2_unpacked {
		uint64_t offset; /* in the file */
		uint8_t *bytes;	 /* NULL: this one is free */
	} slots[16];
};

int qcow2_packed_init(struct qcow2_packed *packed, struct disk *file, const struct qcow2_header *h,
		      const char *path, struct err *err);
void qcow2_packed_fini(struct qcow2_packed *packed);

/* From `skip` bytes into the cluster that `run` speaks of: all of `iov`. Any thread. */
int qcow2_packed_read(struct qcow2_packed *packed, const struct qcow2_run *run, size_t skip,
		      struct iovec *iov, unsigned int n);

#endif
