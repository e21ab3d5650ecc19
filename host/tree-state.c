/* SPDX-License-Identifier: MIT */
/*
 * Nodes, saved: n[4], and so many in the order of their numbers from 1 on; 0 is the root. Each is
 * the number of its directory[4], which comes before it, type[4] and name[s]. What has lost its
 * name, or lies where one is lost, has NO_PARENT and "": it is known that it was, no more.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/tree-node.h"
#include "util/util.h"

#define NO_PARENT UINT32_MAX
#define RECORD 10u /* without its name */

/* ---- Saving ---- */

#define LOST (1u << 31) /* in a node's number; alone: it has none */

static void put_node(struct tree_node *n, uint32_t number, struct buf *out)
{
	bool lost = n->number & LOST;
	size_t len = lost ? 0 : strlen(n->name);

	n->number |= number;
	buf_put_le32(out, lost ? NO_PARENT : n->parent->number);
	buf_put_le32(out, n->type);
	buf_put_le16(out, (uint16_t)len);
	buf_put(out, n->name, len);
}

/* (The root has no name, and needs none.) */
static bool is_lost(const struct tree_node *n)
{
	return n->parent && (n->detached || n->number & LOST);
}

/* It and what lies above it, from where that is known already. `n`: numbers given. */
static void save_node(struct tree_node *node, uint32_t *n, struct buf *out)
{
	struct tree_node *at = node;

	node->down = NULL;
	for (; at->parent && !at->number && !at->detached; at = at->parent)
		at->parent->down = at;
	if (is_lost(at)) {
		for (; at; at = at->down)
			at->number |= LOST;
		if (node->number == LOST)
			put_node(node, ++*n, out);
		return;
	}
	for (at = at->down; at; at = at->down)
		put_node(at, ++*n, out);
}

void tree_save(struct tree_node *const nodes[], uint32_t n, struct buf *out)
{
	size_t at = out->len;
	uint32_t saved = 0;

	buf_put_le32(out, 0);
	for (uint32_t i = 0; i < n; i++)
		save_node(nodes[i], &saved, out);
	if (!out->failed)
		put_le32(out->data + at, saved);
}

uint32_t tree_number(const struct tree_node *node)
{
	return node->number & ~LOST;
}

void tree_saved(struct tree_node *const nodes[], uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		for (struct tree_node *at = nodes[i]; at && at->number; at = at->parent)
			at->number = 0;
	}
}

/* ---- Loading ---- */

static int get_name(struct reader *in, char *name)
{
	uint16_t len = reader_le16(in);

	name[0] = 0;
	if (len > TREE_NAME_MAX)
		return -EINVAL;
	reader_get(in, name, len);
	name[len] = 0;
	return in->failed || strlen(name) != len ? -EINVAL : 0;
}

/* A new reference; what is there already must be of that kind. */
static struct tree_node *node_named(struct tree *t, struct tree_node *dir, const char *name,
				    uint32_t type)
{
	struct tree_node *n = tree_node_find(t, dir, name);

	if (!n)
		return tree_node_new(t, dir, name, type, false);
	return n->type == type ? tree_get(n) : NULL;
}

static struct tree_node *load_node(struct tree *t, struct reader *in,
				   struct tree_node *const nodes[], uint32_t n)
{
	uint32_t parent = reader_le32(in), type = reader_le32(in);
	char name[TREE_NAME_MAX + 1];

	if (get_name(in, name) || type & ~(uint32_t)S_IFMT)
		return NULL;
	if (parent == NO_PARENT)
		return *name ? NULL : tree_node_new(t, t->root, "", type, true);
	if (parent >= n || nodes[parent]->type != S_IFDIR || is_lost(nodes[parent]) ||
	    !tree_name_ok(name, strlen(name)))
		return NULL;
	return node_named(t, nodes[parent], name, type);
}

int tree_load(struct tree *t, struct reader *in, struct tree_node ***nodes, uint32_t *n)
{
	uint32_t count = reader_le32(in);
	struct tree_node **all;

	*nodes = NULL;
	*n = 0;
	if (in->failed || count > TREE_NODES_MAX || count > in->left / RECORD)
		return -EINVAL;
	all = calloc(count + 1, sizeof(struct tree_node *));
	if (!all)
		return -ENOMEM;
	*nodes = all;
	all[(*n)++] = tree_root(t);
	while (*n <= count) {
		all[*n] = load_node(t, in, all, *n);
		if (!all[*n])
			return -EINVAL;
		++*n;
	}
	return 0;
}

void tree_loaded(struct tree *t, struct tree_node **nodes, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		tree_put(t, nodes[i]);
	free(nodes);
}
