/* SPDX-License-Identifier: MIT */
/*
 * What two sides of a channel say to each other: frames, each a head of 32 bytes and a body.
 *
 *	0  type		4  bytes of the body	8  `at`
 *	16 the body's checksum; without a body, a number
 *	24 the head's checksum
 *
 * Both sums begin with the frame's number, each way: no frame can be lost, come twice, or in another order, and
 * no bit be another. All numbers are little-endian.
 */
#ifndef HOST_WIRE_H
#define HOST_WIRE_H

#include <stdint.h>

#include "host/channel.h"
#include "util/limit.h"

#define WIRE_BODY (256u * 1024)

/* A frame's type is its users' affair, but for these: what is said back, and the one that says why not. */
#define WIRE_BACK 0x100u
#define WIRE_FAILED (WIRE_BACK | 0xffu) /* body: the reason */

struct wire {
	struct channel *channel; /* borrowed */
	uint64_t sent, received; /* frames */
	uint64_t bytes;		 /* sent */
};

struct frame {
	uint32_t type, len;
	uint64_t at, value;
};

/* `len` is WIRE_BODY at most, and `value` goes where there is no body. 0 or -errno and a line. */
int wire_put(struct wire *w, uint32_t type, uint64_t at, uint64_t value, const void *body,
	     size_t len, struct err *err);

/*
 * One of many that have a body: goes when `limit` (or NULL) lets it, unless the peer, who has not been asked, has
 * said that something is wrong, or the channel is stopped.
 */
int wire_put_bulk(struct wire *w, struct limit *limit, uint32_t type, uint64_t at, const void *body,
		  size_t len, struct err *err);

/*
 * The next frame's head; its body, f->len bytes, is the next to be read, if there is any: into `to`, which has
 * what is no frame's body if it fails.
 */
int wire_get(struct wire *w, struct frame *f, struct err *err);
int wire_body(struct wire *w, const struct frame *f, void *to, struct err *err);

/* The next frame is of that type, or it is WIRE_FAILED, and `err` what the peer says: -EREMOTEIO. */
int wire_expect(struct wire *w, uint32_t type, struct err *err);

#endif
