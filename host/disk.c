/* SPDX-License-Identifier: MIT */
#include "host/disk-kind.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/util.h"

static const uint8_t qcow2_magic[] = { 'Q', 'F', 'I', 0xfb };

uint64_t disk_size(const struct disk *disk)
{
	return disk->size;
}

uint64_t disk_size_now(const struct disk *disk)
{
	off_t end = disk->fd >= 0 ? lseek(disk->fd, 0, SEEK_END) : -1;

	return end < 0 ? disk->size : align_down((uint64_t)end, disk->block);
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

uint32_t disk_physical_block(const struct disk *disk)
{
	return MAX(disk->block, disk->physical);
}

bool disk_is_aligned(const struct disk *disk, const struct iovec *iov, unsigned int n)
{
	for (unsigned int i = 0; disk->direct && i < n; i++) {
		if (((uintptr_t)iov[i].iov_base | iov[i].iov_len) % disk->block)
			return false;
	}
	return true;
}

int disk_read(struct disk *disk, struct iovec *iov, unsigned int n, uint64_t offset)
{
	return disk->ops->read(disk, iov, n, offset);
}

int disk_write(struct disk *disk, struct iovec *iov, unsigned int n, uint64_t offset, bool stable)
{
	int rc = disk->ops->write(disk, iov, n, offset);

	return !rc && stable ? disk_flush(disk) : rc;
}

int disk_clear(struct disk *disk, uint64_t offset, uint64_t len, bool discard)
{
	return disk->ops->clear ? disk->ops->clear(disk, offset, len, discard) : -EROFS;
}

int disk_flush(struct disk *disk)
{
	return disk->ops->flush(disk);
}

void disk_mark(struct disk *disk, uint64_t offset, uint64_t len)
{
	struct disk_marks *marks = atomic_load(&disk->marks);
	uint64_t first = offset / DISK_MARK, end = (offset + len + DISK_MARK - 1) / DISK_MARK;

	for (uint64_t i = first; marks && i < MIN(end, marks->n); i++) {
		uint64_t bit = 1ull << i % 64;

		if (!(atomic_fetch_or(&marks->bits[i / 64], bit) & bit))
			atomic_fetch_add(&marks->count, 1);
	}
}

void disk_close(struct disk *disk)
{
	struct disk_marks *marks = disk ? atomic_load(&disk->marks) : NULL;

	while (marks) {
		struct disk_marks *older = marks->older;

		free(marks);
		marks = older;
	}
	if (disk)
		disk->ops->close(disk);
}

const struct disk_format *disk_format_by_name(const char *name)
{
	for (unsigned int i = 0; disk_formats[i]; i++) {
		if (!strcmp(disk_formats[i]->name, name))
			return disk_formats[i];
	}
	return NULL;
}

/*
 * Only looked at for a disk whose format nobody has said, and only to refuse it: a guest may write
 * the header of an image, which names files of the host, to its raw disk. What can't be read yet is
 * the guest's to find out.
 */
static bool looks_like_qcow2(struct disk *disk)
{
	uint8_t *head = malloc(disk->block);
	struct iovec iov = { head, disk->block };
	bool is = head && !disk_read(disk, &iov, 1, 0) &&
		  !memcmp(head, qcow2_magic, sizeof(qcow2_magic));

	free(head);
	return is;
}

static int open_raw(const struct disk_source *source, bool said, struct disk **out, struct err *err)
{
	int rc = disk_open_raw(source, out, err);

	if (rc || said || !looks_like_qcow2(*out))
		return rc;
	disk_close(*out);
	return err_set(err, EINVAL,
		       "disk %s: begins as a qcow2 image does; say format=qcow2, or format=raw "
		       "if that is its guest's doing",
		       source->path);
}

static int open_mapped(const struct disk_source *source, const char *name, struct disk **out,
		       struct err *err)
{
	const struct disk_format *format = disk_format_by_name(name);

	if (!format)
		return err_set(err, ENOTSUP,
			       "disk %s: format %s is not known, or left out of this binary",
			       source->path, name);
	if (source->direct)
		return err_set(err, EINVAL, "disk %s: direct is for raw disks only", source->path);
	if (!source->read_only)
		return err_set(err, ENOTSUP,
			       "disk %s: %s images are never written; add ,ro, or ,cow for writes "
			       "that end with the VM",
			       source->path, name);
	return format->open(source, out, err);
}

static int open_source(const struct disk_source *source, const char *format, struct disk **out,
		       struct err *err)
{
	if (format && strcmp(format, "raw"))
		return open_mapped(source, format, out, err);
	return open_raw(source, format, out, err);
}

int disk_open(const struct disk_config *config, struct disk **out, struct err *err)
{
	bool cow = config->cow && !config->read_only;
	struct disk_source source = {
		.path = config->path,
		.read_only = config->read_only || cow,
		.direct = config->direct,
		.unlocked = config->unlocked && !config->read_only && !cow,
		.backing_any = config->backing_any,
	};
	struct disk *base;
	int rc;

	if (cow && config->direct)
		return err_set(err, EINVAL, "disk %s: direct and cow don't go together",
			       config->path);
	rc = open_source(&source, config->format, &base, err);
	if (!rc && cow)
		rc = disk_open_cow(config->path, base, &base, err);
	if (!rc)
		*out = base;
	return rc;
}
