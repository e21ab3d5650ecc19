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

/* ---- What it is ---- */

void tree_show_owner(const struct tree *t, struct stat *st)
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
	int fd = tree_dir_fd(t, dir);

	if (fd < 0)
		return fd;
	return tree_result(fstatat(fd, name, st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT));
}

int tree_walk(struct tree *t, struct tree_node *dir, const char *name, struct tree_node **out,
	      struct stat *st)
{
	int rc = stat_name(t, dir, name, st);

	if (!rc)
		rc = tree_node_of(t, dir, name, st, out);
	tree_show_owner(t, st);
	return rc;
}

/* A file that nothing holds open is what has its name now. */
int tree_stat(struct tree *t, struct tree_node *node, struct stat *st)
{
	int rc;

	if (node->fd >= 0)
		rc = tree_result(fstat(node->fd, st));
	else if (node->detached)
		rc = -ESTALE;
	else
		rc = stat_name(t, node->parent, node->name, st);
	if (!rc && (st->st_mode & S_IFMT) != node->type)
		rc = -ESTALE;
	tree_show_owner(t, st);
	return rc;
}

int tree_stat_fd(const struct tree *t, int fd, struct stat *st)
{
	int rc = tree_result(fstat(fd, st));

	tree_show_owner(t, st);
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
		again = openat(fd, ".", flags | TREE_OPEN_ALWAYS | O_DIRECTORY);
	else
		again = open(tree_fd_path(fd).text, flags | (TREE_OPEN_ALWAYS & ~O_NOFOLLOW));
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
		fd = open_again(t, node, fd, flags & TREE_OPEN_FLAGS, st);
		tree_node_release(t, node);
	}
	if (fd < 0)
		tree_fd_end(t);
	return fd;
}

int tree_reopen(struct tree *t, int fd, int flags)
{
	int again, rc = tree_fd_begin(t);

	if (rc)
		return rc;
	again = tree_result(open(tree_fd_path(fd).text,
				 (flags & TREE_OPEN_FLAGS) | (TREE_OPEN_ALWAYS & ~O_NOFOLLOW)));
	if (again < 0)
		tree_fd_end(t);
	return again;
}

void tree_close_fd(struct tree *t, int fd)
{
	close(fd);
	tree_fd_end(t);
}

/* ---- Names ---- */

static int pin_dir(struct tree *t, struct tree_node *dir)
{
	return dir->type == S_IFDIR ? tree_node_pin(t, dir) : -ENOTDIR;
}

int tree_link(struct tree *t, struct tree_node *node, struct tree_node *dir, const char *name)
{
	int fd, dir_fd, rc;

	if (t->read_only)
		return -EROFS;
	rc = pin_dir(t, dir);
	if (rc)
		return rc;
	fd = tree_node_fd(t, node);
	dir_fd = dir->fd;
	if (fd < 0)
		rc = fd;
	else
		rc = tree_result(
			linkat(AT_FDCWD, tree_fd_path(fd).text, dir_fd, name, AT_SYMLINK_FOLLOW));
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
	fd = tree_dir_fd(t, dir);
	rc = fd < 0 ? fd : tree_result(unlinkat(fd, name, is_dir ? AT_REMOVEDIR : 0));
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
	int rc = tree_result(renameat(from->fd, name, to->fd, new_name));

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
	int rc = t->read_only ? -EROFS : pin_dir(t, from);

	if (rc)
		return rc;
	/* What moves may have been the last that held it. */
	tree_get(from);
	rc = pin_dir(t, to);
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
		fd = tree_result((int)readlinkat(fd, "", buf, size));
		tree_node_release(t, node);
	}
	return fd;
}

/* ---- Attributes ---- */

int tree_chmod(struct tree *t, struct tree_node *node, mode_t mode)
{
	int fd = t->read_only ? -EROFS : tree_node_fd(t, node);

	if (fd >= 0) {
		fd = tree_result(chmod(tree_fd_path(fd).text, mode & 07777));
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
	fd = tree_result(fchownat(fd, "", uid, gid, AT_EMPTY_PATH));
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
		fd = node->closed ? -EACCES
				  : tree_result(truncate(tree_fd_path(fd).text, (off_t)size));
		tree_node_release(t, node);
	}
	return fd;
}

int tree_set_times(struct tree *t, struct tree_node *node, const struct timespec times[2])
{
	int fd = t->read_only ? -EROFS : tree_node_fd(t, node);

	if (fd >= 0) {
		fd = tree_result(utimensat(AT_FDCWD, tree_fd_path(fd).text, times, 0));
		tree_node_release(t, node);
	}
	return fd;
}

int tree_statfs(struct tree *t, struct tree_node *node, struct statfs *fs)
{
	int fd = tree_node_fd(t, node);

	if (fd >= 0) {
		fd = tree_result(fstatfs(fd, fs));
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
		fd = tree_result((int)getxattr(tree_fd_path(fd).text, name, buf, size));
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
	fd = tree_result((int)listxattr(tree_fd_path(fd).text, buf, TREE_XATTR_MAX));
	tree_node_release(t, node);
	return fd > 0 ? filter_names(t, buf, fd) : fd;
}

int tree_xattr_set(struct tree *t, struct tree_node *node, const char *name, const void *value,
		   size_t size, int flags)
{
	int fd = t->read_only ? -EROFS : has_xattr(t, name) ? tree_node_fd(t, node) : -EOPNOTSUPP;

	if (fd >= 0) {
		fd = tree_result(setxattr(tree_fd_path(fd).text, name, value, size, flags));
		tree_node_release(t, node);
	}
	return fd;
}

int tree_xattr_remove(struct tree *t, struct tree_node *node, const char *name)
{
	int fd = t->read_only ? -EROFS : has_xattr(t, name) ? tree_node_fd(t, node) : -EOPNOTSUPP;

	if (fd >= 0) {
		fd = tree_result(removexattr(tree_fd_path(fd).text, name));
		tree_node_release(t, node);
	}
	return fd;
}
