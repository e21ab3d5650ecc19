/* SPDX-License-Identifier: MIT */
/* What a run leaves for programs, --result and --junit: from the question whether it can to the last word. */
#ifndef CMD_RESULTS_H
#define CMD_RESULTS_H

#include "cmd/options.h"
#include "cmd/result.h"
#include "term/ktap.h"

enum { RESULTS_JSON, RESULTS_JUNIT, RESULTS_FILES };

struct results {
	const struct run_options *o;
	struct result what;
	int status; /* before --bisect and --tender */
	struct result_file files[RESULTS_FILES];
	struct ktap *ktap[MACHINE_OUTPUTS]; /* where results of tests may be: see machine_watch() */
};

/* cmd/run.c: what `option` has written must not be what the guest is made of: -EINVAL and a line. */
int run_check_output(const struct run_options *o, const char *option, const char *path,
		     struct err *err);

/*
 * Shall come to nothing now, if it must, and not at the end: -errno and a line. What the options name by a
 * number of ours (/dev/stdout) is held from here on: the command's streams are about to get others.
 */
int results_open(struct results *r, struct err *err);
void results_close(struct results *r);

/* Those of an earlier run go: who looks for them after this one shall find its own, or none. */
void results_forget(const struct results *r);

/* Has the machine's output looked at for tests, if it is asked for. -ENOMEM. */
int results_watch(struct results *r, struct machine *m);

/* Nothing ran, for this reason: says so, everywhere. Returns lkvm's exit status. */
int results_fail(struct results *r, const char *why);

/* After the run; valid as long as the machine is there. */
void results_describe(struct results *r, struct machine *m, int status);

/* Has lkvm judged, is it not the guest's own word? That it is lkvm's to say why. */
bool results_judged(const struct results *r);

enum results_when {
	RESULTS_EARLY, /* output waits for its reader: what can be replaced is written */
	RESULTS_LAST,
	RESULTS_LEAVING, /* the last, too, but nobody is waited for */
};

/* May change what.status: results that were asked for and are not there are a failure. */
void results_write(struct results *r, enum results_when when);

#endif
