/* SPDX-License-Identifier: MIT */
/* JSON that a peer sent (util/json-parse.h): values lie in the text, one in another, strings are UTF-8. */
#include "util/json-parse.h"

#include <errno.h>

#include "tests/fuzz/fuzz.h"
#include "util/utf8.h"

static void check_string(const char *s)
{
	size_t len = strlen(s);
	uint32_t code;

	for (size_t at = 0, n; at < len; at += n) {
		n = utf8_next((const uint8_t *)s + at, len - at, &code);
		CHECK(n);
	}
}

/* `in` has its index for the check that it ends where its last child does. */
static void check(const struct json_tree *t, const struct json_value *in, uint32_t depth)
{
	uint32_t end = (uint32_t)(in - t->values) + 1;

	CHECK(depth <= JSON_DEPTH_MAX && in->from < in->to);
	if (in->type == JSON_STRING)
		check_string(in->string);
	for (const struct json_value *v = json_first(t, in); v; v = json_next(t, in, v)) {
		const struct json_value *of = in->type == JSON_OBJECT ? v + 1 : v;

		CHECK((uint32_t)(v - t->values) == end);
		CHECK(v->from > in->from && of->to < in->to);
		if (of != v) {
			check(t, v, depth);
			CHECK(json_get(t, in, v->string) == of);
		}
		check(t, of, depth + 1);
		end = of->end;
	}
	CHECK(in->end == end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *text = heap_copy(data, size);
	struct json_tree t;
	struct err err;
	int rc = json_parse(&t, text, size, &err);

	CHECK(!rc || rc == -EINVAL || rc == -E2BIG);
	if (!rc) {
		check(&t, t.values, 0);
		CHECK(t.values[0].end == t.n);
		json_free(&t);
	}
	free(text);
	return 0;
}
