/* SPDX-License-Identifier: MIT */
#include "cmd/remote.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "host/rundir.h"
#include "host/uds.h"
#include "util/clock.h"
#include "vm/verdict.h"

#define ANSWER 10000 /* ms: a guest with many CPUs may take a while to stop */
#define FIRST_SIZE 8192

/* ---- Talking to one ---- */

/* 0, -ETIMEDOUT, -EPIPE: it has ended, or another -errno. */
static int receive(struct remote *r, uint64_t until)
{
	struct pollfd poll_fd = { r->fd, POLLIN, 0 };
	uint64_t now = clock_now();
	ssize_t n;

	if (now >= until || poll(&poll_fd, 1, (int)((until - now) / CLOCK_MS) + 1) <= 0)
		return clock_now() >= until ? -ETIMEDOUT : 0;
	if (r->used == r->size) {
		size_t size = r->size ? 2 * r->size : FIRST_SIZE;
		char *text = size <= JSON_TEXT_MAX ? realloc(r->text, size) : NULL;

		if (!text)
			return -ENOMEM;
		r->text = text;
		r->size = size;
	}
	n = recv(r->fd, r->text + r->used, r->size - r->used, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return n < 0 ? -errno : -EPIPE;
	r->used += (size_t)n;
	return 0;
}

/* The next line, as a tree. */
static int next_line(struct remote *r, struct err *err)
{
	uint64_t until = clock_now() + r->ms * CLOCK_MS;
	char *end;
	int rc = 0;

	json_free(&r->tree);
	if (r->line)
		memmove(r->text, r->text + r->line, r->used - r->line);
	r->used -= r->line;
	r->line = 0;
	while (!(end = r->used ? memchr(r->text, '\n', r->used) : NULL)) {
		rc = receive(r, until);
		if (rc)
			return err_set(err, -rc, "%s",
				       rc == -ETIMEDOUT ? "it does not answer"
				       : rc == -EPIPE	? "it has ended, or has sent us away"
							: strerror(-rc));
	}
	r->line = (size_t)(end - r->text) + 1;
	return json_parse(&r->tree, r->text, r->line, err);
}

static int send_command(struct remote *r, const char *command, const char *args, struct err *err)
{
	char *line;
	int len = asprintf(&line, "{\"execute\": \"%s\"%s%s}\n", command,
			   args ? ", \"arguments\": " : "", args ? args : "");
	bool sent;

	if (len < 0)
		return err_set(err, ENOMEM, "no memory for a command");
	sent = send(r->fd, line, (size_t)len, MSG_NOSIGNAL) == len;
	free(line);
	return sent ? 0 : err_set(err, EPIPE, "it takes no command: %s", strerror(errno));
}

int remote_wait_event(struct remote *r, const char *event, const struct json_value **data,
		      struct err *err)
{
	const char *name;
	int rc;

	do {
		rc = next_line(r, err);
		if (rc)
			return rc;
		name = json_get_string(&r->tree, r->tree.values, "event");
	} while (!name || strcmp(name, event));
	*data = json_get(&r->tree, r->tree.values, "data");
	return 0;
}

int remote_call(struct remote *r, const char *command, const char *args,
		const struct json_value **out, struct err *err)
{
	const struct json_value *answer, *error;
	const char *desc;
	bool is_event;
	int rc = send_command(r, command, args, err);

	if (rc)
		return rc;
	do {
		rc = next_line(r, err);
		if (rc)
			return rc;
		is_event = json_get(&r->tree, r->tree.values, "event");
		if (is_event && r->event)
			r->event(r->opaque, &r->tree);
	} while (is_event);
	error = json_get(&r->tree, r->tree.values, "error");
	desc = json_get_string(&r->tree, error, "desc");
	answer = json_get(&r->tree, r->tree.values, "return");
	if (error || !answer)
		return err_set(err, EPROTO, "%s", desc ? desc : "its answer is none");
	if (out)
		*out = answer;
	return 0;
}

int remote_call_with(struct remote *r, const char *command, struct json *j, struct err *err)
{
	json_end_object(j);
	if (!j->out->failed)
		j->out->len--; /* a newline */
	buf_put_u8(j->out, 0);
	if (j->out->failed)
		return err_set(err, ENOMEM, "no memory for a command");
	return remote_call(r, command, (const char *)j->out->data, NULL, err);
}

int remote_open(struct remote *r, const char *name, unsigned int ms, struct err *err)
{
	char path[UDS_PATH_MAX + 1];
	int rc = rundir_file(name, "control", path, sizeof(path), err);

	*r = (struct remote){ .fd = -1, .ms = ms };
	if (rc)
		return rc;
	r->fd = uds_connect(path);
	if (r->fd == -ECONNREFUSED || r->fd == -ENOENT)
		return err_set(err, ENOENT,
			       "no guest of that name is running; lkvm list lists them");
	if (r->fd < 0)
		return err_set(err, -r->fd, "%s: %s", path, strerror(-r->fd));
	rc = next_line(r, err);
	if (!rc && !json_get(&r->tree, r->tree.values, "QMP")) {
		const struct json_value *e = json_get(&r->tree, r->tree.values, "error");
		const char *desc = json_get_string(&r->tree, e, "desc");

		rc = err_set(err, EPROTO, "%s", desc ? desc : "it is no lkvm");
	}
	if (!rc)
		rc = remote_call(r, "qmp_capabilities", NULL, NULL, err);
	if (rc)
		remote_close(r);
	return rc;
}

void remote_close(struct remote *r)
{
	json_free(&r->tree);
	free(r->text);
	if (r->fd >= 0)
		close(r->fd);
}

bool remote_wait_end(struct remote *r, unsigned int ms)
{
	uint64_t until = clock_now() + ms * CLOCK_MS;
	int rc;

	do {
		r->used = r->line = 0;
		rc = receive(r, until);
	} while (!rc);
	return rc != -ETIMEDOUT;
}

/* ---- Whom a command line means ---- */

static void add_guest(void *opaque, const char *name, pid_t pid)
{
	struct guests *g = opaque;
	struct guest *all = realloc(g->all, (g->n + 1) * sizeof(*all));

	g->failed |= !all;
	if (!all)
		return;
	g->all = all;
	all[g->n] = (struct guest){ strdup(name), pid };
	g->failed |= !all[g->n].name;
	g->n += !!all[g->n].name;
}

static int by_name(const void *a, const void *b)
{
	const struct guest *x = a, *y = b;

	return strcmp(x->name, y->name);
}

int guests_find(struct guests *g, struct err *err)
{
	int rc;

	*g = (struct guests){ 0 };
	rc = rundir_each(add_guest, g, err);
	if (!rc && g->failed)
		rc = err_set(err, ENOMEM, "no memory for a list of guests");
	if (rc)
		guests_free(g);
	else if (g->n)
		qsort(g->all, g->n, sizeof(g->all[0]), by_name);
	return rc;
}

void guests_free(struct guests *g)
{
	for (size_t i = 0; i < g->n; i++)
		free(g->all[i].name);
	free(g->all);
	*g = (struct guests){ 0 };
}

/* ---- Options ---- */

static const struct remote_option *find(const struct remote_option *options, const char *word,
					const char **value)
{
	size_t len = strcspn(word, "=");

	*value = NULL;
	for (; options->name; options++) {
		if (word[1] != '-' && word[1] == options->letter) {
			*value = word[2] ? word + 2 + (word[2] == '=') : NULL;
			return options;
		}
		if (!strncmp(word, "--", 2) && strlen(options->name) == len - 2 &&
		    !memcmp(word + 2, options->name, len - 2)) {
			*value = word[len] ? word + len + 1 : NULL;
			return options;
		}
	}
	return NULL;
}

/* One option at argv[*i], which is advanced past its value. */
static int parse_option(int argc, char **argv, int *i, const struct remote_option *options,
			const struct remote_option *own, struct err *err)
{
	const char *value;
	const struct remote_option *p = find(options, argv[*i], &value);

	if (!p)
		p = find(own, argv[*i], &value);
	if (!p)
		return err_set(err, EINVAL, "unknown option %s; see lkvm help %s", argv[*i],
			       argv[0]);
	if (!p->takes && value)
		return err_set(err, EINVAL, "--%s takes no value", p->name);
	if (p->takes && !value && *i + 1 < argc)
		value = argv[++*i];
	if (p->takes && (!value || !*value))
		return err_set(err, EINVAL, "--%s needs a value", p->name);
	*p->value = p->takes ? value : "1";
	return 0;
}

int remote_parse(int argc, char **argv, const struct remote_option *options, struct guests *g,
		 struct err *err)
{
	const char *name = NULL, *all = NULL;
	const struct remote_option own[] = {
		{ g ? "name" : NULL, 'n', &name, true },
		{ "all", 'a', &all, false },
		{ NULL, 0, NULL, false },
	};
	int rc = 0;

	for (int i = 1; !rc && i < argc; i++) {
		name = argv[i];
		if (argv[i][0] == '-' && argv[i][1]) {
			name = NULL;
			rc = parse_option(argc, argv, &i, options, own, err);
		}
		if (!rc && name && !g)
			return err_set(err, EINVAL, "%s takes no names", argv[0]);
		if (!rc && name)
			add_guest(g, name, 0);
	}
	if (rc || !g)
		return rc;
	if (g->failed)
		return err_set(err, ENOMEM, "no memory for a list of guests");
	if (all && g->n)
		return err_set(err, EINVAL, "%s: a name and --all: one of them", argv[0]);
	if (!all && !g->n)
		return err_set(err, EINVAL, "%s: which guest? Give its name, or -a for all",
			       argv[0]);
	return all ? guests_find(g, err) : 0;
}

int remote_parse_words(int argc, char **argv, const struct remote_option *options,
		       const char **words, unsigned int most, unsigned int *n, struct err *err)
{
	const struct remote_option none = { NULL, 0, NULL, false };
	int rc = 0;

	*n = 0;
	for (int i = 1; !rc && i < argc; i++) {
		if (argv[i][0] == '-' && argv[i][1])
			rc = parse_option(argc, argv, &i, options, &none, err);
		else if (*n == most)
			rc = err_set(err, EINVAL, "%s: %s is too much", argv[0], argv[i]);
		else
			words[(*n)++] = argv[i];
	}
	return rc;
}

static int one(const char *name, remote_fn what, void *opaque)
{
	struct remote r;
	struct err err;
	int rc = remote_open(&r, name, ANSWER, &err);

	if (!rc) {
		rc = what(&r, name, opaque, &err);
		remote_close(&r);
	}
	return rc ? cmd_fail("%s: %s", name, err.text) : 0;
}

int remote_each(struct guests *g, remote_fn what, void *opaque)
{
	int status = 0;

	for (size_t i = 0; i < g->n; i++) {
		if (one(g->all[i].name, what, opaque))
			status = STATUS_HOST_FAILED;
	}
	guests_free(g);
	return status;
}
