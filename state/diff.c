/* SPDX-License-Identifier: MIT */
#include "state/diff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/util.h"
#include "vm/pages.h"

/* ---- The base ---- */

/* All is marked at first, or what was written to since the last base: none of it is, for this one. */
int diff_begin(struct diff *d, struct vm *vm, struct device_list *devices, struct err *err)
{
	int rc = d->logged ? dirty_sync(&d->log, err) : dirty_start(&d->log, vm, devices, err);
	uint64_t bits[DIRTY_WORDS];
	unsigned int n;

	d->logged |= !rc;
	for (unsigned int i = 0; !rc && i < vm->mem.n_slots; i++) {
		uint64_t pages = vm->mem.slots[i].size / MEM_PAGE;

		for (uint64_t first = 0; !rc && first < pages; first += DIRTY_WINDOW)
			rc = dirty_take(&d->log, i, first, bits, &n, err);
	}
	return rc;
}

int diff_based(struct diff *d, const char *base, uint64_t sum, struct err *err)
{
	free(d->base);
	d->base = strdup(base);
	d->sum = sum;
	return d->base ? 0 : err_set(err, ENOMEM, "no memory for a name");
}

void diff_end(struct diff *d)
{
	if (d->logged)
		dirty_stop(&d->log);
	free(d->base);
	d->base = NULL;
	d->logged = false;
}

/* ---- What was written to ---- */

/* A bit a page of the host's, as RAM lies. */
struct map {
	uint64_t *bits;
	uint64_t pages;
};

static bool is_set(const struct map *map, uint64_t page)
{
	return map->bits[page / 64] >> page % 64 & 1;
}

static void set(struct map *map, uint64_t page)
{
	map->bits[page / 64] |= 1ull << page % 64;
}

/* (The log's map has words of its own for each slot, as RAM has.) */
static int look_into_log(struct diff *d, const struct mem *mem, struct map *map, struct err *err)
{
	int rc = dirty_sync(&d->log, err);

	for (uint64_t page = 0; !rc && page < mem->size / MEM_PAGE; page++) {
		if (d->log.bits[page / 64] >> page % 64 & 1)
			set(map, page * MEM_PAGE / mem->page);
	}
	return rc;
}

static void look_at_pages(const struct mem *mem, struct map *map)
{
	bool written[PAGES_MOST];
	int pagemap = pages_open();

	for (uint64_t first = 0; first < map->pages; first += PAGES_MOST) {
		unsigned int n = (unsigned int)MIN(map->pages - first, (uint64_t)PAGES_MOST);

		pages_written(mem, pagemap, first * mem->page, n, written);
		for (unsigned int i = 0; i < n; i++) {
			if (written[i])
				set(map, first + i);
		}
	}
	if (pagemap >= 0)
		close(pagemap);
}

/* Runs with fewer than `gap` pages between them are one. How many that are; of `runs` at most DIFF_RUNS are set. */
static uint64_t join(const struct map *map, uint64_t page_size, uint64_t gap, struct mem_run *runs)
{
	uint64_t n = 0, end = 0;

	for (uint64_t page = 0; page < map->pages; page++) {
		if (!(page % 64) && !map->bits[page / 64]) {
			page += 63;
			continue;
		}
		if (!is_set(map, page))
			continue;
		if (!n || page - end >= gap) {
			n++;
			if (n <= DIFF_RUNS)
				runs[n - 1] = (struct mem_run){ page * page_size, 0 };
		}
		end = page + 1;
		if (n <= DIFF_RUNS)
			runs[n - 1].len = end * page_size - runs[n - 1].at;
	}
	return n;
}

int diff_find(struct diff *d, struct vm *vm, struct mem_run **runs, unsigned int *n,
	      struct err *err)
{
	const struct mem *mem = &vm->mem;
	struct map map = { .pages = mem->size / mem->page };
	uint64_t found = 0;
	int rc = 0;

	map.bits = calloc(map.pages / 64 + 1, sizeof(*map.bits));
	*runs = calloc(DIFF_RUNS, sizeof(**runs));
	if (!map.bits || !*runs)
		rc = err_set(err, ENOMEM, "no memory for a map of the guest's memory");
	else if (d->logged)
		rc = look_into_log(d, mem, &map, err);
	else
		look_at_pages(mem, &map);
	if (!rc) {
		for (uint64_t gap = 1; (found = join(&map, mem->page, gap, *runs)) > DIFF_RUNS;)
			gap *= 2;
	}
	*n = (unsigned int)found;
	free(map.bits);
	return rc;
}

/* ---- As it is saved ---- */

void diff_put(const struct mem_run *runs, unsigned int n, uint64_t sum, struct buf *out)
{
	buf_put_le64(out, sum);
	buf_put_le32(out, n);
	for (unsigned int i = 0; i < n; i++) {
		buf_put_le64(out, runs[i].at);
		buf_put_le64(out, runs[i].len);
	}
}

int diff_get(struct reader *in, uint64_t memory, struct mem_run **runs, unsigned int *n,
	     uint64_t *sum)
{
	uint64_t end = 0;
	unsigned int i;

	*sum = reader_le64(in);
	*n = reader_le32(in);
	*runs = *n <= DIFF_RUNS ? calloc(*n + 1, sizeof(**runs)) : NULL;
	for (i = 0; *runs && i < *n; i++) {
		struct mem_run *r = &(*runs)[i];

		r->at = reader_le64(in);
		r->len = reader_le64(in);
		if ((r->at | r->len) % MEM_PAGE || !r->len || r->at < end ||
		    !range_in(r->at, r->len, memory))
			break;
		end = r->at + r->len;
	}
	if (*runs && i == *n && !in->failed && !in->left)
		return 0;
	free(*runs);
	*runs = NULL;
	return -EINVAL;
}
