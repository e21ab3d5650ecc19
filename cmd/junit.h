/* SPDX-License-Identifier: MIT */
/*
 * JUnit's XML from results of tests: a test that has others in it is a <testsuite>, whose name has
 * those it is in ("a.b"); what has none is a <testcase>. Whatever a guest printed, the text is well
 * formed: what XML has no character for becomes U+FFFD.
 */
#ifndef CMD_JUNIT_H
#define CMD_JUNIT_H

#include "term/ktap.h"
#include "util/buf.h"

#define JUNIT_BEGIN "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites"

struct junit_source {
	const char *name; /* of the suite of tests that are in no other: "stdout" */
	const struct ktap *ktap;
};

/*
 * `failure`: why lkvm itself says that the run failed, or NULL: an error beside the tests. So is it
 * when there are none, and when there are more than could be kept.
 */
void junit_put(struct buf *out, const struct junit_source *sources, unsigned int n,
	       const char *failure);

#endif
