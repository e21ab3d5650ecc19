/* SPDX-License-Identifier: MIT */
#include "host/tree-node.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/util.h"

/* ---- Fds ---- */

static bool evictable(const struct tree_node *n)
{
	return n->fd >= 0 && n->type == S_IFDIR && !n->pins;
}

static void leave_list(struct tree *t, struct tree_node *n)
{
	*(n->newer ? &n->newer->older : &t->newest) = n->older;
	*(n->older ? &n->older->newer : &t->oldest) = n->newer;
	n->newer = n->older = NULL;
}

static void join_list(struct tree *t, struct tree_node *n)
{
	n->older = t->newest;
	*(t->newest ? &t->newest->newer : &t->oldest) = n;
	t->newest = n;
}

static void close_node(struct tree *t, struct tree_node *n)
{
	if (evictable(n))
		leave_list(t, n);
	close(n->fd);
	n->fd = -1;
	tree_fd_end(t);
}

int tree_fd_begin(struct tree *t)
{
	if (t->n_fds >= t->max_fds && t->oldest)
		close_node(t, t->oldest);
	if (t->n_fds >= t->max_fds)
		return -EMFILE;
	t->n_fds++;
	return 0;
}

void tree_fd_end(struct tree *t)
{
	t->n_fds--;
}

static void hold(struct tree *t, struct tree_node *n)
{
	if (evictable(n))
		leave_list(t, n);
	n->pins++;
}

void tree_node_unpin(struct tree *t, struct tree_node *n)
{
	n->pins--;
	if (evictable(n))
		join_list(t, n);
	else
		tree_node_release(t, n);
}

/*
 * One component, which is not "..": without openat2 (Linux 5.6, and where a seccomp filter knows
 * it) the same open is as sound.
 */
int tree_open_name(int dir_fd, const char *name)
{
	struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));

	if (fd < 0 && (errno == ENOSYS || errno == EPERM))
		fd = openat(dir_fd, name, (int)how.flags);
	return fd < 0 ? -errno : (int)fd;
}

/* Is it of a file system that a tree has no part in? */
static bool is_closed(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) || fs.f_type == PROC_SUPER_MAGIC;
}

/* Another file of the same kind in its place is taken for it. */
static int check_opened(struct tree_node *n, int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if ((st.st_mode & S_IFMT) != n->type)
		return -ESTALE;
	n->dev = st.st_dev;
	n->ino = st.st_ino;
	n->closed = n->parent->closed || (n->dev != n->parent->dev && is_closed(fd));
	return 0;
}

/* Its parent is open. */
static int open_node(struct tree *t, struct tree_node *n)
{
	struct tree_node *parent = n->parent;
	int fd, rc;

	if (n->detached)
		return -ESTALE;
	hold(t, parent);
	rc = tree_fd_begin(t);
	if (rc) {
		tree_node_unpin(t, parent);
		return rc;
	}
	fd = tree_open_name(parent->fd, n->name);
	tree_node_unpin(t, parent);
	rc = fd < 0 ? fd : check_opened(n, fd);
	if (rc) {
		if (fd >= 0)
			close(fd);
		tree_fd_end(t);
		return rc;
	}
	n->fd = fd;
	if (evictable(n))
		join_list(t, n);
	return 0;
}

int tree_node_fd(struct tree *t, struct tree_node *node)
{
	struct tree_node *n = node;
	int rc = 0;

	node->down = NULL;
	for (; n->fd < 0; n = n->parent)
		n->parent->down = n;
	if (evictable(n)) {
		leave_list(t, n);
		join_list(t, n);
	}
	for (n = n->down; n && !rc; n = n->down)
		rc = open_node(t, n);
	return rc ? rc : node->fd;
}

int tree_dir_fd(struct tree *t, struct tree_node *dir)
{
	int fd = dir->type == S_IFDIR ? tree_node_fd(t, dir) : -ENOTDIR;

	return fd >= 0 && dir->closed ? -EACCES : fd;
}

struct tree_fd_path tree_fd_path(int fd)
{
	struct tree_fd_path path;

	snprintf(path.text, sizeof(path.text), "/proc/self/fd/%d", fd);
	return path;
}

void tree_node_release(struct tree *t, struct tree_node *node)
{
	if (node->fd >= 0 && !node->pins && node->type != S_IFDIR)
		close_node(t, node);
}

int tree_node_pin(struct tree *t, struct tree_node *node)
{
	int fd = tree_node_fd(t, node);

	if (fd >= 0)
		hold(t, node);
	return MIN(fd, 0);
}

/* ---- Nodes ---- */

static struct tree_node *node_at(struct hash_link *link)
{
	return container_of(link, struct tree_node, link);
}

static uint64_t hash_name(const struct tree_node *dir, const char *name)
{
	return hash_bytes((uintptr_t)dir, name, strlen(name));
}

struct tree_node *tree_node_find(const struct tree *t, const struct tree_node *dir,
				 const char *name)
{
	struct hash_link *l = hash_first(&t->nodes, hash_name(dir, name));

	while (l && (node_at(l)->parent != dir || strcmp(node_at(l)->name, name)))
		l = hash_next(l);
	return l ? node_at(l) : NULL;
}

void tree_node_detach(struct tree *t, struct tree_node *n)
{
	if (!n->detached)
		hash_remove(&t->nodes, &n->link);
	n->detached = true;
}

