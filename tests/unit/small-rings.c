/* SPDX-License-Identifier: MIT */
/*
 * Every queue of 4 descriptors, whatever is in it: the walker touches RAM only and writes nothing,
 * ends, and says -EINVAL exactly where an oracle does that is written another way, from virtio 1.2,
 * section 2.7, and virtio/queue.h. Where it accepts, the request is the oracle's, byte for byte.
 *
 * "Whatever" is 2^512 rings, and more for what indirect tables hold. They are made few so:
 *
 * - A descriptor that the walk does not come to is not chosen: the oracle walks, and where it needs
 *   a descriptor that nobody has chosen yet, each value is tried in turn (explore()). Until then
 *   it holds what would give another result if the walker read it: so it does not.
 *
 * - addr and len are compared with nothing but the ends of slots, zero, each other's sum and the
 *   limit of 4 GiB. So one pair stands for all between two of these borders, and there is one at each
 *   border: inside; up to the last byte; one byte past it; from the first byte past it; wrapping
 *   around 2^64; the longest; no length, in RAM and out of it; and lengths of which two are 4 GiB
 *   exactly, and one byte less than that.
 *
 * - Of an indirect table: those ends again, the sizes 0, 1.5, 1, 2, 3, 256 and 257 entries, aligned
 * and
 *   not, and tables that lie over the ring itself, over half descriptors of it, over its end, and over
 *   the available and the used ring. What is in a table is chosen like what is in the ring: a
 *   table over the ring has what was chosen for the ring, and the other way round. The table of
 *   256 is full: there all but the last entry are given, as its use is the number of pieces.
 *
 * - flags: all 8 combinations, but WRITE beside INDIRECT with one table only, where it means
 * nothing. Of
 *   other flags the walker knows nothing: they are set in every second case.
 *
 * - next: any descriptor that was chosen before, itself among them; one that was not; the first
 * that
 *   does not exist, and the last number. Those not chosen differ in their number alone, and what is
 *   done with a number (times 16, plus the table's start) is the same for each, so the lowest stands
 *   for all. Without NEXT it is not looked at. The head is any of the four and any of those two.
 *
 * - avail.idx: at any distance from three places of next_avail. All that is known of it when the
 *   walk begins is whether there is a head, and which: so the long walks are done for one of these,
 *   and the others get a chain of one descriptor.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/unit/tap.h"
#include "util/util.h"
#include "virtio/queue.h"

#define SIZE 4
#define LOW 0x10000000ull
#define LOW_SIZE 0x10000ull
#define LOW_END (LOW + LOW_SIZE)
#define HIGH 0x100000000ull
#define HIGH_SIZE (2 * GIB)
#define HIGH_OFFSET 0x40000ull

#define RING (LOW + 0x1000)
#define AVAIL (LOW + 0x2000)
#define USED (LOW + 0x3000)
#define TABLE (LOW + 0x4000)
#define FULL (LOW + 0x5000) /* 256 entries, and one more */
#define DATA (LOW + 0x8000)

/*
 * 16 bytes each that are chosen: the ring, what is behind it, a table, the full one's last entry.
 */
#define RING_CELLS 6
#define TABLE_CELLS 3
#define CELLS (RING_CELLS + TABLE_CELLS + 1)

struct place {
	uint64_t addr;
	uint32_t len;
};

static const struct place pieces[] = {
	{ DATA, 0x100 },
	{ LOW_END - 1, 1 },
	{ HIGH, 1u << 31 },
	{ HIGH + 1, (1u << 31) - 1 },
	/* Those before are good. */
	{ LOW_END - 1, 2 },
	{ LOW_END, 1 },
	{ UINT64_MAX - 1, 4 },
	{ HIGH, UINT32_MAX },
	{ DATA, 0 },
	{ LOW_END + 0x1000, 0 },
};

static const struct place tables[] = {
	{ TABLE, 16 },
	{ TABLE, 32 },
	{ TABLE + 8, 32 }, /* over halves of three cells */
	{ TABLE, 48 },
	{ RING, 64 },
	{ RING + 8, 48 },
	{ RING + 32, 64 },
	{ AVAIL, 16 },
	{ USED, 16 },
	{ FULL, 256 * 16 },
	/* Those before are good. */
	{ TABLE, 0 },
	{ TABLE, 24 },
	{ FULL, 257 * 16 },
	{ LOW_END - 16, 32 },
	{ LOW_END, 16 },
	{ UINT64_MAX - 15, 32 },
	{ TABLE, UINT32_MAX - 15 },
};

