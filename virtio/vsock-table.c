/* SPDX-License-Identifier: MIT */
/*
 * Sockets are watched edge-triggered: each has its flags for what it may have, which stay until the
 * socket says EAGAIN. So one that must wait, for the guest's room or for the program's, needs no call
 * to stop being reported. Events carry keys, not pointers: a connection that ended a moment ago is
 * not found.
 */
#include "virtio/vsock-table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "util/util.h"

#define LISTENER UINT64_MAX /* its key */
#define SUFFIX_MAX 11	    /* "_4294967295" */
#define FIRST_PORT (1u << 30)
#define EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)
#define BATCH 64

static struct vsock_slot *slot_of(struct vsock_conn *conn)
{
	return container_of(conn, struct vsock_slot, conn);
}

/* ---- The queue ---- */

static void empty_queue(struct vsock_table *t)
{
	t->first = NULL;
	t->end = &t->first;
}

void vsock_table_queue(struct vsock_table *t, struct vsock_conn *conn)
{
	struct vsock_slot *slot = slot_of(conn);

	if (slot->queued || !vsock_conn_wants(conn))
		return;
	slot->queued = true;
	slot->next = NULL;
	*t->end = slot;
	t->end = &slot->next;
}

/* A slot stays queued when its connection ends, and even when another begins there. */
struct vsock_conn *vsock_table_next(struct vsock_table *t)
{
	struct vsock_slot *slot;

	while ((slot = t->first)) {
		t->first = slot->next;
		if (!t->first)
			t->end = &t->first;
		slot->queued = false;
		if (vsock_conn_wants(&slot->conn))
			return &slot->conn;
	}
	return NULL;
}

/* ---- Beginning and end ---- */

static void end_conn(struct vsock_conn *conn)
{
	vsock_conn_end(conn);
	slot_of(conn)->key = 0;
}

/* The guest has not accepted it yet, or is done with it. */
static bool dispensable(const struct vsock_conn *conn)
{
	return conn->state != VSOCK_FREE && conn->state != VSOCK_OPEN;
}

static struct vsock_slot *free_slot(struct vsock_table *t)
{
	struct vsock_slot *oldest = NULL;

	for (unsigned int i = 0; i < t->n_slots; i++) {
		struct vsock_slot *slot = &t->slots[i];

		if (slot->conn.state == VSOCK_FREE)
			return slot;
		if (dispensable(&slot->conn) && (!oldest || slot->key < oldest->key))
			oldest = slot;
	}
	if (t->n_slots < VSOCK_CONNS)
		return &t->slots[t->n_slots++];
	if (oldest)
		end_conn(&oldest->conn);
	return oldest;
}

/* Takes over `fd`, whatever comes of it. */
static struct vsock_conn *add(struct vsock_table *t, enum vsock_state state, int fd)
{
	struct vsock_slot *slot = free_slot(t);
	struct epoll_event event = { .events = EVENTS };

	if (!slot) {
		close(fd);
		return NULL;
	}
	slot->key = (++t->last_key * VSOCK_CONNS) + (uint64_t)(slot - t->slots);
	vsock_conn_begin(&slot->conn, state, fd);
	event.data.u64 = slot->key;
	if (epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, fd, &event)) {
		end_conn(&slot->conn);
		return NULL;
	}
	return &slot->conn;
}

struct vsock_conn *vsock_table_find(struct vsock_table *t, uint32_t host_port, uint32_t guest_port)
{
	for (unsigned int i = 0; i < t->n_slots; i++) {
		struct vsock_conn *conn = &t->slots[i].conn;

		if (conn->host_port == host_port && conn->guest_port == guest_port &&
		    (conn->state == VSOCK_OPEN || conn->state == VSOCK_ASKED))
			return conn;
	}
	return NULL;
}

struct vsock_conn *vsock_table_connect(struct vsock_table *t, const struct virtio_vsock_hdr *hdr)
{
	char path[UDS_PATH_MAX + 1];
	struct vsock_conn *conn;
	int fd;

	snprintf(path, sizeof(path), "%s_%" PRIu32, t->listener.path, hdr->dst_port);
	fd = uds_connect(path);
	conn = fd < 0 ? NULL : add(t, VSOCK_OPEN, fd);
	if (!conn)
		return NULL;
	conn->host_port = hdr->dst_port;
	conn->guest_port = hdr->src_port;
	vsock_conn_credit(conn, hdr);
	return conn;
}

void vsock_table_leave(struct vsock_conn *conn)
{
	if (!vsock_conn_leave(conn))
		end_conn(conn);
}

/* ---- What happens on sockets ---- */

/* One; if there is another, epoll says so at once. So a full process does not make us spin. */
static void accept_one(struct vsock_table *t)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u64 = LISTENER };
	int fd = uds_accept(&t->listener);

	if (fd < 0)
		return;
	add(t, VSOCK_LINE, fd);
	epoll_ctl(t->epoll_fd, EPOLL_CTL_MOD, t->listener.fd, &event);
}

static uint32_t new_port(struct vsock_table *t, uint32_t guest_port)
{
	do {
		t->next_port = MAX(t->next_port + 1, FIRST_PORT);
	} while (vsock_table_find(t, t->next_port, guest_port));
	return t->next_port;
}

/* False: that was its end. */
static bool conn_event(struct vsock_table *t, struct vsock_conn *conn, uint32_t events)
{
	if (conn->state == VSOCK_LINE) {
		int rc = vsock_conn_line(conn, events & (EPOLLRDHUP | EPOLLHUP));

		if (rc <= 0)
			return !rc;
		conn->host_port = new_port(t, conn->guest_port);
	}
	return vsock_conn_event(conn, events);
}

void vsock_table_events(struct vsock_table *t)
{
	struct epoll_event events[BATCH];
	int n = epoll_wait(t->epoll_fd, events, BATCH, 0);

	for (int i = 0; i < n; i++) {
		uint64_t key = events[i].data.u64;
		struct vsock_slot *slot = &t->slots[key % VSOCK_CONNS];

		if (key == LISTENER)
			accept_one(t);
		else if (slot->key != key)
			continue;
		else if (conn_event(t, &slot->conn, events[i].events))
			vsock_table_queue(t, &slot->conn);
		else
			end_conn(&slot->conn);
	}
}

/* ---- All of it ---- */

int vsock_table_create(struct vsock_table *t, const char *path, struct err *err)
{
	if (strlen(path) + SUFFIX_MAX > UDS_PATH_MAX)
		return err_set(err, ENAMETOOLONG,
			       "%s: too long, with a port behind it, for a socket (%d characters)",
			       path, UDS_PATH_MAX - SUFFIX_MAX);
	t->epoll_fd = -1;
	t->next_port = FIRST_PORT - 1;
	empty_queue(t);
	return uds_listen(&t->listener, path, err);
}

int vsock_table_open(struct vsock_table *t)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u64 = LISTENER };

	if (t->epoll_fd >= 0)
		return 0;
	t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (t->epoll_fd < 0 || epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, t->listener.fd, &event))
		return -errno;
	return 0;
}

void vsock_table_clear(struct vsock_table *t)
{
	for (unsigned int i = 0; i < t->n_slots; i++) {
		if (t->slots[i].conn.state != VSOCK_FREE)
			end_conn(&t->slots[i].conn);
		t->slots[i].queued = false;
	}
	t->n_slots = 0;
	empty_queue(t);
}

void vsock_table_destroy(struct vsock_table *t)
{
	vsock_table_clear(t);
	if (t->epoll_fd >= 0)
		close(t->epoll_fd);
	uds_close(&t->listener);
}
