/* SPDX-License-Identifier: MIT */
/* virtio/queue: a driver that keeps the rules, and one that breaks each of them in turn. */
#include "virtio/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/tap.h"
#include "util/util.h"

/* RAM in two slots with a hole between them. */
#define LOW 0x10000000ull
#define LOW_SIZE (1 * MIB)
#define HIGH (LOW + 2 * MIB)
#define HIGH_SIZE (1 * MIB)

#define DESC LOW
#define AVAIL (LOW + 0x2000)
#define USED (LOW + 0x4000)
#define TABLE (LOW + 0x6000) /* for indirect descriptors */
#define DATA (LOW + 0x10000)
#define SIZE 8

struct guest {
	struct mem mem;
	struct queue_state st;
	struct queue q;
	struct chain c;
	struct vring_desc *desc, *table;
	struct vring_avail *avail;
	struct vring_used *used;
};

static void set_up(struct guest *g, bool event_idx, bool indirect)
{
	memset(g->mem.ram, 0, g->mem.size);
	memset(&g->c, 0, sizeof(g->c));
	memset(&g->q, 0, sizeof(g->q));
	g->st = (struct queue_state){
		.desc = DESC, .driver = AVAIL, .device = USED, .size = SIZE, .enabled = 1
	};
	g->desc = mem_at(&g->mem, DESC, 1, MEM_W);
	g->table = mem_at(&g->mem, TABLE, 1, MEM_W);
	g->avail = mem_at(&g->mem, AVAIL, 1, MEM_W);
	g->used = mem_at(&g->mem, USED, 1, MEM_W);
	for (uint64_t at = 0; at < g->mem.size; at += MEM_PAGE)
		mem_test_dirty(&g->mem, at < LOW_SIZE ? LOW + at : HIGH + at - LOW_SIZE, true);
	if (queue_start(&g->q, &g->st, &g->mem, event_idx, indirect))
		ok(false, "the queue starts: %s", g->q.broken);
}

static void offer(struct guest *g, uint16_t head)
{
	g->avail->ring[g->avail->idx % SIZE] = head;
	__atomic_store_n(&g->avail->idx, g->avail->idx + 1, __ATOMIC_RELEASE);
}

static struct vring_desc in(uint64_t addr, uint32_t len, int next)
{
	return (struct vring_desc){ addr, len,
				    VRING_DESC_F_WRITE | (next >= 0 ? VRING_DESC_F_NEXT : 0),
				    (uint16_t)next };
}

static struct vring_desc out(uint64_t addr, uint32_t len, int next)
{
	return (struct vring_desc){ addr, len, next >= 0 ? VRING_DESC_F_NEXT : 0, (uint16_t)next };
}

static struct vring_desc indirect(uint64_t addr, uint32_t len)
{
	return (struct vring_desc){ addr, len, VRING_DESC_F_INDIRECT, 0 };
}

static unsigned int dirty_pages(struct guest *g)
{
	unsigned int n = 0;

	for (uint64_t at = 0; at < LOW_SIZE; at += MEM_PAGE)
		n += mem_test_dirty(&g->mem, LOW + at, false);
	for (uint64_t at = 0; at < HIGH_SIZE; at += MEM_PAGE)
		n += mem_test_dirty(&g->mem, HIGH + at, false);
	return n;
}

static bool counted(struct guest *g, uint64_t requests, uint64_t to_device, uint64_t to_guest)
{
	return g->q.count.requests == requests && g->q.count.out == to_device &&
	       g->q.count.in == to_guest;
}

