/* SPDX-License-Identifier: MIT */
/*
 * One stream between a Unix socket of the host's and a socket of the guest's (virtio 1.2, section
 * 5.10.6).
 *
 * Both sides say how much they can hold. The guest may send VSOCK_BUFFER bytes beyond what the
 * host's program has taken: so there is always room for what it sends, whoever sends more has broken
 * the rules, and a program that does not read stops its own peer and nobody else. In the other
 * direction nothing is kept here: what the guest has no room for stays in the host's socket.
 *
 * A half that is closed on one side (shutdown(2)) is closed on the other, when what was sent before
 * has arrived.
 *
 * Used by one thread at a time: the device's loop, or who has stopped it.
 */
#ifndef VIRTIO_VSOCK_CONN_H
#define VIRTIO_VSOCK_CONN_H

#include <linux/virtio_vsock.h>
#include <stdbool.h>
#include <stdint.h>

#include "virtio/queue.h"

#define VSOCK_BUFFER (128u << 10) /* bytes from the guest, at most */

enum vsock_state {
	VSOCK_FREE,
	VSOCK_LINE,  /* a program has connected, and has not said yet to which port */
	VSOCK_ASKED, /* the guest is asked: it may accept that, or not */
	VSOCK_OPEN,
	VSOCK_DRAIN, /* the guest is done; what it sent is still on its way to the program */
};

struct vsock_conn {
	enum vsock_state state;
	int fd; /* owned; non-blocking */
	uint32_t host_port, guest_port;
	uint32_t due;	     /* packets that the guest is to get: 1 << VIRTIO_VSOCK_OP_* */
	uint32_t guest_shut; /* VIRTIO_VSOCK_SHUTDOWN_*: what the guest has said ... */
	uint32_t host_shut;  /* ... and what it is told */

	/* From the guest: bytes since the beginning, modulo 2^32 as in the packets. */
	uint32_t received, forwarded;
	uint32_t announced; /* of `forwarded`, to the guest */
	uint8_t *buffer;    /* a ring of VSOCK_BUFFER, made when first needed */

	/* To the guest. */
	bool readable; /* the socket may have something */
	bool begged;   /* a CREDIT_REQUEST was sent */
	uint32_t sent;
	uint32_t guest_alloc, guest_fwd; /* buf_alloc and fwd_cnt as it said last */
};

/* A fresh one, of a program that has connected, or of a guest whose REQUEST got through to one. */
void vsock_conn_begin(struct vsock_conn *conn, enum vsock_state state, int fd);

/* What the guest says of its room, in each packet. */
void vsock_conn_credit(struct vsock_conn *conn, const struct virtio_vsock_hdr *hdr);

/* Closes it. */
void vsock_conn_end(struct vsock_conn *conn);

/* The program's first line: 1 and guest_port, 0: not complete yet, -EINVAL: it is none. */
int vsock_conn_line(struct vsock_conn *conn, bool no_more);

/*
 * A packet of the guest's, but for RST; the payload is in the chain, behind the header. False: it
 * gets an RST, and the connection is over: closed properly, or by a breach of rules.
 */
bool vsock_conn_packet(struct vsock_conn *conn, const struct virtio_vsock_hdr *hdr,
		       const struct chain *c);

/* The guest is done with it. False: and so is the program. */
bool vsock_conn_leave(struct vsock_conn *conn);

/* What epoll has seen on the socket. False: that was the end of it (VSOCK_DRAIN). */
bool vsock_conn_event(struct vsock_conn *conn, uint32_t events);

/* Is there a packet for the guest, maybe? */
bool vsock_conn_wants(const struct vsock_conn *conn);

/*
 * The next packet for the guest: payload into the chain, behind the header's place, and all of the
 * header but CIDs and type. False: there's none after all. The chain has room for a header and more.
 */
bool vsock_conn_emit(struct vsock_conn *conn, const struct chain *c, struct virtio_vsock_hdr *hdr);

#endif
