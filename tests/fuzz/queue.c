/* SPDX-License-Identifier: MIT */
/*
 * The walker of virtqueues (virtio/queue.h) over rings that hold anything: whatever it hands out is
 * inside RAM, adds up, and is given back without touching anything else.
 */
#include "virtio/queue.h"

#include <errno.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/lib/ram.h"

#define RINGS LOW
#define AVAIL (RINGS + 0x1000)
#define USED (RINGS + 0x2000)
#define STEPS 64

/* Guest addresses that matter: rings, data, the ends of slots, the hole, the end of the world. */
static uint64_t take_gpa(struct input *in)
{
	static const uint64_t bases[] = {
		RINGS,
		AVAIL,
		USED,
		LOW + 0x4000,
		LOW + SLOT_SIZE,
		HIGH,
		HIGH + SLOT_SIZE,
		0x48000000,
		0,
		UINT64_MAX - 0x7f,
	};
	uint32_t which = take_below(in, ARRAY_SIZE(bases) + 1);

	if (which == ARRAY_SIZE(bases))
		return take_u64(in);
	return bases[which] + (uint64_t)(int8_t)take_u8(in);
}

static void take_desc(struct input *in, struct vring_desc *d)
{
	static const uint32_t lengths[] = { 1, 16, 32, 64, QUEUE_MAX_SIZE * 16, UINT32_MAX };
	uint8_t how = take_u8(in);

	d->flags = how & 7;
	d->addr = how & 8 ? LOW + 0x4000 + take_u8(in) * 8 : take_gpa(in);
	d->len = how & 16 ? lengths[take_below(in, ARRAY_SIZE(lengths))] : take_u16(in);
	d->next = take_u8(in);
}

/* What a driver may do to its rings, and what it may not. */
static void put_guest(struct input *in, const struct queue_state *st)
{
	struct vring_desc d;
	uint64_t gpa = 0;
	uint16_t v;

	switch (take_below(in, 5)) {
	case 0: /* a descriptor of the ring's */
		gpa = st->desc + take_u8(in) * sizeof(d);
		take_desc(in, &d);
		ram_guest_write(gpa, &d, sizeof(d));
		break;
	case 1: /* or of a table */
		gpa = LOW + 0x4000 + take_u8(in) * 8;
		take_desc(in, &d);
		ram_guest_write(gpa, &d, sizeof(d));
		break;
	case 2: /* avail.idx, relative to where we are */
		v = (uint16_t)(st->next_avail + (int8_t)take_u8(in));
		ram_guest_write(st->driver + 2, &v, sizeof(v));
		break;
	case 3: /* a head, or used_event */
		gpa = st->driver + 4 + 2 * (uint64_t)take_u8(in);
		v = take_u8(in);
		ram_guest_write(gpa, &v, sizeof(v));
		break;
	case 4:
		gpa = take_gpa(in);
		v = take_u16(in);
		ram_guest_write(gpa, &v, sizeof(v));
		break;
	}
}

/* A good request, but for what is spoiled, and its announcement. */
static void put_chain(struct input *in, const struct queue_state *st)
{
	uint32_t n = 1 + take_below(in, 6), n_out = take_below(in, 4), spoiled = take_below(in, 16);
	uint16_t head = take_u8(in) % st->size, idx = st->next_avail + 1;
	bool table = take_u8(in) & 1;
	struct vring_desc d = { LOW + 0x4000, n * 16, VRING_DESC_F_INDIRECT, 0 };

	if (table)
		ram_guest_write(st->desc + head * sizeof(d), &d, sizeof(d));
	else
		n = MIN(n, (uint32_t)st->size);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t slot = table ? i : (head + i) % st->size;

		d.addr = HIGH + take_u16(in) % (SLOT_SIZE - 0x1000);
		d.len = 1 + take_u16(in) % 0x1000;
		d.flags = (i >= n_out ? VRING_DESC_F_WRITE : 0) |
			  (i + 1 < n ? VRING_DESC_F_NEXT : 0);
		d.next = (uint16_t)(table ? i + 1 : (slot + 1) % st->size);
		if (i == spoiled)
			take_desc(in, &d);
		ram_guest_write((table ? LOW + 0x4000 : st->desc) + slot * sizeof(d), &d,
				sizeof(d));
	}
	ram_guest_write(st->driver + 4 + 2 * (uint64_t)(st->next_avail % st->size), &head, 2);
	ram_guest_write(st->driver + 2, &idx, sizeof(idx));
}

