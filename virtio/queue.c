/* SPDX-License-Identifier: MIT */
/*
 * Memory order. The driver fills a descriptor, then raises avail.idx: we load avail.idx with
 * acquire before we read what it announces. We write the answer and the used element, then raise
 * used.idx.
 *
 * Notifications are a store on one side and a load on the other, in both directions: "I sleep, wake
 * me past this index" against "here is an index". Each side must store before it loads, or both
 * miss each other and the queue hangs. Our stores of used.idx, avail_event and used.flags, and the
 * loads that follow them, are therefore sequentially consistent: that keeps a load from overtaking
 * a store on x86 (a locked exchange) and on arm64 (stlr, ldar) alike, against the driver's full
 * barrier.
 */
#include "virtio/queue.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "util/util.h"

static int broken(struct queue *q, const char *why)
{
	q->broken = why;
	return -EINVAL;
}

/*
 * Copies what the guest can change meanwhile. Without the barrier the compiler might read the
 * source again after the checks, instead of keeping the copy.
 */
static void copy_once(void *to, const void *from, size_t len)
{
	memcpy(to, from, len);
	__asm__ volatile("" : : : "memory");
}

static uint64_t avail_bytes(uint32_t size)
{
	return sizeof(struct vring_avail) + size * sizeof(uint16_t) + sizeof(uint16_t);
}

static uint64_t used_bytes(uint32_t size)
{
	return sizeof(struct vring_used) + size * sizeof(struct vring_used_elem) + sizeof(uint16_t);
}

/* The driver's wish: interrupt me once used.idx passes this. Behind the available ring. */
static const uint16_t *used_event(const struct queue *q)
{
	return &q->avail->ring[q->size];
}

/* Ours: kick me once avail.idx passes this. Behind the used ring. */
static uint16_t *avail_event(const struct queue *q)
{
	return (uint16_t *)&q->used->ring[q->size];
}

/* [offset, offset + len) of the used ring has been written. */
static void dirty_used(const struct queue *q, uint64_t offset, uint64_t len)
{
	mem_dirty(q->mem, q->st->device + offset, len);
}

int queue_start(struct queue *q, struct queue_state *st, struct mem *mem, bool event_idx,
		bool indirect)
{
	uint32_t size = st->size;

	/* All but the count, which goes on, and may be read at any time. */
	q->st = st;
	q->mem = mem;
	q->desc = NULL;
	q->avail = NULL;
	q->used = NULL;
	q->size = st->size;
	q->event_idx = event_idx;
	q->indirect = indirect;
	/* A queue is saved when all that it pushed has been told. */
	q->signalled = st->next_used;
	q->unpublished = 0;
	q->out = q->in = 0;
	q->broken = NULL;
	if (!size || size > QUEUE_MAX_SIZE || (size & (size - 1)))
		return broken(q, "its size is not a power of two in range");
	if (st->desc % VRING_DESC_ALIGN_SIZE || st->driver % VRING_AVAIL_ALIGN_SIZE ||
	    st->device % VRING_USED_ALIGN_SIZE)
		return broken(q, "a ring is misaligned");
	q->desc = mem_at(mem, st->desc, size * sizeof(struct vring_desc), MEM_R);
	q->avail = mem_at(mem, st->driver, avail_bytes(size), MEM_R);
	q->used = mem_at(mem, st->device, used_bytes(size), MEM_W);
	if (!q->desc || !q->avail || !q->used)
		return broken(q, "a ring is outside RAM");
	return 0;
}

void queue_go_on(struct queue *q, uint16_t next_avail)
{
	q->st->next_avail = next_avail;
	q->st->next_used = __atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE);
	q->signalled = q->st->next_used;
	mem_dirty(q->mem, q->st->device, used_bytes(q->size));
}

static int add_piece(struct queue *q, struct chain *c, const struct vring_desc *d)
{
	uint32_t n = c->n_out + c->n_in;
	bool is_in = d->flags & VRING_DESC_F_WRITE;
	void *hva;

	if (n == QUEUE_MAX_SIZE)
		return broken(q, "a chain has too many pieces");
	if (!is_in && c->n_in)
		return broken(q, "a readable piece follows a writable one");
	if (!d->len)
		return broken(q, "a piece has no length");
	if (d->len > UINT32_MAX - c->out_len - c->in_len)
		return broken(q, "a chain is longer than 4 GiB");
	hva = mem_at(q->mem, d->addr, d->len, is_in ? MEM_W : MEM_R);
	if (!hva)
		return broken(q, "a piece is outside RAM");
	c->iov[n] = (struct iovec){ .iov_base = hva, .iov_len = d->len };
	c->gpa[n] = d->addr;
	if (is_in) {
		c->n_in++;
		c->in_len += d->len;
	} else {
		c->n_out++;
		c->out_len += d->len;
	}
	return 0;
}

