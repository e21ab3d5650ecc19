/* SPDX-License-Identifier: MIT */
/* virtio/vsock, as a driver sees it, with programs of the host at real sockets. */
#include "virtio/vsock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_vsock.h>
#include <malloc.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "host/uds.h"
#include "tests/unit/driver.h"
#include "virtio/vsock-table.h"

#define RX 0
#define TX 1
#define EVENT 2
#define SIZE 16
#define CID 42
#define GUEST_ALLOC 65536 /* the room that the guest says it has */
#define PORT 1234	  /* of the host: somebody listens */

#define RX_LEN 4096u
#define RX_AT(i) (DATA + 0x2000ull * (i))
#define TX_AT (DATA + 0x100000)
#define EVENT_AT (DATA + 0x200000)
#define HEADER ((uint32_t)sizeof(struct virtio_vsock_hdr))

struct guest {
	struct machine *m;
	struct virtio_dev *dev;
	uint16_t received, sent; /* used entries seen */
	/* What is said in each packet. */
	uint32_t alloc, fwd;
	/* What came last. */
	struct virtio_vsock_hdr hdr;
	uint8_t data[RX_LEN];
};

static char socket_path[64];

/* ---- The guest ---- */

static void offer_rx(struct guest *g, uint16_t i)
{
	driver_desc(g->m, RX, i, RX_AT(i), RX_LEN, true, false);
	driver_offer(g->m, RX, SIZE, i);
}

/* With or without buffers to receive in. */
static void start(struct guest *g, bool with_rx)
{
	driver_start(g->m, 0, 3, SIZE);
	g->received = g->sent = 0;
	g->alloc = GUEST_ALLOC;
	g->fwd = 0;
	for (uint16_t i = 0; with_rx && i < SIZE; i++)
		offer_rx(g, i);
	driver_kick(g->m, RX);
}

/* The next packet is in g->hdr and g->data; the buffer is offered again. */
static bool receive(struct guest *g)
{
	struct vring_used_elem *e;
	const uint8_t *p;
	uint32_t id;

	if (!driver_wait_used(g->m, RX, g->received + 1))
		return false;
	e = &ring_used(g->m, RX)->ring[g->received++ % SIZE];
	id = e->id % SIZE;
	p = mem_at(&g->m->mem, RX_AT(id), RX_LEN, MEM_R);
	memcpy(&g->hdr, p, HEADER);
	memcpy(g->data, p + HEADER, RX_LEN - HEADER);
	if (e->len != HEADER + g->hdr.len || g->hdr.dst_cid != CID)
		ok(false, "a packet's length and destination");
	offer_rx(g, (uint16_t)id);
	driver_kick(g->m, RX);
	return true;
}

static bool receive_op(struct guest *g, uint16_t op, uint32_t host_port, uint32_t guest_port)
{
	bool so = receive(g) && g->hdr.op == op && g->hdr.src_port == host_port &&
		  g->hdr.dst_port == guest_port;

	if (!so)
		printf("# got op %u, %u to %u, len %u\n", g->hdr.op, g->hdr.src_port,
		       g->hdr.dst_port, g->hdr.len);
	return so;
}

/* Nothing comes, for some milliseconds. */
static bool quiet(struct guest *g)
{
	usleep(30000);
	return used_idx(g->m, RX) == g->received;
}

/* Offers it, and does not wait. */
static void put_raw(struct guest *g, const struct virtio_vsock_hdr *hdr, uint32_t room,
		    const void *data)
{
	uint8_t *p = mem_at(&g->m->mem, TX_AT, HEADER + room, MEM_W);

	memcpy(p, hdr, HEADER);
	if (data)
		memcpy(p + HEADER, data, room);
	driver_desc(g->m, TX, 0, TX_AT, HEADER + room, false, false);
	driver_offer(g->m, TX, SIZE, 0);
	driver_kick(g->m, TX);
}

static bool send_raw(struct guest *g, const struct virtio_vsock_hdr *hdr, uint32_t room,
		     const void *data)
{
	put_raw(g, hdr, room, data);
	return driver_wait_used(g->m, TX, ++g->sent);
}

static struct virtio_vsock_hdr header(const struct guest *g, uint16_t op, uint32_t guest_port,
				      uint32_t host_port)
{
	return (struct virtio_vsock_hdr){
		.src_cid = CID,
		.dst_cid = 2,
		.src_port = guest_port,
		.dst_port = host_port,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = op,
		.buf_alloc = g->alloc,
		.fwd_cnt = g->fwd,
	};
}

static bool send_op(struct guest *g, uint16_t op, uint32_t guest_port, uint32_t host_port)
{
	struct virtio_vsock_hdr hdr = header(g, op, guest_port, host_port);

	return send_raw(g, &hdr, 0, NULL);
}

static bool send_data(struct guest *g, uint32_t guest_port, uint32_t host_port, const void *data,
		      uint32_t len)
{
	struct virtio_vsock_hdr hdr = header(g, VIRTIO_VSOCK_OP_RW, guest_port, host_port);

	hdr.len = len;
	return send_raw(g, &hdr, len, data);
}

