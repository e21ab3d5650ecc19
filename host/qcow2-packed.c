/* SPDX-License-Identifier: MIT */
/*
 * A compressed cluster is unpacked whole, and guests read in smaller pieces: the last few clusters
 * are kept. The lock is held while they are looked at and copied from, not while one is unpacked.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/qcow2.h"
#include "util/util.h"

#define KEEP_BYTES (4 * MIB)

int qcow2_packed_init(struct qcow2_packed *packed, struct disk *file, const struct qcow2_header *h,
		      const char *path, struct err *err)
{
	packed->file = file;
	packed->cluster_size = (size_t)1 << h->cluster_bits;
	packed->n_slots = (unsigned int)MIN(ARRAY_SIZE(packed->slots),
					    (size_t)KEEP_BYTES >> h->cluster_bits);
	pthread_mutex_init(&packed->lock, NULL);
	for (unsigned int i = 0; qcow2_codecs[i] && !packed->codec; i++) {
		if (qcow2_codecs[i]->type == h->compression)
			packed->codec = qcow2_codecs[i];
	}
	if (packed->codec)
		return 0;
	if (h->compression > 1)
		return err_set(err, ENOTSUP,
			       "disk %s: compressed by a method that is not known: %u", path,
			       h->compression);
	return err_set(err, ENOTSUP, "disk %s: compressed by %s, which was left out of this binary",
		       path, h->compression ? "zstd" : "zlib");
}

void qcow2_packed_fini(struct qcow2_packed *packed)
{
	for (unsigned int i = 0; i < packed->n_slots; i++)
		free(packed->slots[i].bytes);
	pthread_mutex_destroy(&packed->lock);
}

/* Neighbours in the file are neighbours on the disk more often than not: spread them. */
static struct qcow2_unpacked *slot_of(struct qcow2_packed *packed, uint64_t offset)
{
	return &packed->slots[(offset / DISK_SECTOR * 0x9e3779b97f4a7c15ull >> 32) %
			      packed->n_slots];
}

static bool copy_kept(struct qcow2_packed *packed, uint64_t offset, size_t skip, struct iovec *iov,
		      unsigned int n)
{
	struct qcow2_unpacked *slot = slot_of(packed, offset);
	bool there;

	pthread_mutex_lock(&packed->lock);
	there = slot->bytes && slot->offset == offset;
	if (there)
		iov_from_buf(&iov, &n, slot->bytes + skip, packed->cluster_size - skip);
	pthread_mutex_unlock(&packed->lock);
	return there;
}

/* In the place of what was there. `bytes` is not ours any more. */
static void keep(struct qcow2_packed *packed, uint64_t offset, uint8_t *bytes)
{
	struct qcow2_unpacked *slot = slot_of(packed, offset);
	uint8_t *old;

	pthread_mutex_lock(&packed->lock);
	old = slot->bytes;
	*slot = (struct qcow2_unpacked){ offset, bytes };
	pthread_mutex_unlock(&packed->lock);
	free(old);
}

/* The last sector is counted whole, even where the file ends within it. */
static int unpack(struct qcow2_packed *packed, const struct qcow2_run *run, uint8_t *out)
{
	uint64_t size = packed->file->size;
	size_t len = run->offset < size ? MIN((uint64_t)run->file_len, size - run->offset) : 0;
	uint8_t *in = len ? malloc(len) : NULL;
	struct iovec iov = { in, len };
	int rc;

	if (!in)
		return len ? -ENOMEM : -EIO;
	rc = disk_read(packed->file, &iov, 1, run->offset);
	if (!rc)
		rc = packed->codec->unpack(in, len, out, packed->cluster_size);
	free(in);
	return rc;
}

int qcow2_packed_read(struct qcow2_packed *packed, const struct qcow2_run *run, size_t skip,
		      struct iovec *iov, unsigned int n)
{
	uint8_t *bytes;
	int rc;

	if (copy_kept(packed, run->offset, skip, iov, n))
		return 0;
	bytes = malloc(packed->cluster_size);
	if (!bytes)
		return -ENOMEM;
	rc = unpack(packed, run, bytes);
	if (rc) {
		free(bytes);
		return rc;
	}
	iov_from_buf(&iov, &n, bytes + skip, packed->cluster_size - skip);
	keep(packed, run->offset, bytes);
	return 0;
}
