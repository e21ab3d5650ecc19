/* SPDX-License-Identifier: MIT */
#include "util/json-parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/utf8.h"
#include "util/util.h"

#define FIRST_VALUES 32

struct parser {
	const uint8_t *text;
	uint32_t len, at;
	uint32_t depth;
	uint32_t room;	  /* of values */
	char *string_end; /* where the next string goes: never longer than it is in the text */
	struct json_tree *tree;
	struct err *err;
};

static int bad(struct parser *p, const char *what)
{
	return err_set(p->err, EINVAL, "JSON: %s at byte %u", what, p->at);
}

static int too_much(struct parser *p, const char *what, uint32_t limit)
{
	return err_set(p->err, E2BIG, "JSON: more than %u %s", limit, what);
}

static int peek(const struct parser *p)
{
	return p->at < p->len ? p->text[p->at] : -1;
}

static void skip_space(struct parser *p)
{
	while (p->at < p->len && memchr(" \t\r\n", p->text[p->at], 4))
		p->at++;
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

/* The index of a new value, which begins here, or -errno. The table may move. */
static int64_t new_value(struct parser *p, enum json_type type)
{
	struct json_tree *t = p->tree;
	struct json_value *more;

	if (t->n == JSON_VALUES_MAX)
		return too_much(p, "values", JSON_VALUES_MAX);
	if (t->n == p->room) {
		p->room = p->room ? 2 * p->room : FIRST_VALUES;
		more = realloc(t->values, p->room * sizeof(*more));
		if (!more)
			return err_set(p->err, ENOMEM, "JSON: no memory");
		t->values = more;
	}
	t->values[t->n] = (struct json_value){ .type = type, .from = p->at };
	return t->n++;
}

static void end_value(struct parser *p, int64_t index)
{
	p->tree->values[index].to = p->at;
	p->tree->values[index].end = p->tree->n;
}

/* ---- Strings ---- */

static int hex4(struct parser *p, uint32_t *code)
{
	*code = 0;
	for (int i = 0; i < 4; i++) {
		int c = peek(p);
		int digit = is_digit(c)		   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
			    : c >= 'A' && c <= 'F' ? c - 'A' + 10
						   : -1;

		if (digit < 0)
			return bad(p, "no four hexadecimal digits");
		*code = *code << 4 | (uint32_t)digit;
		p->at++;
	}
	return 0;
}

/* Behind \u; of characters past 16 bits the two halves. */
static int unicode(struct parser *p, uint32_t *code)
{
	uint32_t low;
	int rc = hex4(p, code);

	if (rc || *code < 0xd800 || *code > 0xdfff)
		return rc ? rc : *code ? 0 : bad(p, "a 0 in a string");
	if (*code >= 0xdc00 || peek(p) != '\\' || p->at + 1 >= p->len || p->text[p->at + 1] != 'u')
		return bad(p, "half a character");
	p->at += 2;
	rc = hex4(p, &low);
	if (!rc && (low < 0xdc00 || low > 0xdfff))
		rc = bad(p, "half a character");
	*code = 0x10000 + ((*code & 0x3ff) << 10 | (low & 0x3ff));
	return rc;
}

static void put_utf8(struct parser *p, uint32_t code)
{
	unsigned int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
	static const uint8_t marks[] = { 0, 0xc0, 0xe0, 0xf0 };

	*p->string_end++ = (char)(marks[more] | code >> (6 * more));
	while (more--)
		*p->string_end++ = (char)(0x80 | ((code >> (6 * more)) & 0x3f));
}

static int escape(struct parser *p)
{
	static const char names[] = "\"\\/bfnrtu", meant[] = "\"\\/\b\f\n\r\t";
	int c = peek(p);
	const char *name = c > 0 ? strchr(names, c) : NULL;
	uint32_t code;
	int rc;

	if (!name)
		return bad(p, "no such escape");
	p->at++;
	if (c != 'u') {
		*p->string_end++ = meant[name - names];
		return 0;
	}
	rc = unicode(p, &code);
	if (!rc)
		put_utf8(p, code);
	return rc;
}

static int character(struct parser *p)
{
	uint32_t code;
	size_t len = utf8_next(p->text + p->at, p->len - p->at, &code);

	if (!len)
		return bad(p, "no UTF-8");
	if (code < 0x20)
		return bad(p, "a control character in a string");
	memcpy(p->string_end, p->text + p->at, len);
	p->string_end += len;
	p->at += (uint32_t)len;
	return 0;
}

static int string(struct parser *p)
{
	int64_t index = new_value(p, JSON_STRING);
	const char *begin = p->string_end;
	int rc = 0;

	if (index < 0)
		return (int)index;
	p->at++;
	while (!rc && peek(p) != '"') {
		if (peek(p) < 0)
			return bad(p, "a string without an end");
		if (peek(p) == '\\') {
			p->at++;
			rc = escape(p);
		} else {
			rc = character(p);
		}
	}
	if (rc)
		return rc;
	*p->string_end++ = 0;
	p->at++;
	end_value(p, index);
	p->tree->values[index].string = begin;
	return 0;
}

/* ---- Numbers and words ---- */

static int digits(struct parser *p)
{
	if (!is_digit(peek(p)))
		return bad(p, "no digit");
	while (is_digit(peek(p)))
		p->at++;
	return 0;
}

/* False: it is beyond 64 bits. */
static bool whole(const uint8_t *text, uint32_t len, int64_t *out)
{
	bool minus = text[0] == '-';
	int64_t n = 0;

	for (uint32_t i = minus; i < len; i++) {
		int digit = text[i] - '0';

		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, minus ? -digit : digit, &n))
			return false;
	}
	*out = n;
	return true;
}