static bool send_shutdown(struct guest *g, uint32_t guest_port, uint32_t host_port, uint32_t flags)
{
	struct virtio_vsock_hdr hdr = header(g, VIRTIO_VSOCK_OP_SHUTDOWN, guest_port, host_port);

	hdr.flags = flags;
	return send_raw(g, &hdr, 0, NULL);
}

/* ---- Programs of the host ---- */

static int new_socket(void)
{
	struct timeval tv = { .tv_sec = WAIT_MS / 1000 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	return fd;
}

/* Listens for a port of the host's. */
static int listen_at(uint32_t port)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = new_socket();

	snprintf(address.sun_path, sizeof(address.sun_path), "%s_%u", socket_path, port);
	unlink(address.sun_path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 512)) {
		printf("Bail out! no socket\n");
		exit(1);
	}
	return fd;
}

/* Blocks, as programs do; nothing takes longer than WAIT_MS. */
static int call(const char *line)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = new_socket();

	strcpy(address.sun_path, socket_path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		ok(false, "a program connects");
	/* Who is turned away may hear so first. */
	if (send(fd, line, strlen(line), MSG_NOSIGNAL) != (ssize_t)strlen(line) && errno != EPIPE)
		ok(false, "a program speaks");
	return fd;
}

static bool reads(int fd, const void *wanted, size_t len)
{
	char buf[256];

	return recv(fd, buf, len, MSG_WAITALL) == (ssize_t)len && !memcmp(buf, wanted, len);
}

static bool reads_end(int fd)
{
	char c;

	return recv(fd, &c, 1, 0) == 0;
}

/* It was closed with something unread, perhaps. */
static bool turned_away(int fd)
{
	char c;
	ssize_t n = recv(fd, &c, 1, 0);

	return n == 0 || (n < 0 && errno == ECONNRESET);
}

/* From the guest to who listens at `listener`: its end of the connection. */
static int guest_connects(struct guest *g, int listener, uint32_t guest_port)
{
	send_op(g, VIRTIO_VSOCK_OP_REQUEST, guest_port, PORT);
	if (!receive_op(g, VIRTIO_VSOCK_OP_RESPONSE, PORT, guest_port))
		return -1;
	return accept(listener, NULL, NULL);
}

/* The other way; the host's port is in g->hdr.src_port. */
static int host_connects(struct guest *g, uint32_t guest_port)
{
	char line[32], answer[32];
	int fd;

	sprintf(line, "CONNECT %u\n", guest_port);
	fd = call(line);
	/* Requests of programs that came before may come late. */
	do {
		if (!receive(g) || g->hdr.op != VIRTIO_VSOCK_OP_REQUEST)
			return -1;
	} while (g->hdr.dst_port != guest_port);
	send_op(g, VIRTIO_VSOCK_OP_RESPONSE, guest_port, g->hdr.src_port);
	sprintf(answer, "OK %u\n", g->hdr.src_port);
	return reads(fd, answer, strlen(answer)) ? fd : -1;
}

/* ---- Tests ---- */

static void test_config(struct guest *g)
{
	ok(reg_read(g->m, VIRTIO_MMIO_DEVICE_ID) == VIRTIO_ID_VSOCK, "its ID");
	ok(bus_read(g->m, 0x100, 8) == CID && bus_read(g->m, 0x104, 4) == 0, "the guest's address");
	ok(!(driver_offered(g->m) & 0xffffff), "streams and nothing else");
}

