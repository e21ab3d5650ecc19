/* SPDX-License-Identifier: MIT */
/*
 * A stack of levels, each a run of tests of one indentation. Results are appended as they come. A
 * result on a level ends all deeper ones, and what was found there becomes its own.
 */
#include "term/ktap.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "util/util.h"

/* ---- Tests ---- */

static char *copy(struct ktap *k, const char *text, size_t len)
{
	char *to = k->text + len > KTAP_TEXT ? NULL : malloc(len + 1);

	if (!to) {
		k->full = true;
		return NULL;
	}
	memcpy(to, text, len);
	to[len] = 0;
	k->text += len;
	return to;
}

static bool has_room(struct ktap *k)
{
	uint32_t cap = k->cap ? 2 * k->cap : 16;
	struct ktap_test *tests;

	if (k->n < k->cap)
		return true;
	tests = k->n < KTAP_TESTS ? realloc(k->tests, cap * sizeof(*tests)) : NULL;
	if (!tests) {
		k->full = true;
		return false;
	}
	k->tests = tests;
	k->cap = cap;
	return true;
}

/* Notes go with a test that has not passed, and are gone with one that has. */
static struct ktap_test *add_test(struct ktap *k, const char *name, enum ktap_status status,
				  const char *reason)
{
	struct ktap_test *t;

	if (!has_room(k))
		return NULL;
	t = &k->tests[k->n];
	*t = (struct ktap_test){ .parent = KTAP_NO_PARENT, .status = status };
	t->name = copy(k, name, strlen(name));
	if (!t->name)
		return NULL;
	if (reason && *reason)
		t->reason = copy(k, reason, strlen(reason));
	if (status != KTAP_PASS && k->notes_len)
		t->notes = copy(k, k->notes, k->notes_len);
	k->notes_len = 0;
	k->n++;
	return t;
}

static void note(struct ktap *k, const char *text)
{
	size_t len = strlen(text);

	if (!k->depth || k->notes_len + len + 1 > KTAP_NOTES)
		return;
	memcpy(k->notes + k->notes_len, text, len);
	k->notes[k->notes_len + len] = '\n';
	k->notes_len += len + 1;
}

/* ---- Levels ---- */

static struct ktap_level *top(struct ktap *k)
{
	return k->depth ? &k->levels[k->depth - 1] : NULL;
}

static void open_level(struct ktap *k, uint32_t indent, bool quoted)
{
	if (k->depth == KTAP_DEPTH) {
		k->full = true;
		return;
	}
	k->levels[k->depth++] =
		(struct ktap_level){ .indent = indent, .quoted = quoted, .first = k->n };
}

/* What a level's plan says beside what came. */
static void check_plan(struct ktap *k, const struct ktap_level *level)
{
	char text[96] = "";

	if (!level->has_plan && level->seen)
		snprintf(text, sizeof(text), "there is no plan: it is not known whether all ran");
	else if (!level->has_plan)
		snprintf(text, sizeof(text), "it began, and there is no result");
	else if (level->seen < level->plan)
		snprintf(text, sizeof(text), "%u tests were planned, %u have a result", level->plan,
			 level->seen);
	else if (level->seen > level->plan)
		snprintf(text, sizeof(text), "%u tests were planned, there are %u", level->plan,
			 level->seen);
	if (text[0])
		add_test(k, "plan", KTAP_ERROR, text);
}

/* From `first` on, those without a parent become children of the test that was just added. */
static void adopt(struct ktap *k, uint32_t first)
{
	uint32_t parent = k->n - 1;

	for (uint32_t i = first; i < parent; i++) {
		if (k->tests[i].parent != KTAP_NO_PARENT)
			continue;
		k->tests[i].parent = parent;
		k->tests[parent].children++;
	}
}

/*
 * Ends the deepest level. The result that its tests belong to may follow; where it cannot
 * (`orphaned`), they get a parent that says so.
 */
static void close_level(struct ktap *k, bool orphaned)
{
	struct ktap_level *level = top(k);
	uint32_t first = level->first;
	char *name = level->name;

	if (!k->full)
		check_plan(k, level);
	k->depth--;
	if (orphaned && k->depth && k->n > first &&
	    add_test(k, name ? name : "subtest", KTAP_ERROR, "it began, and there is no result"))
		adopt(k, first);
	free(name);
}

/* Levels deeper than this one have ended without the result that they belong to. */
static void close_deeper(struct ktap *k, uint32_t indent)
{
	while (k->depth && top(k)->indent > indent)
		close_level(k, true);
}

static void close_all(struct ktap *k)
{
	while (k->depth)
		close_level(k, true);
}

/* "KTAP version 1": the beginning of a level, or of all anew. */
static void take_version(struct ktap *k, uint32_t indent, bool quoted)
{
	close_deeper(k, indent);
	if (k->depth && top(k)->indent == indent) {
		/* "# Subtest: " stands before it in some. */
		if (!top(k)->seen && !top(k)->has_plan && top(k)->name)
			return;
		close_level(k, true);
	}
	open_level(k, indent, quoted);
	k->notes_len = 0;
}

