/* SPDX-License-Identifier: MIT */
/* Results of tests: what term/ktap makes of streams, and cmd/junit of that. */
#include "term/ktap.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/junit.h"
#include "tests/unit/tap.h"
#include "util/util.h"

/* What is expected is written as "name:S:parent" with S of "+-~!", children before parents. */
static const char *const marks[] = { "+", "-", "~", "!" };

static const struct {
	const char *what, *text, *wanted;
} cases[] = {
	{ "kselftest",
	  "TAP version 13\n1..3\n# a remark\nok 1 one\nnot ok 2 two\nok 3 # SKIP needs root\n",
	  "one:+ two:- test 3:~" },
	{ "KTAP", "KTAP version 1\n1..2\nok 1 one\nok 2 - two words\n", "one:+ two words:+" },
	{ "CRs", "KTAP version 1\r\n1..1\r\nok 1 one\r\n", "one:+" },
	{ "no end of the last line", "KTAP version 1\n1..1\nok 1 one", "one:+" },
	{ "a plan at the end", "TAP version 13\nok 1 one\nok 2 two\n1..2\n", "one:+ two:+" },
	{ "no version", "1..1\nok 1 one\n", "one:+" },
	{ "neither version nor plan first", "ok 1 one\n1..1\n", "one:+" },
	{ "no numbers", "TAP version 13\n1..2\nok - one\nnot ok - two\n", "one:+ two:-" },
	{ "TODO", "1..1\nnot ok 1 one # TODO later\n", "one:~" },
	{ "XFAIL", "1..2\nnot ok 1 one # XFAIL known\nok 2 # XFAIL known\n", "one:~ test 2:~" },
	{ "XPASS", "1..1\nok 1 # XPASS odd\n", "test 1:-" },
	{ "a skip in small letters", "1..2\nok 1 one # skip, no\nnot ok 2 two # SKIP\n",
	  "one:~ two:~" },
	{ "a number sign in a name", "1..3\nok 1 a #1\nok 2 b \\# SKIP\nok 3 c#SKIP\n",
	  "a #1:+ b \\# SKIP:+ c#SKIP:+" },
	{ "what kselftest's runner says",
	  "1..2\nnot ok 1 selftests: a: b # exit=1\nnot ok 2 selftests: a: c # TIMEOUT 45 seconds\n",
	  "selftests: a: b:- selftests: a: c:-" },
	{ "all skipped", "TAP version 13\n1..0 # SKIP no such device\n", "all:~" },
	{ "none planned", "TAP version 13\n1..0\n", "" },

	{ "KUnit",
	  "KTAP version 1\n1..2\n    KTAP version 1\n    # Subtest: first\n    # module: x\n    1..2\n"
	  "    ok 1 a\n    # b: EXPECTATION FAILED at x.c:1\n    not ok 2 b\n# first: pass:1 fail:1\n"
	  "not ok 1 first\n    KTAP version 1\n    # Subtest: second\n    1..1\n    ok 1 a\nok 2 second\n",
	  "a:+:first b:-:first first:- a:+:second second:+" },
	{ "KUnit's parameters",
	  "KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: s\n    1..1\n        KTAP version 1\n"
	  "        # Subtest: t\n        ok 1 p\n        ok 2 q # SKIP no\n        1..2\n    ok 1 t\nok 1 s\n",
	  "p:+:t q:~:t t:+:s s:+" },
	{ "KUnit of Linux 5.10",
	  "TAP version 14\n1..1\n    # Subtest: s\n    1..1\n    ok 1 - a\nok 1 - s\n",
	  "a:+:s s:+" },
	{ "KTAP's two spaces", "KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n  ok 1 a\nok 1 s\n",
	  "a:+:s s:+" },
	{ "a log with time stamps",
	  "[    1.000000] KTAP version 1\n[    1.000001] 1..1\n[    1.000002]     KTAP version 1\n"
	  "[    1.000003]     # Subtest: s\n[    1.000004]     1..1\n[    1.000005] random: crng done\n"
	  "[    1.000006][    T1]     ok 1 a\n<6>[    1.000007] ok 1 s\nlogin: \n",
	  "a:+:s s:+" },
	{ "kselftest's quotes",
	  "TAP version 13\n1..1\n# selftests: x: y\n# TAP version 13\n# 1..2\n# ok 1 a\n# not ok 2 b\n"
	  "not ok 1 selftests: x: y # exit=1\n",
	  "a:+:selftests: x: y b:-:selftests: x: y selftests: x: y:-" },
	{ "a remark that looks like a result", "TAP version 13\n1..1\n# ok 1 a\nok 1 one\n",
	  "one:+" },
	{ "one after the other", "TAP version 13\n1..1\nok 1 a\nTAP version 13\n1..1\nok 1 b\n",
	  "a:+ b:+" },
	{ "text before and behind",
	  "hello\n  ok then\nok\n1..\nKTAP version 1\n1..1\nok 1 a\nbye\n", "a:+" },

	{ "fewer than planned", "KTAP version 1\n1..3\nok 1 a\n", "a:+ plan:!" },
	{ "more than planned", "KTAP version 1\n1..1\nok 1 a\nok 2 b\n", "a:+ b:+ plan:!" },
	{ "no plan", "KTAP version 1\nok 1 a\n", "a:+ plan:!" },
	{ "nothing behind the version", "KTAP version 1\n", "plan:!" },
	{ "nothing behind the plan", "1..2\n", "plan:!" },
	{ "bail out", "TAP version 13\n1..3\nok 1 a\nBail out! no device\nok 1 b\n1..1\n",
	  "a:+ Bail out!:! b:+" },
	{ "it ends in the midst",
	  "KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: s\n    1..2\n    ok 1 a\n",
	  "a:+:s plan:!:s s:! plan:!" },
	{ "a subtest without a result",
	  "KTAP version 1\n1..2\n    # Subtest: s\n    1..1\n    ok 1 a\n"
	  "KTAP version 1\n1..1\nok 1 b\n",
	  "a:+:s s:! plan:! b:+" },
	{ "nothing", "", "" },
	{ "words that only begin like a directive",
	  "1..3\nnot ok 1 a # todos\nok 2 b # skipped entries\nnot ok 3 c # XFAILED_list\n",
	  "a # todos:- b # skipped entries:+ c # XFAILED_list:-" },
	{ "a number that comes twice", "1..3\nok 1 a\nok 3 c\nok 3 c\n", "a:+ c:+ numbers:! c:+" },
	{ "the first again", "1..2\nok 1 a\nok 1 a\n", "a:+ a:+ numbers:!" },
	{ "numbers of two streams", "1..1\nok 1 a\n1..2\nok 1 b\nok 2 c\n", "a:+ b:+ c:+" },
};