static void test_guest_connects(struct guest *g, int listener)
{
	int fd;

	start(g, true);
	ok(send_op(g, VIRTIO_VSOCK_OP_REQUEST, 1000, 77) &&
		   receive_op(g, VIRTIO_VSOCK_OP_RST, 77, 1000) && g->hdr.src_cid == 2,
	   "where nobody listens the guest is refused");
	fd = guest_connects(g, listener, 1000);
	ok(fd >= 0 && g->hdr.buf_alloc == VSOCK_BUFFER && !g->hdr.fwd_cnt &&
		   g->hdr.type == VIRTIO_VSOCK_TYPE_STREAM,
	   "it reaches who listens, and is told of the room there");
	ok(send_data(g, 1000, PORT, "hello", 5) && reads(fd, "hello", 5), "its words arrive");
	ok(send(fd, "to you", 6, 0) == 6 && receive_op(g, VIRTIO_VSOCK_OP_RW, PORT, 1000) &&
		   g->hdr.len == 6 && !memcmp(g->data, "to you", 6) && g->hdr.fwd_cnt == 5,
	   "so do the answers, which tell of what was taken");
	ok(send_op(g, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 1000, PORT) &&
		   receive_op(g, VIRTIO_VSOCK_OP_CREDIT_UPDATE, PORT, 1000) &&
		   g->hdr.fwd_cnt == 5 && g->hdr.buf_alloc == VSOCK_BUFFER,
	   "which it can ask for");
	ok(send_shutdown(g, 1000, PORT, VIRTIO_VSOCK_SHUTDOWN_SEND) && reads_end(fd),
	   "a guest that sends no more is heard to the end");
	ok(send(fd, "more", 4, 0) == 4 && receive_op(g, VIRTIO_VSOCK_OP_RW, PORT, 1000) &&
		   g->hdr.len == 4,
	   "and can still be spoken to");
	ok(send_shutdown(g, 1000, PORT, VIRTIO_VSOCK_SHUTDOWN_RCV) &&
		   receive_op(g, VIRTIO_VSOCK_OP_RST, PORT, 1000),
	   "when it hears no more either, that is the end");
	ok(send(fd, "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE, "for the program, too");
	close(fd);
	ok(quiet(g), "of which nothing more is said");
}

static void test_host_connects(struct guest *g)
{
	uint32_t first, second;
	int a, b;

	start(g, true);
	a = host_connects(g, 52);
	first = g->hdr.src_port;
	b = host_connects(g, 52);
	second = g->hdr.src_port;
	ok(a >= 0 && b >= 0 && first != second, "a port of the guest's is reached, twice");
	ok(send(a, "one", 3, 0) == 3 && receive_op(g, VIRTIO_VSOCK_OP_RW, first, 52) &&
		   g->hdr.len == 3 && send(b, "two", 3, 0) == 3 &&
		   receive_op(g, VIRTIO_VSOCK_OP_RW, second, 52),
	   "each is itself");
	ok(send_data(g, 52, second, "2", 1) && reads(b, "2", 1), "both ways");
	ok(!shutdown(a, SHUT_WR) && receive_op(g, VIRTIO_VSOCK_OP_SHUTDOWN, first, 52) &&
		   g->hdr.flags == VIRTIO_VSOCK_SHUTDOWN_SEND,
	   "a program that sends no more says so");
	ok(send_data(g, 52, first, "still", 5) && reads(a, "still", 5), "and still hears");
	close(a);
	ok(receive_op(g, VIRTIO_VSOCK_OP_SHUTDOWN, first, 52) &&
		   g->hdr.flags == (VIRTIO_VSOCK_SHUTDOWN_SEND | VIRTIO_VSOCK_SHUTDOWN_RCV),
	   "until it has gone");
	ok(send_op(g, VIRTIO_VSOCK_OP_RST, 52, first) && quiet(g), "the guest ends it");
	ok(send_data(g, 52, first, "x", 1) && receive_op(g, VIRTIO_VSOCK_OP_RST, first, 52),
	   "then it is gone");
	ok(send_op(g, VIRTIO_VSOCK_OP_RST, 52, second) && reads_end(b), "by an RST, the other");
	close(b);
	a = call("CONNECT 53\n");
	ok(receive(g) && send_op(g, VIRTIO_VSOCK_OP_RST, 53, g->hdr.src_port) && reads_end(a),
	   "where nobody listens in the guest the program is refused");
	close(a);
	a = call("CONNECT 54\nbehind");
	shutdown(a, SHUT_WR);
	ok(receive(g) && g->hdr.op == VIRTIO_VSOCK_OP_REQUEST && quiet(g),
	   "what follows the line waits");
	first = g->hdr.src_port;
	ok(send_op(g, VIRTIO_VSOCK_OP_RESPONSE, 54, first) &&
		   receive_op(g, VIRTIO_VSOCK_OP_RW, first, 54) && g->hdr.len == 6 &&
		   !memcmp(g->data, "behind", 6) &&
		   receive_op(g, VIRTIO_VSOCK_OP_SHUTDOWN, first, 54) &&
		   g->hdr.flags == VIRTIO_VSOCK_SHUTDOWN_SEND,
	   "until the guest has accepted");
	close(a);
	ok(receive_op(g, VIRTIO_VSOCK_OP_SHUTDOWN, first, 54) && g->hdr.flags == 3,
	   "when it has gone the guest hears that");
	a = call("CONNECT 55\nin haste");
	close(a);
	ok(receive(g) && (first = g->hdr.src_port) &&
		   send_op(g, VIRTIO_VSOCK_OP_RESPONSE, 55, first) &&
		   receive_op(g, VIRTIO_VSOCK_OP_RW, first, 55) && g->hdr.len == 8 &&
		   receive_op(g, VIRTIO_VSOCK_OP_SHUTDOWN, first, 55) && g->hdr.flags == 3,
	   "a program in haste is heard, too");
}

/* The guest's room is respected; when there is none it is asked, once. */
static void test_credit(struct guest *g, int listener)
{
	static char bulk[10000];
	uint32_t got = 0;
	int fd;

	start(g, true);
	g->alloc = 6000;
	fd = guest_connects(g, listener, 1000);
	ok(send(fd, bulk, sizeof(bulk), 0) == sizeof(bulk), "a program sends 10000 bytes");
	while (got < 6000 && receive_op(g, VIRTIO_VSOCK_OP_RW, PORT, 1000))
		got += g->hdr.len;
	ok(got == 6000 && receive_op(g, VIRTIO_VSOCK_OP_CREDIT_REQUEST, PORT, 1000) && quiet(g),
	   "a guest with room for 6000 gets 6000, and is asked for more");
	g->fwd = 1000;
	ok(send_op(g, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 1000, PORT) &&
		   receive_op(g, VIRTIO_VSOCK_OP_RW, PORT, 1000) && g->hdr.len == 1000 &&
		   receive_op(g, VIRTIO_VSOCK_OP_CREDIT_REQUEST, PORT, 1000) && quiet(g),
	   "as it has");
	g->fwd = 0;
	ok(send_op(g, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 1000, PORT) && quiet(g),
	   "a count that goes backwards gives nothing");
	g->fwd = 2000000;
	ok(send_op(g, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 1000, PORT) && quiet(g),
	   "nor one beyond what was sent");
	g->fwd = 7000;
	g->alloc = 100;
	ok(send_op(g, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 1000, PORT) &&
		   receive_op(g, VIRTIO_VSOCK_OP_RW, PORT, 1000) && g->hdr.len == 100,
	   "its room may shrink");
	g->fwd = 7100;
	g->alloc = 65536;
	ok(receive_op(g, VIRTIO_VSOCK_OP_CREDIT_REQUEST, PORT, 1000) &&
		   send_op(g, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 1000, PORT) &&
		   receive_op(g, VIRTIO_VSOCK_OP_RW, PORT, 1000) && g->hdr.len == 2900,
	   "and grow: the rest arrives");
	close(fd);
	ok(receive_op(g, VIRTIO_VSOCK_OP_SHUTDOWN, PORT, 1000) && send_shutdown(g, 1000, PORT, 3) &&
		   receive_op(g, VIRTIO_VSOCK_OP_RST, PORT, 1000),
	   "both sides leave");
}

/* A program that does not read: its guest can send until our room is full, and not a byte more. */
static void test_slow_program(struct guest *g, int listener)
{
	static uint8_t bulk[4096];
	uint32_t sent = 0, fwd = 0, got = 0;
	int fd, other;

	start(g, true);
	fd = guest_connects(g, listener, 1000);
	other = guest_connects(g, listener, 1001);
	for (;;) {
		while (used_idx(g->m, RX) != g->received && receive(g))
			fwd = g->hdr.fwd_cnt;
		if (sent - fwd + sizeof(bulk) > VSOCK_BUFFER && quiet(g))
			break;
		if (sent - fwd + sizeof(bulk) > VSOCK_BUFFER)
			continue;
		memset(bulk, (int)(sent >> 12), sizeof(bulk));
		send_data(g, 1000, PORT, bulk, sizeof(bulk));
		sent += sizeof(bulk);
	}
	ok(sent >= VSOCK_BUFFER && sent < 4 * MIB, "a guest is stopped, after %u bytes", sent);
	ok(send_data(g, 1001, PORT, "hello", 5) && reads(other, "hello", 5),
	   "which others do not notice");
	send_shutdown(g, 1000, PORT, VIRTIO_VSOCK_SHUTDOWN_SEND);
	while (got < sent && recv(fd, bulk, sizeof(bulk), MSG_WAITALL) == sizeof(bulk) &&
	       bulk[0] == (uint8_t)(got >> 12) && bulk[4095] == bulk[0])
		got += sizeof(bulk);
	ok(got == sent && reads_end(fd), "the program gets all of them, and then the end");
	close(fd);
	ok(receive_op(g, VIRTIO_VSOCK_OP_CREDIT_UPDATE, PORT, 1000) ||
		   g->hdr.op == VIRTIO_VSOCK_OP_SHUTDOWN,
	   "and leaves");
	start(g, true);
	fd = guest_connects(g, listener, 1000);
	for (sent = 0, fwd = 0; sent < 8 * MIB && g->hdr.op != VIRTIO_VSOCK_OP_RST;) {
		send_data(g, 1000, PORT, bulk, sizeof(bulk));
		sent += sizeof(bulk);
		while (used_idx(g->m, RX) != g->received && receive(g))
			;
	}
	ok(sent > VSOCK_BUFFER && sent < 4 * MIB, "one that sends beyond its room gets an RST");
	for (got = 0; recv(fd, bulk, sizeof(bulk), MSG_WAITALL) == sizeof(bulk);)
		got += sizeof(bulk);
	ok(got == sent - sizeof(bulk), "and what had room arrives (%u of %u)", got, sent);
	close(fd);
	close(other);
}

static void test_lies(struct guest *g, int listener)
{
	struct virtio_vsock_hdr hdr;
	int fd;

	start(g, true);
	fd = guest_connects(g, listener, 1000);
	hdr = header(g, VIRTIO_VSOCK_OP_REQUEST, 5, PORT);
	hdr.src_cid = 43;
	ok(send_raw(g, &hdr, 0, NULL) && quiet(g), "nobody's packet is dropped");
	hdr.src_cid = CID | 1ull << 32;
	ok(send_raw(g, &hdr, 0, NULL) && quiet(g), "so is one with bits that must be zero");
	hdr.src_cid = CID;
	hdr.dst_cid = 7;
	ok(send_raw(g, &hdr, 0, NULL) && receive_op(g, VIRTIO_VSOCK_OP_RST, PORT, 5) &&
		   g->hdr.src_cid == 7,
	   "who is not there is not reached");
	hdr.dst_cid = 2;
	hdr.type = VIRTIO_VSOCK_TYPE_SEQPACKET;
	ok(send_raw(g, &hdr, 0, NULL) && receive_op(g, VIRTIO_VSOCK_OP_RST, PORT, 5) &&
		   g->hdr.type == VIRTIO_VSOCK_TYPE_SEQPACKET,
	   "a type that is not offered: RST");
	hdr.op = VIRTIO_VSOCK_OP_RST;
	ok(send_raw(g, &hdr, 0, NULL) && quiet(g), "an RST is never answered");
	ok(send_op(g, 0, 5, PORT) && receive_op(g, VIRTIO_VSOCK_OP_RST, PORT, 5) &&
		   send_op(g, 99, 5, PORT) && receive_op(g, VIRTIO_VSOCK_OP_RST, PORT, 5) &&
		   send_op(g, VIRTIO_VSOCK_OP_RST, 5, PORT) &&
		   send_op(g, VIRTIO_VSOCK_OP_RESPONSE, 5, PORT) &&
		   receive_op(g, VIRTIO_VSOCK_OP_RST, PORT, 5) && send_data(g, 5, PORT, "x", 1) &&
		   receive_op(g, VIRTIO_VSOCK_OP_RST, PORT, 5),
	   "who is not connected gets an RST, for all but an RST");
	ok(send_data(g, 1000, PORT, "ok", 2) && reads(fd, "ok", 2), "nobody else notices");
	ok(send_op(g, VIRTIO_VSOCK_OP_REQUEST, 1000, PORT) &&
		   receive_op(g, VIRTIO_VSOCK_OP_RST, PORT, 1000) && reads_end(fd),
	   "ports that are in use: RST, and the end");
	close(fd);
	fd = guest_connects(g, listener, 1000);
	ok(fd >= 0 && send_op(g, 99, 1000, PORT) &&
		   receive_op(g, VIRTIO_VSOCK_OP_RST, PORT, 1000) && reads_end(fd),
	   "they can be used again; an unknown operation ends it");
	close(fd);
	fd = guest_connects(g, listener, 1000);
	send_shutdown(g, 1000, PORT, VIRTIO_VSOCK_SHUTDOWN_SEND);
	ok(send_data(g, 1000, PORT, "x", 1) && receive_op(g, VIRTIO_VSOCK_OP_RST, PORT, 1000) &&
		   reads_end(fd),
	   "so does data after the last");
	close(fd);
	fd = call("CONNECT 60\n");
	ok(receive(g) && send_data(g, 60, g->hdr.src_port, "x", 1) &&
		   receive_op(g, VIRTIO_VSOCK_OP_RST, g->hdr.src_port, 60) && reads_end(fd),
	   "or before it has accepted");
	close(fd);
	hdr = header(g, VIRTIO_VSOCK_OP_RW, 5, PORT);
	hdr.len = 1;
	put_raw(g, &hdr, 0, NULL);
	ok(driver_wait_status(g->m, VIRTIO_CONFIG_S_NEEDS_RESET),
	   "data beyond the chain: needs reset");
	start(g, true);
	driver_desc(g->m, TX, 0, TX_AT, HEADER - 1, false, false);
	driver_offer(g->m, TX, SIZE, 0);
	driver_kick(g->m, TX);
	ok(driver_wait_status(g->m, VIRTIO_CONFIG_S_NEEDS_RESET),
	   "a header too short: needs reset");
	start(g, false);
	driver_desc(g->m, RX, 0, RX_AT(0), HEADER, true, false);
	driver_offer(g->m, RX, SIZE, 0);
	driver_kick(g->m, RX);
	ok(driver_wait_status(g->m, VIRTIO_CONFIG_S_NEEDS_RESET),
	   "a buffer without room for data: needs reset");
}

static bool sent_reached(struct machine *m, uint32_t arg)
{
	(void)arg;
	return used_idx(m, TX) != 0 && used_idx(m, TX) == ring_avail(m, TX)->idx;
}

/* Many that are to be refused, and no buffers to refuse them in. */
static void test_flood(struct guest *g)
{
	struct virtio_vsock_hdr hdr;
	unsigned int wrong = 0, got = 0;
	size_t before;

	start(g, false);
	before = mallinfo2().uordblks;
	hdr = header(g, VIRTIO_VSOCK_OP_REQUEST, 9, 77);
	memcpy(mem_at(&g->m->mem, TX_AT, HEADER, MEM_W), &hdr, HEADER);
	driver_desc(g->m, TX, 0, TX_AT, HEADER, false, false);
	for (unsigned int i = 0; i < 200; i++) {
		/* As many as the ring takes. */
		while ((uint16_t)(ring_avail(g->m, TX)->idx - used_idx(g->m, TX)) == SIZE &&
		       used_idx(g->m, TX) < 64)
			usleep(100);
		if ((uint16_t)(ring_avail(g->m, TX)->idx - used_idx(g->m, TX)) == SIZE)
			break;
		driver_offer(g->m, TX, SIZE, 0);
		driver_kick(g->m, TX);
	}
	usleep(30000);
	ok(used_idx(g->m, TX) == 64 && ring_avail(g->m, TX)->idx == 64 + SIZE,
	   "a flood of refused requests is stopped (after %u)", used_idx(g->m, TX));
	ok(mallinfo2().uordblks <= before, "and takes no memory");
	for (uint16_t i = 0; i < SIZE; i++)
		offer_rx(g, i);
	driver_kick(g->m, RX);
	while (got < 64 + SIZE && receive(g)) {
		wrong += g->hdr.op != VIRTIO_VSOCK_OP_RST || g->hdr.dst_port != 9;
		got++;
	}
	ok(got == 64 + SIZE && !wrong && wait_until(sent_reached, g->m, 0) && quiet(g),
	   "each is answered when there are buffers");
}

static void test_lines(struct guest *g)
{
	static const char *const bad[] = {
		"HELLO\n",
		"\n",
		"CONNECT\n",
		"CONNECT \n",
		"CONNECT x\n",
		"CONNECT -1\n",
		"CONNECT 52 \n",
		"CONNECT 4294967296\n",
		"connect 52\n",
		"CONNECT 52 and very much more than that",
		"CONNECT 00000000000000000000000000000000000000052\n",
	};
	int fd;

	start(g, true);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		fd = call(bad[i]);
		ok(turned_away(fd), "no word of ours: %.*s", (int)strcspn(bad[i], "\n"), bad[i]);
		close(fd);
	}
	fd = call("CONNECT 52");
	shutdown(fd, SHUT_WR);
	ok(turned_away(fd), "a line that never ends, of a program that says no more");
	close(fd);
	close(call(""));
	close(call("CONNECT 52"));
	ok(quiet(g), "the guest hears nothing of these");
	fd = call("CONN");
	usleep(10000);
	send(fd, "ECT 4294967295\n", 15, 0);
	ok(receive(g) && g->hdr.op == VIRTIO_VSOCK_OP_REQUEST && g->hdr.dst_port == UINT32_MAX,
	   "a line may come in pieces");
	close(fd);
}

/* Who waits for ever makes room for others, and those that are connected stay so. */
static void test_limit(struct guest *g, int listener)
{
	int fds[VSOCK_CONNS], extra[VSOCK_CONNS + 20], fd;
	unsigned int wrong = 0;

	start(g, true);
	for (unsigned int i = 0; i < VSOCK_CONNS; i++) {
		fds[i] = guest_connects(g, listener, 2000 + i);
		wrong += fds[i] < 0;
	}
	ok(!wrong, "%d connections at a time", VSOCK_CONNS);
	ok(send_op(g, VIRTIO_VSOCK_OP_REQUEST, 1, PORT) &&
		   receive_op(g, VIRTIO_VSOCK_OP_RST, PORT, 1),
	   "and not one more of the guest's");
	close(accept(listener, NULL, NULL));
	fd = call("");
	ok(reads_end(fd), "or of the host's");
	close(fd);
	for (unsigned int i = 0; i < VSOCK_CONNS; i++) {
		wrong += !send_data(g, 2000 + i, PORT, "x", 1) || !reads(fds[i], "x", 1);
		if (i % 2) {
			send_op(g, VIRTIO_VSOCK_OP_RST, 2000 + i, PORT);
			wrong += !reads_end(fds[i]);
			close(fds[i]);
		}
	}
	ok(!wrong, "all of them work");
	for (unsigned int i = 0; i < ARRAY_SIZE(extra); i++)
		extra[i] = call(i % 2 ? "CONN" : "CONNECT 1\n");
	/* (those that are asked for are not answered) */
	while (!quiet(g)) {
		while (used_idx(g->m, RX) != g->received)
			receive(g);
	}
	fd = host_connects(g, 99);
	ok(fd >= 0, "programs that wait make room for others");
	close(fd);
	for (unsigned int i = 0; i < VSOCK_CONNS; i += 2) {
		wrong += send(fds[i], "y", 1, MSG_NOSIGNAL) != 1;
		close(fds[i]);
	}
	ok(!wrong, "and not those that are connected");
	reg_write(g->m, VIRTIO_MMIO_STATUS, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(extra); i++) {
		wrong += !turned_away(extra[i]);
		close(extra[i]);
	}
	ok(!wrong, "a reset ends all");
}

static void test_life(struct guest *g, int listener)
{
	struct device *d = &g->dev->device;
	struct virtio_vsock_event *event = mem_at(&g->m->mem, EVENT_AT, 16, MEM_W);
	struct buf saved = { 0 };
	struct reader in;
	int fd;

	start(g, true);
	fd = guest_connects(g, listener, 1000);
	d->ops->quiesce(d);
	send(fd, "meanwhile", 9, 0);
	usleep(20000);
	ok(used_idx(g->m, RX) == g->received, "nothing moves while it is paused");
	d->ops->resume(d);
	ok(receive_op(g, VIRTIO_VSOCK_OP_RW, PORT, 1000) && g->hdr.len == 9,
	   "a connection goes on after that");
	driver_desc(g->m, EVENT, 0, EVENT_AT, 16, true, false);
	event->id = 99;
	driver_offer(g->m, EVENT, SIZE, 0);
	driver_kick(g->m, EVENT);
	usleep(20000);
	ok(!used_idx(g->m, EVENT), "there is no event");
	d->ops->quiesce(d);
	d->ops->save(d, &saved);
	in = (struct reader){ .p = saved.data, .left = saved.len };
	ok(!d->ops->load(d, &in) && reads_end(fd), "a load ends all connections");
	d->ops->resume(d);
	ok(driver_wait_used(g->m, EVENT, 1) && ring_used(g->m, EVENT)->ring[0].len == 4 &&
		   event->id == VIRTIO_VSOCK_EVENT_TRANSPORT_RESET,
	   "and the guest is told");
	close(fd);
	buf_free(&saved);
	start(g, true);
	fd = guest_connects(g, listener, 1000);
	check_save_load(g->dev);
	ok(fd >= 0 && reads_end(fd), "of a device in use, too");
	close(fd);
	start(g, true);
	driver_desc(g->m, EVENT, 0, EVENT_AT, 3, true, false);
	driver_offer(g->m, EVENT, SIZE, 0);
	driver_kick(g->m, EVENT);
	d->ops->quiesce(d);
	saved = (struct buf){ 0 };
	d->ops->save(d, &saved);
	in = (struct reader){ .p = saved.data, .left = saved.len };
	d->ops->load(d, &in);
	d->ops->resume(d);
	ok(driver_wait_status(g->m, VIRTIO_CONFIG_S_NEEDS_RESET),
	   "an event has room, or the device needs reset");
	buf_free(&saved);
	/* Who comes before the driver waits for it. */
	reg_write(g->m, VIRTIO_MMIO_STATUS, 0);
	fd = call("CONNECT 52\n");
	start(g, true);
	ok(receive(g) && g->hdr.op == VIRTIO_VSOCK_OP_REQUEST && g->hdr.dst_port == 52,
	   "a program that came before the driver is heard");
	close(fd);
}

/* What is written to the guest's memory is marked. */
static void test_dirty(struct guest *g, int listener)
{
	struct device *d = &g->dev->device;
	int fd;

	start(g, true);
	fd = guest_connects(g, listener, 1000);
	machine_dirty_pages(g->m, true);
	send(fd, "hello", 5, 0);
	ok(driver_wait_used(g->m, RX, g->received + 1), "a packet comes");
	d->ops->quiesce(d);
	ok(mem_test_dirty(&g->m->mem, RX_AT(ring_used(g->m, RX)->ring[1].id % SIZE), false) &&
		   mem_test_dirty(&g->m->mem, RINGS(RX) + USED_OFFSET, false) &&
		   machine_dirty_pages(g->m, true) == 2,
	   "which dirties its buffer and the used ring");
	d->ops->resume(d);
	close(fd);
}

struct bulk {
	uint64_t state;
	uint32_t left;
};

/* Bytes that are never the same. */
static void fill(struct bulk *b, uint8_t *to, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		b->state = b->state * 6364136223846793005ull + 1442695040888963407ull;
		to[i] = (uint8_t)(b->state >> 56);
	}
	b->left -= (uint32_t)len;
}

