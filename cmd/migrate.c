/* SPDX-License-Identifier: MIT */
/* lkvm migrate: a running guest moves to another lkvm. The guest's own process does it; this asks it to, and looks on. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/remote.h"
#include "control/control.h"
#include "state/migrate.h"
#include "util/number.h"
#include "util/util.h"

#define TEXT_OF(x) #x
#define TEXT(macro) TEXT_OF(macro)
#define ANSWER 10000 /* ms */
#define LOOK 200000  /* us, between looks */

struct migrate {
	const char *name, *downtime, *bandwidth, *timeout, *throttle, *cancel, *local, *disks;
	const char *where;
	char self[sizeof(CONTROL_HEIR) + PATH_MAX]; /* what `where` is for --local */
	/* What events tell: the last of it, when `over`. */
	bool over, completed;
	char error[512];
	int64_t sent, total, stood;
};

/* ---- What is told ---- */

static void told(void *opaque, const struct json_tree *t)
{
	struct migrate *m = opaque;
	const char *event = json_get_string(t, t->values, "event");
	const struct json_value *data = json_get(t, t->values, "data");
	const char *status = json_get_string(t, data, "status");
	const char *error = json_get_string(t, data, "x-lkvm-error");

	if (!event || strcmp(event, "MIGRATION") || !status || !strcmp(status, "setup") ||
	    !strcmp(status, "active"))
		return;
	m->over = true;
	m->completed = !strcmp(status, "completed");
	snprintf(m->error, sizeof(m->error), "%s", error ? error : status);
	json_get_int(t, data, "x-lkvm-sent", &m->sent);
	json_get_int(t, data, "x-lkvm-total-us", &m->total);
	json_get_int(t, data, "x-lkvm-downtime-us", &m->stood);
}

static void show_progress(const struct json_tree *t, const struct json_value *answer)
{
	const struct json_value *ram = json_get(t, answer, "ram");
	int64_t sent = 0, left = 0, rounds = 0, mbps = 0, throttle = 0, disks = 0;

	json_get_int(t, ram, "transferred", &sent);
	json_get_int(t, ram, "remaining", &left);
	json_get_int(t, ram, "dirty-sync-count", &rounds);
	json_get_int(t, ram, "mbps", &mbps);
	json_get_int(t, json_get(t, answer, "disk"), "remaining", &disks);
	json_get_int(t, answer, "cpu-throttle-percentage", &throttle);
	fprintf(stderr, "\r%.1f MiB sent, %.1f left, round %lld, %lld Mbit/s",
		(double)sent / (double)MIB, (double)left / (double)MIB, (long long)rounds + 1,
		(long long)mbps);
	if (disks)
		fprintf(stderr, ", %.1f MiB of disks left", (double)disks / (double)MIB);
	if (throttle)
		fprintf(stderr, ", slowed down by %lld%%", (long long)throttle);
	fputs("\033[K", stderr);
}

/* Until an event has told the end; the guest's own end may overtake the answer to a question. */
static int look_on(struct remote *r, struct migrate *m, struct err *err)
{
	bool tty = isatty(STDERR_FILENO);
	const struct json_value *answer;
	struct err ignored;
	int rc = 0;

	while (!rc && !m->over) {
		usleep(LOOK);
		rc = remote_call(r, "query-migrate", NULL, &answer, err);
		if (!rc && tty)
			show_progress(&r->tree, answer);
	}
	/* It has ended before it could be asked again, and had said why. */
	while (rc && !m->over && !remote_wait_event(r, "MIGRATION", &answer, &ignored))
		told(m, &r->tree);
	if (tty)
		fputs("\r\033[K", stderr);
	if (!m->over)
		return rc;
	if (!m->completed)
		return err_set(err, EIO, "%s", m->error);
	printf("%s: %s: %.1f MiB in %.2f s; it stood for %.1f ms\n", m->name, m->where,
	       (double)m->sent / (double)MIB, (double)m->total / 1e6, (double)m->stood / 1e3);
	return 0;
}

/* ---- What is asked ---- */

