/* SPDX-License-Identifier: MIT */
/* Open files and directories: data go straight between the host's files and the guest's memory. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/util.h"
#include "virtio/9p-session.h"

/* ---- Opening ---- */

static void opened(struct p9 *p, struct p9_call *c, struct p9_fid *fid, int fd, int flags,
		   const struct stat *st)
{
	struct p9_qid qid = p9_qid_of(st, tree_id(p->tree, st->st_dev, st->st_ino));

	fid->opened = true;
	fid->fd = fd;
	fid->flags = flags & P9_OPEN_FLAGS;
	fid->dev = st->st_dev;
	fid->ino = st->st_ino;
	fid->dir_pos = 0;
	p9_put_qid(c, &qid);
	p9_put_u32(c, 0); /* iounit: as much as a message holds */
}

int p9_lopen(struct p9 *p, struct p9_call *c)
{
	struct p9_fid *fid = p9_take_fid(p, c);
	int flags = p9_open_flags(p9_u32(c)) & ~O_EXCL;
	struct stat st;
	int fd;

	if (p9_bad(c))
		return p9_bad(c);
	if (fid->opened || fid->xattr)
		return -EBUSY;
	fd = tree_open_node(p->tree, fid->node, flags, &st);
	if (fd < 0)
		return fd;
	opened(p, c, fid, fd, flags, &st);
	return 0;
}

int p9_lcreate(struct p9 *p, struct p9_call *c)
{
	struct p9_fid *fid = p9_take_fid(p, c);
	struct tree_owner owner;
	struct tree_node *node;
	uint32_t flags, mode;
	struct stat st;
	p9_name name;
	int fd;

	p9_take_name(c, name);
	flags = p9_u32(c);
	mode = p9_u32(c);
	owner.gid = p9_u32(c);
	if (p9_bad(c))
		return p9_bad(c);
	if (fid->opened || fid->xattr)
		return -EBUSY;
	owner.uid = fid->uid;
	fd = tree_create(p->tree, fid->node, name, p9_open_flags(flags), mode, &owner, &node, &st);
	if (fd < 0)
		return fd;
	tree_put(p->tree, fid->node);
	fid->node = node;
	opened(p, c, fid, fd, p9_open_flags(flags), &st);
	return 0;
}

int p9_fsync(struct p9 *p, struct p9_call *c)
{
	struct p9_fid *fid = p9_take_open(p, c);
	bool data_only = c->in.left >= 4 && p9_u32(c); /* not all clients say */
	int rc = p9_bad(c);

	if (rc)
		return rc;
	rc = data_only ? fdatasync(fid->fd) : fsync(fid->fd);
	return rc ? -errno : 0;
}

/* ---- Data ---- */

/* What an answer's data have room for. */
static uint32_t room(const struct p9_call *c, uint32_t count)
{
	return c->chain->in_len <= P9_DATA ? 0 : MIN(count, c->chain->in_len - P9_DATA);
}

int p9_read(struct p9 *p, struct p9_call *c)
{
	struct p9_fid *fid = p9_take_fid(p, c);
	uint64_t offset = p9_u64(c);
	uint32_t count = room(c, p9_u32(c));
	struct iovec iov[QUEUE_MAX_SIZE];
	ssize_t n;
	int fd;

	if (p9_bad(c))
		return p9_bad(c);
	if (fid->xattr)
		return p9_xattr_read(p, fid, c, offset, count);
	fd = p9_fid_fd(p, fid);
	if (fd < 0)
		return fd;
	n = preadv(fd, iov, (int)chain_in_iov(c->chain, P9_DATA, count, iov), (off_t)offset);
	if (n < 0)
		return -errno;
	p9_put_u32(c, (uint32_t)n);
	c->data = (uint32_t)n;
	return 0;
}

int p9_write(struct p9 *p, struct p9_call *c)
{
	struct p9_fid *fid = p9_take_fid(p, c);
	uint64_t offset = p9_u64(c);
	uint32_t count = p9_u32(c);
	struct iovec iov[QUEUE_MAX_SIZE];
	ssize_t n;
	int fd;

	if (p9_bad(c))
		return p9_bad(c);
	if (!range_in(P9_WRITE_DATA, count, c->chain->out_len))
		return -EPROTO;
	if (fid->xattr)
		return p9_xattr_write(p, fid, c, offset, count);
	fd = p9_fid_fd(p, fid);
	if (fd < 0)
		return fd;
	n = pwritev(fd, iov, (int)chain_out_iov(c->chain, P9_WRITE_DATA, count, iov),
		    (off_t)offset);
	if (n < 0)
		return -errno;
	p9_put_u32(c, (uint32_t)n);
	return 0;
}

/* ---- Directories ---- */

/* As getdents64(2) has it. */
struct entry {
	uint64_t ino, next;
	uint16_t size;
	uint8_t type;
	char name[];
};

#define ENTRY_NAME offsetof(struct entry, name)
#define OUR_ENTRY (P9_QID + 8u + 1u + 2u) /* and the name */

static uint32_t put_entry(const struct p9 *p, const struct p9_fid *fid, const struct entry *e,
			  uint8_t *to)
{
	uint32_t len = (uint32_t)strlen(e->name);
	/* What lies above the share is none of the guest's business. */
	bool above = tree_is_root(fid->node) && !strcmp(e->name, "..");

	to[0] = p9_qid_type((mode_t)DTTOIF(e->type));
	put_le32(to + 1, 0);
	put_le64(to + 5, tree_id(p->tree, fid->dev, above ? fid->ino : e->ino));
	put_le64(to + P9_QID, e->next);
	to[P9_QID + 8] = e->type;
	put_le16(to + P9_QID + 9, (uint16_t)len);
	memcpy(to + OUR_ENTRY, e->name, len);
	return OUR_ENTRY + len;
}

/*
 * Entries from where `fid` stands, into p->scratch: how many bytes. An entry of ours takes at most 7/6 of
 * what the kernel's does (24 bytes for a name of up to 4).
 */
static int read_entries(struct p9 *p, struct p9_fid *fid, uint32_t count)
{
	long got = syscall(SYS_getdents64, fid->fd, p->entries, count / 7 * 6);
	uint32_t len = 0;

	if (got < 0)
		return -errno;
	for (long at = 0; at < got;) {
		const struct entry *e = (const struct entry *)(p->entries + at);

		len += put_entry(p, fid, e, p->scratch + len);
		fid->dir_pos = e->next;
		at += e->size;
	}
	return (int)len;
}

int p9_readdir(struct p9 *p, struct p9_call *c)
{
	struct p9_fid *fid = p9_take_open(p, c);
	uint64_t offset = p9_u64(c);
	uint32_t count = MIN(room(c, p9_u32(c)), P9_SCRATCH);
	int len;

	if (p9_bad(c))
		return p9_bad(c);
	/* Mostly it goes on where it was. */
	if (offset != fid->dir_pos && lseek(fid->fd, (off_t)offset, SEEK_SET) < 0)
		return -errno;
	fid->dir_pos = offset;
	len = read_entries(p, fid, count);
	if (len < 0)
		return len;
	p9_put_u32(c, (uint32_t)len);
	chain_write(c->chain, P9_DATA, p->scratch, (uint32_t)len);
	c->data = (uint32_t)len;
	return 0;
}
