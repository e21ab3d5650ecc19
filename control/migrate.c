/* SPDX-License-Identifier: MIT */
/* migrate and what belongs to it: the machine's own thread does it (machine-migrate.c), and clients ask, or are told. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/parts.h"
#include "util/clock.h"
#include "util/util.h"

struct control_migration {
	struct control *control;
	char *where, *command; /* of the last one */
	uint64_t downtime, bandwidth, timeout;
	unsigned int throttle;
	enum migration_status told;
};

static const char *const words[] = {
	[MIGRATION_NONE] = "none",
	[MIGRATION_SETUP] = "setup",
	[MIGRATION_ACTIVE] = "active",
	[MIGRATION_COMPLETED] = "completed",
	[MIGRATION_FAILED] = "failed",
	[MIGRATION_CANCELLED] = "cancelled",
	[MIGRATION_UNKNOWN] = "x-lkvm-unknown",
};

/* NULL: no memory. */
static struct control_migration *settings(struct control *c)
{
	if (c->migration)
		return c->migration;
	c->migration = calloc(1, sizeof(*c->migration));
	if (c->migration)
		*c->migration = (struct control_migration){ .control = c,
							    .downtime = MIGRATE_DOWNTIME,
							    .throttle = MIGRATE_THROTTLE };
	return c->migration;
}

void control_end_migration(struct control *c)
{
	if (!c->migration)
		return;
	free(c->migration->where);
	free(c->migration->command);
	free(c->migration);
	c->migration = NULL;
}

bool control_is_migrating(struct control *c)
{
	struct machine_migration_state st;

	machine_migration_state(c->config.machine, &st);
	return st.status == MIGRATION_SETUP || st.status == MIGRATION_ACTIVE;
}

/* ---- Events ---- */

static void put_status(struct json *j, const void *opaque)
{
	const struct machine_migration_state *st = opaque;

	json_string(j, "status", words[st->status]);
	if (st->err.text[0])
		json_string(j, "x-lkvm-error", st->err.text);
	if (st->status != MIGRATION_COMPLETED)
		return;
	json_int(j, "x-lkvm-sent", (int64_t)st->progress.sent);
	json_int(j, "x-lkvm-total-us", (int64_t)(st->ended - st->begun) / 1000);
	json_int(j, "x-lkvm-downtime-us", (int64_t)st->progress.downtime);
}

void control_tell_migration(struct control *c)
{
	struct machine_migration_state st;

	if (!c->migration)
		return;
	machine_migration_state(c->config.machine, &st);
	if (st.status == c->migration->told)
		return;
	c->migration->told = st.status;
	control_event(c, "MIGRATION", put_status, &st);
}

/* On the migration's thread. */
static void status_changed(void *opaque)
{
	struct control_migration *g = opaque;
	uint64_t one = 1;
	ssize_t rc = write(g->control->event_fd, &one, sizeof(one));

	(void)rc; /* a full counter is as good */
}

/* ---- Commands ---- */

static int connect_there(void *opaque, struct channel *channel, struct err *err)
{
	struct control_migration *g = opaque;

	return channel_connect(channel, g->where, g->command, err);
}

#define HEIR_WORDS 64

/* The program that comes after us, in our place. */
static int spawn_heir(void *opaque, struct channel *channel, struct err *err)
{
	struct control_migration *g = opaque;
	const struct control *c = g->control;
	const struct buf *options = c->config.words;
	int fds[CONTROL_FD_NETS - CONTROL_FD_LOCK + MACHINE_NET_FDS] = {
		c->dir.lock_fd, c->listener.fd,
		c->vm->mem.backing == MEM_SHARED ? c->vm->mem.fd : -1
	};
	unsigned int nets = machine_net_fds(c->config.machine,
					    fds + CONTROL_FD_NETS - CONTROL_FD_LOCK);
	char *argv[HEIR_WORDS] = { g->where + strlen(CONTROL_HEIR), "restore", "--name",
				   (char *)(uintptr_t)c->config.name };
	unsigned int n = 4;

	for (size_t at = 0; options && at < options->len; at += strlen(argv[n++]) + 1) {
		if (n == HEIR_WORDS - 2)
			return err_set(err, E2BIG, "too many options to be handed on");
		argv[n] = (char *)options->data + at;
	}
	argv[n] = nets ? CONTROL_HEIR_NETS : CONTROL_HEIR;
	_Static_assert(CONTROL_FD_LOCK == CONTROL_FD_LINK + 1 &&
			       CONTROL_FD_MEMORY == CONTROL_FD_LISTENER + 1,
		       "as channel_spawn() counts them");
	_Static_assert(ARRAY_SIZE(fds) <= CHANNEL_SPAWN, "all of them can be handed on");
	return channel_spawn(channel, argv, fds, CONTROL_FD_NETS - CONTROL_FD_LOCK + nets, err);
}

/* What ssh runs there: the same name, unless that is taken. */
static int set_place(struct control_migration *g, const char *where, struct err *err)
{
	free(g->where);
	free(g->command);
	g->where = strdup(where);
	if (asprintf(&g->command, "lkvm restore --trust --name %s -", g->control->config.name) < 0)
		g->command = NULL;
	return g->where && g->command ? 0 : err_set(err, ENOMEM, "no memory to migrate by");
}

