/* SPDX-License-Identifier: MIT */
/*
 * TAP for tests in C: ok() for each thing checked, and main() ends with `return done_testing();`.
 */
#ifndef TESTS_UNIT_TAP_H
#define TESTS_UNIT_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

struct tap {
	int run, failed;
};

/* One a program: ok() may be called from any function of the test. */
static inline struct tap *tap(void)
{
	static struct tap counts;

	return &counts;
}

__attribute__((format(printf, 2, 3))) static inline void ok(bool pass, const char *fmt, ...)
{
	va_list ap;

	tap()->failed += !pass;
	printf("%sok %d - ", pass ? "" : "not ", ++tap()->run);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
}

static inline int done_testing(void)
{
	printf("1..%d\n", tap()->run);
	return tap()->failed ? 1 : 0;
}

#endif
