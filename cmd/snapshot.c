/* SPDX-License-Identifier: MIT */
/* lkvm snapshot: a running guest writes itself into a folder, and goes on. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/remote.h"
#include "util/file.h"
#include "util/util.h"
#include "vm/verdict.h"

#define ANSWER 10000		/* ms, that the first answer may take */
#define WRITTEN (24 * 3600000u) /* and all of it, to the disk */

static int64_t number(const struct remote *r, const struct json_value *data, const char *name)
{
	int64_t n = 0;

	json_get_int(&r->tree, data, name, &n);
	return n;
}

static bool is(const struct remote *r, const struct json_value *data, const char *name)
{
	bool yes = false;

	json_get_bool(&r->tree, data, name, &yes);
	return yes;
}

static int wait_written(struct remote *r, const char *name, const char *dir, struct err *err)
{
	const struct json_value *data;
	const char *error;
	int rc;

	r->ms = WRITTEN;
	rc = remote_wait_event(r, "X_LKVM_SNAPSHOT", &data, err);
	if (rc)
		return rc;
	error = json_get_string(&r->tree, data, "error");
	if (error)
		return err_set(err, EIO, "%s", error);
	printf("%s: %s: %.1f MiB for %.1f MiB of memory%s; it stood for %.1f ms\n", name, dir,
	       (double)number(r, data, "stored") / (double)MIB,
	       (double)number(r, data, "memory") / (double)MIB,
	       is(r, data, "diff")   ? ", what it wrote to since the last whole one"
	       : is(r, data, "base") ? ", to be built on (--diff)"
				     : "",
	       (double)number(r, data, "paused-ns") / 1e6);
	return 0;
}

static int snapshot(struct remote *r, const char *name, const char *dir, bool diff, struct err *err)
{
	char *path = file_whole_path(dir, err); /* the guest's process has a directory of its own */
	struct buf args = { 0 };
	struct json j = { .out = &args, .line = true };
	int rc;

	if (!path)
		return -ENOENT;
	json_object(&j, NULL);
	json_string(&j, "path", path);
	if (diff)
		json_bool(&j, "diff", true);
	rc = remote_call_with(r, "x-lkvm-snapshot", &j, err);
	buf_free(&args);
	free(path);
	return rc ? rc : wait_written(r, name, dir, err);
}

/* [-n] NAME DIR [--diff] */
static int parse(int argc, char **argv, const char **name, const char **dir, const char **diff,
		 struct err *err)
{
	const struct remote_option options[] = { { "name", 'n', name, true },
						 { "diff", 0, diff, false },
						 { NULL, 0, NULL, false } };
	const char *words[2];
	unsigned int n = 0;
	int rc = remote_parse_words(argc, argv, options, words, ARRAY_SIZE(words), &n, err);

	if (rc)
		return rc;
	if (n != (*name ? 1 : 2))
		return err_set(err, EINVAL,
			       "snapshot takes a guest and a folder: lkvm snapshot -n NAME DIR");
	if (!*name)
		*name = words[0];
	*dir = words[n - 1];
	return 0;
}

int cmd_snapshot(int argc, char **argv, const struct command *table)
{
	const char *name = NULL, *dir = NULL, *diff = NULL;
	struct remote r;
	struct err err;

	(void)table;
	if (parse(argc, argv, &name, &dir, &diff, &err))
		return cmd_fail("%s", err.text);
	if (!*dir)
		return cmd_fail("snapshot: a folder has a name");
	if (remote_open(&r, name, ANSWER, &err))
		return cmd_fail("%s: %s", name, err.text);
	if (snapshot(&r, name, dir, diff, &err)) {
		remote_close(&r);
		return cmd_fail("%s: %s", name, err.text);
	}
	remote_close(&r);
	return 0;
}