struct test {
	struct mem mem;
	uint8_t *low; /* LOW, writable: the walker's own view is not */
	struct queue_state st;
	struct queue q;
	struct chain c;
	bool indirect; /* negotiated */
	bool chosen[CELLS];
	uint64_t cases, accepted;
	uint64_t wrong;
	char first_wrong[256];
};

/* ---- The oracle ---- */

#define PATH_MAX_STEPS (SIZE + QUEUE_MAX_SIZE + 1)

/* The descriptors as they are met, and what they were met in. */
struct path {
	unsigned int n;
	struct vring_desc d[PATH_MAX_STEPS];
};

enum verdict { GOOD, BAD, NEEDS_CELL };

static uint64_t cell_gpa(unsigned int cell)
{
	if (cell < RING_CELLS)
		return RING + cell * 16;
	if (cell < RING_CELLS + TABLE_CELLS)
		return TABLE + (cell - RING_CELLS) * 16;
	return FULL + 255 * 16;
}

/* Where [addr, addr + len) is in RAM, in numbers that can't wrap; NULL: not in one slot. */
static uint8_t *in_ram(const struct test *t, uint64_t addr, uint64_t len)
{
	unsigned __int128 end = (unsigned __int128)addr + len;

	if (addr >= LOW && end <= LOW_END)
		return t->mem.ram + (addr - LOW);
	if (addr >= HIGH && end <= HIGH + HIGH_SIZE)
		return t->mem.ram + HIGH_OFFSET + (addr - HIGH);
	return NULL;
}

/* All of a path, by each rule on its own. */
static bool rules_hold(const struct test *t, const struct path *p)
{
	unsigned int n_tables = 0, n_pieces = 0;
	bool writable = false;
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < p->n; i++) {
		const struct vring_desc *d = &p->d[i];

		if (!in_ram(t, d->addr, d->len) || !d->len)
			return false;
		if (d->flags & VRING_DESC_F_INDIRECT) {
			n_tables++;
			if (d->flags & VRING_DESC_F_NEXT || d->len % 16 || d->len > 256 * 16)
				return false;
			continue;
		}
		if (writable && !(d->flags & VRING_DESC_F_WRITE))
			return false;
		writable = d->flags & VRING_DESC_F_WRITE;
		bytes += d->len;
		n_pieces++;
	}
	return n_tables <= t->indirect && n_pieces <= 256 && bytes < 4 * GIB;
}

/* A cell that [gpa, gpa + 16) has a part of and that nobody has chosen; CELLS: none. */
static unsigned int cell_needed(const struct test *t, uint64_t gpa)
{
	for (unsigned int i = 0; i < CELLS; i++) {
		if (!t->chosen[i] && gpa < cell_gpa(i) + 16 && cell_gpa(i) < gpa + 16)
			return i;
	}
	return CELLS;
}

/*
 * Follows a chain to its end, or to where it can't go on, or to what nobody has chosen. A rule that
 * is broken once stays broken, so the rules are asked late.
 */
static enum verdict follow(const struct test *t, uint16_t head, struct path *p, unsigned int *cell)
{
	bool visited[QUEUE_MAX_SIZE] = { false };
	uint64_t table = RING;
	uint32_t entries = SIZE, at = head;

	for (p->n = 0;;) {
		struct vring_desc *d = &p->d[p->n];

		if (at >= entries || visited[at])
			return BAD;
		*cell = cell_needed(t, table + at * 16);
		if (*cell < CELLS)
			return rules_hold(t, p) ? NEEDS_CELL : BAD;
		memcpy(d, t->low + (table + at * 16 - LOW), 16);
		p->n++;
		visited[at] = true;
		if (d->flags & VRING_DESC_F_INDIRECT) {
			if (!rules_hold(t, p))
				return BAD; /* there may be no such table */
			memset(visited, 0, sizeof(visited));
			table = d->addr;
			entries = d->len / 16;
			at = 0;
		} else if (d->flags & VRING_DESC_F_NEXT) {
			at = d->next;
		} else {
			return rules_hold(t, p) ? GOOD : BAD;
		}
	}
}

/* ---- The comparison ---- */

static void complain(struct test *t, const struct path *p, const char *what)
{
	const struct vring_desc *d = &p->d[p->n ? p->n - 1 : 0];

	if (!t->wrong++)
		snprintf(t->first_wrong, sizeof(t->first_wrong),
			 "%s, after %u descriptors; the last: 0x%llx, %u bytes, flags %u, next %u",
			 what, p->n, (unsigned long long)d->addr, d->len, d->flags, d->next);
}

