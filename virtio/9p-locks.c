/* SPDX-License-Identifier: MIT */
/*
 * Locks are the host's: others there, and other guests, see them. None is ever waited for; Linux's
 * client asks again, and it has settled already what is between the processes of its own guest.
 *
 * A lock is a process's, as fcntl(2) has it, and that is all that the protocol knows: whichever fid
 * of a file a process asks by, it is one owner, and two that ask by the same fid are two. (Which
 * client it is need not be looked at: a device has one.) So each owner has an open file of its own
 * here, a locker, whose locks are the host's own of open files (F_OFD_SETLK): what of a lock stays
 * when a part is unlocked is the host kernel's affair. A locker ends when its owner unlocks the
 * whole file, which Linux's client does whenever a process closes one that has locks, or when the
 * fid is closed that it last locked by.
 *
 * flock() comes as a lock of the whole file, and ends with the process that took it, not with the
 * last that has the file from it: the protocol doesn't tell the one from the other. Only unlocking
 * by another process is seen: flock() asks to wait for that.
 *
 * Who may only read takes no locks from the host, but for itself: it is told of those that are in
 * its way.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/util.h"
#include "virtio/9p-session.h"

enum { P9_READ_LOCK, P9_WRITE_LOCK, P9_UNLOCK };
enum { P9_LOCKED, P9_BLOCKED, P9_LOCK_FAILED };

#define MAY_WAIT 1u

struct p9_locker {
	struct hash_link link;	/* by file and owner */
	struct p9_locker *next; /* of the fid */
	struct p9_fid *fid;	/* that it last locked by */
	uint64_t dev, ino;
	uint32_t owner;
	int fd;
};

struct lock {
	uint8_t type;
	uint32_t flags;
	uint64_t start, len;
	uint32_t owner;
};

static int lock_type(uint8_t type)
{
	return type == P9_READ_LOCK ? F_RDLCK : type == P9_WRITE_LOCK ? F_WRLCK : F_UNLCK;
}

static struct flock flock_of(const struct lock *lock)
{
	return (struct flock){ .l_type = (short)lock_type(lock->type),
			       .l_start = (off_t)lock->start,
			       .l_len = (off_t)lock->len };
}

/* ---- Lockers ---- */

static struct p9_locker *locker_at(struct hash_link *link)
{
	return container_of(link, struct p9_locker, link);
}

static uint64_t hash_locker(const struct p9_fid *fid, uint32_t owner)
{
	return hash_mix(hash_mix(hash_mix(fid->dev) ^ fid->ino) ^ owner);
}

static struct p9_locker *find_locker(const struct p9 *p, const struct p9_fid *fid, uint32_t owner)
{
	struct hash_link *l = hash_first(&p->lockers, hash_locker(fid, owner));

	while (l && (locker_at(l)->owner != owner || locker_at(l)->dev != fid->dev ||
		     locker_at(l)->ino != fid->ino))
		l = hash_next(l);
	return l ? locker_at(l) : NULL;
}

static void leave_fid(struct p9_locker *l)
{
	struct p9_locker **at = &l->fid->lockers;

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
}

static void join_fid(struct p9_locker *l, struct p9_fid *fid)
{
	l->fid = fid;
	l->next = fid->lockers;
	fid->lockers = l;
}

static void end_locker(struct p9 *p, struct p9_locker *l)
{
	tree_close_fd(p->tree, l->fd);
	hash_remove(&p->lockers, &l->link);
	leave_fid(l);
	free(l);
}

void p9_fid_unlock(struct p9 *p, struct p9_fid *fid)
{
	while (fid->lockers)
		end_locker(p, fid->lockers);
}

/* For locks of both kinds if that can be, as the fid is open else. */
static int open_locker(struct p9 *p, const struct p9_fid *fid)
{
	int fd = tree_reopen(p->tree, fid->fd, O_RDWR);

	return fd >= 0 || fd == -EMFILE ? fd
					: tree_reopen(p->tree, fid->fd, fid->flags & O_ACCMODE);
}

