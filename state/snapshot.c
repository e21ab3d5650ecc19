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
#include "util/util.h"

#define MEMORY "memory"
#define STATE "state"
#define STATE_NEW "state.new"
#define PAGES 512u /* looked at in one go */

/* Linux's Documentation/admin-guide/mm/pagemap.rst */
#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_SWAPPED (1ull << 62)

/* ---- Memory ---- */

static int write_at(int fd, const void *data, size_t len, uint64_t at)
{
	struct iovec part = { (void *)(uintptr_t)data, len };

	return iov_pwrite(fd, &part, 1, at);
}

static bool is_zero(const uint8_t *page, size_t size)
{
	return !page[0] && !memcmp(page, page + 1, size - 1);
}

/*
 * Which pages need not be looked at: those of anonymous memory that never were there. To read them would make
 * them be there. Where the host does not tell, or what is not there is in a file, all are looked at.
 */
static void find_absent(const struct mem *mem, int pagemap, const uint8_t *at, unsigned int n,
			bool absent[PAGES])
{
	uint64_t entries[PAGES];
	off_t where = (off_t)((uintptr_t)at / mem->page * sizeof(entries[0]));
	size_t size = n * sizeof(entries[0]);
	bool known = mem->backing == MEM_ANON && mem->image < 0 && pagemap >= 0 &&
		     pread(pagemap, entries, size, where) == (ssize_t)size;

	for (unsigned int i = 0; i < n; i++)
		absent[i] = known && !(entries[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED));
}

/* What lies together is written together. */
static int write_pages(const struct mem *mem, int pagemap, int fd, uint64_t from, unsigned int n)
{
	bool absent[PAGES];
	uint64_t first = 0;
	unsigned int run = 0;
	int rc = 0;

	find_absent(mem, pagemap, mem->ram + from, n, absent);
	for (unsigned int i = 0; !rc && i <= n; i++) {
		const uint8_t *page = mem->ram + from + i * mem->page;

		if (i < n && !absent[i] && !is_zero(page, mem->page)) {
			first = run++ ? first : from + i * mem->page;
			continue;
		}
		if (run)
			rc = write_at(fd, mem->ram + first, run * mem->page, first);
		run = 0;
	}
	return rc;
}

static int write_memory(const struct mem *mem, int fd)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	int rc = ftruncate(fd, (off_t)mem->size) ? -errno : 0;

	for (uint64_t at = 0; !rc && at < mem->size; at += PAGES * mem->page)
		rc = write_pages(
			mem, pagemap, fd, at,
			(unsigned int)(MIN(mem->size - at, PAGES * mem->page) / mem->page));
	if (pagemap >= 0)
		close(pagemap);
	if (!rc && fsync(fd))
		rc = -errno;
	return rc;
}

/* ---- Writing ---- */

/* Nobody restores from it before it is whole: the lock says the same to who opened it early. */
static int make_memory(struct vm *vm, int dir_fd, const char *dir, struct err *err)
{
	int fd = openat(dir_fd, MEMORY, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int rc = fd < 0 || flock(fd, LOCK_EX | LOCK_NB) ? -errno : write_memory(&vm->mem, fd);

	if (fd >= 0)
		close(fd);
	return rc ? err_set(err, -rc, "snapshot %s: the memory can't be written: %s", dir,
			    rc == -EWOULDBLOCK ? "another VM uses it" : strerror(-rc))
		  : 0;
}

static int make_state(const struct buf *state, int dir_fd, const char *dir, struct err *err)
{
	int fd = openat(dir_fd, STATE_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
			0600);
	int rc = fd < 0 ? -errno : write_at(fd, state->data, state->len, 0);

	if (!rc && fsync(fd))
		rc = -errno;
	if (fd >= 0)
		close(fd);
	if (!rc && (renameat(dir_fd, STATE_NEW, dir_fd, STATE) || fsync(dir_fd)))
		rc = -errno;
	return rc ? err_set(err, -rc, "snapshot %s: the state can't be written: %s", dir,
			    strerror(-rc))
		  : 0;
}

static int open_dir(const char *dir, bool *made, struct err *err)
{
	int fd;

	*made = !mkdir(dir, 0700);
	if (!*made && errno != EEXIST)
		return err_set(err, errno, "snapshot %s: %s", dir, strerror(errno));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, errno, "snapshot %s: %s", dir, strerror(errno));
	if (!faccessat(fd, STATE, F_OK, AT_SYMLINK_NOFOLLOW)) {
		close(fd);
		return err_set(err, EEXIST, "snapshot %s: there is one already", dir);
	}
	return fd;
}

int snapshot_write(struct vm *vm, const struct device_list *devices, const struct buf *options,
		   const char *dir, struct err *err)
{
	struct buf state = { 0 };
	bool made;
	int fd = open_dir(dir, &made, err), rc;

	if (fd < 0)
		return fd;
	rc = state_save(vm, devices, options, &state, err);
	if (!rc)
		rc = make_memory(vm, fd, dir, err);
	if (!rc)
		rc = make_state(&state, fd, dir, err);
	if (rc) {
		unlinkat(fd, STATE_NEW, 0);
		unlinkat(fd, MEMORY, 0);
	}
	if (rc && made)
		rmdir(dir);
	close(fd);
	buf_free(&state);
	return rc;
}

/* ---- Reading ---- */

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
	return 0;
}

static int open_state(struct snapshot *s, const char *dir, struct err *err)
{
	char path[4096];
	struct err why = { "" };
	int rc;

	if (snprintf(path, sizeof(path), "%s/%s", dir, STATE) >= (int)sizeof(path))
		return err_set(err, ENAMETOOLONG, "snapshot %s: so long a name", dir);
	rc = file_map(path, "snapshot's state", &s->state_file, err);
	if (rc)
		return rc;
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
