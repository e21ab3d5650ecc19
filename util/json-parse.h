/* SPDX-License-Identifier: MIT */
/*
 * Reads JSON (RFC 8259) that a peer sent: one text, whole, and nothing that is not in the standard. Beyond
 * that are refused: bytes that are no UTF-8, a lone surrogate, \u0000 (a string ends at its 0), two members of
 * one name, and what is larger than the limits below. Memory is bounded by them and by the text's length.
 */
#ifndef UTIL_JSON_PARSE_H
#define UTIL_JSON_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/log.h"

#define JSON_TEXT_MAX (1u << 20) /* bytes */
#define JSON_VALUES_MAX (1u << 16)
#define JSON_MEMBERS_MAX 256 /* of an object */
#define JSON_DEPTH_MAX 32

enum json_type {
	JSON_NULL,
	JSON_BOOL,
	JSON_INT,
	JSON_REAL, /* a number with a fraction, an exponent, or beyond 64 bits: only its text is kept */
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
};

/* A member's name is a JSON_STRING, and its value follows. */
struct json_value {
	enum json_type type;
	uint32_t from, to; /* where it stands in the text, quotes and brackets included */
	uint32_t end;	   /* index of the first value that is not in it */
	union {
		bool yes;
		int64_t number;
		const char *string; /* decoded; ends with its only 0 */
	};
};

struct json_tree {
	struct json_value *values; /* [0] is the outermost */
	uint32_t n;
	char *strings;
};

/*
 * 0: json_free() releases it. -EINVAL: no JSON, -E2BIG: past a limit, -ENOMEM; then there is nothing to free,
 * and one line says what is wrong at which byte.
 */
int json_parse(struct json_tree *tree, const void *text, size_t len, struct err *err);
void json_free(struct json_tree *tree);

/* The member of that name; NULL: there is none, or `in` is no object, or NULL. */
const struct json_value *json_get(const struct json_tree *tree, const struct json_value *in,
				  const char *name);

/* The same, of the right type only: NULL; false and `*out` untouched. */
const char *json_get_string(const struct json_tree *tree, const struct json_value *in,
			    const char *name);
bool json_get_int(const struct json_tree *tree, const struct json_value *in, const char *name,
		  int64_t *out);
bool json_get_bool(const struct json_tree *tree, const struct json_value *in, const char *name,
		   bool *out);

/* An array's first element, or an object's first name, and the next one in there; NULL: no more. */
const struct json_value *json_first(const struct json_tree *tree, const struct json_value *in);
const struct json_value *json_next(const struct json_tree *tree, const struct json_value *in,
				   const struct json_value *v);

#endif
