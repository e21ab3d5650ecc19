/* SPDX-License-Identifier: MIT */
#include "virtio/vsock-conn.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/number.h"
#include "util/util.h"

#define HEADER ((uint32_t)sizeof(struct virtio_vsock_hdr))
#define DUE(op) (1u << VIRTIO_VSOCK_OP_##op)
#define BOTH (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)

#define COMMAND "CONNECT "
#define LINE_MAX_LEN 32

void vsock_conn_begin(struct vsock_conn *conn, enum vsock_state state, int fd)
{
	*conn = (struct vsock_conn){ .state = state, .fd = fd };
	if (state == VSOCK_OPEN)
		conn->due = DUE(RESPONSE);
}

void vsock_conn_end(struct vsock_conn *conn)
{
	close(conn->fd);
	free(conn->buffer);
	*conn = (struct vsock_conn){ .state = VSOCK_FREE };
}

/* ---- The host's program asks for a port ---- */

/* What follows the line is the guest's: no more than the line is taken from the socket. */
int vsock_conn_line(struct vsock_conn *conn, bool no_more)
{
	char line[LINE_MAX_LEN + 1];
	ssize_t n = recv(conn->fd, line, LINE_MAX_LEN, MSG_PEEK);
	const char *end;
	uint64_t port;
	char *eol;

	if (n <= 0)
		return n < 0 && errno == EAGAIN ? 0 : -EINVAL;
	line[n] = '\0';
	eol = memchr(line, '\n', (size_t)n);
	if (!eol)
		return n == LINE_MAX_LEN || no_more ? -EINVAL : 0;
	if (strncmp(line, COMMAND, strlen(COMMAND)) ||
	    number_parse(line + strlen(COMMAND), &port, &end) || end != eol || port > UINT32_MAX)
		return -EINVAL;
	if (recv(conn->fd, line, (size_t)(eol + 1 - line), 0) != eol + 1 - line)
		return -EINVAL;
	conn->guest_port = (uint32_t)port;
	conn->state = VSOCK_ASKED;
	conn->due = DUE(REQUEST);
	conn->readable = true;
	return 1;
}

/* The guest has accepted. Nothing was written to the socket before, so there is room for a line. */
static bool greet(struct vsock_conn *conn)
{
	char line[LINE_MAX_LEN];
	int len = snprintf(line, sizeof(line), "OK %" PRIu32 "\n", conn->host_port);

	conn->state = VSOCK_OPEN;
	conn->due &= ~DUE(REQUEST);
	/* A program that has left may have said something first, which is the guest's to read. */
	return send(conn->fd, line, (size_t)len, MSG_NOSIGNAL) == len || errno == EPIPE;
}

/* ---- From the guest to the host ---- */

void vsock_conn_credit(struct vsock_conn *conn, const struct virtio_vsock_hdr *hdr)
{
	conn->guest_alloc = hdr->buf_alloc;
	conn->guest_fwd = hdr->fwd_cnt;
}

static uint32_t buffered(const struct vsock_conn *conn)
{
	return conn->received - conn->forwarded;
}

/* Nothing more comes of one direction, or both: the guest must know. */
static void tell_shut(struct vsock_conn *conn, uint32_t flags)
{
	if (flags & ~conn->host_shut)
		conn->due |= DUE(SHUTDOWN);
	conn->host_shut |= flags;
}

/* What the program took. If nobody reads there any more, all of it. */
static size_t send_some(struct vsock_conn *conn, struct iovec *iov, unsigned int n, size_t len)
{
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = n };
	ssize_t done = sendmsg(conn->fd, &msg, MSG_NOSIGNAL);

	if (done >= 0)
		return (size_t)done;
	if (errno == EAGAIN)
		return 0;
	tell_shut(conn, VIRTIO_VSOCK_SHUTDOWN_RCV);
	return len;
}

/* The guest's last word has passed. */
static void finish_sending(struct vsock_conn *conn)
{
	if (conn->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND && !buffered(conn))
		shutdown(conn->fd, SHUT_WR);
}

/* Before the guest runs out of room that is there, and not for each byte. */
static void forward(struct vsock_conn *conn, size_t len)
{
	conn->forwarded += (uint32_t)len;
	if (conn->forwarded != conn->announced &&
	    conn->received - conn->announced > VSOCK_BUFFER / 2)
		conn->due |= DUE(CREDIT_UPDATE);
}

/* What is kept at [from, from + len) of the stream, in one piece or two. */
static unsigned int ring_iov(struct vsock_conn *conn, uint32_t from, uint32_t len,
			     struct iovec iov[2])
{
	uint32_t at = from % VSOCK_BUFFER, first = MIN(len, VSOCK_BUFFER - at);

	iov[0] = (struct iovec){ conn->buffer + at, first };
	iov[1] = (struct iovec){ conn->buffer, len - first };
	return len > first ? 2 : 1;
}

static void flush(struct vsock_conn *conn)
{
	while (buffered(conn)) {
		struct iovec iov[2];
		uint32_t len = buffered(conn);
		size_t done = send_some(conn, iov, ring_iov(conn, conn->forwarded, len, iov), len);

		if (!done)
			return;
		forward(conn, done);
	}
	finish_sending(conn);
}

static bool keep(struct vsock_conn *conn, const struct chain *c, uint32_t offset, uint32_t from,
		 uint32_t len)
{
	struct iovec iov[2];

	if (!conn->buffer)
		conn->buffer = malloc(VSOCK_BUFFER);
	if (!conn->buffer)
		return false;
	ring_iov(conn, from, len, iov);
	return chain_read(c, offset, iov[0].iov_base, (uint32_t)iov[0].iov_len) &&
	       chain_read(c, offset + (uint32_t)iov[0].iov_len, iov[1].iov_base,
			  (uint32_t)iov[1].iov_len);
}

