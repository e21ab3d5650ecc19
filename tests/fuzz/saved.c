/* SPDX-License-Identifier: MIT */
/*
 * The stream of saved state, as it came and with its checksums made right: refused with a line, or sections that
 * lie inside of it, one behind the other, each of its own name.
 */
#include "state/stream.h"

#include <errno.h>

#include "state/diff.h"

#include "tests/fuzz/fuzz.h"
#include "tests/saved.h"
#include "util/util.h"

/* Any section may say that it is what was written to, of 1 GiB. */
static void check_diff(const struct saved_section *section)
{
	struct reader in = section->body;
	struct mem_run *runs;
	uint64_t sum, end = 0;
	unsigned int n;

	if (diff_get(&in, GIB, &runs, &n, &sum))
		return;
	CHECK(n <= DIFF_RUNS);
	for (unsigned int i = 0; i < n; i++) {
		CHECK(runs[i].at >= end && runs[i].len && range_in(runs[i].at, runs[i].len, GIB));
		end = runs[i].at + runs[i].len;
	}
	free(runs);
}

static void check(const struct saved *s, const uint8_t *data, size_t size)
{
	const uint8_t *end = data + SECTION_FIRST;

	CHECK(s->n_sections <= SAVED_SECTIONS);
	for (unsigned int i = 0; i < s->n_sections; i++) {
		const struct saved_section *section = &s->sections[i];

		CHECK((const uint8_t *)section->name == end &&
		      section->body.p == end + SECTION_HEAD);
		CHECK(strlen(section->name) < SAVED_NAME && section->name[0]);
		CHECK(section->body.left <= size - (size_t)(section->body.p - data));
		CHECK(saved_find(s, section->name, section->instance) == section);
		end = section->body.p + section->body.left;
		check_diff(section);
	}
	CHECK(end + SECTION_HEAD == data + size); /* and the last is the end */
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
	sections_seal(copy, size);
	try(copy, size);
	free(copy);
	return 0;
}