static void test_chain(struct guest *g)
{
	char text[8];

	set_up(g, false, true);
	ok(queue_pop(&g->q, &g->c) == 0, "an empty queue has nothing");

	g->desc[3] = out(DATA, 3, 1);
	g->desc[1] = out(DATA + 0x1003, 4, 5);
	g->desc[5] = in(DATA + 0x2000, 100, 6);
	g->desc[6] = in(HIGH, 50, -1);
	memcpy(mem_at(&g->mem, DATA, 3, MEM_W), "abc", 3);
	memcpy(mem_at(&g->mem, DATA + 0x1003, 4, MEM_W), "defg", 4);
	offer(g, 3);
	ok(queue_pop(&g->q, &g->c) == 1 && g->c.head == 3, "a chain is popped");
	ok(g->c.n_out == 2 && g->c.n_in == 2 && g->c.out_len == 7 && g->c.in_len == 150,
	   "with all its pieces");
	ok(chain_read(&g->c, 1, text, 5) && !memcmp(text, "bcdef", 5), "read across pieces");
	ok(!chain_read(&g->c, 3, text, 5) && !chain_read(&g->c, UINT32_MAX, text, 2),
	   "not read past its end");
	ok(chain_write(&g->c, 98, "1234", 4) &&
		   !memcmp((char *)mem_at(&g->mem, DATA + 0x2000, 100, MEM_R) + 98, "12", 2) &&
		   !memcmp(mem_at(&g->mem, HIGH, 2, MEM_R), "34", 2),
	   "written across pieces and slots");
	ok(!chain_write(&g->c, 147, "1234", 4), "not written past its end");
	ok(queue_pop(&g->q, &g->c) == 0, "and then there is nothing");

	ok(dirty_pages(g) == 0, "popping marks nothing dirty");
	queue_push(&g->q, &g->c, 101);
	ok(g->used->idx == 1 && g->used->ring[0].id == 3 && g->used->ring[0].len == 101,
	   "it is given back");
	ok(dirty_pages(g) == 3 && mem_test_dirty(&g->mem, USED, false) &&
		   mem_test_dirty(&g->mem, DATA + 0x2000, false) &&
		   mem_test_dirty(&g->mem, HIGH, false),
	   "the answer and the used ring are dirty, nothing else is");
	ok(counted(g, 1, 7, 101), "and it is counted");
	queue_start(&g->q, &g->st, &g->mem, false, true);
	ok(counted(g, 1, 7, 101), "also when the queue has begun anew");
}

static void test_short_answer(struct guest *g)
{
	set_up(g, false, false);
	g->desc[0] = in(DATA + MEM_PAGE - 1, 3, 1);
	g->desc[1] = in(HIGH, 100, -1);
	offer(g, 0);
	queue_pop(&g->q, &g->c);
	queue_push(&g->q, &g->c, 1);
	ok(dirty_pages(g) == 2 && mem_test_dirty(&g->mem, DATA, false),
	   "what an answer did not reach stays clean");
}

/* A used ring over two pages: index on the first, elements on the second. */
static void test_used_pages(struct guest *g)
{
	set_up(g, false, false);
	g->st.device = USED + MEM_PAGE - 8;
	queue_start(&g->q, &g->st, &g->mem, false, false);
	g->desc[0] = out(DATA, 1, -1);
	for (int i = 0; i < 2; i++) {
		offer(g, 0);
		queue_pop(&g->q, &g->c);
		mem_test_dirty(&g->mem, USED, true);
		mem_test_dirty(&g->mem, USED + MEM_PAGE, true);
		queue_push(&g->q, &g->c, 0);
	}
	ok(mem_test_dirty(&g->mem, USED, false) && mem_test_dirty(&g->mem, USED + MEM_PAGE, false),
	   "index and element of a used ring over two pages are both dirty");
}

static void test_unpop(struct guest *g)
{
	set_up(g, false, false);
	g->desc[2] = out(DATA, 1, -1);
	offer(g, 2);
	queue_pop(&g->q, &g->c);
	queue_unpop(&g->q);
	ok(queue_pop(&g->q, &g->c) == 1 && g->c.head == 2 && g->c.out_len == 1,
	   "what was put back is popped again");
}

/* Several as one: all seen at once, or popped again. */
static void test_together(struct guest *g)
{
	struct chain second;

	set_up(g, false, true);
	for (uint16_t i = 0; i < SIZE; i++)
		g->desc[i] = in(DATA + 0x1000ull * i, 100, -1);
	offer(g, 2);
	offer(g, 5);
	queue_pop(&g->q, &g->c);
	queue_put(&g->q, &g->c, 100);
	queue_pop(&g->q, &second);
	queue_put(&g->q, &second, 40);
	ok(g->used->idx == 0, "what is put is not seen yet");
	queue_take_back(&g->q);
	ok(queue_pop(&g->q, &g->c) == 1 && g->c.head == 2 && queue_pop(&g->q, &second) == 1 &&
		   second.head == 5,
	   "taken back, it is popped again");
	ok(counted(g, 0, 0, 0), "and not counted");
	queue_put(&g->q, &g->c, 100);
	queue_put(&g->q, &second, 40);
	queue_publish(&g->q);
	ok(counted(g, 2, 0, 140), "published, it is");
	ok(g->used->idx == 2 && g->used->ring[0].id == 2 && g->used->ring[0].len == 100 &&
		   g->used->ring[1].id == 5 && g->used->ring[1].len == 40,
	   "published, all of it is");
	ok(dirty_pages(g) == 3, "two pages of data and the used ring are dirty");
	queue_dirty(&g->q, &second, 101);
	ok(dirty_pages(g) == 3, "no more than the request has can be");
	offer(g, 1);
	ok(queue_pop(&g->q, &g->c) == 1 && g->c.head == 1, "then the next");
	queue_push(&g->q, &g->c, 1);
	ok(g->used->idx == 3 && g->used->ring[2].id == 1, "is pushed behind them");
}