static int number(struct parser *p)
{
	int64_t index = new_value(p, JSON_REAL);
	uint32_t from = p->at;
	struct json_value *v;
	bool real = false;
	int rc = 0;

	if (index < 0)
		return (int)index;
	p->at += peek(p) == '-';
	if (peek(p) == '0')
		p->at++;
	else
		rc = digits(p);
	if (!rc && peek(p) == '.') {
		real = true;
		p->at++;
		rc = digits(p);
	}
	if (!rc && (peek(p) == 'e' || peek(p) == 'E')) {
		real = true;
		p->at++;
		p->at += peek(p) == '+' || peek(p) == '-';
		rc = digits(p);
	}
	if (rc)
		return rc;
	end_value(p, index);
	v = &p->tree->values[index];
	if (!real && whole(p->text + from, p->at - from, &v->number))
		v->type = JSON_INT;
	return 0;
}

static int word(struct parser *p)
{
	static const struct {
		const char *word;
		enum json_type type;
	} words[] = { { "null", JSON_NULL }, { "true", JSON_BOOL }, { "false", JSON_BOOL } };

	for (unsigned int i = 0; i < ARRAY_SIZE(words); i++) {
		uint32_t len = (uint32_t)strlen(words[i].word);
		int64_t index;

		if (!range_in(p->at, len, p->len) || memcmp(p->text + p->at, words[i].word, len))
			continue;
		index = new_value(p, words[i].type);
		if (index < 0)
			return (int)index;
		p->tree->values[index].yes = i == 1;
		p->at += len;
		end_value(p, index);
		return 0;
	}
	return bad(p, "no value");
}

/* ---- Arrays and objects ---- */

static int value(struct parser *p);

static int check_name(struct parser *p, int64_t object, uint32_t name)
{
	const struct json_value *v = p->tree->values;
	uint32_t members = 1;

	for (uint32_t i = (uint32_t)object + 1; i < name; i = v[i + 1].end, members++) {
		if (!strcmp(v[i].string, v[name].string))
			return bad(p, "a second member of one name");
	}
	return members > JSON_MEMBERS_MAX ? too_much(p, "members in an object", JSON_MEMBERS_MAX)
					  : 0;
}

/* "name": */
static int member_name(struct parser *p, int64_t object)
{
	uint32_t name = p->tree->n;
	int rc = peek(p) == '"' ? string(p) : bad(p, "no member's name");

	if (!rc)
		rc = check_name(p, object, name);
	skip_space(p);
	if (!rc && peek(p) != ':')
		rc = bad(p, "no colon");
	p->at++;
	return rc;
}

