/* SPDX-License-Identifier: MIT */
/* Writing one. */
#include "state/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/iov.h"
#include "util/hash.h"
#include "util/util.h"
#include "vm/pages.h"

#define STATE_NEW "state.new"

/* ---- Memory ---- */

static int write_at(int fd, const void *data, size_t len, uint64_t at)
{
	struct iovec part = { (void *)(uintptr_t)data, len };

	return iov_pwrite(fd, &part, 1, at);
}

/* What lies together is written together. */
static int write_pages(const struct mem *mem, int pagemap, int fd, uint64_t from, unsigned int n)
{
	bool absent[PAGES_MOST];
	uint64_t first = 0;
	unsigned int run = 0;
	int rc = 0;

	pages_absent(mem, pagemap, from, n, absent);
	for (unsigned int i = 0; !rc && i <= n; i++) {
		const uint8_t *page = mem->ram + from + i * mem->page;

		if (i < n && !absent[i] && !bytes_are_zero(page, mem->page)) {
			first = run++ ? first : from + i * mem->page;
			continue;
		}
		if (run)
			rc = write_at(fd, mem->ram + first, run * mem->page, first);
		run = 0;
	}
	return rc;
}

/* Not to its end, if the VM is to end: whoever waits for that is not kept waiting. */
static int write_run(struct vm *vm, int pagemap, int fd, const struct mem_run *run)
{
	const struct mem *mem = &vm->mem;
	uint64_t most = PAGES_MOST * mem->page;
	int rc = 0;

	for (uint64_t at = 0; !rc && at < run->len; at += most) {
		rc = write_pages(mem, pagemap, fd, run->at + at,
				 (unsigned int)(MIN(run->len - at, most) / mem->page));
		if (atomic_load(&vm->want) == VM_END)
			rc = -ECANCELED;
	}
	return rc;
}

static int write_memory(struct vm *vm, int fd, const struct mem_run *runs, unsigned int n)
{
	int pagemap = pages_open();
	int rc = ftruncate(fd, (off_t)vm->mem.size) ? -errno : 0;

	for (unsigned int i = 0; !rc && i < n; i++)
		rc = write_run(vm, pagemap, fd, &runs[i]);
	if (pagemap >= 0)
		close(pagemap);
	return rc;
}

/* ---- Writing ---- */

static int check_none(const struct snapshot_writer *w, struct err *err)
{
	if (faccessat(w->fd, SNAPSHOT_STATE, F_OK, AT_SYMLINK_NOFOLLOW))
		return 0;
	return err_set(err, EEXIST, "snapshot %s: there is one already", w->dir);
}

static int open_dir(struct snapshot_writer *w, struct err *err)
{
	struct stat st;

	w->made = !mkdir(w->dir, 0700);
	if (!w->made && errno != EEXIST)
		return err_set(err, errno, "snapshot %s: %s", w->dir, strerror(errno));
	w->fd = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (w->fd < 0 || fstat(w->fd, &st))
		return err_set(err, errno, "snapshot %s: %s", w->dir, strerror(errno));
	if (st.st_uid && st.st_uid != geteuid())
		return err_set(err, EPERM, "snapshot %s: the folder is another user's", w->dir);
	return check_none(w, err);
}

static int memory_error(const struct snapshot_writer *w, int rc, struct err *err)
{
	if (rc == -ECANCELED)
		return err_set(err, ESRCH, "the VM has ended");
	return err_set(err, -rc, "snapshot %s: the memory can't be written: %s", w->dir,
		       rc == -EWOULDBLOCK ? "another VM uses it" : strerror(-rc));
}

/*
 * Nobody restores from it before it is whole: the lock says the same to who opened it early. It is emptied when it
 * is known that no VM lives on it.
 */