/* The level that a plan or a result of this indentation belongs to. */
static struct ktap_level *level_at(struct ktap *k, uint32_t indent, bool quoted)
{
	if (!k->depth || top(k)->indent < indent)
		open_level(k, indent, quoted); /* too deep: it is the deepest one's then */
	return top(k);
}

/* ---- Lines ---- */

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

static const char *skip_digits(const char *text)
{
	while (isdigit((unsigned char)*text))
		text++;
	return text;
}

static bool is_version(const char *text)
{
	return (begins(text, "KTAP version ") && isdigit((unsigned char)text[13])) ||
	       (begins(text, "TAP version ") && isdigit((unsigned char)text[12]));
}

static bool is_plan(const char *text)
{
	const char *end;

	if (!begins(text, "1..") || !isdigit((unsigned char)text[3]))
		return false;
	end = skip_digits(text + 3);
	return !*end || *end == ' ';
}

/* "ok", "not ok", and then a number or "- ": KTAP wants the first. */
static const char *behind_ok(const char *text, bool *pass)
{
	*pass = begins(text, "ok");
	if (!*pass && !begins(text, "not ok"))
		return NULL;
	text += *pass ? 2 : 6;
	if (*text != ' ')
		return NULL;
	return isdigit((unsigned char)text[1]) || begins(text, " - ") ? text + 1 : NULL;
}

static bool is_tap(const char *text)
{
	bool pass;

	return is_version(text) || is_plan(text) || behind_ok(text, &pass) ||
	       begins(text, "Bail out!") || begins(text, "# Subtest: ");
}

static char *trim(char *text)
{
	size_t len;

	while (*text == ' ')
		text++;
	for (len = strlen(text); len && text[len - 1] == ' '; len--)
		text[len - 1] = 0;
	return text;
}

/*
 * What may stand behind " # ", and what it makes of a result.
 * kselftest's runner says TIMEOUT and exit=N.
 */
static const struct {
	const char *word;
	enum ktap_status pass, fail;
} directives[] = {
	{ "SKIP", KTAP_SKIP, KTAP_SKIP },     { "TODO", KTAP_SKIP, KTAP_SKIP },
	{ "XFAIL", KTAP_SKIP, KTAP_SKIP },    { "XPASS", KTAP_FAIL, KTAP_FAIL },
	{ "TIMEOUT", KTAP_ERROR, KTAP_FAIL }, { "ERROR", KTAP_ERROR, KTAP_ERROR },
	{ "exit=", KTAP_PASS, KTAP_FAIL },
};

/* A word that only begins like one is part of a name. */
static bool is_directive(const char *text, const char *word)
{
	size_t len = strlen(word);

	if (strncasecmp(text, word, len))
		return false;
	return word[len - 1] == '=' || !(isalnum((unsigned char)text[len]) || text[len] == '_');
}

/* Cuts the directive off `text` and returns it, with what it makes of `*status`; or NULL. */
static char *cut_directive(char *text, enum ktap_status *status)
{
	for (char *p = text; (p = strchr(p, '#')); p++) {
		char *word = p + 1 + strspn(p + 1, " ");

		if (p > text && p[-1] != ' ') /* "\#" is part of a name */
			continue;
		for (unsigned int i = 0; i < ARRAY_SIZE(directives); i++) {
			if (!is_directive(word, directives[i].word))
				continue;
			*p = 0;
			*status = *status == KTAP_PASS ? directives[i].pass : directives[i].fail;
			return trim(word);
		}
	}
	return NULL;
}

/*
 * Deeper levels have ended. The tests of the one just above are what this is the result of: returns
 * the first of them.
 */
static uint32_t close_for_result(struct ktap *k, uint32_t indent)
{
	uint32_t first = k->n;

	while (k->depth && top(k)->indent > indent) {
		first = top(k)->first;
		close_level(k, k->depth > 1 && k->levels[k->depth - 2].indent > indent);
	}
	return first;
}

/* Where one came twice another may be lost, and there be as many as were planned. Said once. */
static void check_number(struct ktap *k, struct ktap_level *level, const char *number)
{
	unsigned long n = strtoul(number, NULL, 10);
	char text[96];

	if (!isdigit((unsigned char)*number) || n == level->seen || level->astray)
		return;
	level->astray = true;
	snprintf(text, sizeof(text), "out of sequence: result %u has number %lu", level->seen, n);
	add_test(k, "numbers", KTAP_ERROR, text);
}

static void take_result(struct ktap *k, uint32_t indent, bool quoted, bool pass, char *text)
{
	uint32_t first = close_for_result(k, indent);
	struct ktap_level *level = level_at(k, indent, quoted);
	enum ktap_status status = pass ? KTAP_PASS : KTAP_FAIL;
	char *name = (char *)skip_digits(text);
	int digits = (int)MIN(name - text, (ptrdiff_t)10);
	char *directive = cut_directive(name, &status);
	char number[24];

	level->first = MIN(level->first, first);
	level->seen++;
	name = trim(name);
	if (*name == '-' && (name[1] == ' ' || !name[1]))
		name = trim(name + 1);
	snprintf(number, sizeof(number), "test %.*s", digits, text);
	if (add_test(k, *name ? name : number, status, directive))
		adopt(k, first);
	check_number(k, level, text);
}

