/* SPDX-License-Identifier: MIT */
/* lkvm pause, resume, stop, balloon, debug: each a command or two to running guests. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/remote.h"
#include "util/number.h"
#include "util/util.h"
#include "vm/verdict.h"

#define END 20000    /* ms: output may be waiting for its reader */
#define POLITE 60000 /* the same, and services are to be stopped */

/* Who is meant; or what is wrong is said. */
static bool meant(int argc, char **argv, const struct remote_option *options, struct guests *g)
{
	struct err err;

	*g = (struct guests){ 0 };
	if (!remote_parse(argc, argv, options, g, &err))
		return true;
	guests_free(g);
	cmd_fail("%s", err.text);
	return false;
}

/* ---- pause, resume ---- */

static int call(struct remote *r, const char *name, void *opaque, struct err *err)
{
	(void)name;
	return remote_call(r, opaque, NULL, NULL, err);
}

static int call_each(int argc, char **argv, char *command)
{
	const struct remote_option none = { NULL, 0, NULL, false };
	struct guests g;

	return meant(argc, argv, &none, &g) ? remote_each(&g, call, command) : STATUS_HOST_FAILED;
}

int cmd_pause(int argc, char **argv, const struct command *table)
{
	(void)table;
	return call_each(argc, argv, "stop");
}

int cmd_resume(int argc, char **argv, const struct command *table)
{
	(void)table;
	return call_each(argc, argv, "cont");
}

/* ---- stop ---- */

static int stop(struct remote *r, const char *name, void *opaque, struct err *err)
{
	const char **force = opaque;
	struct err why;
	int rc;

	(void)name;
	if (!*force) {
		rc = remote_call(r, "system_powerdown", NULL, NULL, &why);
		if (rc)
			return err_set(err, -rc, "%.400s; --force ends it at once", why.text);
		return remote_wait_end(r, POLITE)
			       ? 0
			       : err_set(err, ETIMEDOUT,
					 "it was asked to, and has not ended within %d s; "
					 "--force ends it at once",
					 POLITE / 1000);
	}
	rc = remote_call(r, "quit", NULL, NULL, err);
	if (!rc && !remote_wait_end(r, END))
		rc = err_set(err, ETIMEDOUT, "it has not ended within %d s", END / 1000);
	return rc;
}

int cmd_stop(int argc, char **argv, const struct command *table)
{
	const char *force = NULL;
	const struct remote_option options[] = { { "force", 0, &force, false },
						 { NULL, 0, NULL, false } };
	struct guests g;

	(void)table;
	return meant(argc, argv, options, &g) ? remote_each(&g, stop, &force) : STATUS_HOST_FAILED;
}

/* ---- balloon ---- */

struct balloon {
	const char *inflate, *deflate;
	uint64_t bytes;
};

static int inflate(struct remote *r, const char *name, void *opaque, struct err *err)
{
	const struct balloon *b = opaque;
	const struct json_value *stats = NULL;
	int64_t size = 0, target = 0;
	uint64_t wanted;
	char args[64];
	int rc = remote_call(r, "x-lkvm-stats", NULL, &stats, err);

	(void)name;
	if (rc)
		return rc;
	json_get_int(&r->tree, json_get(&r->tree, stats, "memory"), "size", &size);
	json_get_int(&r->tree, json_get(&r->tree, stats, "balloon"), "target", &target);
	wanted = b->inflate ? (uint64_t)target + b->bytes
			    : (uint64_t)target - MIN(b->bytes, (uint64_t)target);
	/* (Of a guest without a balloon the command itself says so.) */
	if (b->inflate && wanted >= (uint64_t)size)
		return err_set(err, EINVAL,
			       "it has %llu MiB, and its balloon shall have %llu already",
			       (unsigned long long)size / MIB, (unsigned long long)target / MIB);
	snprintf(args, sizeof(args), "{\"value\": %llu}",
		 (unsigned long long)((uint64_t)size - wanted));
	return remote_call(r, "balloon", args, NULL, err);
}

