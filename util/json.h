/* SPDX-License-Identifier: MIT */
/*
 * Writes JSON (RFC 8259) into a buffer, indented by tabs. Members and elements are put in order;
 * commas are its own affair. Strings are what a guest may have made: bytes that are no UTF-8 become
 * U+FFFD. Errors are the buffer's.
 */
#ifndef UTIL_JSON_H
#define UTIL_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/buf.h"

struct json {
	struct buf *out; /* borrowed */
	unsigned int depth;
	bool more; /* something stands before, here */
	bool line; /* all on one line */
};

/* `name` is the member's; NULL in an array, and for the outermost. */
void json_object(struct json *j, const char *name);
void json_array(struct json *j, const char *name);
void json_end_object(struct json *j); /* the outermost one ends the text, with a newline */
void json_end_array(struct json *j);

void json_string(struct json *j, const char *name, const char *value);
void json_bytes(struct json *j, const char *name, const void *value, size_t len);
void json_int(struct json *j, const char *name, int64_t value);
void json_bool(struct json *j, const char *name, bool value);
void json_null(struct json *j, const char *name);
void json_raw(struct json *j, const char *name, const void *value, size_t len); /* JSON already */

#endif
