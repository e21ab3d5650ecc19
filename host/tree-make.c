/* SPDX-License-Identifier: MIT */
/*
 * New files. Between the call that makes a name and the one that says whose it is, somebody else
 * may put another file there: who writes to the share and is not us, while we may be root. So what
 * is made is held by an fd at once and looked at, and only then given away through that fd; nothing
 * is done by a name twice. What can't be given to whom it is for goes again.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "host/tree-node.h"
#include "util/util.h"

#define CREATE_TRIES 3

/* Set-id bits come last: to change the owner takes them away. */
#define PERMISSIONS 0777u
#define SET_BITS 07000u

/* If the name is still that of what we made. */
static void undo(int dir_fd, const char *name, int fd)
{
	struct stat made, st;

	if (fstat(fd, &made) || fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) ||
	    made.st_ino != st.st_ino || made.st_dev != st.st_dev)
		return;
	if (unlinkat(dir_fd, name, S_ISDIR(made.st_mode) ? AT_REMOVEDIR : 0))
		return; /* it is in use by then */
}

static int own_fd(const struct tree *t, int fd, mode_t mode, const struct tree_owner *owner)
{
	if (t->keeps_owners && fchown(fd, owner->uid, owner->gid))
		return -errno;
	return mode & SET_BITS ? tree_result(fchmod(fd, mode & 07777)) : 0;
}

static int create_new(struct tree *t, int dir_fd, const char *name, int flags, mode_t mode,
		      const struct tree_owner *owner, struct stat *st)
{
	int fd = openat(dir_fd, name,
			(flags & TREE_OPEN_FLAGS) | TREE_OPEN_ALWAYS | O_CREAT | O_EXCL,
			mode & PERMISSIONS);
	int rc;

	if (fd < 0)
		return -errno;
	rc = own_fd(t, fd, mode, owner);
	if (rc)
		undo(dir_fd, name, fd);
	else
		rc = tree_stat_fd(t, fd, st);
	if (!rc)
		return fd;
	close(fd);
	return rc;
}

/* It is there: as if it had been walked to and opened. */
static int open_existing(struct tree *t, struct tree_node *dir, const char *name, int flags,
			 struct tree_node **out, struct stat *st)
{
	int fd = tree_walk(t, dir, name, out, st);

	if (fd)
		return fd;
	fd = tree_open_node(t, *out, flags, st);
	if (fd < 0) {
		tree_put(t, *out);
		*out = NULL;
	}
	return fd;
}

static int open_new(struct tree *t, struct tree_node *dir, const char *name, int flags, mode_t mode,
		    const struct tree_owner *owner, struct tree_node **out, struct stat *st)
{
	int fd, dir_fd, rc = tree_fd_begin(t);

	if (rc)
		return rc;
	dir_fd = tree_dir_fd(t, dir);
	fd = dir_fd < 0 ? dir_fd : create_new(t, dir_fd, name, flags, mode, owner, st);
	if (fd < 0) {
		tree_fd_end(t);
		return fd;
	}
	rc = tree_node_of(t, dir, name, st, out);
	if (!rc)
		return fd;
	undo(dir_fd, name, fd);
	tree_close_fd(t, fd);
	return rc;
}

int tree_create(struct tree *t, struct tree_node *dir, const char *name, int flags, mode_t mode,
		const struct tree_owner *owner, struct tree_node **out, struct stat *st)
{
	int fd = -EROFS;

	/* What a name means may change between the two: somebody else is at work there. */
	for (int i = 0; !t->read_only && i < CREATE_TRIES; i++) {
		fd = open_new(t, dir, name, flags, mode, owner, out, st);
		if (fd != -EEXIST || flags & O_EXCL)
			break;
		fd = open_existing(t, dir, name, flags, out, st);
		if (fd != -ENOENT)
			break;
	}
	return fd;
}

/* ---- What has no fd of its own ---- */