static int collection(struct parser *p, enum json_type type)
{
	const char close = type == JSON_OBJECT ? '}' : ']';
	int64_t index = new_value(p, type);
	int rc = 0;

	if (index < 0)
		return (int)index;
	if (p->depth == JSON_DEPTH_MAX)
		return too_much(p, "levels", JSON_DEPTH_MAX);
	p->depth++;
	p->at++;
	skip_space(p);
	for (bool more = peek(p) != close; !rc && more; p->at += more) {
		skip_space(p);
		if (type == JSON_OBJECT)
			rc = member_name(p, index);
		if (!rc)
			rc = value(p);
		if (rc)
			return rc;
		skip_space(p);
		more = peek(p) == ',';
	}
	if (peek(p) != close)
		return bad(p, type == JSON_OBJECT ? "an object without an end"
						  : "an array without an end");
	p->at++;
	p->depth--;
	end_value(p, index);
	return 0;
}

static int value(struct parser *p)
{
	skip_space(p);
	switch (peek(p)) {
	case '{':
		return collection(p, JSON_OBJECT);
	case '[':
		return collection(p, JSON_ARRAY);
	case '"':
		return string(p);
	case '-':
	case '0' ... '9':
		return number(p);
	default:
		return word(p);
	}
}

/* ---- The whole ---- */

int json_parse(struct json_tree *tree, const void *text, size_t len, struct err *err)
{
	struct parser p = { .text = text, .len = (uint32_t)len, .tree = tree, .err = err };
	int rc;

	*tree = (struct json_tree){ 0 };
	if (len > JSON_TEXT_MAX)
		return too_much(&p, "bytes", JSON_TEXT_MAX);
	/* A string's two quotes are room for its 0. */
	tree->strings = p.string_end = malloc(len + 1);
	if (!tree->strings)
		return err_set(err, ENOMEM, "JSON: no memory");
	rc = value(&p);
	skip_space(&p);
	if (!rc && p.at < p.len)
		rc = bad(&p, "more than one value");
	if (rc)
		json_free(tree);
	return rc;
}

void json_free(struct json_tree *tree)
{
	free(tree->values);
	free(tree->strings);
	*tree = (struct json_tree){ 0 };
}

const struct json_value *json_first(const struct json_tree *tree, const struct json_value *in)
{
	uint32_t index;

	if (!in || (in->type != JSON_ARRAY && in->type != JSON_OBJECT))
		return NULL;
	index = (uint32_t)(in - tree->values) + 1;
	return index < in->end ? &tree->values[index] : NULL;
}

const struct json_value *json_next(const struct json_tree *tree, const struct json_value *in,
				   const struct json_value *v)
{
	uint32_t end = in->type == JSON_OBJECT ? v[1].end : v->end;

	return end < in->end ? &tree->values[end] : NULL;
}

const struct json_value *json_get(const struct json_tree *tree, const struct json_value *in,
				  const char *name)
{
	if (!in || in->type != JSON_OBJECT)
		return NULL;
	for (const struct json_value *v = json_first(tree, in); v; v = json_next(tree, in, v)) {
		if (!strcmp(v->string, name))
			return v + 1;
	}
	return NULL;
}

const char *json_get_string(const struct json_tree *tree, const struct json_value *in,
			    const char *name)
{
	const struct json_value *v = json_get(tree, in, name);

	return v && v->type == JSON_STRING ? v->string : NULL;
}

bool json_get_int(const struct json_tree *tree, const struct json_value *in, const char *name,
		  int64_t *out)
{
	const struct json_value *v = json_get(tree, in, name);

	if (!v || v->type != JSON_INT)
		return false;
	*out = v->number;
	return true;
}

bool json_get_bool(const struct json_tree *tree, const struct json_value *in, const char *name,
		   bool *out)
{
	const struct json_value *v = json_get(tree, in, name);

	if (!v || v->type != JSON_BOOL)
		return false;
	*out = v->yes;
	return true;
}
