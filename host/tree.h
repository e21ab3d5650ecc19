/* SPDX-License-Identifier: MIT */
/*
 * A directory of the host's with all below it, for somebody who must not get at anything else, nor
 * at what is no file: a guest.
 *
 * Files are nodes: a parent and a name, which tree_rename() keeps right for those who hold them. A
 * name is one component, and no path is ever handed to the kernel: each step is taken from a
 * directory that is open (O_PATH), by a name without a slash that is not "..", and never through a
 * symbolic link. So there is nothing that links, or renames at the wrong moment, could lead astray.
 * What is opened for reading or writing is opened by O_PATH first, looked at, and if it is a
 * regular file or a directory opened again through that very fd (/proc/self/fd): a device, FIFO or
 * socket never is. Other file systems that are mounted below are part of the tree; procfs is not,
 * as its files are no files but this host's processes, ourselves among them.
 *
 * Directories stay open as long as there is room (max_fds), and are found again by their names. A
 * file that is no directory is its name, until the guest takes that away: then it is kept open, so
 * that who holds the node can go on using it. What the host renames meanwhile is lost to them
 * (ESTALE), what it replaces is taken for what was there.
 *
 * Owners. As root they are shown and kept as they are. Any other user's own files are shown as
 * root's (uid 0, gid 0), others' as they are, and everything is done with this user's rights; to
 * give a file to root is to give it to this user. So a guest's root finds that what its user owns
 * is its own.
 *
 * Every function returns -errno for an error, -EROFS for whatever would write to a tree that is
 * read-only. For one thread at a time.
 */
#ifndef HOST_TREE_H
#define HOST_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "util/buf.h"
#include "util/log.h"

#define TREE_NAME_MAX 255
#define TREE_FDS_MIN 64u
#define TREE_NODES_MAX (1u << 19)

struct tree;
struct tree_node; /* counted; all are to be given back before the tree is closed */

/* For new files. (As no root there is no choice, but for a group that this user is in.) */
struct tree_owner {
	uint32_t uid, gid;
};

#define TREE_KEEP UINT32_MAX /* of a uid or a gid: as it is */

/* `max_fds`: open at a time, directories and what tree_open_node() opened; at least TREE_FDS_MIN. */
int tree_open(const char *dir, bool read_only, unsigned int max_fds, struct tree **out,
	      struct err *err);
void tree_close(struct tree *t);

/*
 * The calling thread's files get the modes that are asked for: it leaves the process's umask to the
 * others. Once, by each thread that makes files.
 */
void tree_use_thread(void);

/*
 * False: the directory itself is gone, or its file system does not answer. Then nothing in it can
 * be found, and that says nothing about what there is.
 */
bool tree_alive(const struct tree *t);

/* A reference more; NULL stays NULL. And one less. */
struct tree_node *tree_get(struct tree_node *node);
void tree_put(struct tree *t, struct tree_node *node);

struct tree_node *tree_root(struct tree *t);

/* A new reference; the root's is the root. */
struct tree_node *tree_parent(struct tree_node *node);
bool tree_is_root(const struct tree_node *node);

/*
 * To save nodes, and find them again. Each is saved once, with all above it, and has a number then,
 * until it is told that all is saved: see tree-state.c. tree_load(): by their numbers, a reference
 * to each, without a look at whether it is there; they are to be given back by tree_loaded(),
 * whatever it returned.
 */
void tree_save(struct tree_node *const nodes[], uint32_t n, struct buf *out);
uint32_t tree_number(const struct tree_node *node);
void tree_saved(struct tree_node *const nodes[], uint32_t n);
int tree_load(struct tree *t, struct reader *in, struct tree_node ***nodes, uint32_t *n);
void tree_loaded(struct tree *t, struct tree_node **nodes, uint32_t n);

/* Is it one component, not "." or ".."? All names below must be. */
bool tree_name_ok(const char *name, size_t len);

/* A new reference to what has this name, and what it is. */
int tree_walk(struct tree *t, struct tree_node *dir, const char *name, struct tree_node **out,
	      struct stat *st);
int tree_stat(struct tree *t, struct tree_node *node, struct stat *st);

/* The same of what is open. */
int tree_stat_fd(const struct tree *t, int fd, struct stat *st);

/* A number that no other file of this tree has, and that the file keeps. */
uint64_t tree_id(const struct tree *t, uint64_t dev, uint64_t ino);

/*
 * Opens a regular file or a directory; O_ACCMODE, O_TRUNC, O_APPEND, O_SYNC, O_DSYNC and
 * O_DIRECTORY count. An fd, to be closed by tree_close_fd(), and what it is. -ENXIO, -ELOOP: it is
 * something else.
 */
int tree_open_node(struct tree *t, struct tree_node *node, int flags, struct stat *st);
void tree_close_fd(struct tree *t, int fd);

/* What is open, once more: an open file of its own. */
int tree_reopen(struct tree *t, int fd, int flags);

/* Makes a regular file and opens it; without O_EXCL it may be there. An fd as above. */
int tree_create(struct tree *t, struct tree_node *dir, const char *name, int flags, mode_t mode,
		const struct tree_owner *owner, struct tree_node **out, struct stat *st);

/* Others; `st` is what was made. tree_make(): a regular file, a FIFO or a socket, or -EPERM. */
int tree_mkdir(struct tree *t, struct tree_node *dir, const char *name, mode_t mode,
	       const struct tree_owner *owner, struct stat *st);
int tree_make(struct tree *t, struct tree_node *dir, const char *name, mode_t mode,
	      const struct tree_owner *owner, struct stat *st);
int tree_symlink(struct tree *t, struct tree_node *dir, const char *name, const char *target,
		 const struct tree_owner *owner, struct stat *st);

int tree_link(struct tree *t, struct tree_node *node, struct tree_node *dir, const char *name);
int tree_unlink(struct tree *t, struct tree_node *dir, const char *name, bool is_dir);
int tree_rename(struct tree *t, struct tree_node *from, const char *name, struct tree_node *to,
		const char *new_name);

/* By what the node is called now. */
int tree_unlink_node(struct tree *t, struct tree_node *node);
int tree_rename_node(struct tree *t, struct tree_node *node, struct tree_node *to,
		     const char *new_name);

/* Its length; no NUL. */
int tree_readlink(struct tree *t, struct tree_node *node, char *buf, size_t size);

int tree_chmod(struct tree *t, struct tree_node *node, mode_t mode);
int tree_chown(struct tree *t, struct tree_node *node, uint32_t uid, uint32_t gid);
int tree_truncate(struct tree *t, struct tree_node *node, uint64_t size);
int tree_set_times(struct tree *t, struct tree_node *node, const struct timespec times[2]);
int tree_statfs(struct tree *t, struct tree_node *node, struct statfs *fs);

/*
 * Extended attributes: user.* and as root all. The size, as getxattr(2) has it: with `size` 0 it is
 * asked for alone. tree_xattr_list(): names that end in a NUL each, into a buffer of
 * TREE_XATTR_MAX.
 */
#define TREE_XATTR_MAX 65536
int tree_xattr_get(struct tree *t, struct tree_node *node, const char *name, void *buf,
		   size_t size);
int tree_xattr_list(struct tree *t, struct tree_node *node, char *buf);
int tree_xattr_set(struct tree *t, struct tree_node *node, const char *name, const void *value,
		   size_t size, int flags);
int tree_xattr_remove(struct tree *t, struct tree_node *node, const char *name);

bool tree_read_only(const struct tree *t);

#endif