int cmd_balloon(int argc, char **argv, const struct command *table)
{
	struct balloon b = { 0 };
	const struct remote_option options[] = { { "inflate", 'i', &b.inflate, true },
						 { "deflate", 'd', &b.deflate, true },
						 { NULL, 0, NULL, false } };
	struct guests g;
	const char *given, *end;
	uint64_t mib;

	(void)table;
	if (!meant(argc, argv, options, &g))
		return STATUS_HOST_FAILED;
	if (!b.inflate == !b.deflate) {
		guests_free(&g);
		return cmd_fail("balloon: -i MIB or -d MIB");
	}
	given = b.inflate ? b.inflate : b.deflate;
	if (number_parse(given, &mib, &end) || *end || !mib || mib > UINT32_MAX) {
		guests_free(&g);
		return cmd_fail("balloon: %s is no number of MiB", given);
	}
	b.bytes = mib * MIB;
	return remote_each(&g, inflate, &b);
}

/* ---- debug ---- */

struct debug {
	const char *dump, *sysrq, *nmi;
};

static void print_registers(const struct json_tree *t, const struct json_value *cpus)
{
	const struct json_value *lines, *line;
	int64_t index = 0;

	for (const struct json_value *v = json_first(t, cpus); v; v = json_next(t, cpus, v)) {
		json_get_int(t, v, "cpu-index", &index);
		printf("vCPU %lld:\n", (long long)index);
		lines = json_get(t, v, "lines");
		for (line = json_first(t, lines); line; line = json_next(t, lines, line)) {
			if (line->type == JSON_STRING)
				puts(line->string);
		}
	}
}

static int debug(struct remote *r, const char *name, void *opaque, struct err *err)
{
	const struct debug *d = opaque;
	const struct json_value *cpus;
	char args[64];
	int rc = 0;

	if (d->sysrq) {
		snprintf(args, sizeof(args), "{\"key\": \"%c\"}", d->sysrq[0]);
		rc = remote_call(r, "x-lkvm-sysrq", args, NULL, err);
	}
	if (!rc && d->nmi) {
		snprintf(args, sizeof(args), "{\"cpu\": %.20s}", d->nmi);
		rc = remote_call(r, "x-lkvm-nmi", args, NULL, err);
	}
	if (rc || !d->dump)
		return rc;
	rc = remote_call(r, "x-lkvm-registers", NULL, &cpus, err);
	if (!rc)
		printf("%s:\n", name);
	if (!rc)
		print_registers(&r->tree, cpus);
	return rc;
}

static bool is_plain(const char *s, const char *of)
{
	return *s && !s[strspn(s, of)];
}

int cmd_debug(int argc, char **argv, const struct command *table)
{
	struct debug d = { 0 };
	const struct remote_option options[] = { { "dump", 'd', &d.dump, false },
						 { "sysrq", 's', &d.sysrq, true },
						 { "nmi", 'm', &d.nmi, true },
						 { NULL, 0, NULL, false } };
	struct guests g;

	(void)table;
	if (!meant(argc, argv, options, &g))
		return STATUS_HOST_FAILED;
	if (!d.dump && !d.sysrq && !d.nmi) {
		guests_free(&g);
		return cmd_fail("debug: --dump, --sysrq KEY or --nmi CPU");
	}
	if (d.sysrq && (d.sysrq[1] || !is_plain(d.sysrq, "0123456789abcdefghijklmnopqrstuvwxyz"))) {
		guests_free(&g);
		return cmd_fail("debug: --sysrq %s: a key is one letter or digit", d.sysrq);
	}
	if (d.nmi && !is_plain(d.nmi, "0123456789")) {
		guests_free(&g);
		return cmd_fail("debug: --nmi %s: a CPU is a number from 0 up", d.nmi);
	}
	return remote_each(&g, debug, &d);
}