static void take_plan(struct ktap *k, uint32_t indent, bool quoted, char *text)
{
	enum ktap_status status = KTAP_PASS;
	char *directive = cut_directive(text, &status);
	struct ktap_level *level;

	close_deeper(k, indent);
	level = level_at(k, indent, quoted);
	if (level->has_plan) { /* the next, without a version */
		close_level(k, true);
		level = level_at(k, indent, quoted);
	}
	level->has_plan = true;
	level->plan = (uint32_t)MIN(strtoul(text + 3, NULL, 10), (unsigned long)UINT32_MAX);
	if (!level->plan && directive && status == KTAP_SKIP)
		add_test(k, level->name ? level->name : "all", KTAP_SKIP, directive);
}

static void take_subtest(struct ktap *k, uint32_t indent, bool quoted, const char *name)
{
	struct ktap_level *level;

	close_deeper(k, indent);
	level = level_at(k, indent, quoted);
	if (level->seen || level->has_plan || level->name)
		return;
	level->name = copy(k, name, strlen(name));
}

static void bail_out(struct ktap *k, char *reason)
{
	add_test(k, "Bail out!", KTAP_ERROR, trim(reason));
	/* What did not run is known to be missing. */
	for (uint32_t i = 0; i < k->depth; i++) {
		k->levels[i].has_plan = true;
		k->levels[i].plan = k->levels[i].seen;
	}
	close_all(k);
}

static void take_tap(struct ktap *k, uint32_t indent, bool quoted, char *text)
{
	bool pass;
	const char *rest = behind_ok(text, &pass);

	if (rest)
		take_result(k, indent, quoted, pass, (char *)rest);
	else if (is_version(text))
		take_version(k, indent, quoted);
	else if (is_plan(text))
		take_plan(k, indent, quoted, text);
	else if (begins(text, "Bail out!"))
		bail_out(k, text + 9);
	else
		take_subtest(k, indent, quoted, text + 11);
}

/* printk's "<6>", "[    1.234567]" and "[    T1]". One space behind them is theirs. */
static char *skip_stamp(char *line)
{
	char *p = line, *end;
	bool any = false;

	if (*p == '<' && isdigit((unsigned char)p[1]) && (end = strchr(p, '>')) && end < p + 5)
		p = end + 1;
	while (*p == '[' && (end = strchr(p, ']')) &&
	       strspn(p + 1, "0123456789. TC") == (size_t)(end - p - 1) && end - p > 2) {
		p = end + 1;
		any = true;
	}
	return any && *p == ' ' ? p + 1 : p;
}

/* May a line that is quoted by "# " be more than a remark? */
static bool quotes(struct ktap *k, const char *text)
{
	if (is_version(text))
		return true;
	for (uint32_t i = 0; i < k->depth; i++) {
		if (k->levels[i].quoted)
			return is_tap(text);
	}
	return false;
}

static void take_line(struct ktap *k)
{
	char *text, *line;
	uint32_t indent;
	bool quoted = false;

	k->line[k->len] = 0;
	k->len = 0;
	line = skip_stamp(k->line);
	text = line + strspn(line, " ");
	while (begins(text, "# ") && quotes(k, text + 2 + strspn(text + 2, " #"))) {
		quoted = true;
		text += 2 + strspn(text + 2, " ");
	}
	indent = (uint32_t)(text - line);
	/* KUnit's "    # Subtest: " is no remark. */
	if (is_tap(text))
		take_tap(k, indent, quoted, text);
	else if (*text)
		note(k, line);
}

void ktap_feed(struct ktap *k, const void *data, size_t len)
{
	const char *p = data;

	for (size_t i = 0; i < len; i++) {
		if (p[i] == '\n' || p[i] == '\r')
			take_line(k);
		else if (k->len < KTAP_LINE - 1)
			k->line[k->len++] = p[i] ? p[i] : ' ';
	}
}

void ktap_end(struct ktap *k)
{
	take_line(k);
	close_all(k);
}

bool ktap_is_bad(const struct ktap_test *t)
{
	return t->status == KTAP_FAIL || t->status == KTAP_ERROR;
}

struct ktap *ktap_create(void)
{
	return calloc(1, sizeof(struct ktap));
}

void ktap_destroy(struct ktap *k)
{
	if (!k)
		return;
	for (uint32_t i = 0; i < k->n; i++) {
		free(k->tests[i].name);
		free(k->tests[i].reason);
		free(k->tests[i].notes);
	}
	for (uint32_t i = 0; i < k->depth; i++)
		free(k->levels[i].name);
	free(k->tests);
	free(k);
}
