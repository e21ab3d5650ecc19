/* SPDX-License-Identifier: MIT */
/*
 * Extended attributes are files of a kind: Txattrwalk makes a fid that their value, or the list of
 * them, is read from; Txattrcreate turns a fid into one that a value is written to, which is set when
 * the fid is clunked, if it is whole.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "util/util.h"
#include "virtio/9p-session.h"

struct p9_xattr *p9_xattr_new(struct p9 *p, uint32_t size)
{
	uint32_t bytes = (uint32_t)sizeof(struct p9_xattr) + size;
	struct p9_xattr *x = bytes <= P9_XATTR_BYTES - p->xattr_bytes ? calloc(1, bytes) : NULL;

	if (!x)
		return NULL;
	x->size = size;
	p->xattr_bytes += bytes;
	return x;
}

void p9_xattr_free(struct p9 *p, struct p9_xattr *x)
{
	p->xattr_bytes -= (uint32_t)sizeof(*x) + x->size;
	free(x);
}

static int attach_value(struct p9 *p, struct p9_fid *from, uint32_t number, const void *value,
			uint32_t size)
{
	struct p9_xattr *x = p9_xattr_new(p, size);
	struct p9_fid *fid;
	int rc;

	if (!x)
		return -ENOMEM;
	memcpy(x->value, value, size);
	tree_get(from->node);
	rc = p9_fid_add(p, number, from->uid, from->node, &fid);
	if (rc) {
		tree_put(p->tree, from->node);
		p9_xattr_free(p, x);
		return rc;
	}
	fid->xattr = x;
	return 0;
}

int p9_xattrwalk(struct p9 *p, struct p9_call *c)
{
	struct p9_fid *from = p9_take_fid(p, c);
	uint32_t number = p9_u32(c);
	p9_name name;
	int size, rc;

	p9_string(c, name, sizeof(name));
	rc = p9_bad(c);
	if (rc)
		return rc;
	size = name[0] ? tree_xattr_get(p->tree, from->node, name, p->scratch, P9_SCRATCH)
		       : tree_xattr_list(p->tree, from->node, (char *)p->scratch);
	if (size < 0)
		return size;
	rc = attach_value(p, from, number, p->scratch, (uint32_t)size);
	if (!rc)
		p9_put_u64(c, (uint64_t)size);
	return rc;
}

int p9_xattrcreate(struct p9 *p, struct p9_call *c)
{
	struct p9_fid *fid = p9_take_fid(p, c);
	uint64_t size;
	uint32_t flags;
	p9_name name;

	p9_string(c, name, sizeof(name));
	size = p9_u64(c);
	flags = p9_u32(c);
	if (p9_bad(c))
		return p9_bad(c);
	if (tree_read_only(p->tree))
		return -EROFS;
	if (fid->opened || fid->xattr)
		return -EBUSY;
	if (size > TREE_XATTR_MAX)
		return -E2BIG;
	if (flags & ~(uint32_t)(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	fid->xattr = p9_xattr_new(p, (uint32_t)size);
	if (!fid->xattr)
		return -ENOMEM;
	memcpy(fid->xattr->name, name, sizeof(name));
	fid->xattr->flags = (int)flags;
	fid->xattr->writes = true;
	return 0;
}

int p9_xattr_read(struct p9 *p, struct p9_fid *fid, struct p9_call *c, uint64_t offset,
		  uint32_t count)
{
	const struct p9_xattr *x = fid->xattr;
	uint32_t n = offset < x->size ? MIN(count, x->size - (uint32_t)offset) : 0;

	(void)p;
	if (x->writes)
		return -EBADF;
	if (n)
		chain_write(c->chain, P9_DATA, x->value + offset, n);
	p9_put_u32(c, n);
	c->data = n;
	return 0;
}

int p9_xattr_write(struct p9 *p, struct p9_fid *fid, struct p9_call *c, uint64_t offset,
		   uint32_t count)
{
	struct p9_xattr *x = fid->xattr;

	(void)p;
	if (!x->writes)
		return -EBADF;
	if (offset != x->done || count > x->size - x->done)
		return -ENOSPC;
	if (count)
		chain_read(c->chain, P9_WRITE_DATA, x->value + offset, count);
	x->done += count;
	p9_put_u32(c, count);
	return 0;
}

/* Linux asks to replace a value by nothing when it means to remove it. */
int p9_xattr_close(struct p9 *p, struct p9_fid *fid)
{
	struct p9_xattr *x = fid->xattr;
	int rc = 0;

	if (x->writes && x->done < x->size)
		rc = -EINVAL;
	else if (x->writes && !x->size && x->flags == XATTR_REPLACE)
		rc = tree_xattr_remove(p->tree, fid->node, x->name);
	else if (x->writes)
		rc = tree_xattr_set(p->tree, fid->node, x->name, x->value, x->size, x->flags);
	p9_xattr_free(p, x);
	fid->xattr = NULL;
	return rc;
}
