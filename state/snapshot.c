/* SPDX-License-Identifier: MIT */
#include "state/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/iov.h"
#include "vm/pages.h"
#include "util/util.h"

#define MEMORY "memory"
#define STATE "state"
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

		if (i < n && !absent[i] && !page_is_zero(page, mem->page)) {
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
static int write_memory(struct vm *vm, int fd)
{
	const struct mem *mem = &vm->mem;
	int pagemap = pages_open();
	int rc = ftruncate(fd, (off_t)mem->size) ? -errno : 0;

	for (uint64_t at = 0; !rc && at < mem->size; at += PAGES_MOST * mem->page) {
		rc = write_pages(
			mem, pagemap, fd, at,
			(unsigned int)(MIN(mem->size - at, PAGES_MOST * mem->page) / mem->page));
		if (atomic_load(&vm->want) == VM_END)
			rc = -ECANCELED;
	}
	if (pagemap >= 0)
		close(pagemap);
	return rc;
}

/* ---- Writing ---- */

static int check_none(const struct snapshot_writer *w, struct err *err)
{
	if (faccessat(w->fd, STATE, F_OK, AT_SYMLINK_NOFOLLOW))
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

	w->memory = openat(w->fd, MEMORY, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (w->memory < 0 || flock(w->memory, LOCK_EX | LOCK_NB))
		return memory_error(w, -errno, err);
	if (fstat(w->memory, &st) || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
	    st.st_nlink != 1)
		return err_set(err, EPERM, "snapshot %s: its " MEMORY " is somebody else's file",
			       w->dir);
	/* One may have been finished while the lock was waited for. */
	rc = check_none(w, err);
	if (rc)
		return rc;
	w->ours = true;
	return fchmod(w->memory, 0600) || ftruncate(w->memory, 0) ? memory_error(w, -errno, err)
								  : 0;
}

int snapshot_begin(struct snapshot_writer *w, const char *dir, struct err *err)
{
	int rc;

	*w = (struct snapshot_writer){ .dir = dir, .fd = -1, .memory = -1 };
	rc = open_dir(w, err);
	if (!rc)
		rc = open_new_memory(w, err);
	if (rc)
		snapshot_abandon(w);
	return rc;
}

int snapshot_fill(struct snapshot_writer *w, struct vm *vm, const struct device_list *devices,
		  const struct buf *options, struct err *err)
{
	int rc = state_save(vm, devices, options, &w->state, err);

	if (rc)
		return rc;
	rc = write_memory(vm, w->memory);
	return rc ? memory_error(w, rc, err) : 0;
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
	if (!rc && renameat(w->fd, STATE_NEW, w->fd, STATE))
		return -errno;
	if (!rc && fsync(w->fd)) {
		rc = -errno;
		unlinkat(w->fd, STATE, 0);
	}
	return rc;
}

static void close_writer(struct snapshot_writer *w)
{
	if (w->memory >= 0)
		close(w->memory);
	if (w->fd >= 0)
		close(w->fd);
	buf_free(&w->state);
	w->fd = w->memory = -1;
}

int snapshot_finish(struct snapshot_writer *w, uint64_t *stored, struct err *err)
{
	struct stat st = { 0 };
	int rc = fsync(w->memory) ? -errno : 0;

	if (rc)
		rc = memory_error(w, rc, err);
	else if ((rc = write_state(w)))
		rc = err_set(err, -rc, "snapshot %s: the state can't be written: %s", w->dir,
			     strerror(-rc));
	if (rc) {
		snapshot_abandon(w);
		return rc;
	}
	fstat(w->memory, &st);
	*stored = (uint64_t)st.st_blocks * 512 + w->state.len;
	close_writer(w);
	return 0;
}

/* (What another's lock kept from us is another's.) */
void snapshot_abandon(struct snapshot_writer *w)
{
	if (w->ours) {
		unlinkat(w->fd, STATE_NEW, 0);
		unlinkat(w->fd, MEMORY, 0);
	}
	if (w->made)
		rmdir(w->dir);
	close_writer(w);
}

/* ---- Reading ---- */

static bool is_own(const struct stat *st)
{
	return (st->st_uid == geteuid() || !st->st_uid) && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

static int open_memory(struct snapshot *s, const char *dir, struct err *err)
{
	char path[4096];
	struct stat st;

	if (snprintf(path, sizeof(path), "%s/%s", dir, MEMORY) >= (int)sizeof(path))
		return err_set(err, ENAMETOOLONG, "snapshot %s: so long a name", dir);
	s->memory = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (s->memory < 0)
		return err_set(err, errno, "snapshot %s: %s: %s", dir, MEMORY, strerror(errno));
	if (flock(s->memory, LOCK_SH | LOCK_NB))
		return err_set(err, errno, "snapshot %s: it is being written", dir);
	if (fstat(s->memory, &st) || !S_ISREG(st.st_mode) || st.st_size <= 0)
		return err_set(err, EINVAL, "snapshot %s: %s is no file with memory in it", dir,
			       MEMORY);
	s->memory_size = (uint64_t)st.st_size;
	s->own &= is_own(&st);
	return 0;
}

static int open_state(struct snapshot *s, const char *dir, struct err *err)
{
	char path[4096];
	struct err why = { "" };
	struct stat st;
	int fd, rc;

	if (snprintf(path, sizeof(path), "%s/%s", dir, STATE) >= (int)sizeof(path))
		return err_set(err, ENAMETOOLONG, "snapshot %s: so long a name", dir);
	if (access(path, F_OK) && errno == ENOENT)
		return err_set(err, ENOENT, "snapshot %s: there is no %s", dir,
			       access(dir, F_OK) ? "such folder" : "snapshot in it");
	fd = file_map_open(path, "snapshot's state", &s->state_file, err);
	if (fd < 0)
		return fd;
	s->own = !fstat(fd, &st) && is_own(&st);
	close(fd);
	rc = s->state_file.size > SAVED_MOST
		     ? err_set(&why, EINVAL, "the saved state is too large")
		     : saved_open(&s->state, s->state_file.data, s->state_file.size, &why);
	return rc ? err_set(err, -rc, "snapshot %s: %s", dir, why.text) : 0;
}

int snapshot_open(struct snapshot *s, const char *dir, struct err *err)
{
	int rc;

	*s = (struct snapshot){ .memory = -1 };
	rc = open_state(s, dir, err);
	if (!rc)
		rc = open_memory(s, dir, err);
	if (rc)
		snapshot_close(s);
	return rc;
}

void snapshot_close(struct snapshot *s)
{
	if (s->state_file.data)
		file_unmap(&s->state_file);
	if (s->memory >= 0)
		close(s->memory);
	*s = (struct snapshot){ .memory = -1 };
}