/* Somebody else has taken two and given back one. */
static void test_go_on(struct guest *g)
{
	set_up(g, false, false);
	for (uint16_t i = 0; i < 4; i++) {
		g->desc[i] = in(DATA, 100, -1);
		offer(g, i);
	}
	g->used->idx = 1;
	queue_go_on(&g->q, 2);
	ok(g->st.next_avail == 2 && g->st.next_used == 1 && queue_pop(&g->q, &g->c) == 1 &&
		   g->c.head == 2,
	   "the queue goes on where he stopped");
	queue_push(&g->q, &g->c, 0);
	ok(g->used->idx == 2 && g->used->ring[1].id == 2, "and gives back behind what he did");
}

static void test_indirect(struct guest *g)
{
	set_up(g, false, true);
	g->desc[0] = out(DATA, 1, 1);
	g->desc[1] = indirect(TABLE + 8, 3 * 16); /* tables need no alignment */
	g->table = (struct vring_desc *)mem_at(&g->mem, TABLE, 64, MEM_W);
	for (unsigned int i = 0; i < 3; i++) {
		struct vring_desc d = i < 2 ? in(DATA + i, 1, (int)i + 1) : in(DATA + i, 1, -1);

		memcpy((uint8_t *)g->table + 8 + i * sizeof(d), &d, sizeof(d));
	}
	offer(g, 0);
	ok(queue_pop(&g->q, &g->c) == 1 && g->c.n_out == 1 && g->c.n_in == 3,
	   "an indirect table after a direct piece");

	set_up(g, false, true);
	for (int i = 0; i < QUEUE_MAX_SIZE; i++)
		g->table[i] = out(DATA, 1, i == QUEUE_MAX_SIZE - 1 ? -1 : i + 1);
	g->desc[0] = indirect(TABLE, QUEUE_MAX_SIZE * 16);
	g->desc[0].flags |= VRING_DESC_F_WRITE; /* which is to be ignored there */
	offer(g, 0);
	ok(queue_pop(&g->q, &g->c) == 1 && g->c.n_out == QUEUE_MAX_SIZE, "the largest table");
}

static void test_largest_chain(struct guest *g)
{
	set_up(g, false, false);
	for (int i = 0; i < SIZE; i++)
		g->desc[i] = in(DATA, 1, i == SIZE - 1 ? -1 : i + 1);
	offer(g, 0);
	ok(queue_pop(&g->q, &g->c) == 1 && g->c.n_in == SIZE, "a chain as long as the queue");
}

/* Each breaks one rule with what it puts in the ring; descriptor 0 is offered. */

static void head_out_of_range(struct guest *g)
{
	g->avail->ring[0] = SIZE;
}

static void next_out_of_range(struct guest *g)
{
	g->desc[0] = out(DATA, 1, SIZE);
}

static void loop_of_one(struct guest *g)
{
	g->desc[0] = in(DATA, 1, 0);
}

static void loop_of_two(struct guest *g)
{
	g->desc[0] = in(DATA, 1, 1);
	g->desc[1] = in(DATA, 1, 0);
}

static void zero_length(struct guest *g)
{
	g->desc[0] = out(DATA, 1, 1);
	g->desc[1] = in(DATA, 0, -1);
}

static void readable_after_writable(struct guest *g)
{
	g->desc[0] = in(DATA, 1, 1);
	g->desc[1] = out(DATA, 1, -1);
}

