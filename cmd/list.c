/* SPDX-License-Identifier: MIT */
/* lkvm list: the guests that run and have a name. One that does not answer soon is listed all the same. */
#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/remote.h"
#include "util/json.h"
#include "util/util.h"
#include "vm/verdict.h"

#define SOON 2000 /* ms */

static const char *state_of(struct remote *r, const char *name)
{
	const struct json_value *status;
	const char *word = NULL;
	struct err err;

	if (!remote_call(r, "query-status", NULL, &status, &err))
		word = json_get_string(&r->tree, status, "status");
	(void)name;
	return word ? word : "not answering";
}

static void line(const struct guest *guest, const char *state)
{
	printf("%7d  %-24s %s\n", (int)guest->pid, guest->name, state);
}

static void member(struct json *j, const struct guest *guest, const char *state)
{
	json_object(j, NULL);
	json_string(j, "name", guest->name);
	json_int(j, "pid", guest->pid);
	json_string(j, "status", state);
	json_end_object(j);
}

static void each(const struct guests *g, struct json *j)
{
	for (size_t i = 0; i < g->n; i++) {
		struct remote r;
		struct err err;
		bool is_open = !remote_open(&r, g->all[i].name, SOON, &err);
		const char *state = is_open ? state_of(&r, g->all[i].name) : "not answering";

		if (j)
			member(j, &g->all[i], state);
		else
			line(&g->all[i], state);
		if (is_open)
			remote_close(&r);
	}
}

static void as_json(const struct guests *g)
{
	struct buf b = { 0 };
	struct json j = { .out = &b };

	json_array(&j, NULL);
	each(g, &j);
	json_end_array(&j);
	fwrite(b.data, 1, b.len, stdout);
	buf_free(&b);
}

int cmd_list(int argc, char **argv, const struct command *table)
{
	const char *json = NULL;
	const struct remote_option options[] = { { "json", 0, &json, false },
						 { NULL, 0, NULL, false } };
	struct guests g;
	struct err err;

	(void)table;
	if (remote_parse(argc, argv, options, NULL, &err) || guests_find(&g, &err))
		return cmd_fail("%s", err.text);
	if (json) {
		as_json(&g);
	} else {
		printf("%7s  %-24s %s\n", "PID", "NAME", "STATE");
		each(&g, NULL);
	}
	guests_free(&g);
	return 0;
}
