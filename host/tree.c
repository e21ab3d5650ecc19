/* SPDX-License-Identifier: MIT */
/* What is done to files: each by a name in a directory that is open, or through an fd of its own. */
#include "host/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "host/tree-node.h"
#include "util/util.h"

#define OPEN_FLAGS (O_ACCMODE | O_TRUNC | O_APPEND | O_SYNC | O_DSYNC | O_DIRECTORY)
#define OPEN_ALWAYS (O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
#define CREATE_TRIES 3

/* 0 or -1 with errno, as the C library has it, into ours. */
static int result(int rc)
{
	return rc < 0 ? -errno : rc;
}

/* The way to the file itself for calls that take no O_PATH fd: this link leads nowhere else. */
struct fd_path {
	char text[32];
};

static struct fd_path path_of(int fd)
{
	struct fd_path path;

	snprintf(path.text, sizeof(path.text), "/proc/self/fd/%d", fd);
	return path;
}

/* ---- What it is ---- */

static void show_owner(const struct tree *t, struct stat *st)
{
	if (t->keeps_owners)
		return;
	if (st->st_uid == t->uid)
		st->st_uid = 0;
	if (st->st_gid == t->gid)
		st->st_gid = 0;
}

static int stat_name(struct tree *t, struct tree_node *dir, const char *name, struct stat *st)
{
	int fd = tree_node_fd(t, dir);

	if (fd < 0)
		return fd;
	if (dir->closed)
		return -EACCES;
	return result(fstatat(fd, name, st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT));
}

int tree_walk(struct tree *t, struct tree_node *dir, const char *name, struct tree_node **out,
	      struct stat *st)
{
	int rc = stat_name(t, dir, name, st);

	if (!rc)
		rc = tree_node_of(t, dir, name, st, out);
	show_owner(t, st);
	return rc;
}

/* A file that nothing holds open is what has its name now. */
int tree_stat(struct tree *t, struct tree_node *node, struct stat *st)
{
	int rc;

	if (node->fd >= 0)
		rc = result(fstat(node->fd, st));
	else if (node->detached)
		rc = -ESTALE;
	else
		rc = stat_name(t, node->parent, node->name, st);
	if (!rc && (st->st_mode & S_IFMT) != node->type)
		rc = -ESTALE;
	show_owner(t, st);
	return rc;
}

int tree_stat_fd(const struct tree *t, int fd, struct stat *st)
{
	int rc = result(fstat(fd, st));

	show_owner(t, st);
	return rc;
}

/* ---- Opening ---- */

static bool writes(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
}

/* The same file once more, and what can be read or written of it. */
static int open_again(const struct tree *t, const struct tree_node *n, int fd, int flags,
		      struct stat *st)
{
	int again;

	if (n->closed)
		return -EACCES;
	if (n->type == S_IFLNK)
		return -ELOOP;
	if (n->type != S_IFREG && n->type != S_IFDIR)
		return -ENXIO;
	/* O_NOFOLLOW would be meant for the link in /proc; the file itself is known to be none. */
	if (n->type == S_IFDIR)
		again = openat(fd, ".", flags | OPEN_ALWAYS | O_DIRECTORY);
	else
		again = open(path_of(fd).text, flags | (OPEN_ALWAYS & ~O_NOFOLLOW));
	if (again < 0)
		return -errno;
	if (!tree_stat_fd(t, again, st) && (st->st_mode & S_IFMT) == n->type &&
	    st->st_ino == n->ino && st->st_dev == n->dev)
		return again;
	close(again);
	return -ESTALE;
}

int tree_open_node(struct tree *t, struct tree_node *node, int flags, struct stat *st)
{
	int fd, rc;

	if (t->read_only && writes(flags))
		return -EROFS;
	rc = tree_fd_begin(t);
	if (rc)
		return rc;
	fd = tree_node_fd(t, node);
	if (fd >= 0) {
		fd = open_again(t, node, fd, flags & OPEN_FLAGS, st);
		tree_node_release(t, node);
	}
	if (fd < 0)
		tree_fd_end(t);
	return fd;
}

