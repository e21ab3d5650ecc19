/* SPDX-License-Identifier: MIT */
#include "guest/initramfs.h"

#include <errno.h>
#include <string.h>

#include "guest/image.h"
#include "guest/unpack.h"
#include "util/util.h"

#define MAGIC "070701"	   /* newc */
#define MAGIC_CRC "070702" /* the same with checksums */
#define HEADER 110
#define FILE_SIZE 54
#define NAME_SIZE 94
#define FIELD 8
#define ALIGN 4
#define TRAILER "TRAILER!!!"

/* Where the walk stands, in one run of plain bytes. */
struct walk {
	const uint8_t *data;
	size_t size, at;
	initramfs_fn fn;
	void *opaque;
	bool enough;
};

static bool hex_field(const uint8_t *p, uint32_t *value)
{
	*value = 0;
	for (int i = 0; i < FIELD; i++) {
		uint8_t c = p[i] | 0x20; /* a letter's small form; digits have that bit */

		if (c >= '0' && c <= '9')
			*value = *value << 4 | (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			*value = *value << 4 | (uint32_t)(c - 'a' + 10);
		else
			return false;
	}
	return true;
}

static bool at_header(const struct walk *w)
{
	const uint8_t *p = w->data + w->at;

	return range_in(w->at, HEADER, w->size) &&
	       (!memcmp(p, MAGIC, strlen(MAGIC)) || !memcmp(p, MAGIC_CRC, strlen(MAGIC_CRC)));
}

/* One entry; *last: it is the archive's trailer. */
static int walk_entry(struct walk *w, bool *last)
{
	const uint8_t *p = w->data + w->at;
	uint32_t file_size, name_size;
	uint64_t name = w->at + HEADER, file, end;

	if (!hex_field(p + FILE_SIZE, &file_size) || !hex_field(p + NAME_SIZE, &name_size))
		return -EINVAL;
	file = align_up(name + name_size, ALIGN);
	end = file + file_size;
	if (!name_size || end > w->size || w->data[name + name_size - 1])
		return -EINVAL;
	*last = !strcmp((const char *)w->data + name, TRAILER);
	if (!*last && !w->fn(w->opaque, (const char *)w->data + name, w->data + file, file_size))
		w->enough = true;
	w->at = (size_t)MIN(align_up(end, ALIGN), (uint64_t)w->size);
	return 0;
}

/* Archives, and the zeros between them, up to what is neither. */
static int walk_plain(struct walk *w)
{
	bool last = false;
	int rc = 0;

	while (!rc && !w->enough) {
		while (w->at < w->size && !w->data[w->at])
			w->at++;
		if (!at_header(w))
			break;
		rc = walk_entry(w, &last);
	}
	return rc;
}

static int walk_packed(struct walk *w, size_t max)
{
	const uint8_t *p = w->data + w->at;
	size_t left = w->size - w->at;
	const struct unpacker *u = unpacker_for_kind(image_sniff(p, left));
	struct walk inner = { .fn = w->fn, .opaque = w->opaque };
	struct unpacked out;
	struct err why;
	int rc;

	if (!u)
		return -ENOTSUP;
	rc = unpack(u, p, left, max, &out, &why);
	if (rc)
		return rc;
	inner.data = out.data;
	inner.size = out.size;
	rc = walk_plain(&inner);
	unpacked_free(&out);
	return rc;
}

int initramfs_walk(const void *data, size_t size, size_t max, initramfs_fn fn, void *opaque)
{
	struct walk w = { .data = data, .size = size, .fn = fn, .opaque = opaque };
	int rc = walk_plain(&w);

	/* What is packed is the last: nothing tells where it ends. */
	if (!rc && !w.enough && w.at < w.size)
		rc = walk_packed(&w, max);
	return rc;
}
