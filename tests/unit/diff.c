/* SPDX-License-Identifier: MIT */
/* What was written to, of memory that was restored: found, told in runs, laid over its base again. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "state/diff.h"
#include "tests/unit/tap.h"
#include "util/util.h"
#include "vm/pages.h"

#define SIZE (256 * MIB)
#define PAGES (SIZE / MEM_PAGE)

static int new_file(void)
{
	int fd = memfd_create("snapshot", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)SIZE))
		abort();
	return fd;
}

/* Every third page of the file's first half has something in it; the rest are holes. */
static void fill(int fd)
{
	uint8_t page[MEM_PAGE];

	for (uint64_t i = 0; i < PAGES / 2; i += 3) {
		memset(page, (int)(1 + i % 100), sizeof(page));
		if (pwrite(fd, page, sizeof(page), (off_t)(i * MEM_PAGE)) != sizeof(page))
			abort();
	}
}

static bool covers(const struct mem_run *runs, unsigned int n, uint64_t at)
{
	for (unsigned int i = 0; i < n; i++) {
		if (range_in(at - runs[i].at, MEM_PAGE, runs[i].len) && at >= runs[i].at)
			return true;
	}
	return false;
}

/* What is in the runs is written to a file of its own, which is laid over the base: is it the same memory? */
static bool lays_over(const struct mem *was, int base, const struct mem_run *runs, unsigned int n,
		      struct mem *is)
{
	int over = new_file();
	struct err err;
	bool same = !mem_create(is, MEM_FILE, base, SIZE, &err);

	for (unsigned int i = 0; i < n; i++)
		same &= pwrite(over, was->ram + runs[i].at, runs[i].len, (off_t)runs[i].at) ==
			(ssize_t)runs[i].len;
	same &= !mem_lay_over(is, over, runs, n);
	close(over);
	return same && !memcmp(is->ram, was->ram, SIZE);
}

/* `step` pages apart, so many of them. */
static void write_pages(struct vm *vm, uint64_t step, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		vm->mem.ram[i * step * MEM_PAGE + i % MEM_PAGE] ^= 0xff;
}

static void try(int base, uint64_t step, uint64_t count, const char *what)
{
	struct vm vm = { 0 };
	struct diff d = { 0 };
	struct mem again;
	struct mem_run *runs, *read_runs;
	struct buf body = { 0 };
	struct reader in;
	struct err err;
	unsigned int n, n_read;
	uint64_t sum, bytes = 0;
	bool all = true;

	if (mem_create(&vm.mem, MEM_FILE, base, SIZE, &err))
		abort();
	/* What was only read is not written to. */
	for (uint64_t i = 0; i < PAGES; i += 7)
		bytes += *(volatile uint8_t *)(vm.mem.ram + i * MEM_PAGE);
	write_pages(&vm, step, count);
	all = !diff_find(&d, &vm, &runs, &n, &err) && n <= DIFF_RUNS;
	ok(all, "%s: %u runs", what, n);
	bytes = 0;
	for (uint64_t i = 0; i < count; i += 97)
		all &= covers(runs, n, i * step * MEM_PAGE);
	for (unsigned int i = 0; i < n; i++)
		bytes += runs[i].len;
	ok(all, "%s: all that were written to are in them", what);
	ok(count > DIFF_RUNS ? bytes <= 2 * count * step * MEM_PAGE : bytes == count * MEM_PAGE,
	   "%s: and not much more: %llu pages", what, (unsigned long long)(bytes / MEM_PAGE));
	diff_put(runs, n, 77, &body);
	in = (struct reader){ .p = body.data, .left = body.len };
	ok(!diff_get(&in, SIZE, &read_runs, &n_read, &sum) && n_read == n && sum == 77 &&
		   !memcmp(runs, read_runs, n * sizeof(*runs)),
	   "%s: they are read as they were put", what);
	ok(lays_over(&vm.mem, base, read_runs, n_read, &again),
	   "%s: laid over the base it is that memory", what);
	free(runs);
	free(read_runs);
	mem_destroy(&vm.mem);
	/* And once more, on top. */
	vm.mem = again;
	vm.mem.ram[SIZE - 1] = 9;
	ok(!diff_find(&d, &vm, &runs, &n, &err) && covers(runs, n, SIZE - MEM_PAGE) &&
		   (!count || covers(runs, n, 0)),
	   "%s: of that one it is what lies over, and what it has written to itself", what);
	ok(lays_over(&vm.mem, base, runs, n, &again), "%s: which is that memory again", what);
	free(runs);
	mem_destroy(&vm.mem);
	mem_destroy(&again);
	buf_free(&body);
}

static bool takes(const struct mem_run *runs, unsigned int n, size_t cut)
{
	struct buf body = { 0 };
	struct mem_run *got;
	struct reader in;
	unsigned int n_got;
	uint64_t sum;
	int rc;

	diff_put(runs, n, 1, &body);
	in = (struct reader){ .p = body.data, .left = body.len - cut };
	rc = diff_get(&in, SIZE, &got, &n_got, &sum);
	free(got);
	buf_free(&body);
	return !rc;
}

static void read_wrong(void)
{
	struct mem_run most[DIFF_RUNS + 1];
	struct mem mem;
	struct err err;
	int fd = new_file();

	for (unsigned int i = 0; i <= DIFF_RUNS; i++)
		most[i] = (struct mem_run){ i * 2 * MEM_PAGE, MEM_PAGE };
	ok(takes(most, DIFF_RUNS, 0) && takes(NULL, 0, 0), "as many runs as may be, and none");
	ok(!takes(most, DIFF_RUNS + 1, 0), "one more is refused");
	ok(!takes(most, 2, 1) && !takes(most, 2, 16) && !takes(most, 0, 1),
	   "so is less than is said");
	ok(!takes((struct mem_run[]){ { MEM_PAGE, MEM_PAGE }, { 0, MEM_PAGE } }, 2, 0) &&
		   !takes((struct mem_run[]){ { 0, 2 * MEM_PAGE }, { MEM_PAGE, MEM_PAGE } }, 2, 0),
	   "no order, and one over the other");
	ok(!takes((struct mem_run[]){ { 1, MEM_PAGE } }, 1, 0) &&
		   !takes((struct mem_run[]){ { 0, 17 } }, 1, 0) &&
		   !takes((struct mem_run[]){ { 0, 0 } }, 1, 0),
	   "what are no pages");
	ok(!takes((struct mem_run[]){ { SIZE, MEM_PAGE } }, 1, 0) &&
		   !takes((struct mem_run[]){ { MEM_PAGE, UINT64_MAX - MEM_PAGE + 1 } }, 1, 0) &&
		   !takes((struct mem_run[]){ { SIZE - MEM_PAGE, 2 * MEM_PAGE } }, 1, 0),
	   "what is not in memory");
	if (mem_create(&mem, MEM_FILE, fd, SIZE, &err))
		abort();
	ok(mem_lay_over(&mem, fd, &(struct mem_run){ SIZE, MEM_PAGE }, 1) == -EINVAL,
	   "nothing is laid over what is no memory");
	mem_destroy(&mem);
	close(fd);
}

int main(void)
{
	int base = new_file();

	fill(base);
	try(base, 1, 0, "nothing");
	try(base, 5, 1, "one page");
	try(base, 9, 5000, "5,000 apart");
	try(base, 2, 30000, "30,000 apart");
	try(base, 1, PAGES, "everything");
	read_wrong();
	close(base);
	return done_testing();
}