void tree_close_fd(struct tree *t, int fd)
{
	close(fd);
	tree_fd_end(t);
}

/* ---- Making ---- */

/* Set-id bits come last: to change the owner takes them away. */
#define PERMISSIONS 0777u
#define SET_BITS 07000u

static int own_fd(const struct tree *t, int fd, mode_t mode, const struct tree_owner *owner)
{
	if (t->keeps_owners && fchown(fd, owner->uid, owner->gid))
		return -errno;
	return mode & SET_BITS ? result(fchmod(fd, mode & 07777)) : 0;
}

static int create_new(struct tree *t, int dir_fd, const char *name, int flags, mode_t mode,
		      const struct tree_owner *owner, struct stat *st)
{
	int fd = openat(dir_fd, name, (flags & OPEN_FLAGS) | OPEN_ALWAYS | O_CREAT | O_EXCL,
			mode & PERMISSIONS);
	int rc;

	if (fd < 0)
		return -errno;
	rc = own_fd(t, fd, mode, owner);
	if (!rc)
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
	dir_fd = tree_node_fd(t, dir);
	fd = dir_fd < 0 ? dir_fd : create_new(t, dir_fd, name, flags, mode, owner, st);
	if (fd < 0) {
		tree_fd_end(t);
		return fd;
	}
	rc = tree_node_of(t, dir, name, st, out);
	if (rc)
		tree_close_fd(t, fd);
	return rc ? rc : fd;
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

/* What was just made is there under its name: who it belongs to, its set-id bits, what it is. */
static int finish_made(struct tree *t, struct tree_node *dir, const char *name, mode_t mode,
		       const struct tree_owner *owner, struct stat *st)
{
	struct tree_node *n = NULL;
	int fd, rc = tree_walk(t, dir, name, &n, st);

	if (rc || (!t->keeps_owners && !(mode & SET_BITS)))
		goto out;
	fd = rc = tree_node_fd(t, n);
	if (fd >= 0)
		rc = t->keeps_owners
			     ? result(fchownat(fd, "", owner->uid, owner->gid, AT_EMPTY_PATH))
			     : 0;
	if (!rc && mode & SET_BITS)
		rc = result(chmod(path_of(fd).text, mode & 07777));
	if (!rc)
		rc = tree_stat(t, n, st);
	tree_node_release(t, n);
out:
	tree_put(t, n);
	return rc;
}

int tree_mkdir(struct tree *t, struct tree_node *dir, const char *name, mode_t mode,
	       const struct tree_owner *owner, struct stat *st)
{
	int fd = t->read_only ? -EROFS : tree_node_fd(t, dir);

	if (fd >= 0)
		fd = result(mkdirat(fd, name, mode & PERMISSIONS));
	return fd ? fd : finish_made(t, dir, name, mode, owner, st);
}

int tree_make(struct tree *t, struct tree_node *dir, const char *name, mode_t mode,
	      const struct tree_owner *owner, struct stat *st)
{
	int fd = t->read_only ? -EROFS : tree_node_fd(t, dir);

	if (fd >= 0 && mode & S_IFMT && !S_ISREG(mode) && !S_ISFIFO(mode) && !S_ISSOCK(mode))
		return -EPERM;
	if (fd >= 0)
		fd = result(mknodat(fd, name, mode & (S_IFMT | PERMISSIONS), 0));
	return fd ? fd : finish_made(t, dir, name, mode, owner, st);
}

int tree_symlink(struct tree *t, struct tree_node *dir, const char *name, const char *target,
		 const struct tree_owner *owner, struct stat *st)
{
	int fd = t->read_only ? -EROFS : tree_node_fd(t, dir);

	if (fd >= 0)
		fd = result(symlinkat(target, fd, name));
	return fd ? fd : finish_made(t, dir, name, 0, owner, st);
}

/* ---- Names ---- */

int tree_link(struct tree *t, struct tree_node *node, struct tree_node *dir, const char *name)
{
	int fd, dir_fd, rc;

	if (t->read_only)
		return -EROFS;
	rc = tree_node_pin(t, dir);
	if (rc)
		return rc;
	fd = tree_node_fd(t, node);
	dir_fd = dir->fd;
	if (fd < 0)
		rc = fd;
	else
		rc = result(linkat(AT_FDCWD, path_of(fd).text, dir_fd, name, AT_SYMLINK_FOLLOW));
	tree_node_release(t, node);
	tree_node_unpin(t, dir);
	return rc;
}

/* Those who hold what has this name are to keep it when the name goes. NULL: nobody does. */
static struct tree_node *keep(struct tree *t, struct tree_node *dir, const char *name)
{
	struct tree_node *n = tree_node_find(t, dir, name);

	return n && !tree_node_pin(t, n) ? n : NULL;
}

static void name_gone(struct tree *t, struct tree_node *kept, struct tree_node *dir,
		      const char *name)
{
	struct tree_node *n = kept ? kept : tree_node_find(t, dir, name);

	if (n)
		tree_node_detach(t, n);
}

int tree_unlink(struct tree *t, struct tree_node *dir, const char *name, bool is_dir)
{
	struct tree_node *kept;
	int fd, rc;

	if (t->read_only)
		return -EROFS;
	kept = keep(t, dir, name);
	fd = tree_node_fd(t, dir);
	rc = fd < 0 ? fd : result(unlinkat(fd, name, is_dir ? AT_REMOVEDIR : 0));
	if (!rc)
		name_gone(t, kept, dir, name);
	else if (kept)
		tree_node_unpin(t, kept);
	return rc;
}

/* Two names of one file stay both: rename(2) does nothing then. */
static bool same_file(const struct tree_node *a, const struct tree_node *b)
{
	return a && b && a->dev == b->dev && a->ino == b->ino;
}

static int rename_pinned(struct tree *t, struct tree_node *from, const char *name,
			 struct tree_node *to, const char *new_name)
{
	struct tree_node *moved = tree_node_find(t, from, name);
	struct tree_node *over = keep(t, to, new_name);
	int rc = result(renameat(from->fd, name, to->fd, new_name));

	if (rc || same_file(moved, over)) {
		if (over)
			tree_node_unpin(t, over);
		return rc;
	}
	name_gone(t, over, to, new_name);
	if (moved)
		tree_node_move(t, moved, to, new_name);
	return 0;
}

int tree_rename(struct tree *t, struct tree_node *from, const char *name, struct tree_node *to,
		const char *new_name)
{
	int rc = t->read_only ? -EROFS : tree_node_pin(t, from);

	if (rc)
		return rc;
	/* What moves may have been the last that held it. */
	tree_get(from);
	rc = tree_node_pin(t, to);
	if (!rc) {
		rc = rename_pinned(t, from, name, to, new_name);
		tree_node_unpin(t, to);
	}
	tree_node_unpin(t, from);
	tree_put(t, from);
	return rc;
}

int tree_unlink_node(struct tree *t, struct tree_node *node)
{
	if (!node->parent)
		return t->read_only ? -EROFS : -EBUSY;
	if (node->detached)
		return -ENOENT;
	return tree_unlink(t, node->parent, node->name, node->type == S_IFDIR);
}

int tree_rename_node(struct tree *t, struct tree_node *node, struct tree_node *to,
		     const char *new_name)
{
	if (!node->parent)
		return t->read_only ? -EROFS : -EBUSY;
	if (node->detached)
		return -ENOENT;
	return tree_rename(t, node->parent, node->name, to, new_name);
}

int tree_readlink(struct tree *t, struct tree_node *node, char *buf, size_t size)
{
	int fd = tree_node_fd(t, node);

	if (fd >= 0) {
		fd = result((int)readlinkat(fd, "", buf, size));
		tree_node_release(t, node);
	}
	return fd;
}

/* ---- Attributes ---- */

int tree_chmod(struct tree *t, struct tree_node *node, mode_t mode)
{
	int fd = t->read_only ? -EROFS : tree_node_fd(t, node);

	if (fd >= 0) {
		fd = result(chmod(path_of(fd).text, mode & 07777));
		tree_node_release(t, node);
	}
	return fd;
}

int tree_chown(struct tree *t, struct tree_node *node, uint32_t uid, uint32_t gid)
{
	int fd = t->read_only ? -EROFS : tree_node_fd(t, node);

	if (fd < 0)
		return fd;
	if (!t->keeps_owners && !uid)
		uid = t->uid;
	if (!t->keeps_owners && !gid)
		gid = t->gid;
	fd = result(fchownat(fd, "", uid, gid, AT_EMPTY_PATH));
	tree_node_release(t, node);
	return fd;
}

int tree_truncate(struct tree *t, struct tree_node *node, uint64_t size)
{
	int fd;

	if (t->read_only)
		return -EROFS;
	if (node->type != S_IFREG)
		return node->type == S_IFDIR ? -EISDIR : -EINVAL;
	fd = tree_node_fd(t, node);
	if (fd >= 0) {
		fd = node->closed ? -EACCES : result(truncate(path_of(fd).text, (off_t)size));
		tree_node_release(t, node);
	}
	return fd;
}

int tree_set_times(struct tree *t, struct tree_node *node, const struct timespec times[2])
{
	int fd = t->read_only ? -EROFS : tree_node_fd(t, node);

	if (fd >= 0) {
		fd = result(utimensat(AT_FDCWD, path_of(fd).text, times, 0));
		tree_node_release(t, node);
	}
	return fd;
}

int tree_statfs(struct tree *t, struct tree_node *node, struct statfs *fs)
{
	int fd = tree_node_fd(t, node);

	if (fd >= 0) {
		fd = result(fstatfs(fd, fs));
		tree_node_release(t, node);
	}
	return fd;
}

/* ---- Extended attributes ---- */

static bool has_xattr(const struct tree *t, const char *name)
{
	return t->keeps_owners || !strncmp(name, "user.", 5);
}

int tree_xattr_get(struct tree *t, struct tree_node *node, const char *name, void *buf, size_t size)
{
	int fd = has_xattr(t, name) ? tree_node_fd(t, node) : -EOPNOTSUPP;

	if (fd >= 0) {
		fd = result((int)getxattr(path_of(fd).text, name, buf, size));
		tree_node_release(t, node);
	}
	return fd;
}

/* Leaves out those that aren't shown; the length that is left. */
static int filter_names(const struct tree *t, char *names, int len)
{
	int kept = 0;

	for (int at = 0; at < len;) {
		int size = (int)strlen(names + at) + 1;

		if (has_xattr(t, names + at)) {
			memmove(names + kept, names + at, (size_t)size);
			kept += size;
		}
		at += size;
	}
	return kept;
}

int tree_xattr_list(struct tree *t, struct tree_node *node, char *buf)
{
	int fd = tree_node_fd(t, node);

	if (fd < 0)
		return fd;
	fd = result((int)listxattr(path_of(fd).text, buf, TREE_XATTR_MAX));
	tree_node_release(t, node);
	return fd > 0 ? filter_names(t, buf, fd) : fd;
}

int tree_xattr_set(struct tree *t, struct tree_node *node, const char *name, const void *value,
		   size_t size, int flags)
{
	int fd = t->read_only ? -EROFS : has_xattr(t, name) ? tree_node_fd(t, node) : -EOPNOTSUPP;

	if (fd >= 0) {
		fd = result(setxattr(path_of(fd).text, name, value, size, flags));
		tree_node_release(t, node);
	}
	return fd;
}

int tree_xattr_remove(struct tree *t, struct tree_node *node, const char *name)
{
	int fd = t->read_only ? -EROFS : has_xattr(t, name) ? tree_node_fd(t, node) : -EOPNOTSUPP;

	if (fd >= 0) {
		fd = result(removexattr(path_of(fd).text, name));
		tree_node_release(t, node);
	}
	return fd;
}
