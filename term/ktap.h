/* SPDX-License-Identifier: MIT */
/*
 * Results of tests from a stream of text: KTAP (Documentation/dev-tools/ktap.rst) as KUnit and
 * kselftest print it, and TAP 12 to 14. Tests nest by indentation, or behind "# " as kselftest's
 * runner quotes them. What is not KTAP is skipped, and so are printk's time stamps.
 *
 * What does not add up is a test too, of its own, that has an error: a plan that is missing or not
 * kept, a test that began and has no result, "Bail out!". Memory is bounded; past the bound that
 * is an error, again.
 */
#ifndef TERM_KTAP_H
#define TERM_KTAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KTAP_LINE 1024 /* what is longer is cut */
#define KTAP_DEPTH 8   /* levels of tests in tests */
#define KTAP_TESTS 65536
#define KTAP_NOTES (8 * 1024)	     /* bytes for one test */
#define KTAP_TEXT (16 * 1024 * 1024) /* bytes in all */

enum ktap_status {
	KTAP_PASS,
	KTAP_FAIL,
	KTAP_SKIP,  /* SKIP; and TODO, XFAIL, which fail and are expected to */
	KTAP_ERROR, /* it is not known, or cannot be right */
};

#define KTAP_NO_PARENT UINT32_MAX

struct ktap_test {
	char *name;
	char *reason; /* behind the directive, or what is wrong; NULL: none */
	char *notes;  /* diagnostic lines of one that has not passed; NULL: none */
	uint32_t
		parent; /* index, which is greater than that of the test itself; or KTAP_NO_PARENT */
	uint32_t children;
	enum ktap_status status;
};

struct ktap_level {
	uint32_t indent;
	bool quoted; /* behind "# " */
	bool has_plan, skipped;
	bool astray; /* a number was another than it should be, and that is among the tests */
	uint32_t plan, seen;
	uint32_t first; /* tests from here on without a parent are this level's */
	char *name;	/* of "# Subtest: "; NULL: none */
};

struct ktap {
	struct ktap_test *tests;
	uint32_t n, cap;
	size_t text; /* bytes of all strings */
	bool full;   /* the bound was met, or memory was short: something is missing */
	uint32_t depth;
	struct ktap_level levels[KTAP_DEPTH];
	size_t notes_len;
	char notes[KTAP_NOTES];
	size_t len;
	char line[KTAP_LINE];
};

/* Never NULL but when memory is short. */
struct ktap *ktap_create(void);
void ktap_destroy(struct ktap *k);

void ktap_feed(struct ktap *k, const void *data, size_t len);

/* It has failed, or is an error. */
bool ktap_is_bad(const struct ktap_test *t);

/* The stream has ended: what is open is closed. Then `tests` has all there are, children first. */
void ktap_end(struct ktap *k);

#endif
