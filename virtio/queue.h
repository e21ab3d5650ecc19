/* SPDX-License-Identifier: MIT */
/*
 * Split virtqueues (virtio 1.2, section 2.7): the one walker that all devices use.
 *
 * The guest may write to its rings at any moment. So each descriptor is read once, into private
 * memory, and then checked: every piece inside RAM, readable before writable, no zero length, a
 * chain no longer than the queue, at most one indirect table, at its end and of at most
 * QUEUE_MAX_SIZE entries, 4 GiB in all, avail.idx no further ahead than the queue is long. A chain
 * that breaks a rule is the end of the device (DEVICE_NEEDS_RESET), not of the VMM.
 *
 * A queue is used by one thread at a time: its loop's, or that of who has stopped the loop's use.
 */
#ifndef VIRTIO_QUEUE_H
#define VIRTIO_QUEUE_H

#include <assert.h>
#include <linux/virtio_ring.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vm/mem.h"

/* Virtio 1 is little-endian, as both ports' hosts are: fields are used as they lie in memory. */
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "virtio/ expects a little-endian host");

#define QUEUE_MAX_SIZE 256

/* What the guest sees and sets: saved and loaded as it is. */
struct queue_state {
	uint64_t desc, driver, device; /* gpas of descriptor table, available and used ring */
	uint16_t size;		       /* entries; a power of two, or 0: the driver got it wrong */
	uint16_t enabled;	       /* 0 or 1 */
	uint16_t next_avail;	       /* next entry of the available ring to look at */
	uint16_t next_used;
};

/* What has gone through a queue since its device was made. Its user alone writes it; anybody may read. */
struct queue_count {
	_Atomic uint64_t requests;
	_Atomic uint64_t out, in; /* bytes to the device, and from it */
};

/*
 * A started queue. What was resolved at the start is never looked up by the guest's numbers again.
 */
struct queue {
	struct queue_state *st; /* borrowed; only the two indices are written */
	struct mem *mem;
	const uint8_t *desc;
	const struct vring_avail *avail;
	struct vring_used *used;
	uint16_t size;
	bool event_idx, indirect; /* negotiated */
	uint16_t signalled;	  /* next_used when the driver was last told */
	uint16_t unpublished;	  /* given back, and not to be seen yet */
	uint64_t out, in;	  /* of what is unpublished */
	struct queue_count count;
	const char *broken; /* after -EINVAL: the rule that the driver broke, for people */
};

/*
 * One request: readable pieces first, then writable ones. Some 6 KiB: a device owns one for each
 * request that it handles at a time.
 */
struct chain {
	uint16_t head;
	uint32_t n_out, n_in;	  /* pieces; out: driver to device */
	uint32_t out_len, in_len; /* bytes */
	struct iovec iov[QUEUE_MAX_SIZE];
	uint64_t gpa[QUEUE_MAX_SIZE];
};

/*
 * Checks size, alignment and place of the rings in `st`. -EINVAL: the driver's mistake. Writes
 * nothing to the guest.
 */
int queue_start(struct queue *q, struct queue_state *st, struct mem *mem, bool event_idx,
		bool indirect);

/*
 * Somebody else has served it meanwhile, up to here: what he has given back is in the used ring, where
 * the guest may have written, too; no harm to others comes of that. It is marked dirty.
 */
void queue_go_on(struct queue *q, uint16_t next_avail);

/*
 * 1: `c` holds the next request; 0: none now; -EINVAL: the queue is broken, the device needs reset.
 */
int queue_pop(struct queue *q, struct chain *c);

/* Is there nothing to pop now? */
bool queue_empty(const struct queue *q);

/* Undoes the last queue_pop(): it will be popped again (no room for its data now). */
void queue_unpop(struct queue *q);

/*
 * Gives a request back. The first `written` bytes of its writable part are the device's answer:
 * they are marked dirty here, as is the used ring.
 */
void queue_push(struct queue *q, const struct chain *c, uint32_t written);

/*
 * Several requests given back as one: queue_put() each that was popped, then queue_publish(), before
 * which the driver sees none of them. Or queue_take_back(): they will all be popped again.
 */
void queue_put(struct queue *q, const struct chain *c, uint32_t written);
void queue_publish(struct queue *q);
void queue_take_back(struct queue *q);

/* The first `len` bytes of its writable part were written: queue_put() knows of what came before. */
void queue_dirty(struct queue *q, const struct chain *c, uint32_t len);

/* Must the driver be interrupted for what was pushed since it was last asked? After a push only. */
bool queue_needs_interrupt(struct queue *q);

/*
 * Kicks wanted or not. Enabling returns true when a request slipped in meanwhile: look again before
 * sleeping.
 */
bool queue_enable_kicks(struct queue *q);
void queue_disable_kicks(struct queue *q);

/* What a device keeps of a request while it takes the next. */
void chain_copy(struct chain *to, const struct chain *from);

/*
 * [offset, offset + len) of a request's readable part, copied out, and of its writable part, copied
 * in, however they are split into pieces. False, and nothing copied, when it is shorter.
 */
bool chain_read(const struct chain *c, uint32_t offset, void *to, uint32_t len);
bool chain_write(const struct chain *c, uint32_t offset, const void *from, uint32_t len);

/*
 * The pieces of that range, without copying, into `iov` (QUEUE_MAX_SIZE entries). Their number; the
 * range must be inside.
 */
unsigned int chain_out_iov(const struct chain *c, uint32_t offset, uint32_t len, struct iovec *iov);
unsigned int chain_in_iov(const struct chain *c, uint32_t offset, uint32_t len, struct iovec *iov);

#endif
