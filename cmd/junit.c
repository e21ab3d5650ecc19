/* SPDX-License-Identifier: MIT */
#include "cmd/junit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/utf8.h"
#include "util/util.h"

struct counts {
	unsigned int tests, failures, errors, skipped;
};

/* A family tree the other way: from a test to those in it. */
struct tree {
	const struct ktap_test *tests;
	uint32_t n;
	uint32_t *first, *next; /* NONE ends; first[n]: of those in no other */
};

#define NONE UINT32_MAX

/* ---- XML ---- */

static void put(struct buf *out, const char *text)
{
	buf_put(out, text, strlen(text));
}

static const char *entity(uint32_t code)
{
	switch (code) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\n':
		return "&#10;";
	case '\t':
		return "&#9;";
	}
	return NULL;
}

/* XML 1.0, section 2.2. */
static bool is_char(uint32_t code)
{
	return (code >= 0x20 || code == '\n' || code == '\t') && code != 0xfffe && code != 0xffff;
}

static void put_escaped(struct buf *out, const char *text)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t left = strlen(text);

	while (left) {
		uint32_t code = 0;
		size_t len = utf8_next(p, left, &code);

		if (!len || !is_char(code))
			put(out, "\xef\xbf\xbd");
		else if (entity(code))
			put(out, entity(code));
		else
			buf_put(out, p, len);
		len = MAX(len, (size_t)1);
		p += len;
		left -= len;
	}
}

static void put_attribute(struct buf *out, const char *name, const char *value)
{
	put(out, " ");
	put(out, name);
	put(out, "=\"");
	put_escaped(out, value);
	put(out, "\"");
}

static void put_counts(struct buf *out, const struct counts *c)
{
	char text[128];

	snprintf(text, sizeof(text),
		 " tests=\"%u\" failures=\"%u\" errors=\"%u\" skipped=\"%u\">\n", c->tests,
		 c->failures, c->errors, c->skipped);
	put(out, text);
}

/* ---- Cases and suites ---- */

static void count(struct counts *c, enum ktap_status status)
{
	c->tests++;
	c->failures += status == KTAP_FAIL;
	c->errors += status == KTAP_ERROR;
	c->skipped += status == KTAP_SKIP;
}

static void put_case(struct buf *out, const char *suite, const char *name,
		     const struct ktap_test *t, struct counts *c)
{
	static const char *const elements[] = {
		[KTAP_FAIL] = "failure", [KTAP_SKIP] = "skipped", [KTAP_ERROR] = "error"
	};

	count(c, t->status);
	put(out, "\t\t<testcase");
	put_attribute(out, "classname", suite);
	put_attribute(out, "name", name);
	if (t->status == KTAP_PASS) {
		put(out, "/>\n");
		return;
	}
	put(out, "><");
	put(out, elements[t->status]);
	put_attribute(out, "message", t->reason ? t->reason : "");
	put(out, ">");
	put_escaped(out, t->notes ? t->notes : "");
	put(out, "</");
	put(out, elements[t->status]);
	put(out, "></testcase>\n");
}

/* A suite from its cases. */
static void put_suite(struct buf *out, const char *name, struct buf *cases, const struct counts *c,
		      struct counts *all)
{
	if (c->tests) {
		put(out, "\t<testsuite");
		put_attribute(out, "name", name);
		put_counts(out, c);
		buf_put(out, cases->data, cases->len);
		put(out, "\t</testsuite>\n");
	}
	out->failed |= cases->failed;
	all->tests += c->tests;
	all->failures += c->failures;
	all->errors += c->errors;
	all->skipped += c->skipped;
	buf_free(cases);
}

static void put_one(struct buf *out, const char *name, const char *reason, struct counts *all)
{
	struct ktap_test t = { .status = KTAP_ERROR, .reason = (char *)reason };
	struct counts c = { 0 };
	struct buf cases = { 0 };

	put_case(&cases, "lkvm", name, &t, &c);
	put_suite(out, "lkvm", &cases, &c, all);
}

/* ---- Sources ---- */

static void free_tree(struct tree *tree)
{
	free(tree->first);
	free(tree->next);
}

/* Backwards, so that each list is in order. */
static bool make_tree(struct tree *tree, const struct ktap *k)
{
	*tree = (struct tree){ .tests = k->tests, .n = k->n };
	tree->first = malloc((k->n + 1) * sizeof(uint32_t));
	tree->next = malloc((k->n + 1) * sizeof(uint32_t));
	if (!tree->first || !tree->next)
		return false;
	memset(tree->first, 0xff, (k->n + 1) * sizeof(uint32_t));
	for (uint32_t i = k->n; i-- > 0;) {
		uint32_t parent = MIN(k->tests[i].parent, k->n);

		tree->next[i] = tree->first[parent];
		tree->first[parent] = i;
	}
	return true;
}

/* "a.b": those it is in first. */
static void path_of(const struct tree *tree, uint32_t at, char *path, size_t size)
{
	const char *names[KTAP_DEPTH + 1];
	unsigned int n = 0;
	size_t len = 0;

	for (; at < tree->n && n <= KTAP_DEPTH; at = tree->tests[at].parent)
		names[n++] = tree->tests[at].name;
	path[0] = 0;
	while (n-- && len < size)
		len += (size_t)snprintf(path + len, size - len, "%s%s", len ? "." : "", names[n]);
}

/* A suite may fail although nothing in it does: then that is a case. */
static void put_tests(struct buf *out, const struct tree *tree, uint32_t at, const char *name,
		      struct counts *all)
{
	struct counts c = { 0 };
	struct buf cases = { 0 };
	bool below = false;

	for (uint32_t i = tree->first[at]; i != NONE; i = tree->next[i]) {
		if (tree->tests[i].children)
			below |= ktap_is_bad(&tree->tests[i]); /* told of in its own */
		else
			put_case(&cases, name, tree->tests[i].name, &tree->tests[i], &c);
	}
	if (at < tree->n && ktap_is_bad(&tree->tests[at]) && !below && !c.failures && !c.errors)
		put_case(&cases, name, "(all of it)", &tree->tests[at], &c);
	put_suite(out, name, &cases, &c, all);
}

static void put_source(struct buf *out, const struct junit_source *source, struct counts *all)
{
	struct tree tree;
	char path[512];

	if (!make_tree(&tree, source->ktap)) {
		out->failed = true;
	} else {
		put_tests(out, &tree, tree.n, source->name, all);
		for (uint32_t i = 0; i < tree.n; i++) {
			if (!tree.tests[i].children)
				continue;
			path_of(&tree, i, path, sizeof(path));
			put_tests(out, &tree, i, path, all);
		}
	}
	free_tree(&tree);
	if (source->ktap->full)
		put_one(out, source->name, "there are more tests than could be kept", all);
}

void junit_put(struct buf *out, const struct junit_source *sources, unsigned int n,
	       const char *failure)
{
	struct counts all = { 0 };
	struct buf suites = { 0 };

	for (unsigned int i = 0; i < n; i++)
		put_source(&suites, &sources[i], &all);
	if (failure)
		put_one(&suites, "run", failure, &all);
	else if (!all.tests)
		put_one(&suites, "run", "no result of a test was printed", &all);
	put(out, JUNIT_BEGIN);
	put_attribute(out, "name", "lkvm");
	put_counts(out, &all);
	buf_put(out, suites.data, suites.len);
	put(out, "</testsuites>\n");
	out->failed |= suites.failed;
	buf_free(&suites);
}