static int start(struct control_migration *g, bool disks, struct err *err)
{
	const struct control_config *c = &g->control->config;
	struct buf options = { 0 };
	bool local = !strncmp(g->where, CONTROL_HEIR, strlen(CONTROL_HEIR));
	struct machine_migration how = {
		.connect = local ? spawn_heir : connect_there,
		.local = local,
		.disks = disks,
		.told = status_changed,
		.opaque = g,
		.options = c->options ? &options : NULL,
		.downtime = g->downtime,
		.bandwidth = g->bandwidth,
		.timeout = g->timeout,
		.throttle = g->throttle,
	};
	int rc = 0;

	if (local && disks)
		return err_set(err, EINVAL, "'blk': the disks are there already");
	rc = c->options ? c->options(c->opaque, &options, err) : 0;
	if (!rc && options.failed)
		rc = err_set(err, ENOMEM, "no memory to migrate by");
	if (!rc)
		rc = machine_migrate(c->machine, &how, err);
	buf_free(&options);
	return rc;
}

static int migrate(struct call *call)
{
	struct control *c = call->control;
	const char *where = json_get_string(call->tree, call->args, "uri");
	struct control_migration *g = settings(c);
	bool disks;
	int rc = control_flag(call, "blk", &disks);

	if (rc)
		return rc;
	if (!g)
		return err_set(call->err, ENOMEM, "no memory to migrate by");
	if (!where || !strcmp(where, "-") || !strncmp(where, "fd:", 3) ||
	    (!channel_is_place(where) &&
	     strncmp(where, CONTROL_HEIR "/", strlen(CONTROL_HEIR) + 1)))
		return err_set(call->err, EINVAL,
			       "'uri' is tcp:HOST:PORT, unix:PATH, exec:COMMAND, "
			       "ssh://[USER@]HOST or local:/PATH/OF/lkvm");
	if (c->stopped)
		return err_set(call->err, EBUSY, "the guest is stopped: cont first");
	/* (Its thread has the place in hand.) */
	if (control_is_migrating(c))
		return err_set(call->err, EBUSY, "it is being migrated already");
	rc = set_place(g, where, call->err);
	if (!rc)
		rc = start(g, disks, call->err);
	if (!rc)
		g->told = MIGRATION_NONE;
	return rc;
}

static int migrate_cancel(struct call *call)
{
	if (control_is_migrating(call->control))
		machine_migrate_cancel(call->control->config.machine);
	return 0;
}

/* Leaves `*out`, if it is not given. */
static int take(struct call *call, const char *name, uint64_t most, uint64_t *out)
{
	int64_t value;

	if (!json_get(call->tree, call->args, name))
		return 0;
	if (!json_get_int(call->tree, call->args, name, &value) || value < 0 ||
	    (uint64_t)value > most)
		return err_set(call->err, EINVAL, "'%s' is a number from 0 to %llu", name,
			       (unsigned long long)most);
	*out = (uint64_t)value;
	return 0;
}

static int set_parameters(struct call *call)
{
	struct control_migration *g = settings(call->control), next;
	uint64_t throttle;
	int rc;

	if (!g)
		return err_set(call->err, ENOMEM, "no memory for parameters");
	next = *g;
	throttle = next.throttle;
	rc = take(call, "downtime-limit", 2000000, &next.downtime);
	if (!rc)
		rc = take(call, "max-bandwidth", LIMIT_MOST, &next.bandwidth);
	if (!rc)
		rc = take(call, "max-cpu-throttle", 99, &throttle);
	if (!rc)
		rc = take(call, "x-lkvm-timeout", 1000000000, &next.timeout);
	if (rc)
		return rc;
	next.throttle = (unsigned int)throttle;
	*g = next;
	return 0;
}

static void put_ram(struct json *j, const struct migrate_progress *p)
{
	json_object(j, "ram");
	json_int(j, "transferred", (int64_t)p->sent);
	json_int(j, "remaining", (int64_t)p->remaining);
	json_int(j, "total", (int64_t)p->total);
	json_int(j, "duplicate", (int64_t)p->zeros);
	json_int(j, "normal", (int64_t)p->pages);
	json_int(j, "normal-bytes", (int64_t)(p->pages * MEM_PAGE));
	json_int(j, "dirty-pages-rate", (int64_t)(p->dirtied / MEM_PAGE));
	json_int(j, "dirty-sync-count", (int64_t)p->rounds);
	json_int(j, "mbps", (int64_t)(p->rate * 8 / 1000000));
	json_int(j, "page-size", MEM_PAGE);
	json_end_object(j);
}

static int query_migrate(struct call *call)
{
	struct machine_migration_state st;
	struct json *j = call->reply;

	machine_migration_state(call->control->config.machine, &st);
	json_object(j, "return");
	if (st.status != MIGRATION_NONE) {
		json_string(j, "status",
			    words[st.status == MIGRATION_UNKNOWN ? MIGRATION_FAILED : st.status]);
		json_int(j, "total-time",
			 (int64_t)(((st.ended ? st.ended : clock_now()) - st.begun) / CLOCK_MS));
		json_int(j, "setup-time", 0);
		put_ram(j, &st.progress);
		if (st.disks) {
			json_object(j, "disk");
			json_int(j, "remaining", (int64_t)st.disks);
			json_end_object(j);
		}
		json_int(j, "cpu-throttle-percentage", st.progress.throttle);
	}
	if (st.status == MIGRATION_ACTIVE)
		json_int(j, "expected-downtime", (int64_t)(st.progress.expected / 1000));
	if (st.status == MIGRATION_COMPLETED)
		json_int(j, "downtime", (int64_t)(st.progress.downtime / 1000));
	if (st.err.text[0])
		json_string(j, "error-desc", st.err.text);
	json_end_object(j);
	return 0;
}

const struct control_command control_migrate_commands[] = {
	{ "migrate", "uri detach blk", migrate, false },
	{ "migrate_cancel", "", migrate_cancel, false },
	{ "migrate-set-parameters", "downtime-limit max-bandwidth max-cpu-throttle x-lkvm-timeout",
	  set_parameters, false },
	{ "query-migrate", "", query_migrate, false },
	{ NULL, NULL, NULL, false },
};
