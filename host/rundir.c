/* SPDX-License-Identifier: MIT */
/*
 * Who makes a directory and who removes one that is left behind may meet. Both lock its file `pid`, and then look
 * whether what they have locked is still what is there: it is removed only by who holds the lock.
 */
#include "host/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PRIVATE 0700
#define TRIES 20 /* of a millisecond: somebody may just be removing it */

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool rundir_name_ok(const char *name)
{
	size_t len = strlen(name);

	for (const char *c = name; *c; c++) {
		if (!is_plain(*c) && (c == name || !strchr("-_.", *c)))
			return false;
	}
	return len && len <= RUNDIR_NAME_MAX;
}

/* ---- The directory of all ---- */

/* A user's own, where root runs by sudo, is none of root's. */
static bool is_ours(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISDIR(st.st_mode) && st.st_uid == geteuid();
}

static int base_path(char *path, size_t size, struct err *err)
{
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	int len;

	if (xdg && *xdg == '/' && is_ours(xdg))
		len = snprintf(path, size, "%s/lkvm", xdg);
	else if (!geteuid())
		len = snprintf(path, size, "/run/lkvm");
	else
		len = snprintf(path, size, "/tmp/lkvm-%u", (unsigned int)geteuid());
	if (len >= (int)size)
		return err_set(err, ENAMETOOLONG, "XDG_RUNTIME_DIR: %s is too long for sockets",
			       xdg);
	return 0;
}

/* In /tmp anybody may have made one of that name. */
static int check_base(const char *path, struct err *err)
{
	struct stat st;

	if (lstat(path, &st))
		return err_set(err, errno, "%s: %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || st.st_mode & 077)
		return err_set(err, EPERM,
			       "%s is not a directory of this user's alone (mode 0700): remove it",
			       path);
	return 0;
}

/* ---- One of them ---- */

/* The lock on a directory's file `pid`: its fd, -EWOULDBLOCK: another has it, or another -errno. */
static int lock(const char *dir, int flags)
{
	char path[RUNDIR_PATH_MAX + 8];
	struct stat locked, there;
	int rc = 0, fd;

	/* What a link leads to is not ours to empty. */
	if (lstat(dir, &there))
		return -errno;
	if (!S_ISDIR(there.st_mode))
		return -ENOTDIR;
	snprintf(path, sizeof(path), "%s/pid", dir);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB))
		rc = -errno;
	else if (fstat(fd, &locked) || lstat(path, &there) || locked.st_ino != there.st_ino)
		rc = -ESTALE;
	if (rc)
		close(fd);
	return rc ? rc : fd;
}

/* All files but the locked one. */
static void remove_files(const char *path)
{
	struct dirent *entry;
	DIR *dir = opendir(path);

	while (dir && (entry = readdir(dir))) {
		if (strcmp(entry->d_name, "pid"))
			unlinkat(dirfd(dir), entry->d_name, 0);
	}
	if (dir)
		closedir(dir);
}

/* While it is locked: that is the last to go. */
static void remove_all(const char *path)
{
	char pid[RUNDIR_PATH_MAX + 8];

	remove_files(path);
	snprintf(pid, sizeof(pid), "%s/pid", path);
	unlink(pid);
	rmdir(path);
}

/* What a killed run of that name has left is ours, and goes. */
static int take(struct rundir *d)
{
	int fd = -ESTALE;

	for (int try = 0; try < TRIES; try++) {
		if (mkdir(d->path, PRIVATE) && errno != EEXIST)
			return -errno;
		fd = lock(d->path, O_CREAT);
		if (fd != -EWOULDBLOCK && fd != -ESTALE && fd != -ENOENT)
			break;
		usleep(1000);
	}
	return fd;
}

static int set_path(struct rundir *d, const char *name, struct err *err)
{
	char base[RUNDIR_PATH_MAX];
	int rc;

	d->lock_fd = -1;
	if (!rundir_name_ok(name))
		return err_set(
			err, EINVAL,
			"%s: a name has up to %d letters, digits, '-', '_' and '.', and begins "
			"with a letter or a digit",
			name, RUNDIR_NAME_MAX);
	rc = base_path(base, sizeof(base), err);
	if (rc)
		return rc;
	if (mkdir(base, PRIVATE) && errno != EEXIST)
		return err_set(err, errno, "%s: %s", base, strerror(errno));
	rc = check_base(base, err);
	if (rc)
		return rc;
	if (snprintf(d->path, sizeof(d->path), "%s/%s", base, name) >= (int)sizeof(d->path))
		return err_set(err, ENAMETOOLONG, "%s/%s is too long for sockets", base, name);
	return 0;
}

