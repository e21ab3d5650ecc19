/* SPDX-License-Identifier: MIT */
/* A client of virtio/9p, on a real directory: messages by hand, one at a time. */
#ifndef TESTS_UNIT_P9_H
#define TESTS_UNIT_P9_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>

#include "tests/unit/driver.h"
#include "virtio/9p.h"
#include "virtio/9p-session.h"

#define SIZE 16
#define OUT DATA
#define IN (DATA + 2 * MIB)
#define ROOM (600 * KIB) /* for either */
#define REMOVE_DIR 0x200

struct client {
	struct machine *m;
	uint8_t *out;
	const uint8_t *in;
	uint32_t len;	   /* of the message that is being made */
	uint32_t used;	   /* of the last answer */
	struct reader got; /* its fields */
};

static char dir[64];

static inline const char *path_of(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* ---- Messages ---- */

static inline void put(struct client *c, uint64_t v, uint32_t bytes)
{
	put_le(c->out + c->len, v, bytes);
	c->len += bytes;
}

static inline void put_bytes(struct client *c, const void *data, size_t len)
{
	memcpy(c->out + c->len, data, len);
	c->len += (uint32_t)len;
}

static inline void put_string(struct client *c, const char *s)
{
	put(c, strlen(s), 2);
	put_bytes(c, s, strlen(s));
}

static inline void begin(struct client *c, uint8_t type)
{
	c->len = 4;
	put(c, type, 1);
	put(c, 0x1234, 2);
}

/* `out_len` bytes of what was made, in pieces, with `in_len` bytes for the answer. */
static inline void offer(struct client *c, uint32_t out_len, uint32_t in_len)
{
	uint32_t first = MIN(out_len, 5u);

	driver_desc(c->m, 0, 0, OUT, first, false, true);
	driver_desc(c->m, 0, 1, OUT + first, MAX(out_len - first, 1u), false, true);
	driver_desc(c->m, 0, 2, IN, MIN(in_len, 9u), true, in_len > 9);
	if (in_len > 9)
		driver_desc(c->m, 0, 3, IN + 9, in_len - 9, true, false);
	driver_offer(c->m, 0, SIZE, 0);
	driver_kick(c->m, 0);
}

/* The error of its answer, 0 for none, -1 when there is no right answer. */
static inline int exchange(struct client *c, uint32_t out_len, uint32_t in_len)
{
	uint16_t n = ring_avail(c->m, 0)->idx;
	uint8_t type = c->out[4];

	memset((void *)c->in, 0xee, 64);
	offer(c, out_len, in_len);
	if (!driver_wait_used(c->m, 0, n + 1))
		return -1;
	c->used = ring_used(c->m, 0)->ring[n % SIZE].len;
	if (c->used < P9_HEADER || get_le32(c->in) != c->used || get_le16(c->in + 5) != 0x1234)
		return -1;
	c->got = (struct reader){ .p = c->in + P9_HEADER, .left = c->used - P9_HEADER };
	if (c->in[4] == P9_RLERROR)
		return (int)reader_le32(&c->got);
	return c->in[4] == type + 1 ? 0 : -1;
}

static inline int call(struct client *c)
{
	put_le32(c->out, c->len);
	return exchange(c, c->len, ROOM);
}

static inline int version(struct client *c, uint32_t msize, const char *name)
{
	begin(c, P9_TVERSION);
	put(c, msize, 4);
	put_string(c, name);
	return call(c);
}

static inline int attach(struct client *c, uint32_t fid)
{
	begin(c, P9_TATTACH);
	put(c, fid, 4);
	put(c, P9_NO_FID, 4);
	put_string(c, "");
	put_string(c, "");
	put(c, 0, 4);
	return call(c);
}

static inline int walk(struct client *c, uint32_t fid, uint32_t new_fid, const char *name)
{
	begin(c, P9_TWALK);
	put(c, fid, 4);
	put(c, new_fid, 4);
	put(c, name ? 1 : 0, 2);
	if (name)
		put_string(c, name);
	return call(c);
}

static inline int clunk(struct client *c, uint32_t fid)
{
	begin(c, P9_TCLUNK);
	put(c, fid, 4);
	return call(c);
}

static inline int lopen(struct client *c, uint32_t fid, uint32_t flags)
{
	begin(c, P9_TLOPEN);
	put(c, fid, 4);
	put(c, flags, 4);
	return call(c);
}

static inline int lcreate(struct client *c, uint32_t fid, const char *name, uint32_t flags)
{
	begin(c, P9_TLCREATE);
	put(c, fid, 4);
	put_string(c, name);
	put(c, flags, 4);
	put(c, 0644, 4);
	put(c, getegid(), 4);
	return call(c);
}

static inline int read_at(struct client *c, uint8_t type, uint32_t fid, uint64_t offset,
			  uint32_t count)
{
	begin(c, type);
	put(c, fid, 4);
	put(c, offset, 8);
	put(c, count, 4);
	return call(c);
}

static inline int write_at(struct client *c, uint32_t fid, uint64_t offset, const void *data,
			   uint32_t len)
{
	begin(c, P9_TWRITE);
	put(c, fid, 4);
	put(c, offset, 8);
	put(c, len, 4);
	put_bytes(c, data, len);
	return call(c);
}

static inline bool reads(struct client *c, uint32_t fid, uint64_t offset, const char *text)
{
	uint32_t len = (uint32_t)strlen(text);

	return !read_at(c, P9_TREAD, fid, offset, 65536) && reader_le32(&c->got) == len &&
	       c->got.left == len && !memcmp(c->got.p, text, len);
}

static inline int getattr(struct client *c, uint32_t fid)
{
	begin(c, P9_TGETATTR);
	put(c, fid, 4);
	put(c, 0x7ff, 8);
	return call(c);
}

static inline int setattr(struct client *c, uint32_t fid, uint32_t valid, uint32_t mode,
			  uint64_t size)
{
	begin(c, P9_TSETATTR);
	put(c, fid, 4);
	put(c, valid, 4);
	put(c, mode, 4);
	put(c, 0, 4);
	put(c, 0, 4);
	put(c, size, 8);
	put(c, 1000, 8);
	put(c, 1, 8);
	put(c, 2000, 8);
	put(c, 2, 8);
	return call(c);
}

static inline int mkdir_in(struct client *c, uint32_t fid, const char *name)
{
	begin(c, P9_TMKDIR);
	put(c, fid, 4);
	put_string(c, name);
	put(c, 0755, 4);
	put(c, getegid(), 4);
	return call(c);
}

static inline int mknod_in(struct client *c, uint32_t fid, const char *name, uint32_t mode)
{
	begin(c, P9_TMKNOD);
	put(c, fid, 4);
	put_string(c, name);
	put(c, mode, 4);
	put(c, 1, 4);
	put(c, 3, 4);
	put(c, getegid(), 4);
	return call(c);
}

static inline int symlink_in(struct client *c, uint32_t fid, const char *name, const char *target)
{
	begin(c, P9_TSYMLINK);
	put(c, fid, 4);
	put_string(c, name);
	put_string(c, target);
	put(c, getegid(), 4);
	return call(c);
}

static inline int link_in(struct client *c, uint32_t to, uint32_t fid, const char *name)
{
	begin(c, P9_TLINK);
	put(c, to, 4);
	put(c, fid, 4);
	put_string(c, name);
	return call(c);
}

static inline int renameat_in(struct client *c, uint32_t from, const char *name, uint32_t to,
			      const char *new_name)
{
	begin(c, P9_TRENAMEAT);
	put(c, from, 4);
	put_string(c, name);
	put(c, to, 4);
	put_string(c, new_name);
	return call(c);
}

static inline int rename_in(struct client *c, uint32_t fid, uint32_t to, const char *name)
{
	begin(c, P9_TRENAME);
	put(c, fid, 4);
	put(c, to, 4);
	put_string(c, name);
	return call(c);
}

static inline int unlinkat_in(struct client *c, uint32_t fid, const char *name, uint32_t flags)
{
	begin(c, P9_TUNLINKAT);
	put(c, fid, 4);
	put_string(c, name);
	put(c, flags, 4);
	return call(c);
}

static inline int with_fid(struct client *c, uint8_t type, uint32_t fid)
{
	begin(c, type);
	put(c, fid, 4);
	return call(c);
}

static inline int xattrwalk(struct client *c, uint32_t fid, uint32_t new_fid, const char *name)
{
	begin(c, P9_TXATTRWALK);
	put(c, fid, 4);
	put(c, new_fid, 4);
	put_string(c, name);
	return call(c);
}

static inline int xattrcreate(struct client *c, uint32_t fid, const char *name, uint64_t size,
			      uint32_t flags)
{
	begin(c, P9_TXATTRCREATE);
	put(c, fid, 4);
	put_string(c, name);
	put(c, size, 8);
	put(c, flags, 4);
	return call(c);
}

/* What became of it: 0 locked, 1 blocked, 2 failed; -1 for another answer. */
static inline int lock_by(struct client *c, uint32_t fid, uint8_t type, uint32_t flags,
			  uint64_t start, uint64_t len, uint32_t owner)
{
	begin(c, P9_TLOCK);
	put(c, fid, 4);
	put(c, type, 1);
	put(c, flags, 4);
	put(c, start, 8);
	put(c, len, 8);
	put(c, owner, 4);
	put_string(c, "guest");
	return call(c) ? -1 : reader_u8(&c->got);
}

static inline int lock(struct client *c, uint32_t fid, uint8_t type, uint64_t start, uint64_t len,
		       uint32_t owner)
{
	return lock_by(c, fid, type, 0, start, len, owner);
}

/* A directory with 1026 entries, and the two that all have. */
static inline void make_many(void)
{
	char name[64];

	mkdir(path_of("many"), 0755);
	for (int i = 0; i < 1000; i++) {
		/* Names of many lengths, the shortest among them. */
		snprintf(name, sizeof(name), "many/entry-%d%.*s", i, i % 29,
			 "-----------------------------");
		close(open(path_of(name), O_CREAT | O_WRONLY, 0600));
	}
	for (char ch = 'a'; ch <= 'z'; ch++) {
		snprintf(name, sizeof(name), "many/%c%c%c%c", ch, ch, ch, ch);
		close(open(path_of(name), O_CREAT | O_WRONLY, 0600));
	}
}

/* Counts its entries, by messages of `count` bytes; -1: one comes twice, or is misshapen. */
static inline int list(struct client *c, uint32_t fid, uint32_t count)
{
	static bool seen[1000];
	uint64_t offset = 0;
	int n = 0;

	memset(seen, 0, sizeof(seen));
	for (;;) {
		uint32_t len;
		char name[256];

		if (read_at(c, P9_TREADDIR, fid, offset, count))
			return -1;
		len = reader_le32(&c->got);
		if (len != c->got.left || len > count)
			return -1;
		if (!len)
			return n;
		while (c->got.left) {
			uint32_t number;
			uint16_t size;

			reader_get(&c->got, name, P9_QID);
			offset = reader_le64(&c->got);
			reader_u8(&c->got);
			size = reader_le16(&c->got);
			reader_get(&c->got, name, MIN(size, (uint16_t)255));
			name[size] = 0;
			n++;
			if (sscanf(name, "entry-%u", &number) != 1)
				continue;
			if (number >= ARRAY_SIZE(seen) || seen[number])
				return -1;
			seen[number] = true;
		}
	}
}

static inline int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static inline bool make_share(void)
{
	snprintf(dir, sizeof(dir), "%s/kindling-9p-XXXXXX",
		 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(dir))
		printf("Bail out! no directory\n");
	return access(dir, F_OK) == 0;
}

static inline void remove_share(void)
{
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline struct virtio_dev *plug_with(struct machine *m, struct client *c, bool read_only,
					   void (*died)(void *opaque))
{
	struct p9_config config = {
		.name = "9p", .tag = "tag", .dir = dir, .read_only = read_only, .died = died
	};
	struct virtio_dev *dev;

	machine_set_up(m, -1);
	dev = machine_plug(m, &virtio_9p_type, &config);
	*c = (struct client){ .m = m };
	c->out = mem_at(&m->mem, OUT, ROOM, MEM_W);
	c->in = mem_at(&m->mem, IN, ROOM, MEM_R);
	driver_start(m, 1, 1, SIZE);
	return dev;
}

static inline struct virtio_dev *plug(struct machine *m, struct client *c, bool read_only)
{
	return plug_with(m, c, read_only, NULL);
}

#endif
