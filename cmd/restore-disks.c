/* SPDX-License-Identifier: MIT */
/* Disks that come with a guest (lkvm migrate --disks): files for those that are not there yet. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/restore.h"

/* What is on storage when it is known to be there. */
static int sync_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int rc = fd < 0 || fsync(fd) ? -1 : 0;

	if (fd >= 0)
		close(fd);
	free(folder);
	return rc;
}

/* 1: it was made; 0: there is something of that name. */
static int make_disk(const char *path, uint64_t size, struct err *err)
{
	bool device = !strncmp(path, "/dev/", 5) && strncmp(path, "/dev/shm/", 9);
	int fd, rc = 1;

	/* No device is made so: it is missed when it is to be opened. */
	if (device)
		return 0;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 && errno == EEXIST)
		return 0;
	if (fd < 0)
		return err_set(err, errno, "disk %s can't be made: %s", path, strerror(errno));
	errno = EFBIG;
	if (size > INT64_MAX || ftruncate(fd, (off_t)size) || fsync(fd) || sync_folder(path)) {
		rc = err_set(err, errno, "disk %s can't be made, of %llu bytes: %s", path,
			     (unsigned long long)size, strerror(errno));
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

		rc = size && !c->disks[i].ro && !c->disks[i].cow
			     ? make_disk(c->disks[i].path, size, err)
			     : 0;
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