static void past_the_slot(struct guest *g)
{
	g->desc[0] = in(LOW + LOW_SIZE - 1, 2, -1);
}

static void in_the_hole(struct guest *g)
{
	g->desc[0] = out(LOW + LOW_SIZE, 1, -1);
}

static void across_the_hole(struct guest *g)
{
	g->desc[0] = out(LOW, (uint32_t)(HIGH + HIGH_SIZE - LOW), -1);
}

static void wrapping_address(struct guest *g)
{
	g->desc[0] = in(UINT64_MAX - 1, 4, -1);
}

static void largest_length(struct guest *g)
{
	g->desc[0] = in(LOW, UINT32_MAX, -1);
}

static void indirect_in_indirect(struct guest *g)
{
	g->desc[0] = indirect(TABLE, 2 * 16);
	g->table[0] = out(DATA, 1, 1);
	g->table[1] = indirect(TABLE + 0x100, 16);
}

static void indirect_to_itself(struct guest *g)
{
	g->desc[0] = indirect(DESC, SIZE * 16);
}

static void indirect_with_next(struct guest *g)
{
	g->desc[0] = indirect(TABLE, 16);
	g->desc[0].flags |= VRING_DESC_F_NEXT;
	g->desc[0].next = 1;
	g->table[0] = out(DATA, 1, -1);
	g->desc[1] = out(DATA, 1, -1);
}

static void indirect_empty(struct guest *g)
{
	g->desc[0] = indirect(TABLE, 0);
}

static void indirect_odd(struct guest *g)
{
	g->desc[0] = indirect(TABLE, 17);
}

static void indirect_too_large(struct guest *g)
{
	g->desc[0] = indirect(TABLE, (QUEUE_MAX_SIZE + 1) * 16);
}

static void indirect_past_ram(struct guest *g)
{
	g->desc[0] = indirect(LOW + LOW_SIZE - 16, 32);
}

static void indirect_next_out_of_range(struct guest *g)
{
	g->desc[0] = indirect(TABLE, 32);
	g->table[0] = out(DATA, 1, 2);
	g->table[2] = out(DATA, 1, -1);
}

static void indirect_loop(struct guest *g)
{
	g->desc[0] = indirect(TABLE, 32);
	g->table[0] = out(DATA, 1, 1);
	g->table[1] = out(DATA, 1, 0);
}

static void too_many_pieces(struct guest *g)
{
	g->desc[0] = out(DATA, 1, 1);
	g->desc[1] = indirect(TABLE, QUEUE_MAX_SIZE * 16);
	for (int i = 0; i < QUEUE_MAX_SIZE; i++)
		g->table[i] = out(DATA, 1, i == QUEUE_MAX_SIZE - 1 ? -1 : i + 1);
}

static void avail_too_far(struct guest *g)
{
	g->avail->idx = SIZE;
}

static void avail_behind(struct guest *g)
{
	g->avail->idx = UINT16_MAX - 1;
}

static const struct broken {
	const char *what;
	void (*put)(struct guest *g);
	const char *rule; /* what the person is told */
} broken[] = {
	{ "a head out of range", head_out_of_range, "number is out of range" },
	{ "a next out of range", next_out_of_range, "number is out of range" },
	{ "a loop of one", loop_of_one, "loops" },
	{ "a loop of two", loop_of_two, "loops" },
	{ "a piece of no length", zero_length, "no length" },
	{ "a readable piece after a writable one", readable_after_writable,
	  "readable piece follows" },
	{ "a piece past the end of its slot", past_the_slot, "piece is outside RAM" },
	{ "a piece in the hole", in_the_hole, "piece is outside RAM" },
	{ "a piece across the hole", across_the_hole, "piece is outside RAM" },
	{ "a piece that wraps", wrapping_address, "piece is outside RAM" },
	{ "the largest length", largest_length, "piece is outside RAM" },
	{ "an indirect table in another", indirect_in_indirect, "within another" },
	{ "an indirect table that is the queue's own", indirect_to_itself, "within another" },
	{ "an indirect table with a next", indirect_with_next, "not last" },
	{ "an indirect table of no entries", indirect_empty, "bad size" },
	{ "an indirect table of 17 bytes", indirect_odd, "bad size" },
	{ "an indirect table too large", indirect_too_large, "bad size" },
	{ "an indirect table past RAM", indirect_past_ram, "table outside RAM" },
	{ "a next past the indirect table", indirect_next_out_of_range, "number is out of range" },
	{ "a loop in an indirect table", indirect_loop, "loops" },
	{ "one piece too many", too_many_pieces, "too many pieces" },
	{ "avail.idx too far ahead", avail_too_far, "avail.idx" },
	{ "avail.idx behind", avail_behind, "avail.idx" },
};

