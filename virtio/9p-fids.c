/* SPDX-License-Identifier: MIT */
/* Fids, and the requests that make and end them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/util.h"
#include "virtio/9p-session.h"

static struct p9_fid *fid_at(struct hash_link *link)
{
	return container_of(link, struct p9_fid, link);
}

struct p9_fid *p9_fid_find(const struct p9 *p, uint32_t number)
{
	struct hash_link *l = hash_first(&p->fids, hash_mix(number));

	while (l && fid_at(l)->number != number)
		l = hash_next(l);
	return l ? fid_at(l) : NULL;
}

struct p9_fid *p9_take_fid(struct p9 *p, struct p9_call *c)
{
	struct p9_fid *fid = p9_fid_find(p, p9_u32(c));

	if (!fid && !c->error)
		c->error = -EBADF;
	return fid;
}

int p9_fid_fd(struct p9 *p, struct p9_fid *fid)
{
	struct stat st;

	if (!fid->opened)
		return -EBADF;
	if (fid->fd >= 0)
		return fid->fd;
	fid->fd = tree_open_node(p->tree, fid->node, fid->flags, &st);
	if (fid->fd < 0)
		return fid->fd;
	fid->dev = st.st_dev;
	fid->ino = st.st_ino;
	fid->dir_pos = 0;
	return fid->fd;
}

struct p9_fid *p9_take_open(struct p9 *p, struct p9_call *c)
{
	struct p9_fid *fid = p9_take_fid(p, c);

	if (fid && !c->error)
		c->error = MIN(p9_fid_fd(p, fid), 0);
	return fid;
}

int p9_fid_add(struct p9 *p, uint32_t number, uint32_t uid, struct tree_node *node,
	       struct p9_fid **out)
{
	struct p9_fid *fid;

	if (number == P9_NO_FID || p9_fid_find(p, number))
		return -EBADF;
	if (p->fids.count >= P9_FIDS_MAX)
		return -ENFILE;
	fid = calloc(1, sizeof(*fid));
	if (!fid)
		return -ENOMEM;
	*fid = (struct p9_fid){ .number = number, .uid = uid, .node = node, .fd = -1 };
	if (hash_add(&p->fids, &fid->link, hash_mix(number))) {
		free(fid);
		return -ENOMEM;
	}
	if (out)
		*out = fid;
	return 0;
}

int p9_fid_drop(struct p9 *p, struct p9_fid *fid)
{
	int rc = fid->xattr ? p9_xattr_close(p, fid) : 0;

	p9_fid_unlock(p, fid);
	if (fid->fd >= 0)
		tree_close_fd(p->tree, fid->fd);
	hash_remove(&p->fids, &fid->link);
	tree_put(p->tree, fid->node);
	free(fid);
	return rc;
}

void p9_drop_all(struct p9 *p)
{
	struct hash_link *l;

	for (uint32_t at = 0; (l = hash_scan(&p->fids, &at));) {
		struct p9_fid *fid = fid_at(l);

		if (fid->xattr)
			p9_xattr_free(p, fid->xattr);
		fid->xattr = NULL;
		p9_fid_drop(p, fid);
	}
}

/* ---- Sessions ---- */

int p9_version(struct p9 *p, struct p9_call *c)
{
	static const char ours[] = "9P2000.L", unknown[] = "unknown";
	uint32_t msize = p9_u32(c);
	char theirs[32];
	bool same;

	p9_string(c, theirs, sizeof(theirs));
	if (p9_bad(c) == -EPROTO)
		return -EPROTO;
	p9_drop_all(p);
	same = !strcmp(theirs, ours) && msize >= P9_MSIZE_MIN;
	p->msize = same ? MIN(msize, P9_MSIZE_MAX) : 0;
	p9_put_u32(c, MIN(msize, P9_MSIZE_MAX));
	p9_put_string(c, same ? ours : unknown, same ? sizeof(ours) - 1 : sizeof(unknown) - 1);
	return 0;
}

int p9_auth(struct p9 *p, struct p9_call *c)
{
	(void)p;
	(void)c;
	return -EOPNOTSUPP; /* a client goes on without, then */
}

