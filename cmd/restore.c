/* SPDX-License-Identifier: MIT */
/* lkvm restore: a guest goes on where lkvm snapshot wrote it down, any number of times. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/run.h"
#include "cmd/saved-options.h"
#include "state/snapshot.h"

/* Options in it open files with this user's rights. */
static int check_trust(const struct snapshot *s, const char *dir, bool trust, struct err *err)
{
	if (s->own || trust)
		return 0;
	return err_set(err, EPERM,
		       "snapshot %s: another user could have written it, and it names files to be "
		       "opened; --trust, if that is well",
		       dir);
}

static int take_options(struct run_options *o, const struct snapshot *s, struct err *err)
{
	const struct saved_section *section = saved_find(&s->state, STATE_OPTIONS, 0);
	struct err why = { "" };
	int rc;

	if (!section)
		return err_set(err, EINVAL, "snapshot %s: it has no options to be restored by",
			       o->from);
	rc = saved_options_take(o, &section->body, SAVED_BELIEVED, &why);
	return rc ? err_set(err, -rc, "snapshot %s: %.480s", o->from, why.text) : 0;
}

static int prepare(struct run_options *o, struct snapshot *s, bool trust, struct results *results,
		   struct err *err)
{
	int rc = o->from ? snapshot_open(s, o->from, err)
			 : err_set(err, EINVAL, "restore what? lkvm restore DIR");

	if (!rc)
		rc = check_trust(s, o->from, trust, err);
	if (!rc)
		rc = take_options(o, s, err);
	o->machine.snapshot = s;
	return rc ? rc : run_open_outputs(o, results, err);
}

/* It is no option of run's. */
static bool take_trust(int *argc, char **argv)
{
	int n = 0, all = *argc;

	for (int i = 0; i < all; i++) {
		if (strcmp(argv[i], "--trust"))
			argv[n++] = argv[i];
	}
	argv[n] = NULL;
	*argc = n;
	return n < all;
}

int cmd_restore(int argc, char **argv, const struct command *table)
{
	struct results results = { .what.argv = argv };
	struct snapshot *s = calloc(1, sizeof(*s));
	struct run_options o;
	struct err err;
	bool trust = take_trust(&argc, argv);
	int rc, status;

	(void)table;
	if (!s)
		return cmd_fail("no memory");
	s->memory = -1;
	run_init(&o);
	o.source = OPTIONS_RESTORE;
	rc = options_parse(argc, argv, &o, &err);
	if (!rc)
		rc = prepare(&o, s, trust, &results, &err);
	status = rc ? results_fail(&results, err.text) : run_machine(&o, &results);
	results_close(&results);
	options_free(&o);
	snapshot_close(s);
	free(s);
	return status;
}
