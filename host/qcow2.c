/* SPDX-License-Identifier: MIT */
#include "host/qcow2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/util.h"

struct qcow2 {
	struct disk disk;
	struct disk *file;    /* header, tables and compressed clusters */
	struct disk *data;    /* the others, if not there */
	struct disk *backing; /* what holes show; may be NULL */
	struct qcow2_map map;
	struct qcow2_packed packed;
};

static struct qcow2 *qcow2_of(struct disk *disk)
{
	return container_of(disk, struct qcow2, disk);
}

/* What is below may be shorter: zeros follow. */
static int read_hole(struct qcow2 *q, struct iovec *iov, unsigned int n, uint64_t offset)
{
	uint64_t there = q->backing && offset < q->backing->size ? q->backing->size - offset : 0;
	struct iov_parts parts = { .iov = iov, .n = n };
	struct iovec *part;
	int rc;

	n = iov_next_part(&parts, (size_t)MIN(there, (uint64_t)SIZE_MAX), &part);
	rc = n ? disk_read(q->backing, part, n, offset) : 0;
	n = iov_next_part(&parts, SIZE_MAX, &part);
	iov_zero(part, n);
	return rc;
}

static int read_run(struct qcow2 *q, const struct qcow2_run *run, struct iovec *iov, unsigned int n,
		    uint64_t offset)
{
	switch (run->kind) {
	case QCOW2_ZERO:
		iov_zero(iov, n);
		return 0;
	case QCOW2_DATA:
		return disk_read(q->data ? q->data : q->file, iov, n, run->offset);
	case QCOW2_PACKED:
		return qcow2_packed_read(&q->packed, run, offset % q->packed.cluster_size, iov, n);
	default:
		return read_hole(q, iov, n, offset);
	}
}

static int qcow2_read(struct disk *disk, struct iovec *iov, unsigned int n, uint64_t offset)
{
	struct qcow2 *q = qcow2_of(disk);
	uint64_t left = iov_total(iov, n);
	struct iov_parts parts = { .iov = iov, .n = n };

	while (left) {
		struct qcow2_run run;
		struct iovec *part;
		int rc = qcow2_map_find(&q->map, offset, left, &run);

		if (rc)
			return rc;
		n = iov_next_part(&parts, (size_t)run.len, &part);
		rc = read_run(q, &run, part, n, offset);
		if (rc)
			return rc;
		offset += run.len;
		left -= run.len;
	}
	return 0;
}

static int qcow2_write(struct disk *disk, struct iovec *iov, unsigned int n, uint64_t offset)
{
	(void)disk;
	(void)iov;
	(void)n;
	(void)offset;
	return -EBADF; /* as a file that is open for reading gives */
}

static int qcow2_flush(struct disk *disk)
{
	(void)disk;
	return 0;
}

static void qcow2_close(struct disk *disk)
{
	struct qcow2 *q = qcow2_of(disk);

	qcow2_packed_fini(&q->packed);
	qcow2_map_fini(&q->map);
	disk_close(q->backing);
	disk_close(q->data);
	disk_close(q->file);
	free(q);
}

static const struct disk_ops qcow2_ops = {
	.read = qcow2_read,
	.write = qcow2_write,
	.flush = qcow2_flush,
	.close = qcow2_close,
};

/* The user knows the image that was given; what is wrong may be wrong deep below. */
static int open_backing(struct qcow2 *q, const struct disk_source *source,
			const struct qcow2_header *h, struct err *err)
{
	struct err inner = { "" };
	int rc = qcow2_open_backing(source, h, &q->backing, &inner);

	if (!rc)
		return 0;
	if (source->above || strstr(inner.text, source->path))
		return err_set(err, -rc, "%s", inner.text);
	return err_set(err, -rc, "%s (below %s)", inner.text, source->path);
}

static int prepare(struct qcow2 *q, const struct disk_source *source, struct err *err)
{
	struct disk_source file = *source;
	struct qcow2_header h;
	int rc;

	file.any_size = true;
	rc = disk_open_raw(&file, &q->file, err);
	if (!rc)
		rc = qcow2_read_header(q->file, source->path, &h, err);
	if (!rc && h.size % DISK_SECTOR && !source->above)
		rc = err_set(err, EINVAL,
			     "disk %s: its size %llu is not a multiple of %u; mend it by qemu-img "
			     "resize",
			     source->path, (unsigned long long)h.size, DISK_SECTOR);
	if (rc)
		return rc;
	q->disk.size = h.size;
	rc = qcow2_map_init(&q->map, q->file, &h, source->path, err);
	if (!rc)
		rc = qcow2_packed_init(&q->packed, q->file, &h, source->path, err);
	if (!rc)
		rc = qcow2_open_data(source, &h, &q->data, err);
	if (!rc)
		rc = open_backing(q, source, &h, err);
	return rc;
}

static int qcow2_open(const struct disk_source *source, struct disk **out, struct err *err)
{
	struct qcow2 *q = calloc(1, sizeof(*q));
	int rc;

	if (!q)
		return err_set(err, ENOMEM, "disk %s: no memory", source->path);
	q->disk = (struct disk){
		.ops = &qcow2_ops, .fd = -1, .read_only = true, .block = DISK_SECTOR
	};
	rc = prepare(q, source, err);
	if (rc) {
		qcow2_close(&q->disk);
		return rc;
	}
	*out = &q->disk;
	return 0;
}

const struct disk_format qcow2_format = { .name = "qcow2", .open = qcow2_open };