int p9_attach(struct p9 *p, struct p9_call *c)
{
	uint32_t number = p9_u32(c);
	struct tree_node *root;
	char words[P9_MESSAGE];
	struct p9_qid qid;
	struct stat st;
	uint32_t uid;
	int rc;

	p9_u32(c);			    /* afid */
	p9_string(c, words, sizeof(words)); /* uname */
	p9_string(c, words, sizeof(words)); /* aname: there is but one tree */
	uid = p9_u32(c);
	if (p9_bad(c))
		return p9_bad(c);
	root = tree_root(p->tree);
	rc = tree_stat(p->tree, root, &st);
	if (!rc)
		rc = p9_fid_add(p, number, uid, root, NULL);
	if (rc) {
		tree_put(p->tree, root);
		return rc;
	}
	qid = p9_qid_of(&st, tree_id(p->tree, st.st_dev, st.st_ino));
	p9_put_qid(c, &qid);
	return 0;
}

int p9_flush(struct p9 *p, struct p9_call *c)
{
	(void)p;
	(void)c;
	return 0; /* what came before has been answered */
}

int p9_clunk(struct p9 *p, struct p9_call *c)
{
	struct p9_fid *fid = p9_take_fid(p, c);

	return p9_bad(c) ? p9_bad(c) : p9_fid_drop(p, fid);
}

/* ---- Walking ---- */

/* From `*at`, which it takes, to what `name` is there. */
static int step(struct p9 *p, struct tree_node **at, const char *name, struct p9_qid *qid)
{
	struct tree_node *next;
	struct stat st;
	int rc;

	if (!strcmp(name, "..")) {
		next = tree_parent(*at);
		rc = tree_stat(p->tree, next, &st);
		if (rc)
			tree_put(p->tree, next);
	} else {
		rc = tree_walk(p->tree, *at, name, &next, &st);
	}
	if (rc)
		return rc;
	tree_put(p->tree, *at);
	*at = next;
	*qid = p9_qid_of(&st, tree_id(p->tree, st.st_dev, st.st_ino));
	return 0;
}

static bool is_name(const char *name)
{
	return !strcmp(name, "..") || tree_name_ok(name, strlen(name));
}

/* A fid may be moved itself, if it is not open. */
static int arrive(struct p9 *p, struct p9_fid *from, uint32_t number, struct tree_node *at)
{
	if (from->number != number)
		return p9_fid_add(p, number, from->uid, at, NULL);
	if (from->opened || from->xattr)
		return -EBUSY;
	tree_put(p->tree, from->node);
	from->node = at;
	return 0;
}

/* Takes names from the call as it goes; how many it got past. */
static int walk_names(struct p9 *p, struct p9_call *c, struct tree_node **at, unsigned int n,
		      struct p9_qid *qids, int *rc)
{
	unsigned int i;
	p9_name name;

	for (i = 0; i < n; i++) {
		p9_string(c, name, sizeof(name));
		*rc = p9_bad(c);
		if (!*rc && !is_name(name))
			*rc = -EINVAL;
		if (!*rc)
			*rc = step(p, at, name, &qids[i]);
		if (*rc)
			break;
	}
	return (int)i;
}

int p9_walk(struct p9 *p, struct p9_call *c)
{
	struct p9_fid *from = p9_take_fid(p, c);
	uint32_t number = p9_u32(c);
	uint16_t n = p9_u16(c);
	struct p9_qid qids[P9_WALK_MAX];
	struct tree_node *at;
	int got, rc;

	if (p9_bad(c))
		return p9_bad(c);
	if (n > P9_WALK_MAX)
		return -EINVAL;
	if (number != from->number && p9_fid_find(p, number))
		return -EBADF;
	at = tree_get(from->node);
	rc = 0;
	got = walk_names(p, c, &at, n, qids, &rc);
	if (!rc)
		rc = arrive(p, from, number, at);
	if (rc)
		tree_put(p->tree, at);
	/* Some of the way is an answer, too: the client sees how far it goes. */
	if (rc && (!got || got == n))
		return rc;
	p9_put_u16(c, (uint16_t)got);
	for (int i = 0; i < got; i++)
		p9_put_qid(c, &qids[i]);
	return 0;
}