static void describe(const struct ktap *k, char *out, size_t size)
{
	size_t len = 0;

	*out = 0;
	for (uint32_t i = 0; i < k->n; i++) {
		const struct ktap_test *t = &k->tests[i];

		len += (size_t)snprintf(out + len, size - len, "%s%s:%s", i ? " " : "", t->name,
					marks[t->status]);
		if (t->parent != KTAP_NO_PARENT)
			len += (size_t)snprintf(out + len, size - len, ":%s",
						k->tests[t->parent].name);
	}
}

static void test_cases(void)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t at = 0, len = strlen(cases[i].text);
		char got[512];
		bool same = true;

		for (; same && at <= len; at++) {
			struct ktap *k = ktap_create();

			ktap_feed(k, cases[i].text, at);
			ktap_feed(k, cases[i].text + at, len - at);
			ktap_end(k);
			describe(k, got, sizeof(got));
			same = !strcmp(got, cases[i].wanted) && !k->full;
			ktap_destroy(k);
		}
		ok(same, "%s", cases[i].what);
		if (!same)
			printf("# got '%s', wanted '%s'\n", got, cases[i].wanted);
	}
}

static const char failing[] = "KTAP version 1\n1..3\nnoise\nok 1 a\n    # b: EXPECTATION FAILED\n"
			      "    Expected 1 == 2\nnot ok 2 b # exit=3\nnot ok 3 c\n";

static void test_notes(void)
{
	struct ktap *k = ktap_create();

	ktap_feed(k, failing, strlen(failing));
	ktap_end(k);
	ok(k->n == 3 && !k->tests[0].notes, "what has passed has no notes");
	ok(k->tests[1].notes &&
		   !strcmp(k->tests[1].notes, "    # b: EXPECTATION FAILED\n    Expected 1 == 2\n"),
	   "what has failed has those before it");
	ok(k->tests[1].reason && !strcmp(k->tests[1].reason, "exit=3"), "and a reason");
	ok(!k->tests[2].notes, "but once");
	ktap_destroy(k);
}

