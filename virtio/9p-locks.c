/* SPDX-License-Identifier: MIT */
/*
 * Locks are the host's, of open files (F_OFD_SETLK): others on the host, and other guests, see them.
 * None is ever waited for; Linux's client asks again. It has settled already what is between the
 * processes of its own guest.
 *
 * One process that has a file open twice is one owner there, and two here. So a lock that is refused
 * is tried by the other fids of that process and file.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "util/util.h"
#include "virtio/9p-session.h"

enum { P9_READ_LOCK, P9_WRITE_LOCK, P9_UNLOCK };
enum { P9_LOCKED, P9_BLOCKED, P9_LOCK_FAILED };

struct lock {
	uint8_t type;
	uint64_t start, len;
	uint32_t owner;
};

static int lock_type(uint8_t type)
{
	return type == P9_READ_LOCK ? F_RDLCK : type == P9_WRITE_LOCK ? F_WRLCK : F_UNLCK;
}

/*
 * flock() asks for either kind whatever a file was opened for, and the host grants only that which
 * goes with it: the other one then.
 */
static int set_lock(const struct p9_fid *fid, const struct lock *lock)
{
	struct flock fl = {
		.l_type = (short)lock_type(lock->type),
		.l_start = (off_t)lock->start,
		.l_len = (off_t)lock->len,
	};

	if (!fcntl(fid->fd, F_OFD_SETLK, &fl))
		return 0;
	if (errno != EBADF || lock->type == P9_UNLOCK)
		return -errno;
	fl.l_type = lock->type == P9_READ_LOCK ? F_WRLCK : F_RDLCK;
	return fcntl(fid->fd, F_OFD_SETLK, &fl) ? -errno : 0;
}

static bool same_owner(const struct p9_fid *a, const struct p9_fid *b)
{
	return a != b && a->locks && a->fd >= 0 && a->dev == b->dev && a->ino == b->ino &&
	       a->lock_owner == b->lock_owner;
}

/* By the process's other fids of this file: the first that succeeds, or all of them. */
static int set_by_others(struct p9 *p, const struct p9_fid *fid, const struct lock *lock, bool all)
{
	int rc = -EAGAIN;

	for (uint32_t at = 0; rc || all; at++) {
		struct hash_link *l = hash_scan(&p->fids, &at);

		if (!l)
			break;
		for (; l && (rc || all); l = l->next) {
			struct p9_fid *other = container_of(l, struct p9_fid, link);

			if (same_owner(other, fid))
				rc = set_lock(other, lock);
		}
	}
	return rc;
}

static void take_lock(struct p9_call *c, struct lock *lock)
{
	lock->start = p9_u64(c);
	lock->len = p9_u64(c);
	lock->owner = p9_u32(c);
}

static int check_lock(const struct lock *lock)
{
	return lock->type > P9_UNLOCK || lock->start > INT64_MAX || lock->len > INT64_MAX ? -EINVAL
											  : 0;
}

int p9_lock(struct p9 *p, struct p9_call *c)
{
	struct p9_fid *fid = p9_take_open(p, c);
	struct lock lock = { .type = p9_u8(c) };
	int rc;

	p9_u32(c); /* flags: to wait is the client's affair */
	take_lock(c, &lock);
	rc = p9_bad(c);
	if (!rc)
		rc = check_lock(&lock);
	if (rc)
		return rc;
	fid->locks = true;
	fid->lock_owner = lock.owner;
	rc = set_lock(fid, &lock);
	if (rc == -EAGAIN || rc == -EACCES) {
		rc = set_by_others(p, fid, &lock, false);
		p->locks_lent |= !rc;
	} else if (lock.type == P9_UNLOCK && p->locks_lent) {
		set_by_others(p, fid, &lock, true);
	}
	p9_put_u8(c, !rc			      ? P9_LOCKED
		     : rc == -EAGAIN || rc == -EACCES ? P9_BLOCKED
						      : P9_LOCK_FAILED);
	return 0;
}

int p9_getlock(struct p9 *p, struct p9_call *c)
{
	struct p9_fid *fid = p9_take_open(p, c);
	struct lock lock = { .type = p9_u8(c) };
	char client[256];
	struct flock fl;
	int rc;

	take_lock(c, &lock);
	p9_string(c, client, sizeof(client));
	rc = p9_bad(c);
	if (!rc)
		rc = check_lock(&lock);
	if (rc)
		return rc;
	fl = (struct flock){ .l_type = (short)lock_type(lock.type),
			     .l_start = (off_t)lock.start,
			     .l_len = (off_t)lock.len };
	if (fcntl(fid->fd, F_OFD_GETLK, &fl))
		return -errno;
	if (fl.l_type != F_UNLCK) {
		lock.start = (uint64_t)fl.l_start;
		lock.len = (uint64_t)fl.l_len;
		lock.owner = (uint32_t)MAX(fl.l_pid, 0);
	}
	p9_put_u8(c, fl.l_type == F_RDLCK   ? P9_READ_LOCK
		     : fl.l_type == F_WRLCK ? P9_WRITE_LOCK
					    : P9_UNLOCK);
	p9_put_u64(c, lock.start);
	p9_put_u64(c, lock.len);
	p9_put_u32(c, lock.owner);
	p9_put_string(c, client, strlen(client));
	return 0;
}