static void test_broken(struct guest *g)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(broken); i++) {
		const struct broken *b = &broken[i];
		int rc;

		set_up(g, false, true);
		b->put(g);
		/* offer(), but for what the case has put there itself */
		g->avail->idx++;
		rc = queue_pop(&g->q, &g->c);
		ok(rc == -EINVAL && strstr(g->q.broken, b->rule), "%s is refused (%d, %s)", b->what,
		   rc, g->q.broken ? g->q.broken : "no reason");
		if (dirty_pages(g) || g->used->idx)
			ok(false, "%s: nothing was written", b->what);
	}
	set_up(g, false, false);
	g->desc[0] = indirect(TABLE, 16);
	g->table[0] = out(DATA, 1, -1);
	offer(g, 0);
	ok(queue_pop(&g->q, &g->c) == -EINVAL, "an indirect table without its feature is refused");
}

/* Overlapping pieces are allowed, and add up to more than any RAM: 4 GiB is the end. */
static void test_total(void)
{
	struct guest *g = calloc(1, sizeof(*g));
	uint64_t size = 1 * GIB;

	if (mem_create(&g->mem, MEM_ANON, -1, size, NULL) || mem_add_slot(&g->mem, LOW, 0, size))
		ok(false, "1 GiB of address space");
	g->st = (struct queue_state){ .desc = DESC, .driver = AVAIL, .device = USED, .size = SIZE };
	g->desc = mem_at(&g->mem, DESC, 1, MEM_W);
	g->avail = mem_at(&g->mem, AVAIL, 1, MEM_W);
	queue_start(&g->q, &g->st, &g->mem, false, false);
	for (int i = 0; i < 4; i++)
		g->desc[i] = in(LOW, 1 * GIB, i + 1);
	g->desc[4] = in(LOW, 1, -1);
	offer(g, 0);
	ok(queue_pop(&g->q, &g->c) == -EINVAL && strstr(g->q.broken, "4 GiB"),
	   "more than 4 GiB in all is refused");
	g->desc[3] = in(LOW, 1 * GIB - 2, 4);
	ok(queue_pop(&g->q, &g->c) == 1 && g->c.in_len == UINT32_MAX, "one byte less is not");
	mem_destroy(&g->mem);
	free(g);
}

static void test_places(struct guest *g)
{
	const struct {
		const char *what;
		struct queue_state st;
		bool starts;
	} cases[] = {
		{ "rings to the last byte of RAM",
		  { .desc = HIGH,
		    .driver = HIGH + 0x1000,
		    .device = HIGH + HIGH_SIZE - 6 - 8 * SIZE - 2,
		    .size = SIZE },
		  true },
		{ "a used ring past the end of RAM",
		  { .desc = HIGH,
		    .driver = HIGH + 0x1000,
		    .device = HIGH + HIGH_SIZE - 6 - 8 * SIZE + 2,
		    .size = SIZE },
		  false },
		{ "an available ring past the end of RAM",
		  { .desc = HIGH,
		    .driver = HIGH + HIGH_SIZE - 4 - 2 * SIZE,
		    .device = HIGH,
		    .size = SIZE },
		  false },
		{ "a descriptor table over the hole",
		  { .desc = LOW + LOW_SIZE - 16, .driver = AVAIL, .device = USED, .size = SIZE },
		  false },
		{ "rings at the end of the address space",
		  { .desc = -16ull, .driver = -16ull, .device = -16ull, .size = SIZE },
		  false },
		{ "a misaligned descriptor table",
		  { .desc = DESC + 8, .driver = AVAIL, .device = USED, .size = SIZE },
		  false },
		{ "a misaligned available ring",
		  { .desc = DESC, .driver = AVAIL + 1, .device = USED, .size = SIZE },
		  false },
		{ "a misaligned used ring",
		  { .desc = DESC, .driver = AVAIL, .device = USED + 2, .size = SIZE },
		  false },
		{ "size 0", { .desc = DESC, .driver = AVAIL, .device = USED, .size = 0 }, false },
		{ "size 6", { .desc = DESC, .driver = AVAIL, .device = USED, .size = 6 }, false },
		{ "size 512",
		  { .desc = DESC, .driver = AVAIL, .device = USED, .size = 512 },
		  false },
		{ "size 1", { .desc = DESC, .driver = AVAIL, .device = USED, .size = 1 }, true },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct queue_state st = cases[i].st;
		int rc = queue_start(&g->q, &st, &g->mem, true, true);

		ok(rc == (cases[i].starts ? 0 : -EINVAL), "%s: %s", cases[i].what,
		   cases[i].starts ? "starts" : "refused");
	}
}