static bool same(struct bulk *b, const uint8_t *data, size_t len)
{
	uint8_t wanted[8192];

	if (len > sizeof(wanted) || len > b->left)
		return false;
	fill(b, wanted, len);
	return !memcmp(wanted, data, len);
}

#define STREAMS 8
#define STREAM_BYTES (640 * KIB)
#define FIRST_PORT 3000

/* One connection's, both ways: what was sent, and what of that was seen at the other end. */
struct stream {
	int fd;
	uint32_t port;
	struct bulk out, out_seen, in, in_seen;
	uint32_t sent, fwd;	/* to the host, and what it has taken */
	uint32_t taken, told;	/* from the host, and what it knows of that */
	uint8_t pending[40009]; /* for the host's socket */
	size_t at, had;
};

/* What the device says. False: something is wrong. */
static bool stream_packet(struct guest *g, struct stream *s)
{
	s->fwd = g->hdr.fwd_cnt;
	if (g->hdr.op != VIRTIO_VSOCK_OP_RW)
		return g->hdr.op != VIRTIO_VSOCK_OP_RST;
	s->taken += g->hdr.len;
	if (s->taken - s->told > GUEST_ALLOC / 2) {
		g->fwd = s->told = s->taken;
		send_op(g, VIRTIO_VSOCK_OP_CREDIT_UPDATE, s->port, PORT);
	}
	return same(&s->in_seen, g->data, g->hdr.len);
}

