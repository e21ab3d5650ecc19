/* SPDX-License-Identifier: MIT */
/*
 * The stream of saved state, as it came and with its checksums made right: refused with a line, or sections that
 * lie inside of it, one behind the other, each of its own name.
 */
#include "state/stream.h"

#include <errno.h>

#include "tests/fuzz/fuzz.h"
#include "util/hash.h"

#define START 16
#define HEAD (SAVED_NAME + 24)

/* Those whose length can be believed; the rest stays as it came. */
static void mend(uint8_t *data, size_t size)
{
	for (size_t at = START; at + HEAD <= size;) {
		uint8_t *head = data + at;
		uint64_t length = get_le64(head + SAVED_NAME + 8);

		if (length > size - at - HEAD)
			return;
		put_le64(head + HEAD - 8,
			 hash_bytes(hash_bytes(0, head, HEAD - 8), head + HEAD, (size_t)length));
		at += HEAD + (size_t)length;
	}
}

static void check(const struct saved *s, const uint8_t *data, size_t size)
{
	const uint8_t *end = data + START;

	CHECK(s->n_sections <= SAVED_SECTIONS);
	for (unsigned int i = 0; i < s->n_sections; i++) {
		const struct saved_section *section = &s->sections[i];

		CHECK((const uint8_t *)section->name == end && section->body.p == end + HEAD);
		CHECK(strlen(section->name) < SAVED_NAME && section->name[0]);
		CHECK(section->body.left <= size - (size_t)(section->body.p - data));
		CHECK(saved_find(s, section->name, section->instance) == section);
		end = section->body.p + section->body.left;
	}
	CHECK(end + HEAD == data + size); /* and the last is the end */
}

static void try(const uint8_t *data, size_t size)
{
	struct saved *s = malloc(sizeof(*s));
	struct err err = { "" };
	int rc;

	CHECK(s);
	rc = saved_open(s, data, size, &err);
	CHECK(!rc || (rc == -EINVAL && err.text[0]));
	if (!rc)
		check(s, data, size);
	free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = heap_copy(data, size);

	try(copy, size);
	mend(copy, size);
	try(copy, size);
	free(copy);
	return 0;
}
