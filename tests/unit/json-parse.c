/* SPDX-License-Identifier: MIT */
/* util/json-parse: what is JSON, what is not, and what it comes to. */
#include "util/json-parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/tap.h"
#include "util/util.h"

static int parse(struct json_tree *t, const char *text)
{
	struct err err;

	return json_parse(t, text, strlen(text), &err);
}

static void test_good(void)
{
	static const char *const good[] = {
		"null",
		"true",
		"false",
		"0",
		"-0",
		"-1",
		"1.5",
		"1e9",
		"1E+9",
		"0.5e-3",
		"123456789012345678901234567890",
		"\"\"",
		"[]",
		"{}",
		"[[],{}]",
		" \t\r\n{ \"a\" : [ 1 , 2 ] , \"b\" : { } } \n",
		"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\udc27\"",
		"\"\xc3\xa9\x7f\"",
		"{\"a\":{\"a\":1},\"b\":{\"a\":1}}",
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(good); i++) {
		struct json_tree t;
		int rc = parse(&t, good[i]);

		ok(!rc && t.n && t.values[0].end == t.n, "JSON %u", i);
		json_free(&t);
	}
}

static void test_bad(void)
{
	static const char *const bad[] = {
		"",
		" ",
		"nul",
		"nulll",
		"True",
		"+1",
		"01",
		"-",
		"1.",
		".5",
		"1e",
		"1e+",
		"0x10",
		"NaN",
		"1 2",
		"{}{}",
		"'a'",
		"\"",
		"\"a",
		"\"\\",
		"\"\\x\"",
		"\"\\u12\"",
		"\"\\u12g4\"",
		"\"\\u0000\"",
		"\"\\ud800\"",
		"\"\\udc00\"",
		"\"\\ud800x\"",
		"\"\\ud800\\u0041\"",
		"\"\n\"",
		"\"\x01\"",
		"\"\xff\"",
		"\"\xc0\x80\"",
		"\"\xed\xa0\x80\"",
		"\xef\xbb\xbf{}",
		"[",
		"[1",
		"[1,",
		"[1,]",
		"[,1]",
		"[1 2]",
		"]",
		"{",
		"{\"a\"",
		"{\"a\":",
		"{\"a\":1",
		"{\"a\":1,",
		"{\"a\":1,}",
		"{a:1}",
		"{1:1}",
		"{\"a\" 1}",
		"{\"a\":1]",
		"{\"a\":1,\"a\":2}",
		"{\"a\":1,\"\\u0061\":2}",
		"[1}",
		"/**/1",
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		struct json_tree t;

		ok(parse(&t, bad[i]) == -EINVAL && !t.values && !t.strings, "no JSON: %u", i);
	}
}

static void test_tree(void)
{
	static const char text[] =
		"{\"execute\":\"stop\",\"id\":[1, \"x\"],\"n\":-9223372036854775808,"
		"\"big\":9223372036854775808,\"s\":\"\\u20ac\\ud83d\\udc27\"}";
	const struct json_value *root, *id, *v;
	struct json_tree t;
	int64_t n = 0;

	ok(!parse(&t, text), "a tree");
	root = t.values;
	ok(!strcmp(json_get_string(&t, root, "execute"), "stop"), "a string");
	ok(json_get_int(&t, root, "n", &n) && n == INT64_MIN, "the least number");
	ok(!json_get_int(&t, root, "big", &n) && json_get(&t, root, "big")->type == JSON_REAL,
	   "one beyond 64 bits");
	ok(!strcmp(json_get_string(&t, root, "s"), "\xe2\x82\xac\xf0\x9f\x90\xa7"), "escapes");
	ok(!json_get(&t, root, "exec") && !json_get_string(&t, root, "id"), "what is not there");
	id = json_get(&t, root, "id");
	ok(id->to - id->from == 8 && !memcmp(text + id->from, "[1, \"x\"]", 8), "its own text");
	v = json_first(&t, id);
	ok(v && v->number == 1, "the first element");
	v = json_next(&t, id, v);
	ok(v && !strcmp(v->string, "x") && !json_next(&t, id, v), "the second and last");
	ok(!json_get(&t, id, "x") && !json_get(&t, NULL, "x") && !json_first(&t, v), "no object");
	json_free(&t);
}

/* `n` times `what`, in between `before` and `after`. */
static int parse_many(const char *before, const char *what, unsigned int n, const char *after)
{
	size_t each = strlen(what), len = strlen(before) + n * each + strlen(after);
	char *text = malloc(len + 1), *at = stpcpy(text, before);
	struct json_tree t;
	int rc;

	for (unsigned int i = 0; i < n; i++, at += each)
		memcpy(at, what, each);
	strcpy(at, after);
	rc = parse(&t, text);
	if (!rc)
		json_free(&t);
	free(text);
	return rc;
}

static void test_limits(void)
{
	char text[16 * (JSON_MEMBERS_MAX + 1)];
	struct json_tree t;
	size_t len = 0;

	ok(parse_many("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "", 0,
		      "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]") == 0,
	   "32 levels");
	ok(parse_many("", "[", 33, "") == -E2BIG, "33 levels");
	ok(parse_many("", "[", 1000000, "") == -E2BIG, "a million levels");
	ok(!parse_many("[0", ",0", JSON_VALUES_MAX - 2, "]"), "as many values as can be");
	ok(parse_many("[0", ",0", JSON_VALUES_MAX - 1, "]") == -E2BIG, "one more");
	ok(!parse_many("\"", "a", JSON_TEXT_MAX - 2, "\""), "as long as can be");
	ok(parse_many("\"", "a", JSON_TEXT_MAX - 1, "\"") == -E2BIG, "one byte more");
	for (int i = 0; i <= JSON_MEMBERS_MAX; i++)
		len += (size_t)sprintf(text + len, "%s\"%d\":0", i ? "," : "{", i);
	strcpy(text + len, "}");
	ok(parse(&t, text) == -E2BIG, "too many members");
}

int main(void)
{
	test_good();
	test_bad();
	test_tree();
	test_limits();
	return done_testing();
}