/* The guest sends while there is room. */
static bool stream_out(struct guest *g, struct stream *s)
{
	static uint8_t data[30011];
	uint32_t len = MIN(s->out.left, (uint32_t)sizeof(data));

	if (!len || VSOCK_BUFFER - (s->sent - s->fwd) < len)
		return false;
	fill(&s->out, data, len);
	g->fwd = s->told = s->taken;
	send_data(g, s->port, PORT, data, len);
	s->sent += len;
	return true;
}

/* The host's program reads and writes what it can. */
static bool stream_host(struct stream *s, bool *good)
{
	uint8_t data[7001];
	ssize_t n = recv(s->fd, data, sizeof(data), 0), m = 0;

	if (n > 0)
		*good &= same(&s->out_seen, data, (size_t)n);
	if (s->at == s->had) {
		s->had = MIN((size_t)s->in.left, sizeof(s->pending));
		fill(&s->in, s->pending, s->had);
		s->at = 0;
	}
	if (s->at < s->had)
		m = send(s->fd, s->pending + s->at, s->had - s->at, MSG_NOSIGNAL);
	s->at += m > 0 ? (size_t)m : 0;
	return n > 0 || m > 0;
}

/* Several at a time, both ways, by pieces of odd lengths; each is moved on by nobody but itself. */
static void test_bulk(struct guest *g, int listener)
{
	static struct stream streams[STREAMS];
	uint32_t left = 1;
	bool good = true;

	start(g, true);
	for (unsigned int i = 0; i < STREAMS; i++) {
		struct stream *s = &streams[i];

		*s = (struct stream){ .port = FIRST_PORT + i };
		s->out = s->out_seen = (struct bulk){ 2 * i, STREAM_BYTES };
		s->in = s->in_seen = (struct bulk){ 2 * i + 1, STREAM_BYTES };
		s->fd = guest_connects(g, listener, s->port);
		fcntl(s->fd, F_SETFL, O_NONBLOCK);
	}
	for (int idle = 0; good && left && idle < 20000; idle++) {
		while (used_idx(g->m, RX) != g->received && receive(g)) {
			good &= stream_packet(g, &streams[g->hdr.dst_port - FIRST_PORT]);
			idle = 0;
		}
		left = 0;
		for (unsigned int i = 0; i < STREAMS; i++) {
			if (stream_out(g, &streams[i]) || stream_host(&streams[i], &good))
				idle = 0;
			left += streams[i].out_seen.left + streams[i].in_seen.left;
		}
		if (idle)
			usleep(100);
	}
	ok(good && !left, "5 MiB each way, in %d streams (%u bytes left)", STREAMS, left);
	for (unsigned int i = 0; i < STREAMS; i++)
		close(streams[i].fd);
	g->fwd = 0;
}