/* What is there: of this kind, known by no other name, and root's if we are that. */
static int check_made(const struct tree *t, int fd, mode_t type)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if ((st.st_mode & S_IFMT) != type || (t->keeps_owners && st.st_uid != t->uid) ||
	    (type != S_IFDIR && st.st_nlink > 1))
		return -ESTALE;
	return 0;
}

/* Of an O_PATH fd. */
static int own_path(const struct tree *t, int fd, mode_t mode, const struct tree_owner *owner)
{
	if (t->keeps_owners && fchownat(fd, "", owner->uid, owner->gid, AT_EMPTY_PATH))
		return -errno;
	return mode & SET_BITS ? tree_result(chmod(tree_fd_path(fd).text, mode & 07777)) : 0;
}

/* `mode` is also of what kind it is. */
static int finish_made(const struct tree *t, int dir_fd, const char *name, mode_t mode,
		       const struct tree_owner *owner, struct stat *st)
{
	int fd = tree_open_name(dir_fd, name);
	int rc = fd < 0 ? fd : check_made(t, fd, mode & S_IFMT);

	if (!rc) {
		rc = own_path(t, fd, mode, owner);
		if (rc)
			undo(dir_fd, name, fd);
		else
			rc = tree_stat_fd(t, fd, st);
	}
	if (fd >= 0)
		close(fd);
	return rc;
}

struct made {
	const char *name;
	mode_t mode;	    /* with its kind */
	const char *target; /* of a link */
	const struct tree_owner *owner;
};

static int make_in(const struct tree *t, int dir_fd, const struct made *m, struct stat *st)
{
	int rc;

	if (S_ISDIR(m->mode))
		rc = mkdirat(dir_fd, m->name, m->mode & PERMISSIONS);
	else if (S_ISLNK(m->mode))
		rc = symlinkat(m->target, dir_fd, m->name);
	else
		rc = mknodat(dir_fd, m->name, m->mode & (S_IFMT | PERMISSIONS), 0);
	return rc ? -errno : finish_made(t, dir_fd, m->name, m->mode, m->owner, st);
}

static int make(struct tree *t, struct tree_node *dir, const struct made *m, struct stat *st)
{
	int fd, rc = t->read_only ? -EROFS : tree_fd_begin(t);

	if (rc)
		return rc;
	fd = tree_dir_fd(t, dir);
	rc = fd < 0 ? fd : make_in(t, fd, m, st);
	tree_fd_end(t);
	return rc;
}

int tree_mkdir(struct tree *t, struct tree_node *dir, const char *name, mode_t mode,
	       const struct tree_owner *owner, struct stat *st)
{
	struct made made = { .name = name, .mode = S_IFDIR | (mode & 07777), .owner = owner };

	return make(t, dir, &made, st);
}

/* A regular file is known by the fd that made it. */
static int make_regular(struct tree *t, struct tree_node *dir, const char *name, mode_t mode,
			const struct tree_owner *owner, struct stat *st)
{
	int fd, dir_fd, rc = tree_fd_begin(t);

	if (rc)
		return rc;
	dir_fd = tree_dir_fd(t, dir);
	fd = dir_fd < 0 ? dir_fd : create_new(t, dir_fd, name, O_WRONLY, mode, owner, st);
	if (fd >= 0)
		close(fd);
	tree_fd_end(t);
	return MIN(fd, 0);
}

int tree_make(struct tree *t, struct tree_node *dir, const char *name, mode_t mode,
	      const struct tree_owner *owner, struct stat *st)
{
	struct made made = { .name = name, .mode = mode & (S_IFMT | 07777), .owner = owner };

	if (t->read_only)
		return -EROFS;
	if (!(mode & S_IFMT) || S_ISREG(mode))
		return make_regular(t, dir, name, mode, owner, st);
	return S_ISFIFO(mode) || S_ISSOCK(mode) ? make(t, dir, &made, st) : -EPERM;
}

int tree_symlink(struct tree *t, struct tree_node *dir, const char *name, const char *target,
		 const struct tree_owner *owner, struct stat *st)
{
	struct made made = { .name = name, .mode = S_IFLNK, .target = target, .owner = owner };

	return make(t, dir, &made, st);
}