static void check_chain(const struct queue *q, const struct chain *c)
{
	struct iovec part[QUEUE_MAX_SIZE];
	uint64_t out = 0, in = 0;
	uint32_t n = c->n_out + c->n_in;

	/* One table behind what the ring has. */
	CHECK(n >= 1 && n <= QUEUE_MAX_SIZE && (q->indirect || n <= q->size));
	for (uint32_t i = 0; i < n; i++) {
		CHECK(c->iov[i].iov_len && ram_has(c->iov[i].iov_base, c->iov[i].iov_len));
		CHECK(mem_at(q->mem, c->gpa[i], c->iov[i].iov_len, MEM_R) == c->iov[i].iov_base);
		if (i < c->n_out)
			out += c->iov[i].iov_len;
		else
			in += c->iov[i].iov_len;
	}
	CHECK(out == c->out_len && in == c->in_len && out + in <= UINT32_MAX);
	CHECK(chain_out_iov(c, 0, c->out_len, part) == c->n_out);
	CHECK(chain_in_iov(c, 0, c->in_len, part) == c->n_in);
}

/* Any range of a chain: it is read or written when it is inside, and else nothing happens. */
static void use_chain(struct input *in, const struct chain *c)
{
	uint8_t bytes[256];
	uint32_t offset = take_u16(in), len = take_u8(in);

	memset(bytes, 0xda, sizeof(bytes));
	if (take_u8(in) & 1)
		offset = UINT32_MAX - offset;
	CHECK(chain_read(c, offset, bytes, len) == range_in(offset, len, c->out_len));
	CHECK(chain_write(c, offset, bytes, len) == range_in(offset, len, c->in_len));
	if (c->in_len) /* and its last byte: the answer is as long as the request has room */
		CHECK(chain_write(c, c->in_len - 1, bytes, 1));
}

static bool pop(struct input *in, struct queue *q, struct chain *c)
{
	uint16_t before = q->st->next_avail;
	int rc = queue_pop(q, c);

	CHECK(rc == 1 || rc == 0 || rc == -EINVAL);
	CHECK((rc == -EINVAL) == (q->broken != NULL));
	CHECK(q->st->next_avail == (uint16_t)(before + (rc == 1)));
	if (rc < 0)
		return false;
	if (!rc)
		return true;
	check_chain(q, c);
	switch (take_below(in, 4)) {
	case 0:
		queue_unpop(q);
		CHECK(q->st->next_avail == before);
		break;
	case 1: /* the device answers, and marks all that it may have written */
		use_chain(in, c);
		queue_push(q, c, c->in_len);
		queue_needs_interrupt(q);
		break;
	default:
		queue_push(q, c, 0);
		queue_needs_interrupt(q);
	}
	return true;
}

static void run(struct input *in, struct queue *q)
{
	static struct chain c; /* 6 KiB that need no clearing */

	for (int i = 0; i < STEPS && in->left; i++) {
		switch (take_below(in, 5)) {
		case 0:
			put_guest(in, q->st);
			break;
		case 1:
			put_chain(in, q->st);
			/* fall through */
		case 2:
			if (!pop(in, q, &c))
				return;
			break;
		default:
			if (take_u8(in) & 1)
				queue_enable_kicks(q);
			else
				queue_disable_kicks(q);
			break;
		}
	}
}

static void take_state(struct input *in, struct queue_state *st)
{
	uint8_t how = take_u8(in);

	*st = (struct queue_state){ .desc = RINGS, .driver = AVAIL, .device = USED, .enabled = 1 };
	st->size = how & 16 ? take_u16(in) : (uint16_t)(1 << (how & 7));
	if (how & 32) {
		st->desc = take_gpa(in);
		st->driver = take_gpa(in);
		st->device = take_gpa(in);
	}
	if (how & 64)
		st->next_avail = take_u16(in);
	if (how & 128)
		st->next_used = take_u16(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct mem *mem = ram_fresh();
	struct queue_state st;
	struct queue q;
	uint8_t features = take_u8(&in);

	take_state(&in, &st);
	if (queue_start(&q, &st, mem, features & 1, features & 2)) {
		CHECK(q.broken);
		return 0;
	}
	CHECK(ram_has(q.desc, st.size * 16ull) && ram_has(q.avail, 6 + st.size * 2ull) &&
	      ram_has(q.used, 6 + st.size * 8ull));
	run(&in, &q);
	ram_check_dirty();
	return 0;
}
