/* SPDX-License-Identifier: MIT */
/*
 * virtio/vsock.h behind a transport of the test's own (see lib/virtio.h), with programs of the host
 * that come, speak, listen, fall silent and leave at any moment.
 */
#include "virtio/vsock.h"

#include <errno.h>
#include <linux/virtio_vsock.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/uds.h"
#include "tests/fuzz/lib/loop.h"
#include "tests/fuzz/lib/virtio.h"

#define CID 3
#define PORT 9 /* somebody listens there */
#define PROGRAMS 4

/* For the life of the process. */
static struct outside {
	char dir[40], path[48], port_path[64];
	struct uds_listener listener;
	int programs[PROGRAMS]; /* -1: none */
	size_t takes;		/* of what the guest sends, bytes at a time */
} outside;

/* Instead of the C library's: a socket is full as soon as the input says so. */
ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	uint8_t bytes[4096];
	size_t room = MIN(outside.takes, sizeof(bytes)), len = 0;

	for (size_t i = 0; i < msg->msg_iovlen; i++) {
		size_t part = MIN(msg->msg_iov[i].iov_len, room - len);

		memcpy(bytes + len, msg->msg_iov[i].iov_base, part);
		len += part;
	}
	if (len)
		return send(fd, bytes, len, flags);
	errno = EAGAIN;
	return -1;
}

static void leave_nothing(void)
{
	uds_close(&outside.listener);
	rmdir(outside.dir);
}

static void make_outside(void)
{
	if (outside.dir[0])
		return;
	strcpy(outside.dir, "/tmp/kindling-fuzz-vsock-XXXXXX");
	CHECK(mkdtemp(outside.dir));
	snprintf(outside.path, sizeof(outside.path), "%s/s", outside.dir);
	snprintf(outside.port_path, sizeof(outside.port_path), "%s_%d", outside.path, PORT);
	CHECK(!uds_listen(&outside.listener, outside.port_path, NULL));
	memset(outside.programs, -1, sizeof(outside.programs));
	atexit(leave_nothing);
}

static void leave(int *program)
{
	if (*program >= 0)
		close(*program);
	*program = -1;
}

static void speak(struct input *in, int program)
{
	char text[256];
	uint32_t len = take_below(in, 64);

	if (take_u8(in) & 1) {
		len = (uint32_t)snprintf(text, sizeof(text), "CONNECT %u\n", take_below(in, 4));
	} else {
		for (uint32_t i = 0; i < len; i++)
			text[i] = (char)take_u8(in);
	}
	send(program, text, len, MSG_NOSIGNAL);
}

/* As much as it takes, or as there is. */
static void flood(int program)
{
	static const uint8_t bulk[65536];

	while (send(program, bulk, sizeof(bulk), MSG_NOSIGNAL) > 0)
		;
}

static void listen_to(int program)
{
	uint8_t bulk[4096];

	for (int i = 0; i < 64 && recv(program, bulk, sizeof(bulk), 0) > 0; i++)
		;
}

static void step(struct input *in, void *opaque)
{
	int *program = &outside.programs[take_below(in, PROGRAMS)];

	(void)opaque;
	switch (take_below(in, 9)) {
	case 0:
		leave(program);
		*program = uds_connect(outside.path);
		break;
	case 1:
		leave(program);
		*program = uds_accept(&outside.listener);
		break;
	case 2:
	case 3:
		speak(in, *program);
		break;
	case 4:
		flood(*program);
		break;
	case 5:
		listen_to(*program);
		break;
	case 6:
		shutdown(*program, (int)take_below(in, 3));
		break;
	case 7:
		leave(program);
		break;
	case 8:
		outside.takes = take_u8(in) * 16u;
		break;
	}
	if (take_u8(in) & 1)
		loops_run();
}

/* A byte of the input says what is odd; the seeds know the order of the rest. */
static uint32_t header(struct input *in, uint8_t out[64])
{
	/* Ports where somebody listens, where nobody does, and those of who came from outside. */
	static const uint32_t ports[] = { PORT, 8, 1u << 30, (1u << 30) + 1, (1u << 30) + 2 };
	uint8_t how = take_u8(in);
	bool odd = (how & 3) == 3;
	struct virtio_vsock_hdr h = {
		.src_cid = CID, .dst_cid = 2, .type = VIRTIO_VSOCK_TYPE_STREAM, .buf_alloc = 65536
	};

	h.op = (uint16_t)take_below(in, 9);
	h.src_port = take_below(in, 4);
	h.dst_port = ports[take_below(in, ARRAY_SIZE(ports))];
	h.flags = take_below(in, 5);
	h.fwd_cnt = how & 64 ? take_u32(in) : take_u8(in) * 256u;
	if (h.op == VIRTIO_VSOCK_OP_RW)
		h.len = how & 128 ? take_u16(in) : take_u8(in);
	if (!(how & 32))
		h.buf_alloc = take_u16(in);
	if (odd && how & 4)
		h.src_cid = take_u8(in);
	if (odd && how & 8)
		h.dst_cid = take_u8(in);
	if (odd && how & 16)
		h.type = take_u8(in);
	memcpy(out, &h, sizeof(h));
	return sizeof(h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vsock_config config = { .name = "virtio-vsock.0", .cid = CID };
	struct virtio_fuzz fuzz = {
		.type = &virtio_vsock_type, .config = &config, .step = step, .header = header
	};
	struct input in = { data, size };
	int before, after, waiting;

	make_outside();
	config.path = outside.path;
	outside.takes = SIZE_MAX;
	before = dup(0);
	close(before);
	virtio_fuzz_run(&in, &fuzz);
	for (int i = 0; i < PROGRAMS; i++)
		leave(&outside.programs[i]);
	while ((waiting = uds_accept(&outside.listener)) >= 0)
		close(waiting);
	/* Nobody has forgotten a file. */
	after = dup(0);
	close(after);
	CHECK(before == after && access(outside.path, F_OK));
	return 0;
}
