/* SPDX-License-Identifier: MIT */
/* host/tree's own: nodes, and the fds that they have for a while. */
#ifndef HOST_TREE_NODE_H
#define HOST_TREE_NODE_H

#include <errno.h>

#include "host/tree.h"
#include "util/hash.h"

struct tree_node {
	struct hash_link link;		 /* by parent and name, unless it is detached */
	struct tree_node *parent;	 /* held; the root's is NULL */
	struct tree_node *down;		 /* scratch of tree_node_fd(), and of tree_save() */
	struct tree_node *newer, *older; /* open directories that nothing holds open */
	uint32_t refs;
	uint32_t pins;	 /* its fd must stay */
	int fd;		 /* O_PATH, or -1 */
	uint32_t type;	 /* S_IFMT */
	bool detached;	 /* its name is gone */
	bool closed;	 /* nothing below it is ours to give */
	uint32_t number; /* while it is saved: see tree-state.c */
	uint64_t dev, ino;
	char *name; /* NULL: the root */
};

struct tree {
	struct tree_node *root;
	struct hash nodes;
	uint32_t n_nodes;
	unsigned int n_fds, max_fds;	   /* of nodes and of open files */
	struct tree_node *newest, *oldest; /* of the open directories */
	bool read_only, keeps_owners;
	bool counts_links; /* of directories: one that is gone has none */
	uint32_t uid, gid; /* ours, shown as root's unless keeps_owners */
};

/* 0 or -1 with errno, as the C library has it, into ours. */
static inline int tree_result(int rc)
{
	return rc < 0 ? -errno : rc;
}

/* The way to the file itself for calls that take no O_PATH fd: this link leads nowhere else. */
struct tree_fd_path {
	char text[32];
};

struct tree_fd_path tree_fd_path(int fd);

/* One component, O_PATH, whatever it is. */
int tree_open_name(int dir_fd, const char *name);

/* Room for one more fd: -EMFILE, or it is counted. Then it is one less. */
int tree_fd_begin(struct tree *t);
void tree_fd_end(struct tree *t);

/*
 * An O_PATH fd of the node's own, until tree_node_release(): meanwhile nothing else closes it if it
 * is pinned, or if no other node is asked for.
 */
int tree_node_fd(struct tree *t, struct tree_node *node);
void tree_node_release(struct tree *t, struct tree_node *node);

/* The same of what is to hold names: -ENOTDIR, and nothing more is open; -EACCES, it is closed. */
int tree_dir_fd(struct tree *t, struct tree_node *dir);

/* Its fd stays open, whatever else is. */
int tree_node_pin(struct tree *t, struct tree_node *node);
void tree_node_unpin(struct tree *t, struct tree_node *node);

/* The node of a file that lies there, a new reference; made if there is none. */
int tree_node_of(struct tree *t, struct tree_node *dir, const char *name, const struct stat *st,
		 struct tree_node **out);

/* A new one. NULL: there are too many, or there is no memory. */
struct tree_node *tree_node_new(struct tree *t, struct tree_node *dir, const char *name,
				uint32_t type, bool detached);

/* Borrowed; NULL: nobody holds one. */
struct tree_node *tree_node_find(const struct tree *t, const struct tree_node *dir,
				 const char *name);

/* The name is another's now, or nobody's. The node must be pinned to live on. */
void tree_node_detach(struct tree *t, struct tree_node *node);

/* It has been renamed. */
int tree_node_move(struct tree *t, struct tree_node *node, struct tree_node *dir, const char *name);

/* As guests see it. */
void tree_show_owner(const struct tree *t, struct stat *st);

/* What of open(2)'s flags is the guest's to choose, and what goes with them. */
#define TREE_OPEN_FLAGS (O_ACCMODE | O_TRUNC | O_APPEND | O_SYNC | O_DSYNC | O_DIRECTORY)
#define TREE_OPEN_ALWAYS (O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

#endif
