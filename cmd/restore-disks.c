/* SPDX-License-Identifier: MIT */
/* Disks that come with a guest (lkvm migrate --disks): files for those that are not there yet. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/restore.h"
#include "util/util.h"

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

/* Who is ended by a signal knows of it then, or it is not there. */
static int make_file(const char *path, struct made_disks *made)
{
	sigset_t all, old;
	int fd, why;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	why = errno;
	if (fd >= 0)
		made->paths[made->n++] = path;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return fd < 0 ? -why : fd;
}

static int make_disk(const char *path, uint64_t size, struct made_disks *made, struct err *err)
{
	bool device = !strncmp(path, "/dev/", 5) && strncmp(path, "/dev/shm/", 9);
	int fd, rc = 0;

	/* No device is made so: it is missed when it is to be opened. */
	if (device)
		return 0;
	fd = make_file(path, made);
	if (fd == -EEXIST)
		return 0;
	if (fd < 0)
		return err_set(err, -fd, "disk %s can't be made: %s", path, strerror(-fd));
	errno = EFBIG;
	if (size > INT64_MAX || ftruncate(fd, (off_t)size) || fsync(fd) || sync_folder(path))
		rc = err_set(err, errno, "disk %s can't be made, of %llu bytes: %s", path,
			     (unsigned long long)size, strerror(errno));
	close(fd);
	return rc;
}

int restore_make_disks(const struct machine_config *c, struct made_disks *made, struct err *err)
{
	struct machine_said_disk disks[MACHINE_DISKS];
	int rc = machine_disks_come(c) ? machine_said_disks(c, disks, err) : 1;

	for (unsigned int i = 0; !rc && i < c->n_disks; i++) {
		if (disks[i].moves && !c->disks[i].ro && !c->disks[i].cow)
			rc = make_disk(c->disks[i].path, disks[i].size, made, err);
	}
	return MIN(rc, 0);
}

void restore_unmake_disks(const struct made_disks *made)
{
	for (unsigned int i = 0; i < made->n; i++)
		unlink(made->paths[i]);
}
