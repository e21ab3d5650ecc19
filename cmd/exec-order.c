/* SPDX-License-Identifier: MIT */
/* The order for the guest's init: root, shares, who runs the command, and in which environment. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/exec.h"
#include "cmd/options.h"
#include "guest/init/exec.h"
#include "util/number.h"
#include "util/util.h"

#define GROUPS_MAX 64

/* ---- The user, as this host knows them ---- */

struct user {
	char name[64], home[PATH_MAX];
	uid_t uid;
	gid_t gid;
	gid_t groups[GROUPS_MAX];
	int n_groups;
};

static bool is_id(const char *text, unsigned int *id)
{
	const char *end;
	uint64_t n;

	if (number_parse(text, &n, &end) || *end || n >= UINT32_MAX)
		return false;
	*id = (unsigned int)n;
	return true;
}

/* A number need not be known here. */
static int look_up_user(const char *name, struct user *u, struct err *err)
{
	const struct passwd *p;

	if (is_id(name, &u->uid)) {
		p = getpwuid(u->uid);
		u->gid = u->uid;
	} else {
		p = getpwnam(name);
		if (!p)
			return err_set(err, ENOENT, "--user %s: this host knows none of that name",
				       name);
	}
	snprintf(u->name, sizeof(u->name), "%s", p ? p->pw_name : name);
	snprintf(u->home, sizeof(u->home), "%s", p ? p->pw_dir : "/");
	if (!p)
		return 0;
	u->uid = p->pw_uid;
	u->gid = p->pw_gid;
	u->n_groups = GROUPS_MAX;
	if (getgrouplist(p->pw_name, p->pw_gid, u->groups, &u->n_groups) < 0)
		u->n_groups = 0;
	return 0;
}

static int look_up_group(const char *name, struct user *u, struct err *err)
{
	const struct group *g;

	u->n_groups = 0;
	if (is_id(name, &u->gid))
		return 0;
	g = getgrnam(name);
	if (!g)
		return err_set(err, ENOENT, "--user: this host knows no group %s", name);
	u->gid = g->gr_gid;
	return 0;
}

static int find_user(const char *given, struct user *u, struct err *err)
{
	char name[64];
	const char *colon = strchr(given, ':');
	int len = (int)(colon ? (size_t)(colon - given) : strlen(given)), rc;

	if (len >= (int)sizeof(name) || !len || (colon && !colon[1]))
		return err_set(err, EINVAL, "--user %s: it is USER or USER:GROUP", given);
	snprintf(name, sizeof(name), "%.*s", len, given);
	rc = look_up_user(name, u, err);
	return rc || !colon ? rc : look_up_group(colon + 1, u, err);
}

static void put_user(struct buf *order, const struct user *u)
{
	char list[GROUPS_MAX * 11 + 1] = "";
	size_t len = 0;

	for (int i = 0; i < u->n_groups; i++)
		len += (size_t)sprintf(list + len, "%s%u", i ? "," : "", u->groups[i]);
	exec_record(order, "uid", "%u", u->uid);
	exec_record(order, "gid", "%u", u->gid);
	exec_record(order, "groups", "%s", list);
}

/* ---- The environment ---- */

/* Is it the last --env of its name, from `from` on? */
static bool given_behind(const struct exec_plan *e, unsigned int from, const char *name, size_t len)
{
	for (unsigned int i = from; i < e->n_env; i++) {
		if (!strncmp(e->env[i], name, len) && (!e->env[i][len] || e->env[i][len] == '='))
			return true;
	}
	return false;
}

static void put_default(const struct exec_plan *e, struct buf *order, const char *name,
			const char *value)
{
	if (value && !given_behind(e, 0, name, strlen(name)))
		exec_record(order, "env", "%s=%s", name, value);
}

/* Nothing of the host's but what was asked for, and how text and the terminal look. */
static void put_environment(const struct exec_plan *e, const struct user *u, struct buf *order)
{
	put_default(e, order, "PATH", EXEC_PATH);
	put_default(e, order, "HOME", u->home);
	put_default(e, order, "USER", u->name);
	put_default(e, order, "LOGNAME", u->name);
	put_default(e, order, "LANG", getenv("LANG"));
	put_default(e, order, "TERM", e->tty ? getenv("TERM") : NULL);
	for (unsigned int i = 0; i < e->n_env; i++) {
		size_t len = strcspn(e->env[i], "=");
		char *name = strndup(e->env[i], len);

		if (!name)
			order->failed = true;
		else if (given_behind(e, i + 1, name, len))
			; /* said again */
		else if (e->env[i][len])
			exec_record(order, "env", "%s", e->env[i]);
		else if (getenv(name))
			exec_record(order, "env", "%s=%s", name, getenv(name));
		free(name);
	}
}

/* ---- The root and the rest ---- */

static void put_root(const struct exec_plan *e, struct buf *order)
{
	if (exec_root_disk(e)) {
		exec_record(order, "root", "disk %s", e->root);
		exec_record(order, "root-mode", "%s", e->root_rw ? "rw" : "ro");
	} else if (strcmp(e->root, "none") != 0) {
		exec_record(order, "root", "9p %s", EXEC_ROOT_TAG);
		exec_record(order, "root-mode", "%s",
			    e->root_rw	 ? "rw"
			    : e->root_ro ? "ro"
					 : "overlay");
	} else {
		exec_record(order, "root", "none");
	}
}

/* Those that options made. */
static void put_shares(const struct run_options *o, struct buf *order)
{
	const struct machine_config *m = &o->machine;

	for (unsigned int i = 0; i < m->n_shares; i++) {
		const struct machine_share *s = &m->shares[i];

		if (o->plan.host && !strcmp(s->tag, HOST_TAG))
			exec_record(order, "host", "%s", s->tag);
		else if (strcmp(s->tag, EXEC_ROOT_TAG) != 0)
			exec_record(order, "share", "%s %s", s->tag,
				    s->cow  ? "cow"
				    : s->ro ? "ro"
					    : "rw");
	}
}

int exec_add_order(struct run_options *o, struct buf *order, struct err *err)
{
	const struct exec_plan *e = &o->plan;
	struct user user = { .name = "root", .home = "/root" };
	int rc = e->user ? find_user(e->user, &user, err) : 0;

	if (rc)
		return rc;
	put_root(e, order);
	put_shares(o, order);
	exec_record(order, "hostname", "lkvm");
	exec_record(order, "cwd", "%s", e->cwd);
	put_user(order, &user);
	put_environment(e, &user, order);
	if (e->tty)
		exec_record(order, "tty", "%u %u", e->rows, e->columns);
	for (char **word = o->command; *word; word++)
		exec_record(order, "arg", "%s", *word);
	return 0;
}