static bool take_data(struct vsock_conn *conn, const struct chain *c, uint32_t len)
{
	struct iovec iov[QUEUE_MAX_SIZE];
	uint32_t done = 0;

	if (conn->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND || len > VSOCK_BUFFER - buffered(conn))
		return false;
	if (len && !buffered(conn))
		done = (uint32_t)send_some(conn, iov, chain_out_iov(c, HEADER, len, iov), len);
	if (done < len && !keep(conn, c, HEADER + done, conn->received + done, len - done))
		return false;
	conn->received += len;
	forward(conn, done);
	return true;
}

static bool take_shutdown(struct vsock_conn *conn, uint32_t flags)
{
	conn->guest_shut |= flags & BOTH;
	if (conn->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RCV)
		shutdown(conn->fd, SHUT_RD);
	finish_sending(conn);
	return conn->guest_shut != BOTH;
}

bool vsock_conn_packet(struct vsock_conn *conn, const struct virtio_vsock_hdr *hdr,
		       const struct chain *c)
{
	vsock_conn_credit(conn, hdr);
	if (conn->state == VSOCK_ASKED)
		return hdr->op == VIRTIO_VSOCK_OP_RESPONSE && greet(conn);
	switch (hdr->op) {
	case VIRTIO_VSOCK_OP_RW:
		return take_data(conn, c, hdr->len);
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		return take_shutdown(conn, hdr->flags);
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		conn->due |= DUE(CREDIT_UPDATE);
		return true;
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
		return true;
	default:
		return false;
	}
}

bool vsock_conn_leave(struct vsock_conn *conn)
{
	conn->state = VSOCK_DRAIN;
	conn->due = 0;
	return buffered(conn);
}

bool vsock_conn_event(struct vsock_conn *conn, uint32_t events)
{
	if (events & ~(uint32_t)EPOLLOUT)
		conn->readable = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		flush(conn);
	if (events & EPOLLHUP)
		tell_shut(conn, VIRTIO_VSOCK_SHUTDOWN_RCV);
	return conn->state != VSOCK_DRAIN || buffered(conn);
}

/* ---- From the host to the guest ---- */

/* What the guest has room for. One that says nonsense has none. */
static uint32_t credit(const struct vsock_conn *conn)
{
	uint32_t on_the_way = conn->sent - conn->guest_fwd;

	return on_the_way < conn->guest_alloc ? conn->guest_alloc - on_the_way : 0;
}

static bool may_read(const struct vsock_conn *conn)
{
	return conn->readable && !(conn->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RCV) &&
	       !(conn->host_shut & VIRTIO_VSOCK_SHUTDOWN_SEND);
}

bool vsock_conn_wants(const struct vsock_conn *conn)
{
	if (conn->state == VSOCK_ASKED)
		return conn->due & DUE(REQUEST);
	return conn->state == VSOCK_OPEN &&
	       (conn->due || (may_read(conn) && (credit(conn) || !conn->begged)));
}

static uint32_t read_some(struct vsock_conn *conn, const struct chain *c)
{
	struct iovec iov[QUEUE_MAX_SIZE];
	struct msghdr msg = { .msg_iov = iov };
	ssize_t n;

	msg.msg_iovlen = chain_in_iov(c, HEADER, MIN(credit(conn), c->in_len - HEADER), iov);
	n = recvmsg(conn->fd, &msg, 0);
	if (n > 0) {
		conn->sent += (uint32_t)n;
		conn->begged = false;
		return (uint32_t)n;
	}
	conn->readable = false;
	if (!n)
		tell_shut(conn, VIRTIO_VSOCK_SHUTDOWN_SEND);
	else if (errno != EAGAIN)
		tell_shut(conn, BOTH);
	return 0;
}

/* Which packet is next, with its payload, if any, read; OP_INVALID: none. */
static uint16_t next_op(struct vsock_conn *conn, const struct chain *c, uint32_t *len)
{
	uint32_t now = conn->due & ~DUE(SHUTDOWN);

	if (conn->state == VSOCK_ASKED)
		now &= DUE(REQUEST);
	if (now)
		return (uint16_t)__builtin_ctz(now);
	if (conn->state != VSOCK_OPEN)
		return VIRTIO_VSOCK_OP_INVALID;
	if (may_read(conn) && credit(conn)) {
		*len = read_some(conn, c);
		if (*len)
			return VIRTIO_VSOCK_OP_RW;
	} else if (may_read(conn) && !conn->begged) {
		conn->begged = true;
		return VIRTIO_VSOCK_OP_CREDIT_REQUEST;
	}
	/* After all that was to be read, or that could be. */
	return conn->due & DUE(SHUTDOWN) ? VIRTIO_VSOCK_OP_SHUTDOWN : VIRTIO_VSOCK_OP_INVALID;
}

bool vsock_conn_emit(struct vsock_conn *conn, const struct chain *c, struct virtio_vsock_hdr *hdr)
{
	uint32_t len = 0;
	uint16_t op = next_op(conn, c, &len);

	if (op == VIRTIO_VSOCK_OP_INVALID)
		return false;
	*hdr = (struct virtio_vsock_hdr){
		.src_port = conn->host_port,
		.dst_port = conn->guest_port,
		.len = len,
		.op = op,
		.flags = op == VIRTIO_VSOCK_OP_SHUTDOWN ? conn->host_shut : 0,
		.buf_alloc = VSOCK_BUFFER,
		.fwd_cnt = conn->forwarded,
	};
	/* Whatever it is, it tells of our room, too. */
	conn->due &= ~(1u << op | DUE(CREDIT_UPDATE));
	conn->announced = conn->forwarded;
	return true;
}