/* A number, and perhaps K, M or G behind it. */
static int put_number(struct json *j, const char *name, const char *option, const char *text,
		      bool bytes, struct err *err)
{
	static const char units[] = "KMG";
	const char *end, *unit;
	uint64_t n;

	if (number_parse(text, &n, &end))
		return err_set(err, EINVAL, "migrate: --%s %s is no number", option, text);
	unit = bytes && *end ? strchr(units, *end) : NULL;
	if ((*end && !unit) || (unit && end[1]) || n > INT64_MAX >> 30)
		return err_set(err, EINVAL, "migrate: --%s %s: not such a number", option, text);
	json_int(j, name, (int64_t)(n << (unit ? 10 * (unit - units + 1) : 0)));
	return 0;
}

static int set_limits(struct remote *r, const struct migrate *m, struct err *err)
{
	struct buf args = { 0 };
	struct json j = { .out = &args, .line = true };
	int rc;

	json_object(&j, NULL);
	rc = put_number(&j, "downtime-limit", "downtime", m->downtime, false, err);
	if (!rc)
		rc = put_number(&j, "max-bandwidth", "bandwidth", m->bandwidth, true, err);
	if (!rc)
		rc = put_number(&j, "max-cpu-throttle", "throttle", m->throttle, false, err);
	if (!rc)
		rc = put_number(&j, "x-lkvm-timeout", "timeout", m->timeout, false, err);
	if (!rc)
		rc = remote_call_with(r, "migrate-set-parameters", &j, err);
	buf_free(&args);
	return rc;
}

static int migrate(struct remote *r, struct migrate *m, struct err *err)
{
	struct buf args = { 0 };
	struct json j = { .out = &args, .line = true };
	int rc;

	if (m->cancel)
		return remote_call(r, "migrate_cancel", NULL, NULL, err);
	rc = set_limits(r, m, err);
	if (rc)
		return rc;
	r->event = told;
	r->opaque = m;
	json_object(&j, NULL);
	json_string(&j, "uri", m->where);
	if (m->disks)
		json_bool(&j, "blk", true);
	rc = remote_call_with(r, "migrate", &j, err);
	buf_free(&args);
	return rc ? rc : look_on(r, m, err);
}

/* This very program is to have it: the one that is upgraded to. */
static int set_self(struct migrate *m, struct err *err)
{
	char *path = stpcpy(m->self, CONTROL_HEIR);
	ssize_t len = readlink("/proc/self/exe", path, PATH_MAX);

	if (len < 0)
		return err_set(err, errno, "/proc/self/exe: %s", strerror(errno));
	path[len] = 0;
	m->where = m->self;
	return 0;
}

/* [-n] NAME WHERE */
static int parse(int argc, char **argv, struct migrate *m, struct err *err)
{
	const struct remote_option options[] = {
		{ "name", 'n', &m->name, true },
		{ "downtime", 0, &m->downtime, true },
		{ "bandwidth", 0, &m->bandwidth, true },
		{ "throttle", 0, &m->throttle, true },
		{ "timeout", 0, &m->timeout, true },
		{ "cancel", 0, &m->cancel, false },
		{ "local", 0, &m->local, false },
		{ "disks", 0, &m->disks, false },
		{ NULL, 0, NULL, false },
	};
	const char *words[2];
	unsigned int n = 0;
	int rc = remote_parse_words(argc, argv, options, words, ARRAY_SIZE(words), &n, err);

	if (rc)
		return rc;
	if (n != (m->name ? 0u : 1u) + (!m->cancel && !m->local))
		return err_set(
			err, EINVAL,
			"migrate takes a guest and where to: lkvm migrate -n NAME tcp:HOST:PORT");
	if (!m->name)
		m->name = words[0];
	if (m->local)
		return set_self(m, err);
	if (!m->cancel)
		m->where = words[n - 1];
	return 0;
}

int cmd_migrate(int argc, char **argv, const struct command *table)
{
	/* All are said: what an earlier call was limited by is not this one's. */
	struct migrate m = { .downtime = TEXT(MIGRATE_DOWNTIME),
			     .bandwidth = "0",
			     .throttle = TEXT(MIGRATE_THROTTLE),
			     .timeout = "0" };
	struct remote r;
	struct err err;

	(void)table;
	if (parse(argc, argv, &m, &err))
		return cmd_fail("%s", err.text);
	if (remote_open(&r, m.name, ANSWER, &err))
		return cmd_fail("%s: %s", m.name, err.text);
	if (migrate(&r, &m, &err)) {
		remote_close(&r);
		return cmd_fail("%s: %s", m.name, err.text);
	}
	remote_close(&r);
	return 0;
}
