/* SPDX-License-Identifier: MIT */
/*
 * virtio/9p's own: what lies between one Tversion and the next. A client names files by fids,
 * numbers of its own choosing. A fid is a node of the tree (host/tree.h); once it is opened it has
 * an fd too, or it stands for an extended attribute that is read or written as a file is.
 *
 * Requests are served in order, one at a time: nothing is ever left to flush. All on one thread.
 */
#ifndef VIRTIO_9P_SESSION_H
#define VIRTIO_9P_SESSION_H

#include "util/hash.h"
#include "virtio/9p-wire.h"

#define P9_FIDS_MAX (1u << 18)
#define P9_XATTR_BYTES (4u << 20) /* of attributes that are read or written, in all */
#define P9_SCRATCH 65536u

struct p9_xattr {
	p9_name name;
	int flags; /* XATTR_CREATE, XATTR_REPLACE */
	bool writes;
	uint32_t size, done;
	uint8_t value[];
};

struct p9_fid {
	struct hash_link link;
	uint32_t number;
	uint32_t uid; /* on whose behalf */
	struct tree_node *node;
	bool opened;
	int fd;		   /* -1: not open, or not again since it was loaded */
	int flags;	   /* that it was opened with */
	uint64_t dev, ino; /* of what is open */
	uint64_t dir_pos;  /* where the fd of a directory stands */
	struct p9_locker *lockers;
	struct p9_xattr *xattr;
};

struct p9 {
	struct tree *tree;
	struct hash fids;
	uint32_t msize; /* 0: there was no Tversion */
	uint32_t xattr_bytes;
	struct hash lockers;
	uint8_t *scratch, *entries; /* P9_SCRATCH each */
};

typedef int p9_fn(struct p9 *p, struct p9_call *c);

/* Each takes its request and puts its answer; -errno: that is the answer. */
p9_fn p9_version, p9_auth, p9_attach, p9_walk, p9_clunk, p9_flush;
p9_fn p9_lopen, p9_lcreate, p9_read, p9_write, p9_readdir, p9_fsync;
p9_fn p9_lock, p9_getlock;
p9_fn p9_mkdir, p9_mknod, p9_symlink, p9_link, p9_readlink;
p9_fn p9_rename, p9_renameat, p9_unlinkat, p9_remove;
p9_fn p9_getattr, p9_setattr, p9_statfs;
p9_fn p9_xattrwalk, p9_xattrcreate;

/* The fid that comes next; NULL, and the call is a bad one (EBADF). */
struct p9_fid *p9_take_fid(struct p9 *p, struct p9_call *c);
/* One that is open. */
struct p9_fid *p9_take_open(struct p9 *p, struct p9_call *c);

struct p9_fid *p9_fid_find(const struct p9 *p, uint32_t number);
/* Takes over the reference to `node` if it succeeds. */
int p9_fid_add(struct p9 *p, uint32_t number, uint32_t uid, struct tree_node *node,
	       struct p9_fid **out);
/* It is gone in any case; what a written attribute came to. */
int p9_fid_drop(struct p9 *p, struct p9_fid *fid);
/* Attributes that are being written stay as they are. */
void p9_drop_all(struct p9 *p);
/* What `fid` has open: an fd or -errno. */
int p9_fid_fd(struct p9 *p, struct p9_fid *fid);

/* Locks that were taken by this fid last: it is closed. */
void p9_fid_unlock(struct p9 *p, struct p9_fid *fid);

/* All of a session; load: -EINVAL, and nothing has changed. */
void p9_save(struct p9 *p, struct buf *out);
int p9_load(struct p9 *p, struct reader *in);

/* Of a fid that stands for an attribute. */
struct p9_xattr *p9_xattr_new(struct p9 *p, uint32_t size);
void p9_xattr_free(struct p9 *p, struct p9_xattr *x);
int p9_xattr_read(struct p9 *p, struct p9_fid *fid, struct p9_call *c, uint64_t offset,
		  uint32_t count);
int p9_xattr_write(struct p9 *p, struct p9_fid *fid, struct p9_call *c, uint64_t offset,
		   uint32_t count);
int p9_xattr_close(struct p9 *p, struct p9_fid *fid);

#endif