static int open_new_memory(struct snapshot_writer *w, struct err *err)
{
	struct stat st;
	int rc;

	w->memory = openat(w->fd, w->name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (w->memory < 0 || flock(w->memory, LOCK_EX | LOCK_NB))
		return memory_error(w, -errno, err);
	if (fstat(w->memory, &st) || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
	    st.st_nlink != 1)
		return err_set(err, EPERM, "snapshot %s: its %s is somebody else's file", w->dir,
			       w->name);
	/* One may have been finished while the lock was waited for. */
	rc = check_none(w, err);
	if (rc)
		return rc;
	w->ours = true;
	return fchmod(w->memory, 0600) || ftruncate(w->memory, 0) ? memory_error(w, -errno, err)
								  : 0;
}

static int check_base(const struct snapshot_writer *w, struct err *err)
{
	struct err why = { "" };
	uint64_t sum = 0;
	int rc = snapshot_sum(w->diff->base, &sum, &why);
	struct stat is, held;
	char path[SNAPSHOT_PATH];

	if (snapshot_path(path, w->diff->base, SNAPSHOT_MEMORY, err))
		return -ENAMETOOLONG;
	/* Its memory is still the one that is held. */
	if (!rc && sum == w->diff->sum && !stat(path, &is) && !fstat(w->base, &held) &&
	    is.st_ino == held.st_ino && is.st_dev == held.st_dev)
		return 0;
	return err_set(
		err, ESTALE,
		"snapshot %s: what it would build on, %s, is not there any more: a whole one "
		"first, without --diff",
		w->dir, w->diff->base);
}

static int hold_base(struct snapshot_writer *w, struct err *err)
{
	char path[SNAPSHOT_PATH];

	if (snapshot_path(path, w->diff->base, SNAPSHOT_MEMORY, err))
		return -ENAMETOOLONG;
	w->base = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (w->base >= 0 && flock(w->base, LOCK_SH | LOCK_NB))
		return err_set(err, errno, "snapshot %s: it is being written", w->diff->base);
	return check_base(w, err);
}

/* A neighbour is told by its name, so that both may be moved together. */
static int link_base(struct snapshot_writer *w, struct err *err)
{
	const char *base = w->diff->base, *name = strrchr(base, '/');
	char *own = realpath(w->dir, NULL), *slash = own ? strrchr(own, '/') : NULL;
	char target[4096];
	struct stat st;
	int rc = 0;

	if (slash && slash - own == name - base && !strncmp(own, base, (size_t)(name - base)))
		snprintf(target, sizeof(target), "..%s", name);
	else
		snprintf(target, sizeof(target), "%s", base);
	/* (One that was not finished has left a link, perhaps; whatever else it is, it is somebody's.) */
	if (!fstatat(w->fd, SNAPSHOT_BASE, &st, AT_SYMLINK_NOFOLLOW) && S_ISLNK(st.st_mode))
		unlinkat(w->fd, SNAPSHOT_BASE, 0);
	if (symlinkat(target, w->fd, SNAPSHOT_BASE))
		rc = err_set(err, errno, "snapshot %s: %s: %s", w->dir, SNAPSHOT_BASE,
			     strerror(errno));
	w->linked = !rc;
	free(own);
	return rc;
}

int snapshot_begin(struct snapshot_writer *w, const char *dir, struct diff *diff, struct err *err)
{
	int rc;

	*w = (struct snapshot_writer){ .dir = dir,
				       .name = diff ? SNAPSHOT_DIFF : SNAPSHOT_MEMORY,
				       .fd = -1,
				       .memory = -1,
				       .base = -1,
				       .diff = diff };
	rc = diff ? hold_base(w, err) : 0;
	if (!rc)
		rc = open_dir(w, err);
	if (!rc)
		rc = open_new_memory(w, err);
	if (!rc && diff)
		rc = link_base(w, err);
	if (rc)
		snapshot_abandon(w);
	return rc;
}

static int add_runs(struct snapshot_writer *w, const struct mem_run *runs, unsigned int n,
		    struct err *err)
{
	struct buf body = { 0 };

	diff_put(runs, n, w->diff->sum, &body);
	saved_reopen(&w->state);
	saved_add(&w->state, STATE_DIFF, 0, &body);
	saved_end(&w->state);
	buf_free(&body);
	return w->state.failed ? err_set(err, ENOMEM, "no memory for the machine's state") : 0;
}

int snapshot_fill(struct snapshot_writer *w, struct vm *vm, const struct device_list *devices,
		  const struct buf *options, struct err *err)
{
	const struct mem_run all = { 0, vm->mem.size };
	struct mem_run *runs = NULL;
	unsigned int n = 0;
	int rc = state_save(vm, devices, options, &w->state, err);

	/* (To save the state may have written to memory.) */
	if (!rc && w->diff)
		rc = diff_find(w->diff, vm, &runs, &n, err) ?: add_runs(w, runs, n, err);
	if (!rc && (rc = write_memory(vm, w->memory, w->diff ? runs : &all, w->diff ? n : 1)))
		rc = memory_error(w, rc, err);
	free(runs);
	return rc;
}

static int write_state(struct snapshot_writer *w)
{
	int fd = openat(w->fd, STATE_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
			0600);
	int rc = fd < 0 ? -errno : write_at(fd, w->state.data, w->state.len, 0);

	if (!rc && fsync(fd))
		rc = -errno;
	if (fd >= 0)
		close(fd);
	if (!rc && renameat(w->fd, STATE_NEW, w->fd, SNAPSHOT_STATE))
		return -errno;
	if (!rc && fsync(w->fd)) {
		rc = -errno;
		unlinkat(w->fd, SNAPSHOT_STATE, 0);
	}
	return rc;
}

static void close_writer(struct snapshot_writer *w)
{
	if (w->memory >= 0)
		close(w->memory);
	if (w->fd >= 0)
		close(w->fd);
	if (w->base >= 0)
		close(w->base);
	buf_free(&w->state);
	w->fd = w->memory = w->base = -1;
}

int snapshot_finish(struct snapshot_writer *w, uint64_t *stored, uint64_t *sum, struct err *err)
{
	struct stat st = { 0 };
	int rc = fsync(w->memory) ? -errno : 0;

	if (rc)
		rc = memory_error(w, rc, err);
	if (!rc && w->diff)
		rc = check_base(w, err);
	if (!rc && (rc = write_state(w)))
		rc = err_set(err, -rc, "snapshot %s: the state can't be written: %s", w->dir,
			     strerror(-rc));
	if (rc) {
		snapshot_abandon(w);
		return rc;
	}
	fstat(w->memory, &st);
	*stored = (uint64_t)st.st_blocks * 512 + w->state.len;
	*sum = hash_block(0, w->state.data, w->state.len);
	close_writer(w);
	return 0;
}

/* (What another's lock kept from us is another's.) */
void snapshot_abandon(struct snapshot_writer *w)
{
	if (w->ours) {
		unlinkat(w->fd, STATE_NEW, 0);
		unlinkat(w->fd, w->name, 0);
	}
	if (w->linked)
		unlinkat(w->fd, SNAPSHOT_BASE, 0);
	if (w->made)
		rmdir(w->dir);
	close_writer(w);
}
