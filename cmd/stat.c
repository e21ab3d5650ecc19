/* SPDX-License-Identifier: MIT */
/* lkvm stat: what guests use, as a table or as their own JSON; once, or each second what was used in that second. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/remote.h"
#include "util/util.h"
#include "vm/verdict.h"

#define ANSWER 10000 /* ms */

struct stat_options {
	const char *memory, *json, *watch;
	bool more; /* one was printed */
};

/* What it says now, and what it said a second ago, if it did: then numbers are of that second. */
struct sample {
	const struct json_tree *t, *before_t;
	const struct json_value *now, *before;
	double seconds;
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

/* The same in there: an array's elements are in the same order in both. */
static struct sample member(const struct sample *s, const char *name)
{
	struct sample m = *s;

	m.now = json_get(s->t, s->now, name);
	m.before = s->before ? json_get(s->before_t, s->before, name) : NULL;
	return m;
}

static struct sample first(const struct sample *s)
{
	struct sample e = *s;

	e.now = json_first(s->t, s->now);
	e.before = s->before ? json_first(s->before_t, s->before) : NULL;
	return e;
}

static void next(const struct sample *in, struct sample *e)
{
	e->now = json_next(e->t, in->now, e->now);
	e->before = e->before ? json_next(e->before_t, in->before, e->before) : NULL;
}

/* A count that only grows: all of it, or how many of it in a second. */
static int64_t count(const struct sample *s, const char *name)
{
	int64_t n = number(s->t, s->now, name);

	if (!s->before)
		return n;
	return (int64_t)((double)(n - number(s->before_t, s->before, name)) / s->seconds + 0.5);
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

static void print_cpu(const struct sample *cpu)
{
	struct sample exits = member(cpu, "exits");
	int64_t n;

	printf("  vCPU %" PRId64 ": ", number(cpu->t, cpu->now, "cpu-index"));
	if (cpu->before)
		printf("%.0f %% of a CPU; exits a second:",
		       (double)count(cpu, "cpu-time-ns") / 1e7);
	else
		printf("%.3f s of CPU time; exits:", (double)count(cpu, "cpu-time-ns") / 1e9);
	for (const struct json_value *v = json_first(exits.t, exits.now); v;
	     v = json_next(exits.t, exits.now, v)) {
		n = count(&exits, v->string);
		if (n)
			printf(" %s %" PRId64, v->string, n);
	}
	putchar('\n');
}

static void print_device(const struct sample *dev)
{
	const char *name = json_get_string(dev->t, dev->now, "name");

	printf("  %s: %" PRId64 " requests, %.1f KiB from the guest, %.1f KiB to it%s\n",
	       name ? name : "?", count(dev, "requests"), (double)count(dev, "bytes-out") / 1024,
	       (double)count(dev, "bytes-in") / 1024, dev->before ? ", a second" : "");
}

static void print(const struct sample *s, const char *name, bool memory_only)
{
	struct sample cpus = member(s, "vcpus"), devices = member(s, "devices");

	printf("%s: pid %" PRId64 ", for %.1f s\n", name, number(s->t, s->now, "pid"),
	       (double)number(s->t, s->now, "run-time-ns") / 1e9);
	print_memory(s->t, s->now);
	if (memory_only)
		return;
	for (struct sample v = first(&cpus); v.now; next(&cpus, &v))
		print_cpu(&v);
	for (struct sample v = first(&devices); v.now; next(&devices, &v))
		print_device(&v);
}

static void print_json(struct stat_options *o, struct remote *r, const struct json_value *stats)
{
	printf("%s%.*s", o->more ? ",\n" : "", (int)(stats->to - stats->from),
	       r->text + stats->from);
	o->more = true;
}

static int stat_one(struct remote *r, const char *name, void *opaque, struct err *err)
{
	struct stat_options *o = opaque;
	struct sample s = { .t = &r->tree };
	int rc = remote_call(r, "x-lkvm-stats", NULL, &s.now, err);

	if (rc)
		return rc;
	if (o->json)
		print_json(o, r, s.now);
	else
		print(&s, name, o->memory);
	return 0;
}

/* ---- --watch ---- */

struct watched {
	const char *name;
	struct remote r;
	struct json_tree before; /* its last answer; empty: none yet */
};

static int look(struct watched *w, struct stat_options *o, struct err *err)
{
	struct sample s = { .t = &w->r.tree, .before_t = &w->before };
	int rc = remote_call(&w->r, "x-lkvm-stats", NULL, &s.now, err);

	if (rc)
		return rc;
	if (w->before.n) {
		s.before = json_get(&w->before, w->before.values, "return");
		s.seconds = (double)(number(s.t, s.now, "run-time-ns") -
				     number(s.before_t, s.before, "run-time-ns")) /
			    1e9;
	}
	if (s.seconds <= 0)
		s.before = NULL;
	if (o->json)
		print_json(o, &w->r, s.now);
	else if (s.before)
		print(&s, w->name, o->memory);
	json_free(&w->before);
	w->before = w->r.tree;
	w->r.tree = (struct json_tree){ 0 };
	return 0;
}

/* Those that end go. How many are left. */
static size_t look_at_all(struct watched *all, size_t n, struct stat_options *o)
{
	struct err err;
	size_t left = 0;

	o->more = false;
	if (o->json)
		putchar('[');
	for (size_t i = 0; i < n; i++) {
		if (all[i].r.fd >= 0 && look(&all[i], o, &err)) {
			remote_close(&all[i].r);
			all[i].r = (struct remote){ .fd = -1 };
		}
		left += all[i].r.fd >= 0;
	}
	if (o->json)
		puts("]");
	fflush(stdout);
	return ferror(stdout) ? 0 : left;
}

static int watch(struct guests *g, struct stat_options *o)
{
	struct watched *all = calloc(g->n + 1, sizeof(*all));
	size_t left = 0;
	struct err err;
	int status = 0;

	for (size_t i = 0; all && i < g->n; i++) {
		all[i].name = g->all[i].name;
		all[i].r.fd = -1;
		if (remote_open(&all[i].r, all[i].name, ANSWER, &err)) {
			all[i].r = (struct remote){ .fd = -1 };
			status = cmd_fail("%s: %s", all[i].name, err.text);
		} else {
			left++;
		}
	}
	while (left) {
		left = look_at_all(all, g->n, o);
		if (left)
			sleep(1);
	}
	for (size_t i = 0; all && i < g->n; i++) {
		json_free(&all[i].before);
		if (all[i].r.fd >= 0)
			remote_close(&all[i].r);
	}
	free(all);
	guests_free(g);
	return status;
}

int cmd_stat(int argc, char **argv, const struct command *table)
{
	struct stat_options o = { 0 };
	const struct remote_option options[] = { { "memory", 'm', &o.memory, false },
						 { "json", 0, &o.json, false },
						 { "watch", 'w', &o.watch, false },
						 { NULL, 0, NULL, false } };
	struct guests g = { 0 };
	struct err err;
	int status;

	(void)table;
	if (remote_parse(argc, argv, options, &g, &err)) {
		guests_free(&g);
		return cmd_fail("%s", err.text);
	}
	if (o.watch)
		return watch(&g, &o);
	if (o.json)
		putchar('[');
	status = remote_each(&g, stat_one, &o);
	if (o.json)
		puts("]");
	return status;
}
