/* SPDX-License-Identifier: MIT */
/*
 * Results of tests in any text: a forest that is sound, the same however the text is split; and JUnit's XML of it,
 * read by a reader that knows just what we write: its elements nest, and its counts are those of its cases.
 */
#include "term/ktap.h"

#include "cmd/junit.h"
#include "tests/fuzz/fuzz.h"
#include "util/json.h"
#include "util/utf8.h"

static void check_forest(const struct ktap *k)
{
	uint32_t children = 0;

	CHECK(k->n <= KTAP_TESTS && k->text <= KTAP_TEXT && !k->depth);
	for (uint32_t i = 0; i < k->n; i++) {
		const struct ktap_test *t = &k->tests[i];

		CHECK(t->name && t->status <= KTAP_ERROR);
		CHECK(t->parent == KTAP_NO_PARENT || (t->parent > i && t->parent < k->n));
		children += t->parent != KTAP_NO_PARENT;
	}
	for (uint32_t i = 0; i < k->n; i++)
		children -= k->tests[i].children;
	CHECK(!children);
}

static unsigned int number_at(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	CHECK(at);
	return (unsigned int)strtoul(at + strlen(name), NULL, 10);
}

static unsigned int occurrences(const char *text, const char *of)
{
	unsigned int n = 0;

	for (; (text = strstr(text, of)); text++)
		n++;
	return n;
}

/* '<' and '&' are ours alone, and so are quotes: the rest is escaped, and text of XML. */
static void check_xml(const char *xml, size_t len)
{
	CHECK(strlen(xml) == len);
	for (size_t at = 0; at < len;) {
		uint32_t code;
		size_t n = utf8_next((const uint8_t *)xml + at, len - at, &code);

		CHECK(n && (code >= 0x20 || code == '\n' || code == '\t'));
		CHECK(code != 0xfffe && code != 0xffff);
		at += n;
	}
	CHECK(occurrences(xml, "<testcase") == number_at(xml, " tests=\""));
	CHECK(occurrences(xml, "<failure") == number_at(xml, " failures=\""));
	CHECK(occurrences(xml, "<error") == number_at(xml, " errors=\""));
	CHECK(occurrences(xml, "<skipped") == number_at(xml, " skipped=\""));
	CHECK(occurrences(xml, "<testsuite ") == occurrences(xml, "</testsuite>"));
	CHECK(occurrences(xml, "\"") % 2 == 0);
	CHECK(number_at(xml, " tests=\"") > 0);
}

static void check_json(const uint8_t *data, size_t len)
{
	struct buf b = { 0 };
	struct json j = { .out = &b };

	json_bytes(&j, NULL, data, len);
	CHECK(b.len >= 2 && b.data[0] == '"' && b.data[b.len - 1] == '"');
	for (size_t at = 1; at < b.len - 1;) {
		uint32_t code;
		size_t n = utf8_next(b.data + at, b.len - 1 - at, &code);

		CHECK(n && code >= 0x20 && code != '"');
		at += code == '\\' ? 2 : n; /* "\u00e4": the digits are plain */
	}
	buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	size_t piece = 1 + take_u8(&in);
	uint8_t *text = heap_copy(in.p, in.left);
	struct ktap *k = ktap_create(), *split = ktap_create();
	struct junit_source sources[] = { { "stdout", k }, { "console", split } };
	struct buf xml = { 0 };

	CHECK(k && split);
	ktap_feed(k, text, in.left);
	for (size_t at = 0; at < in.left; at += piece)
		ktap_feed(split, text + at, MIN(piece, in.left - at));
	ktap_end(k);
	ktap_end(split);
	check_forest(k);
	CHECK(k->n == split->n && k->text == split->text);
	junit_put(&xml, sources, 2, piece & 1 ? "why" : NULL);
	buf_put_u8(&xml, 0);
	CHECK(!xml.failed);
	check_xml((char *)xml.data, xml.len - 1);
	check_json(text, in.left);
	buf_free(&xml);
	ktap_destroy(k);
	ktap_destroy(split);
	free(text);
	return 0;
}