static bool same_request(const struct test *t, const struct path *p, uint16_t head)
{
	const struct chain *c = &t->c;
	uint32_t out = 0, in = 0, n = 0, n_in = 0;

	for (unsigned int i = 0; i < p->n; i++) {
		const struct vring_desc *d = &p->d[i];

		if (d->flags & VRING_DESC_F_INDIRECT)
			continue;
		if (n >= c->n_out + c->n_in || c->gpa[n] != d->addr ||
		    c->iov[n].iov_len != d->len || c->iov[n].iov_base != in_ram(t, d->addr, d->len))
			return false;
		n++;
		if (d->flags & VRING_DESC_F_WRITE) {
			n_in++;
			in += d->len;
		} else {
			out += d->len;
		}
	}
	return c->head == head && n == c->n_out + c->n_in && n_in == c->n_in && out == c->out_len &&
	       in == c->in_len;
}

static void compare(struct test *t, enum verdict expected, const struct path *p, uint16_t head)
{
	uint16_t before = t->st.next_avail;
	int rc;

	t->cases++;
	t->q.broken = NULL;
	rc = queue_pop(&t->q, &t->c);
	if (rc != (expected == GOOD ? 1 : -EINVAL))
		complain(t, p, rc == 1 ? "accepted" : "refused");
	else if ((rc < 0) != !!t->q.broken || t->st.next_avail != (uint16_t)(before + (rc == 1)))
		complain(t, p, "wrong in reason or index");
	else if (rc == 1 && !same_request(t, p, head))
		complain(t, p, "another request");
	t->accepted += rc == 1;
	t->st.next_avail = before;
}

/* ---- All contents ---- */

static void explore(struct test *t, uint16_t head);

static void try(struct test *t, uint16_t head, unsigned int cell, struct vring_desc d)
{
	uint8_t *at = t->low + (cell_gpa(cell) - LOW);
	uint8_t before[16];

	memcpy(before, at, 16);
	d.flags |= t->cases & 1 ? 0xfff8 : 0; /* reserved */
	memcpy(at, &d, 16);
	t->chosen[cell] = true;
	explore(t, head);
	t->chosen[cell] = false;
	memcpy(at, before, 16);
}

/* Numbers for `next`: see above. In a table all that were chosen may have been visited. */
static unsigned int numbers(const struct test *t, unsigned int cell, uint16_t to[CELLS + 2])
{
	unsigned int first = 0, n_cells = RING_CELLS, n = 0;
	bool fresh = false;

	if (cell >= RING_CELLS) {
		first = RING_CELLS;
		n_cells = TABLE_CELLS;
	}
	if (cell < CELLS - 1) {
		for (unsigned int i = 0; i < n_cells; i++) {
			bool known = t->chosen[first + i] || first + i == cell;

			if (known || !fresh)
				to[n++] = (uint16_t)i;
			fresh |= !known;
		}
	} else {
		to[n++] = 0; /* of the full table: a loop, itself, the first that is not there */
		to[n++] = 255;
		to[n++] = 256;
	}
	to[n++] = SIZE;
	to[n++] = UINT16_MAX;
	return n;
}

static void try_pieces(struct test *t, uint16_t head, unsigned int cell, uint16_t flags)
{
	uint16_t next[CELLS + 2] = { 0 };
	unsigned int n = flags & VRING_DESC_F_NEXT ? numbers(t, cell, next) : 1;

	for (unsigned int i = 0; i < ARRAY_SIZE(pieces); i++) {
		for (unsigned int k = 0; k < n; k++)
			try(t, head, cell,
			    (struct vring_desc){ pieces[i].addr, pieces[i].len, flags, next[k] });
	}
}

static void try_all(struct test *t, uint16_t head, unsigned int cell)
{
	for (uint16_t flags = 0; flags < 8; flags++) {
		if (!(flags & VRING_DESC_F_INDIRECT)) {
			try_pieces(t, head, cell, flags);
			continue;
		}
		/*
		 * What WRITE means there, nothing, is seen with the smallest table as well as with
		 * all.
		 */
		for (unsigned int i = 0; i < (flags & VRING_DESC_F_WRITE ? 1 : ARRAY_SIZE(tables));
		     i++)
			try(t, head, cell,
			    (struct vring_desc){ tables[i].addr, tables[i].len, flags, 0 });
	}
}

static void explore(struct test *t, uint16_t head)
{
	struct path p;
	unsigned int cell;
	enum verdict v = follow(t, head, &p, &cell);

	if (v == NEEDS_CELL)
		try_all(t, head, cell);
	else
		compare(t, v, &p, head);
}

/* ---- The rest: indices, set-up, report ---- */

