/* SPDX-License-Identifier: MIT */
/* What a client sent: is it a command, whose is it, and how is it answered? And the commands that ask for names. */
#include <errno.h>
#include <string.h>

#include "control/parts.h"
#include "util/util.h"

/* More commands: a table in a file of their own, and its name here. */
const struct control_command *const control_tables[] = {
	control_query_commands,
	control_run_commands,
	control_inspect_commands,
	control_balloon_commands,
	control_snapshot_commands,
	control_migrate_commands,
	NULL,
};

/* ---- What it is ---- */

static const struct control_command *find(const char *name)
{
	for (const struct control_command *const *t = control_tables; *t; t++) {
		for (const struct control_command *c = *t; c->name; c++) {
			if (!strcmp(c->name, name))
				return c;
		}
	}
	return NULL;
}

/* Is it one of these words? */
static bool is_among(const char *words, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = words; len && (p = strstr(p, word)); p++) {
		if ((p == words || p[-1] == ' ') && (!p[len] || p[len] == ' ') &&
		    !strchr(word, ' '))
			return true;
	}
	return false;
}

static int check_names(const struct json_tree *t, const struct json_value *in, const char *words,
		       struct err *err)
{
	for (const struct json_value *v = json_first(t, in); v; v = json_next(t, in, v)) {
		if (!is_among(words, v->string))
			return err_set(err, EINVAL, "'%.64s' is not expected here", v->string);
	}
	return 0;
}

static int check(struct call *call, const struct control_command **command)
{
	const struct json_tree *t = call->tree;
	const struct json_value *root = t->values;
	const char *name;
	int rc;

	if (root->type != JSON_OBJECT)
		return err_set(call->err, EINVAL, "a command is a JSON object");
	rc = check_names(t, root, "execute arguments id", call->err);
	if (rc)
		return rc;
	name = json_get_string(t, root, "execute");
	if (!name)
		return err_set(call->err, EINVAL, "'execute' is missing, or is no string");
	*command = find(name);
	call->class = "CommandNotFound";
	if (!client_negotiated(call->client) && !(*command && (*command)->at_first))
		return err_set(call->err, EINVAL, "qmp_capabilities is the first command");
	if (!*command)
		return err_set(call->err, ENOENT, "there is no command %.64s", name);
	call->class = NULL;
	call->args = json_get(t, root, "arguments");
	if (call->args && call->args->type != JSON_OBJECT)
		return err_set(call->err, EINVAL, "'arguments' is no object");
	return check_names(t, call->args, (*command)->args, call->err);
}

/* ---- How it is answered ---- */

static void begin(struct json *j, struct buf *b)
{
	b->len = 0;
	*j = (struct json){ .out = b, .line = true };
	json_object(j, NULL);
}

static void put_error(struct json *j, const struct call *call)
{
	json_object(j, "error");
	json_string(j, "class", call->class ? call->class : "GenericError");
	json_string(j, "desc", call->err->text);
	json_end_object(j);
}

static void answer(struct call *call, const char *text, int rc)
{
	const struct control_command *command = NULL;
	const struct json_value *id;
	struct buf b = { 0 };
	struct json j;
	size_t before;

	begin(&j, &b);
	before = b.len;
	call->reply = &j;
	if (!rc)
		rc = check(call, &command);
	if (!rc)
		rc = command->run(call);
	if (!rc && b.len == before) {
		json_object(&j, "return");
		json_end_object(&j);
	}
	if (rc) {
		begin(&j, &b);
		put_error(&j, call);
	}
	id = json_get(call->tree, call->tree->values, "id");
	if (id)
		json_raw(&j, "id", text + id->from, id->to - id->from);
	json_end_object(&j);
	client_send(call->client, &b);
	buf_free(&b);
}

int control_flag(const struct call *call, const char *name, bool *out)
{
	*out = false;
	if (!json_get(call->tree, call->args, name) ||
	    json_get_bool(call->tree, call->args, name, out))
		return 0;
	return err_set(call->err, EINVAL, "'%s' is true or false", name);
}

void control_command(struct client *client, const void *text, size_t len)
{
	struct err err = { "" };
	struct json_tree tree;
	struct call call = {
		.control = client_control(client),
		.client = client,
		.tree = &tree,
		.err = &err,
	};
	int rc = json_parse(&tree, text, len, &err);

	answer(&call, text, rc);
	json_free(&tree);
}

/* ---- The commands ---- */

static int qmp_capabilities(struct call *call)
{
	const struct json_value *enable = json_get(call->tree, call->args, "enable");

	if (enable && (enable->type != JSON_ARRAY || json_first(call->tree, enable)))
		return err_set(call->err, EINVAL, "there are no capabilities to enable");
	client_negotiate(call->client);
	return 0;
}

static int query_version(struct call *call)
{
	control_version(call->control, call->reply, "return");
	return 0;
}

static int query_name(struct call *call)
{
	json_object(call->reply, "return");
	json_string(call->reply, "name", call->control->config.name);
	json_end_object(call->reply);
	return 0;
}

static int query_commands(struct call *call)
{
	struct json *j = call->reply;

	json_array(j, "return");
	for (const struct control_command *const *t = control_tables; *t; t++) {
		for (const struct control_command *c = *t; c->name; c++) {
			json_object(j, NULL);
			json_string(j, "name", c->name);
			json_end_object(j);
		}
	}
	json_end_array(j);
	return 0;
}

const struct control_command control_query_commands[] = {
	{ "qmp_capabilities", "enable", qmp_capabilities, true },
	{ "query-version", "", query_version, false },
	{ "query-name", "", query_name, false },
	{ "query-commands", "", query_commands, false },
	{ NULL, NULL, NULL, false },
};