static int add_locker(struct p9 *p, struct p9_fid *fid, uint32_t owner, struct p9_locker **out)
{
	struct p9_locker *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->dev = fid->dev;
	l->ino = fid->ino;
	l->owner = owner;
	l->fd = open_locker(p, fid);
	if (l->fd < 0 || hash_add(&p->lockers, &l->link, hash_locker(fid, owner))) {
		int rc = l->fd < 0 ? l->fd : -ENOMEM;

		if (l->fd >= 0)
			tree_close_fd(p->tree, l->fd);
		free(l);
		return rc;
	}
	join_fid(l, fid);
	*out = l;
	return 0;
}

/* ---- Locks ---- */

/*
 * flock() asks for either kind whatever a file was opened for, and the host grants only that which
 * goes with it: the other one then.
 */
static int set_lock(const struct p9_locker *l, const struct lock *lock)
{
	struct flock fl = flock_of(lock);

	if (!fcntl(l->fd, F_OFD_SETLK, &fl))
		return 0;
	if (errno != EBADF || lock->type == P9_UNLOCK)
		return -errno;
	fl.l_type = lock->type == P9_READ_LOCK ? F_WRLCK : F_RDLCK;
	return fcntl(l->fd, F_OFD_SETLK, &fl) ? -errno : 0;
}

static int take(struct p9 *p, struct p9_fid *fid, const struct lock *lock)
{
	struct p9_locker *l = find_locker(p, fid, lock->owner);
	bool is_new = !l;
	int rc = is_new ? add_locker(p, fid, lock->owner, &l) : 0;

	if (rc)
		return rc;
	rc = set_lock(l, lock);
	if (rc && is_new) {
		end_locker(p, l);
	} else if (!rc && l->fid != fid) {
		leave_fid(l);
		join_fid(l, fid);
	}
	return rc;
}

static int release(struct p9 *p, struct p9_fid *fid, const struct lock *lock)
{
	struct p9_locker *l = find_locker(p, fid, lock->owner);
	bool all = !lock->start && !lock->len;

	if (l && !all)
		return set_lock(l, lock);
	if (l)
		end_locker(p, l);
	if (all && lock->flags & MAY_WAIT)
		p9_fid_unlock(p, fid);
	return 0;
}

/* Without taking it. */
static int look(const struct p9_fid *fid, const struct lock *lock)
{
	struct flock fl = flock_of(lock);

	if (lock->type == P9_UNLOCK)
		return 0;
	if (fcntl(fid->fd, F_OFD_GETLK, &fl))
		return -errno;
	return fl.l_type == F_UNLCK ? 0 : -EAGAIN;
}

/* ---- Requests ---- */

static void take_range(struct p9_call *c, struct lock *lock)
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

	lock.flags = p9_u32(c);
	take_range(c, &lock);
	rc = p9_bad(c);
	if (!rc)
		rc = check_lock(&lock);
	if (rc)
		return rc;
	rc = tree_read_only(p->tree)  ? look(fid, &lock)
	     : lock.type == P9_UNLOCK ? release(p, fid, &lock)
				      : take(p, fid, &lock);
	p9_put_u8(c, !rc			      ? P9_LOCKED
		     : rc == -EAGAIN || rc == -EACCES ? P9_BLOCKED
						      : P9_LOCK_FAILED);
	return 0;
}

int p9_getlock(struct p9 *p, struct p9_call *c)
{
	struct p9_fid *fid = p9_take_open(p, c);
	struct lock lock = { .type = p9_u8(c) };
	const struct p9_locker *own;
	char client[256];
	struct flock fl;
	int rc;

	take_range(c, &lock);
	p9_string(c, client, sizeof(client));
	rc = p9_bad(c);
	if (!rc)
		rc = check_lock(&lock);
	if (rc)
		return rc;
	fl = flock_of(&lock);
	own = find_locker(p, fid, lock.owner);
	if (fcntl(own ? own->fd : fid->fd, F_OFD_GETLK, &fl))
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
