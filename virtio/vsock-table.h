/* SPDX-License-Identifier: MIT */
/*
 * All connections of a vsock device, and how they begin on the host, as Firecracker has it: a program
 * connects to the socket PATH and writes "CONNECT PORT\n"; a guest that connects to port N of the
 * host reaches who listens at PATH_N.
 *
 * There are VSOCK_CONNS at most. When all are taken, one that the guest has no part in, not yet or not
 * any more, makes room; else a newcomer is turned away.
 *
 * Used by one thread at a time, as connections are.
 */
#ifndef VIRTIO_VSOCK_TABLE_H
#define VIRTIO_VSOCK_TABLE_H

#include "host/uds.h"
#include "virtio/vsock-conn.h"

#define VSOCK_CONNS 256

struct vsock_slot {
	struct vsock_conn conn;
	uint64_t key; /* unique, growing, and its number in the table modulo VSOCK_CONNS */
	bool queued;
	struct vsock_slot *next; /* in the queue */
};

struct vsock_table {
	struct uds_listener listener;
	int epoll_fd; /* of all sockets; -1 before vsock_table_open() */
	uint64_t last_key;
	uint32_t next_port;		 /* for the host's end of connections that begin there */
	unsigned int n_slots;		 /* ever used */
	struct vsock_slot *first, **end; /* the queue of those that may have a packet */
	struct vsock_slot slots[VSOCK_CONNS];
};

/* Listens; accepts nobody yet. `path` is borrowed. 0, or -errno and a line in `err`. */
int vsock_table_create(struct vsock_table *t, const char *path, struct err *err);
void vsock_table_destroy(struct vsock_table *t);

/* Makes epoll_fd, at the first call. 0 or -errno. */
int vsock_table_open(struct vsock_table *t);

/* Ends all connections. */
void vsock_table_clear(struct vsock_table *t);

/* One that the guest knows of, or NULL. */
struct vsock_conn *vsock_table_find(struct vsock_table *t, uint32_t host_port, uint32_t guest_port);

/* A new one, to the program that listens for the guest's REQUEST. NULL: it can't be. */
struct vsock_conn *vsock_table_connect(struct vsock_table *t, const struct virtio_vsock_hdr *hdr);

/* The guest has nothing more to do with it. */
void vsock_table_leave(struct vsock_conn *conn);

/* Lets connections see what happened on their sockets, and new ones begin: epoll_fd is readable. */
void vsock_table_events(struct vsock_table *t);

/* It may have a packet for the guest now. */
void vsock_table_queue(struct vsock_table *t, struct vsock_conn *conn);

/* The next that may have one, taken from the queue; NULL: none. */
struct vsock_conn *vsock_table_next(struct vsock_table *t);

#endif
