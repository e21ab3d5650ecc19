/* SPDX-License-Identifier: MIT */
#include "util/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/util.h"

/* Says in one line why `path` can't be the `what`; returns 0 when it can. */
static int file_judge(int fd, const char *path, const char *what, struct stat *st, struct err *err)
{
	if (fstat(fd, st))
		return err_set(err, errno, "%s %s: %s", what, path, strerror(errno));
	if (S_ISDIR(st->st_mode))
		return err_set(err, EISDIR, "%s %s is a directory; give the file itself", what,
			       path);
	if (!S_ISREG(st->st_mode))
		return err_set(err, EINVAL, "%s %s is not a regular file", what, path);
	if (!st->st_size)
		return err_set(err, EINVAL, "%s %s is empty", what, path);
	return 0;
}

int file_map_open(const char *path, const char *what, struct file_map *map, struct err *err)
{
	struct stat st;
	void *data;
	/* O_NONBLOCK: a FIFO given by mistake must be refused, not waited for. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int rc;

	if (fd < 0)
		return err_set(err, errno, "cannot open %s %s: %s", what, path, strerror(errno));
	rc = file_judge(fd, path, what, &st, err);
	if (rc) {
		close(fd);
		return rc;
	}
	data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED) {
		rc = err_set(err, errno, "cannot map %s %s: %s", what, path, strerror(errno));
		close(fd);
		return rc;
	}
	map->data = data;
	map->size = (size_t)st.st_size;
	return fd;
}

int file_map(const char *path, const char *what, struct file_map *map, struct err *err)
{
	int fd = file_map_open(path, what, map, err);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

void file_unmap(struct file_map *map)
{
	if (map->data)
		munmap((void *)map->data, map->size);
	map->data = NULL;
	map->size = 0;
}

int file_create(const char *path, const char *option, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);

	if (fd < 0)
		return err_set(err, errno, "%s %s: %s", option, path,
			       errno == ENXIO ? "a FIFO that nobody reads" : strerror(errno));
	fcntl(fd, F_SETFL, O_WRONLY);
	return fd;
}

char *file_whole_path(const char *path, struct err *err)
{
	bool is_whole = *path == '/';
	char *here = is_whole ? NULL : getcwd(NULL, 0), *whole = NULL;

	if (!is_whole && (!here || *here != '/')) {
		err_set(err, ENOENT, "%s: the directory that it is in has no name any more", path);
	} else if (asprintf(&whole, "%s%s%s", here ? here : "", here ? "/" : "", path) < 0) {
		err_set(err, ENOMEM, "%s: no memory for its whole path", path);
		whole = NULL;
	}
	free(here);
	return whole;
}

bool file_same(const char *a, const char *b)
{
	struct stat sa, sb;

	return !stat(a, &sa) && !stat(b, &sb) && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

int write_full(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		struct pollfd writable = { .fd = fd, .events = POLLOUT };
		ssize_t n = write(fd, p, len);

		if (n >= 0) {
			p += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			poll(&writable, 1, -1);
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

/* A pipe that poll() finds writable takes PIPE_BUF bytes at once, if nobody else writes to it. */
int write_within(int fd, const void *data, size_t len, int ms)
{
	struct pollfd writable = { .fd = fd, .events = POLLOUT };
	const char *p = data;

	if (ms < 0)
		return write_full(fd, data, len);
	while (len) {
		size_t part = MIN(len, (size_t)PIPE_BUF);
		int ready = poll(&writable, 1, ms);
		int rc = ready > 0 ? write_full(fd, p, part) : ready < 0 ? -errno : -ETIMEDOUT;

		if (rc == -EINTR)
			continue;
		if (rc)
			return rc;
		p += part;
		len -= part;
	}
	return 0;
}