static void put_avail(struct test *t, uint16_t next_avail, uint16_t ahead, uint16_t head)
{
	uint16_t *avail = (uint16_t *)(t->low + (AVAIL - LOW));

	for (unsigned int i = 0; i < SIZE; i++)
		avail[2 + i] = UINT16_MAX - 1; /* not the head's place */
	avail[1] = next_avail + ahead;
	avail[2 + next_avail % SIZE] = head;
	t->st.next_avail = next_avail;
}

/* What would be accepted, and is another request than any: nobody may look at it. */
static void put_traps(struct test *t)
{
	struct vring_desc d = { DATA + 0x1000, 0x77, VRING_DESC_F_WRITE, 0 };

	for (unsigned int i = 0; i < CELLS; i++)
		memcpy(t->low + (cell_gpa(i) - LOW), &d, 16);
	for (unsigned int i = 0; i < 255; i++) {
		d = (struct vring_desc){ DATA, 1, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT,
					 (uint16_t)(i + 1) };
		memcpy(t->low + (FULL - LOW) + i * 16, &d, 16);
	}
}

static void report(struct test *t, const char *what)
{
	ok(!t->wrong && t->cases, "%s: %llu cases, %llu accepted%s%s", what,
	   (unsigned long long)t->cases, (unsigned long long)t->accepted,
	   t->wrong ? "; the first wrong: " : "", t->first_wrong);
	t->cases = t->accepted = t->wrong = 0;
	t->first_wrong[0] = '\0';
}

static void test_contents(struct test *t, bool indirect)
{
	static const uint16_t heads[] = { 0, 1, 2, 3, SIZE, UINT16_MAX };

	t->indirect = indirect;
	queue_start(&t->q, &t->st, &t->mem, false, indirect);
	for (unsigned int i = 0; i < ARRAY_SIZE(heads); i++) {
		put_avail(t, 0, 1, heads[i]);
		explore(t, heads[i]);
	}
	report(t, indirect ? "any content" : "any content, without indirect tables");
}

/* A good chain of one descriptor, with avail.idx at any distance. */
static void test_indices(struct test *t)
{
	static const uint16_t starts[] = { 0, 3, UINT16_MAX };
	static const struct vring_desc d = { DATA, 1, 0, 0 };
	static const struct path none;
	int rc;

	t->indirect = false;
	queue_start(&t->q, &t->st, &t->mem, false, false);
	for (unsigned int i = 0; i < ARRAY_SIZE(starts); i++) {
		for (uint16_t ahead = 1; ahead <= SIZE; ahead++) {
			put_avail(t, starts[i], ahead, 2);
			t->chosen[2] = true;
			memcpy(t->low + (RING - LOW) + 2 * 16, &d, 16);
			explore(t, 2);
			t->chosen[2] = false;
		}
		put_avail(t, starts[i], 0, 2);
		rc = queue_pop(&t->q, &t->c);
		if (rc || t->st.next_avail != starts[i])
			complain(t, &none, "an empty ring has something");
		for (uint32_t ahead = SIZE + 1; ahead <= UINT16_MAX; ahead++) {
			put_avail(t, starts[i], (uint16_t)ahead, 2);
			compare(t, BAD, &none, 2);
		}
	}
	report(t, "any avail.idx");
}

/*
 * RAM is shared memory that is mapped twice: what the walker has can't be written, and is followed
 * by nothing.
 */
static bool set_up(struct test *t)
{
	if (mem_create(&t->mem, MEM_SHARED, -1, HIGH_OFFSET + HIGH_SIZE, NULL) ||
	    mem_add_slot(&t->mem, LOW, 0, LOW_SIZE) ||
	    mem_add_slot(&t->mem, HIGH, HIGH_OFFSET, HIGH_SIZE))
		return false;
	t->low = mmap(NULL, LOW_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, t->mem.fd, 0);
	if (t->low == MAP_FAILED || mprotect(t->mem.ram, t->mem.size, PROT_NONE) ||
	    mprotect(t->mem.ram, LOW_SIZE, PROT_READ))
		return false;
	t->st = (struct queue_state){
		.desc = RING, .driver = AVAIL, .device = USED, .size = SIZE, .enabled = 1
	};
	put_traps(t);
	return true;
}

int main(void)
{
	struct test *t = calloc(1, sizeof(*t));

	if (!t || !set_up(t)) {
		printf("Bail out! no RAM\n");
		return 1;
	}
	test_indices(t);
	test_contents(t, false);
	test_contents(t, true);
	munmap(t->low, LOW_SIZE);
	mem_destroy(&t->mem);
	free(t);
	return done_testing();
}
