/* SPDX-License-Identifier: MIT */
/* The stream of saved state, and what is none: cut short at any byte, with any bit the other way. */
#include "state/stream.h"

#include <errno.h>

#include <stdlib.h>
#include <string.h>

#include "tests/unit/tap.h"
#include "util/util.h"

static void add(struct buf *out, const char *name, uint32_t instance, const char *text)
{
	struct buf body = { 0 };

	buf_put(&body, text, strlen(text));
	saved_add(out, name, instance, &body);
	buf_free(&body);
}

static void write_some(struct buf *out)
{
	saved_begin(out);
	add(out, "vcpu", 0, "first");
	add(out, "vcpu", 1, "second");
	add(out, "virtio-blk.0", 0, "");
	saved_end(out);
}

static bool is(const struct saved *s, const char *name, uint32_t instance, const char *text)
{
	const struct saved_section *section = saved_find(s, name, instance);

	return section && section->body.left == strlen(text) &&
	       !memcmp(section->body.p, text, strlen(text));
}

/* A copy of just that size: a sanitizer sees who reads behind it. */
static int open_copy(struct saved *s, const void *data, size_t size, struct err *err)
{
	void *copy = malloc(size ? size : 1);
	int rc;

	memcpy(copy, data, size);
	err->text[0] = 0;
	rc = saved_open(s, copy, size, err);
	free(copy);
	return rc;
}

static void refused(struct saved *s, const struct buf *b, const char *why)
{
	struct err err = { "" };
	int rc = open_copy(s, b->data, b->len, &err);

	ok(rc == -EINVAL && strstr(err.text, why), "refused: %s", rc ? err.text : "no");
}

static void damaged(struct saved *s, const struct buf *b)
{
	struct err err;
	unsigned int cut = 0, flipped = 0;

	for (size_t size = 0; size < b->len; size++)
		cut += open_copy(s, b->data, size, &err) == -EINVAL && err.text[0];
	ok(cut == b->len, "cut short at %u of %zu places it is refused", cut, b->len);
	for (size_t bit = 0; bit < b->len * 8; bit++) {
		b->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		flipped += open_copy(s, b->data, b->len, &err) == -EINVAL && err.text[0];
		b->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	ok(flipped == b->len * 8, "with %u of %zu bits the other way, too", flipped, b->len * 8);
}

int main(void)
{
	struct saved *s = calloc(1, sizeof(*s));
	struct buf b = { 0 }, other = { 0 };
	struct err err = { "" };

	write_some(&b);
	ok(!saved_open(s, b.data, b.len, &err), "a stream is read: %s", err.text);
	ok(s->n_sections == 3 && is(s, "vcpu", 0, "first") && is(s, "vcpu", 1, "second") &&
		   is(s, "virtio-blk.0", 0, ""),
	   "with its three sections");
	ok(!saved_find(s, "vcpu", 2) && !saved_find(s, "vcp", 0) && !saved_find(s, "end", 0),
	   "and no others");
	damaged(s, &b);
	buf_put_u8(&b, 0);
	refused(s, &b, "behind its end");
	saved_begin(&other);
	add(&other, "vcpu", 0, "a");
	add(&other, "vcpu", 0, "b");
	saved_end(&other);
	refused(s, &other, "two sections vcpu.0");
	other.len = 0;
	saved_begin(&other);
	add(&other, "end", 0, "more");
	refused(s, &other, "its end");
	other.len = 0;
	saved_begin(&other);
	for (uint32_t i = 0; i <= SAVED_SECTIONS; i++)
		add(&other, "vcpu", i, "");
	saved_end(&other);
	refused(s, &other, "more than 1024 sections");
	ok(!other.failed, "all of that could be written");
	add(&other, "a name of twenty-four chars", 0, "");
	ok(other.failed, "a longer name can't");
	buf_free(&b);
	buf_free(&other);
	free(s);
	return done_testing();
}