static void test_bounds(void)
{
	struct ktap *k = ktap_create();
	char line[8192];

	memset(line, 'x', sizeof(line));
	for (unsigned int i = 0; i < KTAP_TESTS + 100; i++)
		ktap_feed(k, "not ok 1 a\n", 11);
	ktap_feed(k, line, sizeof(line));
	ktap_end(k);
	ok(k->n == KTAP_TESTS && k->full, "no more than so many tests, and it is known");
	ktap_destroy(k);

	k = ktap_create();
	for (unsigned int i = 0; i < 4000; i++) {
		ktap_feed(k, "not ok 1 ", 9);
		ktap_feed(k, line, sizeof(line));
		for (unsigned int j = 0; j < 10; j++) {
			ktap_feed(k, "\n#", 2);
			ktap_feed(k, line, sizeof(line));
		}
		ktap_feed(k, "\n", 1);
	}
	ktap_end(k);
	ok(k->full && k->text <= KTAP_TEXT, "no more than so much text");
	ktap_destroy(k);

	k = ktap_create();
	for (unsigned int i = 0; i < 200; i++) {
		char head[256];

		memset(head, ' ', sizeof(head));
		ktap_feed(k, head, i);
		ktap_feed(k, "KTAP version 1\n", 15);
	}
	ktap_end(k);
	ok(k->full && k->depth == 0, "no deeper than so");
	ktap_destroy(k);
}

/* ---- JUnit ---- */

static struct buf junit_of(const char *text, const char *failure)
{
	struct ktap *k = ktap_create();
	struct junit_source source = { "stdout", k };
	struct buf out = { 0 };

	ktap_feed(k, text, strlen(text));
	ktap_end(k);
	junit_put(&out, &source, 1, failure);
	buf_put_u8(&out, 0);
	ktap_destroy(k);
	return out;
}

static void check_junit(const char *what, const char *text, const char *failure, const char *wanted)
{
	struct buf out = junit_of(text, failure);

	ok(strstr((char *)out.data, wanted), "%s", what);
	if (!strstr((char *)out.data, wanted))
		printf("# %s\n", out.data);
	buf_free(&out);
}

static void test_junit(void)
{
	const char *all = "<testsuites name=\"lkvm\" tests=\"3\" failures=\"1\" errors=\"0\" "
			  "skipped=\"1\">";

	check_junit("counts", cases[0].text, NULL, all);
	check_junit("a suite for what is in no other", cases[0].text, NULL,
		    "<testsuite name=\"stdout\" tests=\"3\" failures=\"1\" errors=\"0\" "
		    "skipped=\"1\">");
	check_junit("a suite for each that has others in it", cases[17].text, NULL,
		    "<testsuite name=\"s.t\" tests=\"2\" failures=\"0\" errors=\"0\" "
		    "skipped=\"1\">");
	check_junit("a case that passes", cases[0].text, NULL,
		    "<testcase classname=\"stdout\" name=\"one\"/>");
	check_junit("a case that is skipped", cases[0].text, NULL,
		    "name=\"test 3\"><skipped message=\"SKIP needs root\"></skipped></testcase>");
	check_junit("notes", failing, NULL,
		    "<failure message=\"exit=3\">    # b: EXPECTATION FAILED&#10;");
	check_junit("bytes that are no text", "1..1\nnot ok 1 a<&>\"\x01\xff\xed\xa0\x80\n", NULL,
		    "name=\"a&lt;&amp;&gt;&quot;\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	check_junit("UTF-8 stays", "1..1\nok 1 \xc3\xa9\xf0\x9f\x90\xa7\n", NULL,
		    "name=\"\xc3\xa9\xf0\x9f\x90\xa7\"");
	check_junit("no test is an error", "hello\n", NULL,
		    "tests=\"1\" failures=\"0\" errors=\"1\"");
	check_junit("a run that failed is one, too", "1..1\nok 1 a\n", "the guest <died>",
		    "<error message=\"the guest &lt;died&gt;\"></error>");
	check_junit("a suite that fails though nothing in it does",
		    "KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n  ok 1 a\nnot ok 1 s\n", NULL,
		    "<testsuite name=\"s\" tests=\"2\" failures=\"1\"");
}

int main(void)
{
	test_cases();
	test_notes();
	test_bounds();
	test_junit();
	return done_testing();
}
