/* SPDX-License-Identifier: MIT */
/* lkvm stat: what guests use, as a table or as their own JSON. */
#include <inttypes.h>
#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/remote.h"
#include "util/util.h"
#include "vm/verdict.h"

struct stat_options {
	const char *memory, *json;
	bool more; /* one was printed */
};

static int64_t number(const struct json_tree *t, const struct json_value *in, const char *name)
{
	int64_t n = 0;

	json_get_int(t, in, name, &n);
	return n;
}

static int64_t mib(const struct json_tree *t, const struct json_value *in, const char *name)
{
	return number(t, in, name) / (int64_t)MIB;
}

static void print_memory(const struct json_tree *t, const struct json_value *stats)
{
	const struct json_value *memory = json_get(t, stats, "memory");
	const struct json_value *balloon = json_get(t, stats, "balloon");

	printf("  memory %" PRId64 " MiB, %" PRId64 " MiB of the host's in use",
	       mib(t, memory, "size"), mib(t, memory, "resident"));
	if (balloon)
		printf(", balloon %" PRId64 " of %" PRId64 " MiB", mib(t, balloon, "actual"),
		       mib(t, balloon, "target"));
	putchar('\n');
}

static void print_cpu(const struct json_tree *t, const struct json_value *cpu)
{
	const struct json_value *exits = json_get(t, cpu, "exits");

	printf("  vCPU %" PRId64 ": %.3f s of CPU time; exits:", number(t, cpu, "cpu-index"),
	       (double)number(t, cpu, "cpu-time-ns") / 1e9);
	for (const struct json_value *v = json_first(t, exits); v; v = json_next(t, exits, v))
		printf(" %s %" PRId64, v->string, v[1].type == JSON_INT ? v[1].number : 0);
	putchar('\n');
}

static void print(const struct json_tree *t, const struct json_value *stats, const char *name,
		  bool memory_only)
{
	const struct json_value *cpus = json_get(t, stats, "vcpus");

	printf("%s: pid %" PRId64 ", for %.1f s\n", name, number(t, stats, "pid"),
	       (double)number(t, stats, "run-time-ns") / 1e9);
	print_memory(t, stats);
	for (const struct json_value *v = json_first(t, cpus); v && !memory_only;
	     v = json_next(t, cpus, v))
		print_cpu(t, v);
}

static int stat_one(struct remote *r, const char *name, void *opaque, struct err *err)
{
	struct stat_options *o = opaque;
	const struct json_value *stats;
	int rc = remote_call(r, "x-lkvm-stats", NULL, &stats, err);

	if (rc)
		return rc;
	if (o->json)
		printf("%s%.*s", o->more ? ",\n" : "", (int)(stats->to - stats->from),
		       r->text + stats->from);
	else
		print(&r->tree, stats, name, o->memory);
	o->more = true;
	return 0;
}

int cmd_stat(int argc, char **argv, const struct command *table)
{
	struct stat_options o = { 0 };
	const struct remote_option options[] = { { "memory", 'm', &o.memory, false },
						 { "json", 0, &o.json, false },
						 { NULL, 0, NULL, false } };
	struct guests g = { 0 };
	struct err err;
	int status;

	(void)table;
	if (remote_parse(argc, argv, options, &g, &err)) {
		guests_free(&g);
		return cmd_fail("%s", err.text);
	}
	if (o.json)
		putchar('[');
	status = remote_each(&g, stat_one, &o);
	if (o.json)
		puts("]");
	return status;
}