static int write_pid(const struct rundir *d, pid_t pid)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d\n", (int)pid);

	return ftruncate(d->lock_fd, 0) || pwrite(d->lock_fd, text, (size_t)len, 0) != len ? -errno
											   : 0;
}

int rundir_make(struct rundir *d, const char *name, struct err *err)
{
	int rc = set_path(d, name, err);

	if (rc)
		return rc;
	d->lock_fd = take(d);
	if (d->lock_fd == -EWOULDBLOCK)
		return err_set(err, EBUSY, "a guest named %s is running already", name);
	if (d->lock_fd < 0)
		return err_set(err, -d->lock_fd, "%s: %s", d->path, strerror(-d->lock_fd));
	remove_files(d->path);
	rc = write_pid(d, getpid());
	if (rc) {
		err_set(err, -rc, "%s/pid: %s", d->path, strerror(-rc));
		rundir_remove(d);
	}
	return rc;
}

int rundir_adopt(struct rundir *d, const char *name, int lock_fd, struct err *err)
{
	char path[RUNDIR_PATH_MAX + 8];
	struct stat ours, there;
	int rc = set_path(d, name, err);

	if (rc)
		return rc;
	snprintf(path, sizeof(path), "%s/pid", d->path);
	if (fcntl(lock_fd, F_SETFD, FD_CLOEXEC) || fstat(lock_fd, &ours) || lstat(path, &there) ||
	    ours.st_ino != there.st_ino || ours.st_dev != there.st_dev)
		return err_set(err, ESTALE, "%s is not what was handed on", d->path);
	d->lock_fd = lock_fd;
	return 0;
}

/* (Only lkvm list reads it.) */
void rundir_own(const struct rundir *d)
{
	write_pid(d, getpid());
}

void rundir_leave(struct rundir *d)
{
	if (d->lock_fd < 0)
		return;
	close(d->lock_fd);
	d->lock_fd = -1;
}

void rundir_remove(struct rundir *d)
{
	if (d->lock_fd < 0)
		return;
	remove_all(d->path);
	close(d->lock_fd);
	d->lock_fd = -1;
}

int rundir_file(const char *name, const char *file, char *path, size_t size, struct err *err)
{
	char base[RUNDIR_PATH_MAX];
	int rc = base_path(base, sizeof(base), err);

	if (rc)
		return rc;
	if (!rundir_name_ok(name))
		return err_set(err, EINVAL, "that can't be a guest's name");
	if (snprintf(path, size, "%s/%s", base, name) >= (int)size)
		return err_set(err, ENAMETOOLONG, "%s/%s is too long", base, name);
	if (check_base(base, err) || access(path, F_OK))
		return err_set(err, ENOENT,
			       "no guest of that name is running; lkvm list lists them");
	if (snprintf(path, size, "%s/%s/%s", base, name, file) >= (int)size)
		return err_set(err, ENAMETOOLONG, "%s/%s/%s is too long", base, name, file);
	return 0;
}

/* ---- All of them ---- */

static pid_t read_pid(const char *dir)
{
	char path[RUNDIR_PATH_MAX + 8];
	FILE *in;
	int pid = 0;

	snprintf(path, sizeof(path), "%s/pid", dir);
	in = fopen(path, "re");
	if (in && fscanf(in, "%d", &pid) != 1)
		pid = 0;
	if (in)
		fclose(in);
	return pid;
}

/* Does it live? Else it is removed. */
static bool lives(const char *path)
{
	int fd = lock(path, 0);

	if (fd >= 0) {
		remove_all(path);
		close(fd);
	} else if (fd == -ENOENT) {
		rmdir(path); /* which is empty, or about to be another's */
	}
	return fd == -EWOULDBLOCK;
}

int rundir_each(void (*fn)(void *opaque, const char *name, pid_t pid), void *opaque,
		struct err *err)
{
	char base[RUNDIR_PATH_MAX], path[RUNDIR_PATH_MAX];
	struct dirent *entry;
	DIR *dir;
	int rc = base_path(base, sizeof(base), err);

	if (rc)
		return rc;
	if (access(base, F_OK))
		return 0;
	rc = check_base(base, err);
	if (rc)
		return rc;
	dir = opendir(base);
	if (!dir)
		return err_set(err, errno, "%s: %s", base, strerror(errno));
	while ((entry = readdir(dir))) {
		if (!rundir_name_ok(entry->d_name) ||
		    snprintf(path, sizeof(path), "%s/%.*s", base, RUNDIR_NAME_MAX, entry->d_name) >=
			    (int)sizeof(path))
			continue;
		if (lives(path))
			fn(opaque, entry->d_name, read_pid(path));
	}
	closedir(dir);
	return 0;
}
