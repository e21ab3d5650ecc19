/* SPDX-License-Identifier: MIT */
/* Disks that come with a guest (lkvm migrate --disks): files for those that are not there yet. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/restore.h"

/* 1: it was made; 0: there is something of that name. */
static int make_disk(const char *path, uint64_t size, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int rc = 1;

	if (fd < 0 && errno == EEXIST)
		return 0;
	if (fd < 0)
		return err_set(err, errno, "disk %s can't be made: %s", path, strerror(errno));
	if (size > INT64_MAX || ftruncate(fd, (off_t)size)) {
		rc = err_set(err, size > INT64_MAX ? EFBIG : errno,
			     "disk %s can't be made, of %llu bytes: %s", path,
			     (unsigned long long)size, strerror(size > INT64_MAX ? EFBIG : errno));
		unlink(path);
	}
	close(fd);
	return rc;
}

int restore_make_disks(const struct machine_config *c, const struct receive *r,
		       struct made_disks *made, struct err *err)
{
	const struct saved_section *section = saved_find(&r->said, STATE_DISKS, 0);
	struct reader in = section ? section->body : (struct reader){ 0 };
	int rc = 0;

	for (unsigned int i = 0; rc >= 0 && section && i < c->n_disks; i++) {
		uint64_t size = reader_le64(&in);

		rc = size && !c->disks[i].ro ? make_disk(c->disks[i].path, size, err) : 0;
		if (rc > 0)
			made->paths[made->n++] = c->disks[i].path;
	}
	return rc < 0 ? rc : 0;
}

void restore_unmake_disks(const struct made_disks *made)
{
	for (unsigned int i = 0; i < made->n; i++)
		unlink(made->paths[i]);
}
