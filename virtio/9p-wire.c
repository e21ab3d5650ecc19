/* SPDX-License-Identifier: MIT */
#include "virtio/9p-wire.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "util/util.h"

/* ---- Requests ---- */

uint8_t p9_u8(struct p9_call *c)
{
	return reader_u8(&c->in);
}

uint16_t p9_u16(struct p9_call *c)
{
	return reader_le16(&c->in);
}

uint32_t p9_u32(struct p9_call *c)
{
	return reader_le32(&c->in);
}

uint64_t p9_u64(struct p9_call *c)
{
	return reader_le64(&c->in);
}

static void fail(struct p9_call *c, int error)
{
	if (!c->error)
		c->error = error;
}

void p9_string(struct p9_call *c, char *buf, size_t size)
{
	uint16_t len = p9_u16(c);

	buf[0] = 0;
	if (len >= size) {
		fail(c, -ENAMETOOLONG);
		return;
	}
	reader_get(&c->in, buf, len);
	buf[len] = 0;
	if (memchr(buf, 0, len))
		fail(c, -EINVAL);
}

void p9_take_name(struct p9_call *c, p9_name name)
{
	p9_string(c, name, sizeof(p9_name));
	if (!tree_name_ok(name, strlen(name)))
		fail(c, -EINVAL);
}

int p9_bad(struct p9_call *c)
{
	return c->in.failed ? -EPROTO : c->error;
}

/* ---- Answers ---- */

void p9_put_bytes(struct p9_call *c, const void *data, size_t len)
{
	if (len > P9_MESSAGE - c->out_len) {
		c->out_full = true;
		return;
	}
	memcpy(c->out + c->out_len, data, len);
	c->out_len += (uint32_t)len;
}

void p9_put_u8(struct p9_call *c, uint8_t v)
{
	p9_put_bytes(c, &v, sizeof(v));
}

void p9_put_u16(struct p9_call *c, uint16_t v)
{
	p9_put_bytes(c, &v, sizeof(v));
}

void p9_put_u32(struct p9_call *c, uint32_t v)
{
	p9_put_bytes(c, &v, sizeof(v));
}

void p9_put_u64(struct p9_call *c, uint64_t v)
{
	p9_put_bytes(c, &v, sizeof(v));
}

void p9_put_string(struct p9_call *c, const char *s, size_t len)
{
	p9_put_u16(c, (uint16_t)len);
	p9_put_bytes(c, s, len);
}

uint8_t p9_qid_type(mode_t mode)
{
	return S_ISDIR(mode) ? 0x80 : S_ISLNK(mode) ? 0x02 : 0;
}

/* The version is another when the file is: caches go by it. */
struct p9_qid p9_qid_of(const struct stat *st, uint64_t id)
{
	return (struct p9_qid){
		.type = p9_qid_type(st->st_mode),
		.version = (uint32_t)st->st_mtim.tv_sec ^ (uint32_t)st->st_mtim.tv_nsec ^
			   (uint32_t)st->st_size << 8,
		.path = id,
	};
}

void p9_put_qid(struct p9_call *c, const struct p9_qid *qid)
{
	p9_put_u8(c, qid->type);
	p9_put_u32(c, qid->version);
	p9_put_u64(c, qid->path);
}

/* ---- Flags ---- */

int p9_open_flags(uint32_t flags)
{
	static const struct {
		uint32_t theirs;
		int ours;
	} pairs[] = {
		{ 0200, O_EXCL },    { 01000, O_TRUNC },       { 02000, O_APPEND },
		{ 010000, O_DSYNC }, { 0200000, O_DIRECTORY }, { 04010000, O_SYNC },
	};
	int out = (int)(flags & 3);

	for (unsigned int i = 0; i < ARRAY_SIZE(pairs); i++) {
		if ((flags & pairs[i].theirs) == pairs[i].theirs)
			out |= pairs[i].ours;
	}
	return out;
}
