/* SPDX-License-Identifier: MIT */
/*
 * A session, saved: msize[4], the nodes that its fids stand for (host/tree-state.c), n[4], and n
 * fids in the order of their numbers. Files are found again when they are next used: loading
 * touches none. What has no name any more is lost (ESTALE), as are locks.
 *
 * A fid: number[4] uid[4] kind[1] flags[4] node[4]; an attribute's: also name[s] flags[4] writes[1]
 * size[4] done[4] value[size].
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "util/util.h"
#include "virtio/9p-session.h"

enum kind { KIND_FILE, KIND_OPEN, KIND_XATTR, KINDS };

/* ---- Saving ---- */

static void save_xattr(const struct p9_xattr *x, struct buf *out)
{
	size_t len = strlen(x->name);

	buf_put_le16(out, (uint16_t)len);
	buf_put(out, x->name, len);
	buf_put_le32(out, (uint32_t)x->flags);
	buf_put_u8(out, x->writes);
	buf_put_le32(out, x->size);
	buf_put_le32(out, x->done);
	buf_put(out, x->value, x->size);
}

static void save_fid(const struct p9_fid *fid, struct buf *out)
{
	buf_put_le32(out, fid->number);
	buf_put_le32(out, fid->uid);
	buf_put_u8(out, fid->xattr ? KIND_XATTR : fid->opened ? KIND_OPEN : KIND_FILE);
	buf_put_le32(out, (uint32_t)fid->flags);
	buf_put_le32(out, tree_number(fid->node));
	if (fid->xattr)
		save_xattr(fid->xattr, out);
}

static int by_number(const void *a, const void *b)
{
	const struct p9_fid *const *x = a, *const *y = b;

	return (*x)->number < (*y)->number ? -1 : (*x)->number > (*y)->number;
}

/* In the order of their numbers; and their nodes. NULL: no memory. */
static struct p9_fid **list_fids(const struct p9 *p, struct tree_node ***nodes)
{
	struct p9_fid **all = calloc(p->fids.count + 1, sizeof(*all));
	struct hash_link *l;
	uint32_t n = 0;

	*nodes = calloc(p->fids.count + 1, sizeof(**nodes));
	if (!all || !*nodes) {
		free(*nodes);
		free(all);
		return NULL;
	}
	for (uint32_t at = 0; (l = hash_scan(&p->fids, &at)); at++) {
		for (; l; l = l->next)
			all[n++] = container_of(l, struct p9_fid, link);
	}
	qsort(all, n, sizeof(*all), by_number);
	for (uint32_t i = 0; i < n; i++)
		(*nodes)[i] = all[i]->node;
	return all;
}

void p9_save(struct p9 *p, struct buf *out)
{
	struct tree_node **nodes;
	struct p9_fid **all = list_fids(p, &nodes);
	uint32_t n = p->fids.count;

	if (!all) {
		out->failed = true;
		return;
	}
	buf_put_le32(out, p->msize);
	tree_save(nodes, n, out);
	buf_put_le32(out, n);
	for (uint32_t i = 0; i < n; i++)
		save_fid(all[i], out);
	tree_saved(nodes, n);
	free(nodes);
	free(all);
}

/* ---- Loading ---- */

/* A string of at most `most` bytes without a NUL. */
static int get_text(struct reader *in, char *text, size_t most)
{
	uint16_t len = reader_le16(in);

	text[0] = 0;
	if (len > most || in->failed)
		return -EINVAL;
	reader_get(in, text, len);
	text[len] = 0;
	return in->failed || strlen(text) != len ? -EINVAL : 0;
}

static int load_xattr(struct p9 *p, struct p9_fid *fid, struct reader *in)
{
	p9_name name;
	int rc = get_text(in, name, TREE_NAME_MAX);
	uint32_t flags = reader_le32(in);
	uint8_t writes = reader_u8(in);
	uint32_t size = reader_le32(in), done = reader_le32(in);

	if (rc || flags > (XATTR_CREATE | XATTR_REPLACE) || writes > 1 || size > in->left ||
	    size > TREE_XATTR_MAX || done > size)
		return -EINVAL;
	fid->xattr = p9_xattr_new(p, size);
	if (!fid->xattr)
		return -EINVAL;
	memcpy(fid->xattr->name, name, sizeof(name));
	fid->xattr->flags = (int)flags;
	fid->xattr->writes = writes;
	fid->xattr->done = done;
	reader_get(in, fid->xattr->value, size);
	return 0;
}

struct loaded_nodes {
	struct tree_node **all;
	uint32_t n;
};

static int load_fid(struct p9 *p, struct reader *in, const struct loaded_nodes *nodes)
{
	uint32_t number = reader_le32(in), uid = reader_le32(in);
	uint8_t kind = reader_u8(in);
	uint32_t flags = reader_le32(in), node = reader_le32(in);
	struct p9_fid *fid;
	int rc;

	if (in->failed || kind >= KINDS || flags & ~(uint32_t)P9_OPEN_FLAGS || node >= nodes->n)
		return -EINVAL;
	rc = p9_fid_add(p, number, uid, tree_get(nodes->all[node]), &fid);
	if (rc) {
		tree_put(p->tree, nodes->all[node]);
		return rc;
	}
	fid->flags = (int)flags;
	fid->opened = kind == KIND_OPEN;
	return kind == KIND_XATTR ? load_xattr(p, fid, in) : 0;
}

static int load_fids(struct p9 *p, struct reader *in, const struct loaded_nodes *nodes)
{
	uint32_t n = reader_le32(in), last = 0;
	int rc = 0;

	for (uint32_t i = 0; !rc && i < n; i++) {
		uint32_t number = in->left >= 4 ? get_le32(in->p) : 0;

		rc = in->failed || (i && number <= last) ? -EINVAL : load_fid(p, in, nodes);
		last = number;
	}
	return rc || in->failed ? -EINVAL : 0;
}

static int load_all(struct p9 *p, struct reader *in)
{
	struct loaded_nodes nodes;
	int rc;

	p->msize = reader_le32(in);
	if (p->msize && (p->msize < P9_MSIZE_MIN || p->msize > P9_MSIZE_MAX))
		return -EINVAL;
	rc = tree_load(p->tree, in, &nodes.all, &nodes.n);
	if (!rc)
		rc = load_fids(p, in, &nodes);
	tree_loaded(p->tree, nodes.all, nodes.n);
	return rc ? -EINVAL : 0;
}

/* We would save the same: nothing in it is useless, or there twice, or behind its end. */
static bool is_ours(struct p9 *p, const uint8_t *from, size_t len)
{
	struct buf again = { 0 };
	bool same;

	p9_save(p, &again);
	same = !again.failed && again.len == len && !memcmp(again.data, from, len);
	buf_free(&again);
	return same;
}

int p9_load(struct p9 *p, struct reader *in)
{
	struct p9 loaded = { .tree = p->tree, .scratch = p->scratch, .entries = p->entries };
	const uint8_t *from = in->p;
	int rc = load_all(&loaded, in);

	if (!rc && !is_ours(&loaded, from, (size_t)(in->p - from) + in->left))
		rc = -EINVAL;
	if (!rc) {
		struct p9 before = *p;

		*p = loaded;
		loaded = before;
	}
	p9_drop_all(&loaded);
	hash_free(&loaded.fids);
	hash_free(&loaded.lockers);
	return rc;
}