struct tree_node *tree_node_new(struct tree *t, struct tree_node *dir, const char *name,
				uint32_t type, bool detached)
{
	struct tree_node *n;

	if (t->n_nodes >= TREE_NODES_MAX)
		return NULL;
	n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->fd = -1;
	n->refs = 1;
	n->type = type;
	n->detached = detached;
	n->name = strdup(name);
	if (!n->name || (!detached && hash_add(&t->nodes, &n->link, hash_name(dir, name)))) {
		free(n->name);
		free(n);
		return NULL;
	}
	n->parent = tree_get(dir);
	t->n_nodes++;
	return n;
}

/*
 * By its name alone nobody knows yet which file it is. And file systems use the numbers of what is
 * gone again.
 */
static bool is_same(const struct tree_node *n, const struct stat *st)
{
	return n->type == (st->st_mode & S_IFMT) &&
	       (!n->ino || (n->dev == st->st_dev && n->ino == st->st_ino));
}

int tree_node_of(struct tree *t, struct tree_node *dir, const char *name, const struct stat *st,
		 struct tree_node **out)
{
	struct tree_node *n = tree_node_find(t, dir, name);

	if (n && is_same(n, st)) {
		tree_get(n);
	} else {
		if (n)
			tree_node_detach(t, n); /* the host has put another there */
		n = tree_node_new(t, dir, name, st->st_mode & S_IFMT, false);
	}
	if (!n)
		return -ENFILE;
	n->dev = st->st_dev;
	n->ino = st->st_ino;
	*out = n;
	return 0;
}

/* The host may have moved things: a directory must not come to lie in itself. */
static bool is_below(const struct tree_node *n, const struct tree_node *top)
{
	while (n && n != top)
		n = n->parent;
	return n;
}

int tree_node_move(struct tree *t, struct tree_node *n, struct tree_node *dir, const char *name)
{
	struct tree_node *old = n->parent;
	char *copy = is_below(dir, n) ? NULL : strdup(name);

	if (!n->detached)
		hash_remove(&t->nodes, &n->link);
	n->detached = !copy || hash_add(&t->nodes, &n->link, hash_name(dir, name));
	if (n->detached) {
		free(copy);
		return -ESTALE;
	}
	free(n->name);
	n->name = copy;
	n->parent = tree_get(dir);
	tree_put(t, old);
	return 0;
}

struct tree_node *tree_get(struct tree_node *node)
{
	if (node)
		node->refs++;
	return node;
}

void tree_put(struct tree *t, struct tree_node *node)
{
	while (node && !--node->refs) {
		struct tree_node *parent = node->parent;

		if (node->fd >= 0)
			close_node(t, node);
		if (parent)
			tree_node_detach(t, node);
		free(node->name);
		free(node);
		t->n_nodes--;
		node = parent;
	}
}

struct tree_node *tree_root(struct tree *t)
{
	return tree_get(t->root);
}

struct tree_node *tree_parent(struct tree_node *node)
{
	return tree_get(node->parent ? node->parent : node);
}

bool tree_is_root(const struct tree_node *node)
{
	return !node->parent;
}

/* ---- The tree ---- */

static int open_root(const char *dir, struct stat *st, struct err *err)
{
	int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int rc = fd < 0 || fstat(fd, st) ? errno : 0;

	if (rc)
		err_set(err, rc, "cannot share %s: %s", dir, strerror(rc));
	else if (is_closed(fd))
		rc = err_set(err, EINVAL, "cannot share %s: it is procfs, which has no files", dir);
	else
		return fd;
	if (fd >= 0)
		close(fd);
	return -abs(rc);
}

int tree_open(const char *dir, bool read_only, unsigned int max_fds, struct tree **out,
	      struct err *err)
{
	struct tree *t;
	struct stat st;
	int fd;

	if (access("/proc/self/fd", X_OK))
		return err_set(err, errno, "cannot share %s: /proc is not mounted", dir);
	fd = open_root(dir, &st, err);
	if (fd < 0)
		return fd;
	t = calloc(1, sizeof(*t));
	if (t)
		t->root = calloc(1, sizeof(*t->root));
	if (!t || !t->root) {
		free(t);
		close(fd);
		return err_set(err, ENOMEM, "no memory to share %s", dir);
	}
	*t->root = (struct tree_node){
		.refs = 1,
		.pins = 1,
		.fd = fd,
		.type = S_IFDIR,
		.detached = true, /* it has no name */
		.dev = st.st_dev,
		.ino = st.st_ino,
	};
	t->n_nodes = t->n_fds = 1;
	t->max_fds = MAX(max_fds, TREE_FDS_MIN);
	t->read_only = read_only;
	t->counts_links = st.st_nlink;
	t->uid = geteuid();
	t->gid = getegid();
	t->keeps_owners = !t->uid;
	*out = t;
	return 0;
}

void tree_close(struct tree *t)
{
	tree_put(t, t->root);
	hash_free(&t->nodes);
	free(t);
}

void tree_use_thread(void)
{
	/* Where it may not, new files have fewer rights than was asked for: no harm. */
	if (!unshare(CLONE_FS))
		umask(0);
}

bool tree_read_only(const struct tree *t)
{
	return t->read_only;
}

uint64_t tree_id(const struct tree *t, uint64_t dev, uint64_t ino)
{
	return dev == t->root->dev ? ino : hash_mix(hash_mix(dev) ^ ino);
}

bool tree_name_ok(const char *name, size_t len)
{
	if (!len || len > TREE_NAME_MAX || memchr(name, '/', len) || memchr(name, 0, len))
		return false;
	return name[0] != '.' || (len > 1 && (name[1] != '.' || len > 2));
}

bool tree_alive(const struct tree *t)
{
	struct stat st;

	return !fstat(t->root->fd, &st) && (st.st_nlink || !t->counts_links);
}