/* The table that `d` refers to, with its number of entries; NULL: a rule is broken. */
static const uint8_t *indirect_table(struct queue *q, const struct vring_desc *d, uint32_t *entries)
{
	const uint8_t *table;

	if (!q->indirect || d->flags & VRING_DESC_F_NEXT) {
		broken(q, "an indirect table that was not negotiated, or not last");
		return NULL;
	}
	*entries = d->len / sizeof(*d);
	if (!d->len || d->len % sizeof(*d) || *entries > QUEUE_MAX_SIZE) {
		broken(q, "an indirect table of a bad size");
		return NULL;
	}
	table = mem_at(q->mem, d->addr, d->len, MEM_R);
	if (!table)
		broken(q, "an indirect table outside RAM");
	return table;
}

static int walk(struct queue *q, struct chain *c)
{
	const uint8_t *table = q->desc;
	uint32_t entries = q->size, at = c->head, seen = 0;
	bool nested = false; /* in the indirect table, which may even lie over the queue's own */

	for (;;) {
		struct vring_desc d;
		int rc;

		if (at >= entries)
			return broken(q, "a descriptor's number is out of range");
		/* More steps than the table has entries: one was visited twice. */
		if (seen++ == entries)
			return broken(q, "a chain loops");
		copy_once(&d, table + at * sizeof(d), sizeof(d));
		if (d.flags & VRING_DESC_F_INDIRECT) {
			if (nested)
				return broken(q, "an indirect table within another");
			nested = true;
			table = indirect_table(q, &d, &entries);
			if (!table)
				return -EINVAL;
			at = seen = 0;
			continue;
		}
		rc = add_piece(q, c, &d);
		if (rc || !(d.flags & VRING_DESC_F_NEXT))
			return rc;
		at = d.next;
	}
}

int queue_pop(struct queue *q, struct chain *c)
{
	uint16_t next = q->st->next_avail;
	uint16_t ahead = __atomic_load_n(&q->avail->idx, __ATOMIC_ACQUIRE) - next;
	int rc;

	if (!ahead)
		return 0;
	if (ahead > q->size)
		return broken(q, "avail.idx is further ahead than the queue is long");
	c->head = __atomic_load_n(&q->avail->ring[next % q->size], __ATOMIC_RELAXED);
	c->n_out = c->n_in = c->out_len = c->in_len = 0;
	rc = walk(q, c);
	if (rc)
		return rc;
	q->st->next_avail++;
	return 1;
}

bool queue_empty(const struct queue *q)
{
	return __atomic_load_n(&q->avail->idx, __ATOMIC_ACQUIRE) == q->st->next_avail;
}

void queue_unpop(struct queue *q)
{
	q->st->next_avail--;
}

void queue_dirty(struct queue *q, const struct chain *c, uint32_t len)
{
	for (uint32_t i = c->n_out; len && i < c->n_out + c->n_in; i++) {
		uint32_t part = MIN(len, (uint32_t)c->iov[i].iov_len);

		mem_dirty(q->mem, c->gpa[i], part);
		len -= part;
	}
}

void queue_put(struct queue *q, const struct chain *c, uint32_t written)
{
	uint16_t slot = (uint16_t)(q->st->next_used + q->unpublished++) % q->size;

	queue_dirty(q, c, written);
	q->out += c->out_len;
	q->in += written;
	q->used->ring[slot] = (struct vring_used_elem){ .id = c->head, .len = written };
	dirty_used(q, offsetof(struct vring_used, ring) + slot * sizeof(struct vring_used_elem),
		   sizeof(struct vring_used_elem));
}