static unsigned int open_fds(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static struct virtio_dev *plug(struct machine *m)
{
	struct vsock_config config = { .name = "vsock", .cid = CID, .path = socket_path };

	return machine_plug(m, &virtio_vsock_type, &config);
}

static void test_refusals(struct machine *m)
{
	char long_path[UDS_PATH_MAX];
	struct vsock_config config = { .name = "vsock", .cid = CID, .path = socket_path };
	struct device *device;
	struct err err = { "" };

	ok(virtio_vsock_type.create(&m->env, &config, &device, &err) == -EADDRINUSE,
	   "a socket that is in use: %s", err.text);
	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	config.path = long_path;
	ok(virtio_vsock_type.create(&m->env, &config, &device, &err) == -ENAMETOOLONG,
	   "a path without room for a port: %s", err.text);
}

int main(void)
{
	char dir[] = "/tmp/kindling-vsock-XXXXXX", listener_path[80];
	struct machine m;
	struct guest g = { .m = &m };
	struct stat st;
	unsigned int fds = open_fds();
	int listener;

	if (!mkdtemp(dir))
		return 1;
	snprintf(socket_path, sizeof(socket_path), "%s/vsock", dir);
	snprintf(listener_path, sizeof(listener_path), "%s_%u", socket_path, PORT);
	listener = listen_at(PORT);
	machine_set_up(&m, -1);
	g.dev = plug(&m);
	test_config(&g);
	test_guest_connects(&g, listener);
	test_host_connects(&g);
	test_credit(&g, listener);
	test_slow_program(&g, listener);
	test_lies(&g, listener);
	test_flood(&g);
	test_lines(&g);
	test_limit(&g, listener);
	test_life(&g, listener);
	test_dirty(&g, listener);
	test_bulk(&g, listener);
	test_refusals(&m);
	device_unplug(g.dev);
	machine_tear_down(&m);
	ok(stat(socket_path, &st) && errno == ENOENT, "its socket is gone");
	close(listener);
	unlink(listener_path);
	ok(!rmdir(dir), "and nothing else is left");
	ok(open_fds() == fds, "no file is left open (%u, %u)", fds, open_fds());
	return done_testing();
}