static void test_flags(struct guest *g)
{
	set_up(g, false, false);
	g->desc[0] = out(DATA, 1, -1);
	offer(g, 0);
	queue_disable_kicks(&g->q);
	ok(g->used->flags == VRING_USED_F_NO_NOTIFY, "kicks are off");
	ok(mem_test_dirty(&g->mem, USED, true), "which is dirty");
	ok(queue_enable_kicks(&g->q) && !g->used->flags, "kicks are on, and a request slipped in");
	queue_pop(&g->q, &g->c);
	ok(!queue_enable_kicks(&g->q), "after it was taken there is nothing more");
	queue_push(&g->q, &g->c, 0);
	ok(queue_needs_interrupt(&g->q), "the driver wants interrupts");
	g->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	ok(!queue_needs_interrupt(&g->q), "or not");
}

/* Through the wrap of all indices: an interrupt exactly when used.idx passes used_event. */
static void test_event_idx(struct guest *g)
{
	uint16_t *used_event, *avail_event;
	unsigned int wrong = 0;

	set_up(g, true, false);
	used_event = &g->avail->ring[SIZE];
	avail_event = (uint16_t *)&g->used->ring[SIZE];
	g->desc[0] = out(DATA, 1, -1);
	for (uint32_t i = 0; i < 0x10000 + 20; i++) {
		*used_event = (uint16_t)(i / 3 * 3); /* at every third */
		offer(g, 0);
		wrong += !queue_enable_kicks(&g->q);
		wrong += queue_pop(&g->q, &g->c) != 1;
		wrong += queue_enable_kicks(&g->q);
		wrong += *avail_event != (uint16_t)(i + 1);
		queue_push(&g->q, &g->c, 0);
		wrong += g->used->ring[i % SIZE].id != 0;
		wrong += queue_needs_interrupt(&g->q) != (i % 3 == 0);
	}
	ok(!wrong, "indices wrap without a lost or needless interrupt or kick (%u wrong)", wrong);
	queue_disable_kicks(&g->q);
	ok(g->used->flags == 0, "used.flags is not used with event indices");
}

static void test_batch(struct guest *g)
{
	set_up(g, true, false);
	g->desc[0] = out(DATA, 1, -1);
	for (int i = 0; i < SIZE; i++)
		offer(g, 0);
	g->avail->ring[SIZE] = 3; /* used_event: the fourth */
	for (int i = 0; i < SIZE; i++) {
		queue_pop(&g->q, &g->c);
		queue_push(&g->q, &g->c, 0);
	}
	ok(queue_needs_interrupt(&g->q), "a batch that passes the event interrupts once");
	ok(!queue_needs_interrupt(&g->q), "and not twice");
	offer(g, 0);
	ok(queue_pop(&g->q, &g->c) == 1, "a full turn of the ring goes on");
}

int main(void)
{
	struct guest *g = calloc(1, sizeof(*g));

	if (mem_create(&g->mem, MEM_ANON, -1, LOW_SIZE + HIGH_SIZE, NULL) ||
	    mem_add_slot(&g->mem, LOW, 0, LOW_SIZE) ||
	    mem_add_slot(&g->mem, HIGH, LOW_SIZE, HIGH_SIZE))
		return 1;
	test_chain(g);
	test_short_answer(g);
	test_used_pages(g);
	test_unpop(g);
	test_together(g);
	test_go_on(g);
	test_indirect(g);
	test_largest_chain(g);
	test_broken(g);
	test_total();
	test_places(g);
	test_flags(g);
	test_event_idx(g);
	test_batch(g);
	mem_destroy(&g->mem);
	free(g);
	return done_testing();
}