/* By one thread at a time, so it costs no locked instruction. */
static void add(_Atomic uint64_t *to, uint64_t n)
{
	atomic_store_explicit(to, atomic_load_explicit(to, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static void count(struct queue *q)
{
	add(&q->count.requests, q->unpublished);
	add(&q->count.out, q->out);
	add(&q->count.in, q->in);
	q->out = q->in = 0;
}

void queue_publish(struct queue *q)
{
	count(q);
	q->st->next_used += q->unpublished;
	q->unpublished = 0;
	__atomic_store_n(&q->used->idx, q->st->next_used, __ATOMIC_SEQ_CST);
	dirty_used(q, offsetof(struct vring_used, idx), sizeof(uint16_t));
}

void queue_take_back(struct queue *q)
{
	q->st->next_avail -= q->unpublished;
	q->unpublished = 0;
	q->out = q->in = 0;
}

void queue_push(struct queue *q, const struct chain *c, uint32_t written)
{
	queue_put(q, c, written);
	queue_publish(q);
}

bool queue_needs_interrupt(struct queue *q)
{
	uint16_t old = q->signalled, new = q->st->next_used;

	q->signalled = new;
	if (q->event_idx)
		return vring_need_event(__atomic_load_n(used_event(q), __ATOMIC_SEQ_CST), new, old);
	return !(__atomic_load_n(&q->avail->flags, __ATOMIC_SEQ_CST) & VRING_AVAIL_F_NO_INTERRUPT);
}

static void set_used_flags(struct queue *q, uint16_t flags)
{
	__atomic_store_n(&q->used->flags, flags, __ATOMIC_SEQ_CST);
	dirty_used(q, offsetof(struct vring_used, flags), sizeof(flags));
}

bool queue_enable_kicks(struct queue *q)
{
	uint16_t next = q->st->next_avail;

	if (q->event_idx) {
		__atomic_store_n(avail_event(q), next, __ATOMIC_SEQ_CST);
		dirty_used(q, used_bytes(q->size) - sizeof(next), sizeof(next));
	} else {
		set_used_flags(q, 0);
	}
	return __atomic_load_n(&q->avail->idx, __ATOMIC_SEQ_CST) != next;
}

void queue_disable_kicks(struct queue *q)
{
	/* With event indices an index left behind asks for nothing. */
	if (!q->event_idx)
		set_used_flags(q, VRING_USED_F_NO_NOTIFY);
}

void chain_copy(struct chain *to, const struct chain *from)
{
	uint32_t n = from->n_out + from->n_in;

	memcpy(to, from, offsetof(struct chain, iov));
	memcpy(to->iov, from->iov, n * sizeof(to->iov[0]));
	memcpy(to->gpa, from->gpa, n * sizeof(to->gpa[0]));
}

/* [offset, offset + len) of the pieces at `iov`, which are long enough, into `out`. */
static unsigned int slice(const struct iovec *iov, uint32_t offset, uint32_t len, struct iovec *out)
{
	unsigned int n = 0;

	for (; len; iov++) {
		uint32_t part;

		if (offset >= iov->iov_len) {
			offset -= (uint32_t)iov->iov_len;
			continue;
		}
		part = MIN(len, (uint32_t)iov->iov_len - offset);
		out[n++] = (struct iovec){ (uint8_t *)iov->iov_base + offset, part };
		len -= part;
		offset = 0;
	}
	return n;
}

unsigned int chain_out_iov(const struct chain *c, uint32_t offset, uint32_t len, struct iovec *iov)
{
	return slice(c->iov, offset, len, iov);
}

unsigned int chain_in_iov(const struct chain *c, uint32_t offset, uint32_t len, struct iovec *iov)
{
	return slice(c->iov + c->n_out, offset, len, iov);
}

bool chain_read(const struct chain *c, uint32_t offset, void *to, uint32_t len)
{
	struct iovec iov[QUEUE_MAX_SIZE];
	uint8_t *p = to;
	unsigned int n;

	if (!range_in(offset, len, c->out_len))
		return false;
	n = chain_out_iov(c, offset, len, iov);
	for (unsigned int i = 0; i < n; i++) {
		copy_once(p, iov[i].iov_base, iov[i].iov_len);
		p += iov[i].iov_len;
	}
	return true;
}

bool chain_write(const struct chain *c, uint32_t offset, const void *from, uint32_t len)
{
	struct iovec iov[QUEUE_MAX_SIZE];
	const uint8_t *p = from;
	unsigned int n;

	if (!range_in(offset, len, c->in_len))
		return false;
	n = chain_in_iov(c, offset, len, iov);
	for (unsigned int i = 0; i < n; i++) {
		memcpy(iov[i].iov_base, p, iov[i].iov_len);
		p += iov[i].iov_len;
	}
	return true;
}
