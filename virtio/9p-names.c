/* SPDX-License-Identifier: MIT */
/* Names: what makes, moves and ends them. */
#include <errno.h>
#include <limits.h>

#include "util/util.h"
#include "virtio/9p-session.h"

#define AT_REMOVE_DIR 0x200u /* as Linux has it everywhere */

/* What was made is answered with its qid. */
static int answer_made(struct p9 *p, struct p9_call *c, int rc, const struct stat *st)
{
	struct p9_qid qid;

	if (rc)
		return rc;
	qid = p9_qid_of(st, tree_id(p->tree, st->st_dev, st->st_ino));
	p9_put_qid(c, &qid);
	return 0;
}

/* tree_mkdir() or tree_make(); the second's message has a device's number, too. */
static int make(struct p9 *p, struct p9_call *c, bool has_number, typeof(tree_make) *fn)
{
	struct p9_fid *dir = p9_take_fid(p, c);
	struct tree_owner owner;
	struct stat st;
	uint32_t mode;
	p9_name name;
	int rc;

	p9_take_name(c, name);
	mode = p9_u32(c);
	if (has_number)
		p9_u64(c); /* major and minor */
	owner.gid = p9_u32(c);
	rc = p9_bad(c);
	if (rc)
		return rc;
	owner.uid = dir->uid;
	return answer_made(p, c, fn(p->tree, dir->node, name, mode, &owner, &st), &st);
}

int p9_mkdir(struct p9 *p, struct p9_call *c)
{
	return make(p, c, false, tree_mkdir);
}

/* Device nodes are refused by the tree. */
int p9_mknod(struct p9 *p, struct p9_call *c)
{
	return make(p, c, true, tree_make);
}

int p9_symlink(struct p9 *p, struct p9_call *c)
{
	struct p9_fid *dir = p9_take_fid(p, c);
	struct tree_owner owner;
	char target[PATH_MAX];
	struct stat st;
	p9_name name;
	int rc;

	p9_take_name(c, name);
	p9_string(c, target, sizeof(target));
	owner.gid = p9_u32(c);
	rc = p9_bad(c);
	if (rc)
		return rc;
	owner.uid = dir->uid;
	rc = tree_symlink(p->tree, dir->node, name, target, &owner, &st);
	return answer_made(p, c, rc, &st);
}

int p9_link(struct p9 *p, struct p9_call *c)
{
	struct p9_fid *dir = p9_take_fid(p, c), *fid = p9_take_fid(p, c);
	p9_name name;

	p9_take_name(c, name);
	return p9_bad(c) ? p9_bad(c) : tree_link(p->tree, fid->node, dir->node, name);
}

int p9_readlink(struct p9 *p, struct p9_call *c)
{
	struct p9_fid *fid = p9_take_fid(p, c);
	char target[PATH_MAX];
	int len = p9_bad(c);

	if (!len)
		len = tree_readlink(p->tree, fid->node, target, sizeof(target));
	if (len < 0)
		return len;
	p9_put_string(c, target, (size_t)len);
	return 0;
}

int p9_rename(struct p9 *p, struct p9_call *c)
{
	struct p9_fid *fid = p9_take_fid(p, c), *dir = p9_take_fid(p, c);
	p9_name name;

	p9_take_name(c, name);
	return p9_bad(c) ? p9_bad(c) : tree_rename_node(p->tree, fid->node, dir->node, name);
}

int p9_renameat(struct p9 *p, struct p9_call *c)
{
	struct p9_fid *from = p9_take_fid(p, c), *to;
	p9_name name, new_name;

	p9_take_name(c, name);
	to = p9_take_fid(p, c);
	p9_take_name(c, new_name);
	return p9_bad(c) ? p9_bad(c) : tree_rename(p->tree, from->node, name, to->node, new_name);
}

int p9_unlinkat(struct p9 *p, struct p9_call *c)
{
	struct p9_fid *dir = p9_take_fid(p, c);
	uint32_t flags;
	p9_name name;

	p9_take_name(c, name);
	flags = p9_u32(c);
	if (p9_bad(c))
		return p9_bad(c);
	if (flags & ~AT_REMOVE_DIR)
		return -EINVAL;
	return tree_unlink(p->tree, dir->node, name, flags & AT_REMOVE_DIR);
}

/* The fid goes, whatever becomes of the file. */
int p9_remove(struct p9 *p, struct p9_call *c)
{
	struct p9_fid *fid = p9_take_fid(p, c);
	int rc = p9_bad(c);

	if (rc)
		return rc;
	rc = tree_unlink_node(p->tree, fid->node);
	p9_fid_drop(p, fid);
	return rc;
}
