/* SPDX-License-Identifier: MIT */
#include "util/json.h"

#include <stdio.h>
#include <string.h>

#include "util/utf8.h"

static void put(struct json *j, const char *text)
{
	buf_put(j->out, text, strlen(text));
}

static void new_line(struct json *j)
{
	if (j->line)
		return;
	buf_put_u8(j->out, '\n');
	for (unsigned int i = 0; i < j->depth; i++)
		buf_put_u8(j->out, '\t');
}

/* One character of a string; returns how many bytes of `p` it took. */
static size_t put_char(struct json *j, const uint8_t *p, size_t left)
{
	uint32_t code;
	size_t len = utf8_next(p, left, &code);
	char text[8];

	if (!len) {
		put(j, "\\ufffd");
		return 1;
	}
	if (code == '"' || code == '\\') {
		buf_put_u8(j->out, '\\');
	} else if (code == '\n' || code == '\t') {
		put(j, code == '\n' ? "\\n" : "\\t");
		return len;
	} else if (code < 0x20 || code == 0x7f) {
		snprintf(text, sizeof(text), "\\u%04x", (unsigned int)code);
		put(j, text);
		return len;
	}
	buf_put(j->out, p, len);
	return len;
}

static void put_string(struct json *j, const void *value, size_t len)
{
	const uint8_t *p = value;

	buf_put_u8(j->out, '"');
	for (size_t at = 0; at < len;)
		at += put_char(j, p + at, len - at);
	buf_put_u8(j->out, '"');
}

/* What stands before a value. */
static void begin(struct json *j, const char *name)
{
	if (j->more)
		put(j, j->line ? ", " : ",");
	if (j->depth)
		new_line(j);
	j->more = true;
	if (!name)
		return;
	put_string(j, name, strlen(name));
	put(j, ": ");
}

static void open(struct json *j, const char *name, char bracket)
{
	begin(j, name);
	buf_put_u8(j->out, (uint8_t)bracket);
	j->depth++;
	j->more = false;
}

static void close(struct json *j, char bracket)
{
	j->depth--;
	if (j->more)
		new_line(j);
	buf_put_u8(j->out, (uint8_t)bracket);
	j->more = true;
	if (!j->depth)
		buf_put_u8(j->out, '\n');
}

void json_object(struct json *j, const char *name)
{
	open(j, name, '{');
}

void json_array(struct json *j, const char *name)
{
	open(j, name, '[');
}

void json_end_object(struct json *j)
{
	close(j, '}');
}

void json_end_array(struct json *j)
{
	close(j, ']');
}

void json_bytes(struct json *j, const char *name, const void *value, size_t len)
{
	begin(j, name);
	put_string(j, value, len);
}

void json_string(struct json *j, const char *name, const char *value)
{
	json_bytes(j, name, value, strlen(value));
}

void json_int(struct json *j, const char *name, int64_t value)
{
	char text[24];

	begin(j, name);
	snprintf(text, sizeof(text), "%lld", (long long)value);
	put(j, text);
}

void json_bool(struct json *j, const char *name, bool value)
{
	begin(j, name);
	put(j, value ? "true" : "false");
}

void json_null(struct json *j, const char *name)
{
	begin(j, name);
	put(j, "null");
}

void json_raw(struct json *j, const char *name, const void *value, size_t len)
{
	begin(j, name);
	buf_put(j->out, value, len);
}
