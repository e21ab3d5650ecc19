/* SPDX-License-Identifier: MIT */
/*
 * x-lkvm-snapshot: a running VM writes itself into a folder. That takes as long as its memory and the disk make
 * it, so it has a thread of its own, one at a time; the command is answered at once, and an event tells all
 * clients what became of it. Who has asked waits for that.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "control/parts.h"
#include "util/thread.h"

struct control_job {
	struct control *control;
	pthread_t thread;
	char *path;
	bool diff;
	struct machine_saved saved;
	struct err err;
	int rc;
	bool over; /* the loop's own: it was told of */
};

static void put_result(struct json *j, const void *opaque)
{
	const struct control_job *job = opaque;

	json_string(j, "path", job->path);
	if (job->rc) {
		json_string(j, "error", job->err.text);
		return;
	}
	json_int(j, "memory", (int64_t)job->saved.memory);
	json_int(j, "stored", (int64_t)job->saved.stored);
	json_int(j, "paused-ns", (int64_t)job->saved.paused);
	json_bool(j, "diff", job->saved.diff);
	json_bool(j, "base", job->saved.base);
}

static void tell(void *opaque)
{
	struct control_job *job = opaque;

	control_event(job->control, "X_LKVM_SNAPSHOT", put_result, job);
	job->over = true;
}

static void *write_it(void *opaque)
{
	struct control_job *job = opaque;
	const struct control_config *c = &job->control->config;
	struct buf options = { 0 };

	job->rc = c->options ? c->options(c->opaque, &options, &job->err) : 0;
	if (!job->rc)
		job->rc = machine_snapshot(c->machine, c->options ? &options : NULL, job->path,
					   job->diff, &job->saved, &job->err);
	buf_free(&options);
	loop_call(job->control->loop, tell, job);
	return NULL;
}

void control_end_job(struct control *c)
{
	if (!c->job)
		return;
	pthread_join(c->job->thread, NULL);
	free(c->job->path);
	free(c->job);
	c->job = NULL;
}

static int start(struct control *c, const char *path, bool diff, struct err *err)
{
	struct control_job *job = calloc(1, sizeof(*job));
	int rc;

	if (job)
		job->path = strdup(path);
	if (!job || !job->path) {
		free(job);
		return err_set(err, ENOMEM, "no memory for a snapshot");
	}
	job->control = c;
	job->diff = diff;
	rc = thread_start(&job->thread, write_it, job);
	if (rc) {
		free(job->path);
		free(job);
		return err_set(err, rc, "no thread for a snapshot: %s", strerror(rc));
	}
	c->job = job;
	return 0;
}

static int snapshot(struct call *call)
{
	struct control *c = call->control;
	const char *path = json_get_string(call->tree, call->args, "path");
	bool diff;
	int rc = control_flag(call, "diff", &diff);

	if (rc)
		return rc;
	if (!path || *path != '/')
		return err_set(call->err, EINVAL, "'path' is missing, or is no whole path");
	if (c->job && !c->job->over)
		return err_set(call->err, EBUSY, "a snapshot is being written already");
	rc = machine_can_be_saved(c->config.machine, call->err);
	if (rc)
		return rc;
	control_end_job(c);
	return start(c, path, diff, call->err);
}

const struct control_command control_snapshot_commands[] = {
	{ "x-lkvm-snapshot", "path diff", snapshot, false },
	{ NULL, NULL, NULL, false },
};
