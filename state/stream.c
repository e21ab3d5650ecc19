/* SPDX-License-Identifier: MIT */
#include "state/stream.h"

#include <errno.h>
#include <string.h>

#include "util/hash.h"
#include "util/util.h"

#define HEAD (SAVED_NAME + 4 + 4 + 8 + 8)
#define CHECKSUM (HEAD - 8) /* where it is in the head */

static const uint8_t magic[8] = "KINDLNG\n"; /* a line end that a text transfer would change */

/* ---- Writing ---- */

void saved_begin(struct buf *out)
{
	buf_put(out, magic, sizeof(magic));
	buf_put_le32(out, SAVED_VERSION);
	buf_put_le32(out, 0);
}

void saved_add(struct buf *out, const char *name, uint32_t instance, const struct buf *body)
{
	uint8_t head[HEAD] = { 0 };

	if (body->failed || strlen(name) >= SAVED_NAME) {
		out->failed = true;
		return;
	}
	memcpy(head, name, strlen(name));
	put_le32(head + SAVED_NAME, instance);
	put_le32(head + SAVED_NAME + 4, SAVED_SECTION_VERSION);
	put_le64(head + SAVED_NAME + 8, body->len);
	put_le64(head + CHECKSUM, hash_bytes(hash_bytes(0, head, CHECKSUM), body->data, body->len));
	buf_put(out, head, HEAD);
	buf_put(out, body->data, body->len);
}

void saved_end(struct buf *out)
{
	saved_add(out, "end", 0, &(struct buf){ 0 });
}

void saved_reopen(struct buf *out)
{
	out->len -= MIN(out->len, (size_t)HEAD);
}

/* ---- Reading ---- */

/* Its name ends inside of its field, and nothing is behind that. */
static bool name_is_possible(const uint8_t *head)
{
	size_t len = strnlen((const char *)head, SAVED_NAME);

	for (size_t i = 0; i < SAVED_NAME; i++) {
		if (i < len ? head[i] <= ' ' || head[i] > '~' : head[i] != 0)
			return false;
	}
	return len && len < SAVED_NAME;
}

static int check_start(struct reader *in, struct err *err)
{
	uint8_t there[sizeof(magic)];
	uint32_t version, zero;

	reader_get(in, there, sizeof(there));
	version = reader_le32(in);
	zero = reader_le32(in);
	if (memcmp(there, magic, sizeof(magic)))
		return err_set(err, EINVAL, "it is no saved state of lkvm's");
	if (in->failed || zero)
		return err_set(err, EINVAL, "the saved state is damaged: its first line");
	if (version != SAVED_VERSION)
		return err_set(err, EINVAL,
			       "the saved state is of format %u, and this lkvm knows %u", version,
			       SAVED_VERSION);
	return 0;
}

static int read_section(struct reader *in, struct saved_section *s, struct err *err)
{
	const uint8_t *head = in->p;
	uint64_t length;

	if (in->left < HEAD)
		return err_set(err, EINVAL, "the saved state is cut short");
	if (!name_is_possible(head))
		return err_set(err, EINVAL, "the saved state is damaged: a section without a name");
	*s = (struct saved_section){ .name = (const char *)head,
				     .instance = get_le32(head + SAVED_NAME),
				     .version = get_le32(head + SAVED_NAME + 4) };
	length = get_le64(head + SAVED_NAME + 8);
	if (length > in->left - HEAD)
		return err_set(err, EINVAL, "the saved state is cut short in section %s", s->name);
	if (get_le64(head + CHECKSUM) !=
	    hash_bytes(hash_bytes(0, head, CHECKSUM), head + HEAD, (size_t)length))
		return err_set(err, EINVAL, "the saved state is damaged in section %s", s->name);
	if (s->version != SAVED_SECTION_VERSION)
		return err_set(err, EINVAL, "section %s is of version %u, and this lkvm knows %u",
			       s->name, s->version, SAVED_SECTION_VERSION);
	s->body = (struct reader){ .p = head + HEAD, .left = (size_t)length };
	in->p += HEAD + length;
	in->left -= HEAD + (size_t)length;
	return 0;
}

const struct saved_section *saved_find(const struct saved *s, const char *name, uint32_t instance)
{
	for (unsigned int i = 0; i < s->n_sections; i++) {
		if (s->sections[i].instance == instance && !strcmp(s->sections[i].name, name))
			return &s->sections[i];
	}
	return NULL;
}

int saved_open(struct saved *s, const void *data, size_t size, struct err *err)
{
	struct reader in = { .p = data, .left = size };
	int rc = check_start(&in, err);

	s->n_sections = 0;
	while (!rc) {
		struct saved_section next;

		rc = read_section(&in, &next, err);
		if (rc)
			return rc;
		if (!strcmp(next.name, "end")) {
			if (next.instance || next.body.left)
				rc = err_set(err, EINVAL, "the saved state is damaged: its end");
			break;
		}
		if (saved_find(s, next.name, next.instance))
			return err_set(err, EINVAL, "the saved state has two sections %s.%u",
				       next.name, next.instance);
		if (s->n_sections == SAVED_SECTIONS)
			return err_set(err, EINVAL, "the saved state has more than %u sections",
				       SAVED_SECTIONS);
		s->sections[s->n_sections++] = next;
	}
	if (!rc && in.left)
		return err_set(err, EINVAL, "the saved state goes on behind its end");
	return rc;
}
