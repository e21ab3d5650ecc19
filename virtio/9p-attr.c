/* SPDX-License-Identifier: MIT */
/* What is known of files and of their file systems, and what can be set of it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "util/util.h"
#include "virtio/9p-session.h"

#define GETATTR_BASIC 0x7ffu /* all but the time of birth, generation and version */

enum setattr {
	SET_MODE = 1,
	SET_UID = 2,
	SET_GID = 4,
	SET_SIZE = 8,
	SET_ATIME = 0x10,
	SET_MTIME = 0x20,
	SET_CTIME = 0x40,
	SET_ATIME_TO = 0x80, /* else: to now */
	SET_MTIME_TO = 0x100,
};

/* A device's number as Linux's kernel has it between its own parts. */
static uint64_t device_number(dev_t dev)
{
	uint32_t major = major(dev), minor = minor(dev);

	return (minor & 0xff) | (uint64_t)major << 8 | (uint64_t)(minor & ~0xffu) << 12;
}

static void put_time(struct p9_call *c, const struct timespec *t)
{
	p9_put_u64(c, (uint64_t)t->tv_sec);
	p9_put_u64(c, (uint64_t)t->tv_nsec);
}

int p9_getattr(struct p9 *p, struct p9_call *c)
{
	static const uint8_t nothing[32]; /* btime, generation, version */
	struct p9_fid *fid = p9_take_fid(p, c);
	int rc = p9_bad(c);
	struct p9_qid qid;
	struct stat st;

	if (rc)
		return rc;
	rc = fid->fd >= 0 ? tree_stat_fd(p->tree, fid->fd, &st)
			  : tree_stat(p->tree, fid->node, &st);
	if (rc)
		return rc;
	qid = p9_qid_of(&st, tree_id(p->tree, st.st_dev, st.st_ino));
	p9_put_u64(c, GETATTR_BASIC);
	p9_put_qid(c, &qid);
	p9_put_u32(c, st.st_mode);
	p9_put_u32(c, st.st_uid);
	p9_put_u32(c, st.st_gid);
	p9_put_u64(c, st.st_nlink);
	p9_put_u64(c, device_number(st.st_rdev));
	p9_put_u64(c, (uint64_t)st.st_size);
	p9_put_u64(c, (uint64_t)st.st_blksize);
	p9_put_u64(c, (uint64_t)st.st_blocks);
	put_time(c, &st.st_atim);
	put_time(c, &st.st_mtim);
	put_time(c, &st.st_ctim);
	p9_put_bytes(c, nothing, sizeof(nothing));
	return 0;
}

struct attributes {
	uint32_t valid, mode, uid, gid;
	uint64_t size;
	struct timespec times[2];
};

static void take_time(struct p9_call *c, struct timespec *t, const struct attributes *a,
		      uint32_t set, uint32_t set_to)
{
	t->tv_sec = (time_t)p9_u64(c);
	t->tv_nsec = (long)p9_u64(c);
	if (!(a->valid & set))
		t->tv_nsec = UTIME_OMIT;
	else if (!(a->valid & set_to))
		t->tv_nsec = UTIME_NOW;
	else if (t->tv_nsec < 0 || t->tv_nsec >= 1000000000)
		c->error = c->error ? c->error : -EINVAL;
}

/* A file that was opened for writing may be cut even if its mode has changed since. */
static int set_size(struct p9 *p, struct p9_fid *fid, uint64_t size)
{
	if (size > INT64_MAX)
		return -EFBIG;
	if (fid->fd < 0 || (fid->flags & O_ACCMODE) == O_RDONLY)
		return tree_truncate(p->tree, fid->node, size);
	return ftruncate(fid->fd, (off_t)size) ? -errno : 0;
}

/*
 * Linux asks for the time of a truncation with its size. That is set by then, and only a file's owner
 * may set one time alone.
 */
static int set_times(struct p9 *p, struct p9_fid *fid, const struct attributes *a)
{
	int rc = tree_set_times(p->tree, fid->node, a->times);
	bool is_done = a->valid & SET_SIZE && a->times[0].tv_nsec == UTIME_OMIT &&
		       a->times[1].tv_nsec == UTIME_NOW;

	return is_done && (rc == -EPERM || rc == -EACCES) ? 0 : rc;
}

/* Owners before modes: to change one may take bits from the other. */
static int set_attributes(struct p9 *p, struct p9_fid *fid, const struct attributes *a)
{
	int rc = 0;

	if (a->valid & SET_SIZE)
		rc = set_size(p, fid, a->size);
	if (!rc && a->valid & (SET_UID | SET_GID))
		rc = tree_chown(p->tree, fid->node, a->valid & SET_UID ? a->uid : TREE_KEEP,
				a->valid & SET_GID ? a->gid : TREE_KEEP);
	if (!rc && a->valid & SET_MODE)
		rc = tree_chmod(p->tree, fid->node, a->mode);
	if (!rc && a->valid & (SET_ATIME | SET_MTIME))
		rc = set_times(p, fid, a);
	/* A ctime alone is set by changing nothing. */
	if (!rc && a->valid == SET_CTIME)
		rc = tree_chown(p->tree, fid->node, TREE_KEEP, TREE_KEEP);
	return rc;
}

int p9_setattr(struct p9 *p, struct p9_call *c)
{
	struct p9_fid *fid = p9_take_fid(p, c);
	struct attributes a;

	a.valid = p9_u32(c);
	a.mode = p9_u32(c);
	a.uid = p9_u32(c);
	a.gid = p9_u32(c);
	a.size = p9_u64(c);
	take_time(c, &a.times[0], &a, SET_ATIME, SET_ATIME_TO);
	take_time(c, &a.times[1], &a, SET_MTIME, SET_MTIME_TO);
	return p9_bad(c) ? p9_bad(c) : set_attributes(p, fid, &a);
}

int p9_statfs(struct p9 *p, struct p9_call *c)
{
	struct p9_fid *fid = p9_take_fid(p, c);
	int rc = p9_bad(c);
	struct statfs fs;
	uint64_t id = 0;

	if (!rc)
		rc = tree_statfs(p->tree, fid->node, &fs);
	if (rc)
		return rc;
	memcpy(&id, &fs.f_fsid, MIN(sizeof(id), sizeof(fs.f_fsid)));
	p9_put_u32(c, (uint32_t)fs.f_type);
	p9_put_u32(c, (uint32_t)fs.f_bsize);
	p9_put_u64(c, fs.f_blocks);
	p9_put_u64(c, fs.f_bfree);
	p9_put_u64(c, fs.f_bavail);
	p9_put_u64(c, fs.f_files);
	p9_put_u64(c, fs.f_ffree);
	p9_put_u64(c, id);
	p9_put_u32(c, (uint32_t)fs.f_namelen);
	return 0;
}
