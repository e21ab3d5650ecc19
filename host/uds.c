/* SPDX-License-Identifier: MIT */
#include "host/uds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 128
#define MODE (S_IRUSR | S_IWUSR)
#define LOCK_TRIES 100 /* of a millisecond each */

static int new_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

static int address_of(const char *path, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) > UDS_PATH_MAX)
		return -ENAMETOOLONG;
	strcpy(address->sun_path, path);
	return 0;
}

int uds_connect(const char *path)
{
	struct sockaddr_un address;
	int rc = address_of(path, &address);
	int fd = rc ? rc : new_socket();

	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

int uds_accept(const struct uds_listener *l)
{
	int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/*
 * Two who find the same old socket must not both replace it. Locked is its directory, since that
 * leaves nothing behind; who holds it for longer than we would means something else by it. -1: it
 * can't be opened, and we do without.
 */
static int lock_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash ? strndup(path, (size_t)(slash + 1 - path)) : strdup(".");
	int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	free(dir);
	for (int try = 0; fd >= 0 && try < LOCK_TRIES && flock(fd, LOCK_EX | LOCK_NB); try++)
		usleep(1000);
	return fd;
}

/* Somebody was killed and could not tidy up: a connection is refused, and only then. */
static int remove_old(const char *path, struct err *err)
{
	struct stat st;
	int fd;

	if (lstat(path, &st) || !S_ISSOCK(st.st_mode))
		return err_set(err, EEXIST, "%s is there already, and is no socket", path);
	fd = uds_connect(path);
	if (fd >= 0)
		close(fd);
	if (fd >= 0 || fd == -EAGAIN)
		return err_set(err, EADDRINUSE, "%s: somebody listens there already", path);
	if (fd != -ECONNREFUSED)
		return err_set(err, -fd, "%s is there already: %s", path, strerror(-fd));
	if (unlink(path))
		return err_set(err, errno, "%s: an old socket that cannot be removed: %s", path,
			       strerror(errno));
	return 0;
}

static int bind_path(int fd, const struct sockaddr_un *address, struct err *err)
{
	const struct sockaddr *a = (const struct sockaddr *)address;
	const char *path = address->sun_path;
	int rc = bind(fd, a, sizeof(*address)) ? -errno : 0;

	if (rc == -EADDRINUSE) {
		rc = remove_old(path, err);
		if (rc)
			return rc;
		rc = bind(fd, a, sizeof(*address)) ? -errno : 0;
	}
	if (!rc && listen(fd, BACKLOG))
		rc = -errno;
	return rc ? err_set(err, -rc, "cannot listen at %s: %s", path, strerror(-rc)) : 0;
}

int uds_listen(struct uds_listener *l, const char *path, struct err *err)
{
	struct sockaddr_un address;
	struct stat st = { 0 };
	int lock, rc = address_of(path, &address);

	if (rc)
		return err_set(err, -rc, "%s: a socket's path has at most %d characters", path,
			       UDS_PATH_MAX);
	l->path = path;
	l->fd = new_socket();
	if (l->fd < 0)
		return err_set(err, -l->fd, "no socket for %s: %s", path, strerror(-l->fd));
	fchmod(l->fd, MODE); /* the file gets the mode that its socket has */
	lock = lock_directory(path);
	rc = bind_path(l->fd, &address, err);
	if (lock >= 0)
		close(lock);
	if (rc) {
		close(l->fd);
		return rc;
	}
	lstat(path, &st);
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	return 0;
}

int uds_adopt(struct uds_listener *l, const char *path, int fd)
{
	struct stat st;

	if (fcntl(fd, F_SETFD, FD_CLOEXEC) || lstat(path, &st))
		return -errno;
	*l = (struct uds_listener){ path, fd, st.st_dev, st.st_ino };
	return 0;
}

void uds_leave(struct uds_listener *l)
{
	close(l->fd);
	l->fd = -1;
}

void uds_close(struct uds_listener *l)
{
	struct stat st;

	/* Before the end of listening: after that it may be replaced by another's. */
	if (!lstat(l->path, &st) && st.st_dev == l->dev && st.st_ino == l->ino)
		unlink(l->path);
	close(l->fd);
}
