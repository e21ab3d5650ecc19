/* SPDX-License-Identifier: MIT */
#include "vm/pages.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mman.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/util.h"

/* Linux's Documentation/admin-guide/mm/pagemap.rst */
#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_SWAPPED (1ull << 62)
#define PAGEMAP_FILE (1ull << 61)

int pages_open(void)
{
	return open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
}

/* Which of these pages are in holes of the file, if all of it is. */
static void find_holes(int fd, uint64_t from, unsigned int n, uint64_t page, bool hole[PAGES_MOST])
{
	off_t at = (off_t)from, end = (off_t)(from + n * page);

	memset(hole, true, n);
	while (at < end) {
		off_t data = lseek(fd, at, SEEK_DATA);

		if (data < 0 && errno == ENXIO)
			return; /* none behind that */
		if (data < 0)
			data = at;
		at = lseek(fd, data, SEEK_HOLE);
		if (at < 0)
			at = end;
		for (off_t p = data - data % (off_t)page; p < MIN(at, end); p += (off_t)page)
			hole[((uint64_t)p - from) / page] = false;
	}
}

/* The map's entries of these pages. False: the host does not tell. */
static bool look_up(const struct mem *mem, int fd, uint64_t from, unsigned int n, uint64_t *entries)
{
	off_t where = (off_t)((uintptr_t)(mem->ram + from) / mem->page * sizeof(*entries));
	size_t size = n * sizeof(*entries);

	return fd >= 0 && pread(fd, entries, size, where) == (ssize_t)size;
}

/* Pages that mem_lay_over() has laid there. */
static void set_over(const struct mem *mem, uint64_t from, unsigned int n, bool value, bool *of)
{
	uint64_t end = from + n * mem->page;

	for (unsigned int i = 0; i < mem->n_runs; i++) {
		const struct mem_run *r = &mem->runs[i];

		for (uint64_t p = MAX(r->at, from); p < MIN(r->at + r->len, end); p += mem->page)
			of[(p - from) / mem->page] = value;
	}
}

void pages_absent(const struct mem *mem, int fd, uint64_t from, unsigned int n,
		  bool absent[PAGES_MOST])
{
	uint64_t entries[PAGES_MOST];
	bool is_file = mem->backing == MEM_FILE;
	bool known;

	/* (Who else has mapped it may have written there: the file knows.) */
	if (mem->backing == MEM_SHARED) {
		find_holes(mem->fd, from, n, mem->page, absent);
		return;
	}
	known = (is_file || (mem->backing == MEM_ANON && mem->image.fd < 0)) &&
		look_up(mem, fd, from, n, entries);
	memset(absent, known, n);
	if (known && is_file)
		find_holes(mem->image.fd, from, n, mem->page, absent);
	set_over(mem, from, n, false, absent);
	for (unsigned int i = 0; i < n; i++)
		absent[i] = absent[i] && !(entries[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED));
}

void pages_written(const struct mem *mem, int fd, uint64_t from, unsigned int n,
		   bool written[PAGES_MOST])
{
	uint64_t entries[PAGES_MOST];
	bool known = look_up(mem, fd, from, n, entries);

	memset(written, !known, n);
	for (unsigned int i = 0; known && i < n; i++)
		written[i] = entries[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED) &&
			     !(entries[i] & PAGEMAP_FILE);
	set_over(mem, from, n, true, written);
}

/* Linux before 5.14 knows no such advice, and larger pages may not begin or end there: then they fault. */
void pages_bring(void *at, size_t len)
{
	madvise(at, len, MADV_POPULATE_WRITE);
}
