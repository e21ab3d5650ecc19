/* SPDX-License-Identifier: MIT */
#include "guest/init/order.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "guest/init/exec.h"

/* What is counted as the records come. */
struct parser {
	struct order *o;
	size_t modules, env, args, boot;
};

/* A decimal number that ends at `end`, which may be 0; *text goes behind that. */
static bool take_number(const char **text, char end, unsigned long max, unsigned long *n)
{
	const char *p = *text;

	for (*n = 0; *p >= '0' && *p <= '9' && *n <= max; p++)
		*n = *n * 10 + (unsigned long)(*p - '0');
	if (p == *text || *n > max || *p != end)
		return false;
	*text = p + (end != 0);
	return true;
}

static bool take_mode(const char *word, enum tree_mode *mode)
{
	if (!strcmp(word, "ro"))
		*mode = MODE_RO;
	else if (!strcmp(word, "rw"))
		*mode = MODE_RW;
	else if (!strcmp(word, "overlay") || !strcmp(word, "cow"))
		*mode = MODE_OVERLAY;
	else
		return false;
	return true;
}

static bool take_root(struct order *o, const char *value)
{
	if (!strcmp(value, "none"))
		o->root = ROOT_NONE;
	else if (!strncmp(value, "9p ", 3) && value[3])
		o->root = ROOT_9P;
	else if (!strncmp(value, "disk /dev/", 10) && value[10])
		o->root = ROOT_DISK;
	else
		return false;
	o->root_source = o->root == ROOT_NONE ? NULL : strchr(value, ' ') + 1;
	return true;
}

/* A tag is the name of a folder. */
static bool take_share(struct order *o, char *value)
{
	struct order_share *s = &o->shares[o->n_shares];
	char *blank = strrchr(value, ' ');

	if (!blank || !take_mode(blank + 1, &s->mode))
		return false;
	*blank = 0;
	s->tag = value;
	o->n_shares++;
	return *value && *value != '.' && !strchr(value, '/');
}

static bool take_groups(struct order *o, const char *value)
{
	unsigned long n;

	for (bool more = *value; more;) {
		more = strchr(value, ',');
		if (o->n_groups == ORDER_GROUPS ||
		    !take_number(&value, more ? ',' : 0, UINT_MAX - 1, &n))
			return false;
		o->groups[o->n_groups++] = (gid_t)n;
	}
	return true;
}

static bool take_id(const char *value, unsigned int *id)
{
	unsigned long n;

	if (!take_number(&value, 0, UINT_MAX - 1, &n))
		return false;
	*id = (unsigned int)n;
	return true;
}

static bool take_tty(struct order *o, const char *value)
{
	unsigned long rows, columns;

	if (!take_number(&value, ' ', USHRT_MAX, &rows) ||
	    !take_number(&value, 0, USHRT_MAX, &columns))
		return false;
	o->tty = true;
	o->rows = (unsigned short)rows;
	o->columns = (unsigned short)columns;
	return true;
}

static bool take_path(const char **out, const char *value)
{
	*out = value;
	return *value == '/';
}

static bool take_record(struct parser *p, const char *key, char *value)
{
	struct order *o = p->o;

	if (!strcmp(key, "module"))
		return take_path(&o->modules[p->modules++], value);
	if (!strcmp(key, "root"))
		return take_root(o, value);
	if (!strcmp(key, "root-mode"))
		return take_mode(value, &o->root_mode);
	if (!strcmp(key, "share"))
		return take_share(o, value);
	if (!strcmp(key, "host"))
		return *(o->host = value);
	if (!strcmp(key, "hostname"))
		return *(o->hostname = value);
	if (!strcmp(key, "cwd"))
		return take_path(&o->cwd, value);
	if (!strcmp(key, "uid"))
		return take_id(value, &o->uid);
	if (!strcmp(key, "gid"))
		return take_id(value, &o->gid);
	if (!strcmp(key, "groups"))
		return take_groups(o, value);
	if (!strcmp(key, "tty"))
		return take_tty(o, value);
	if (!strcmp(key, "env"))
		return strchr(o->env[p->env++] = value, '=');
	if (!strcmp(key, "boot"))
		return take_path(&o->boot[p->boot++], value);
	if (!strcmp(key, "arg")) {
		o->args[p->args++] = value;
		return true;
	}
	return false;
}

/* Each list has room for all records, and its NULL. */
static int make_lists(struct order *o, size_t records)
{
	size_t each = (records + 1) * sizeof(char *);
	char *p = calloc(1, 4 * each + records * sizeof(*o->shares));

	o->memory = p;
	if (!p)
		return -ENOMEM;
	o->modules = (const char **)p;
	o->env = (char **)(p + each);
	o->args = (char **)(p + 2 * each);
	o->boot = (const char **)(p + 3 * each);
	o->shares = (struct order_share *)(p + 4 * each);
	return 0;
}

int order_parse(char *text, size_t len, struct order *o, const char **bad)
{
	struct parser p = { .o = o };
	size_t records = 0;

	*o = (struct order){ .cwd = "/" };
	*bad = "";
	if (!len || text[len - 1])
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		records += !text[i];
	if (make_lists(o, records))
		return -ENOMEM;
	for (char *at = text, *next; at < text + len; at = next) {
		char *value = strchr(at, '=');

		next = at + strlen(at) + 1;
		*bad = at;
		if (!value)
			return -EINVAL;
		*value = 0;
		if (!take_record(&p, at, value + 1))
			return -EINVAL;
	}
	*bad = "";
	if (p.boot)
		return p.args || o->root == ROOT_NONE ? -EINVAL : 0;
	return p.args ? 0 : -EINVAL;
}

void order_free(struct order *o)
{
	free(o->memory);
	o->memory = NULL;
}
