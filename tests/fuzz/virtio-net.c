/* SPDX-License-Identifier: MIT */
/*
 * virtio/net.h behind a transport of the test's own (see lib/virtio.h), on a backend in memory,
 * whose frames come with any header, and which checks those that it gets.
 */
#include "virtio/net.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/fuzz/lib/loop.h"
#include "tests/fuzz/lib/virtio.h"

#define FRAMES 8

static struct backend {
	struct net net;
	bool slow, gone, closed;
	uint32_t left; /* flushes until what was sent is gone */
	uint32_t offloads;
	unsigned int n;
	struct frame {
		struct virtio_net_hdr_v1 header;
		uint32_t len; /* below NET_FRAME_MIN: no frame */
	} frames[FRAMES];
	uint8_t *lent; /* the last one, so that ASan sees a use after the next */
} backend;

static int fake_flush(struct net *net)
{
	(void)net;
	if (backend.gone)
		return -ENODEV;
	if (backend.left)
		backend.left--;
	return backend.left ? -EAGAIN : 0;
}

static int fake_send(struct net *net, const struct virtio_net_hdr_v1 *h, const struct iovec *iov,
		     unsigned int n)
{
	static uint8_t bytes[NET_FRAME_MAX];
	uint32_t len = 0;

	(void)net;
	if (backend.gone)
		return -ENODEV;
	if (backend.slow || backend.left)
		return -EAGAIN;
	for (unsigned int i = 0; i < n; i++) {
		CHECK(iov[i].iov_len && iov[i].iov_len <= NET_FRAME_MAX - len);
		memcpy(bytes + len, iov[i].iov_base, iov[i].iov_len);
		len += (uint32_t)iov[i].iov_len;
	}
	CHECK(len >= NET_FRAME_MIN);
	CHECK(!(h->flags & ~VIRTIO_NET_HDR_F_NEEDS_CSUM));
	CHECK(backend.net.offloads || (!h->flags && !h->gso_type));
	if (h->flags)
		CHECK(h->csum_start + h->csum_offset + 2u <= len);
	if (h->gso_type)
		CHECK(h->flags && h->gso_size && h->hdr_len <= len);
	backend.left = bytes[len - 1] & 1;
	return 0;
}

static ssize_t fake_receive(struct net *net, struct virtio_net_hdr_v1 *header,
			    const uint8_t **frame)
{
	struct frame f;
	uint64_t count;

	free(backend.lent);
	backend.lent = NULL;
	if (backend.gone)
		return -ENODEV;
	if (!backend.n) {
		CHECK(read(net->fd, &count, sizeof(count)) > 0 || errno == EAGAIN);
		return -EAGAIN;
	}
	f = backend.frames[0];
	memmove(backend.frames, backend.frames + 1, --backend.n * sizeof(f));
	if (f.len < NET_FRAME_MIN)
		return 0;
	*header = f.header;
	backend.lent = malloc(f.len);
	CHECK(backend.lent);
	memset(backend.lent, 0x5a, f.len);
	*frame = backend.lent;
	return (ssize_t)f.len;
}

static int fake_set_offload(struct net *net, uint32_t offloads)
{
	CHECK(!(offloads & ~net->offloads));
	backend.offloads = offloads;
	return offloads == (NET_CSUM | NET_TSO6) ? -EINVAL : 0;
}

static void fake_close(struct net *net)
{
	CHECK(!backend.closed);
	free(backend.lent);
	close(net->fd);
	backend.closed = true;
}

static const struct net_ops fake_ops = {
	.send = fake_send,
	.receive = fake_receive,
	.flush = fake_flush,
	.set_offload = fake_set_offload,
	.close = fake_close,
};

/* A header of which each number is likely to be right. */
static struct virtio_net_hdr_v1 take_header(struct input *in)
{
	static const uint8_t kinds[] = { 0, 1, 4, 5, 0x81, 3, 0x80, 255 };
	uint8_t how = take_u8(in);
	struct virtio_net_hdr_v1 h = { .flags = how & 7, .gso_type = kinds[how >> 3 & 7] };

	h.csum_start = how & 0x40 ? take_u16(in) : 20;
	h.csum_offset = how & 0x80 ? take_u16(in) : 6;
	h.gso_size = take_u8(in);
	h.hdr_len = take_u16(in);
	return h;
}

/* What happens outside. */
static void step(struct input *in, void *opaque)
{
	uint64_t one = 1;
	struct frame *f;

	(void)opaque;
	switch (take_below(in, 5)) {
	case 0:
	case 1:
		if (backend.n == FRAMES)
			break;
		f = &backend.frames[backend.n++];
		f->header = take_header(in);
		f->len = take_u16(in);
		CHECK(write(backend.net.fd, &one, sizeof(one)) > 0);
		break;
	case 2:
		backend.slow = take_u8(in) & 1;
		break;
	case 3:
		backend.left = take_below(in, 4);
		break;
	case 4:
		backend.gone = take_u8(in) == 77;
		CHECK(write(backend.net.fd, &one, sizeof(one)) > 0);
		break;
	}
	loops_run();
}

static uint32_t header(struct input *in, uint8_t out[64])
{
	struct virtio_net_hdr_v1 h;
	uint8_t which = take_u8(in);

	if (which & 1) { /* a command */
		static const uint8_t classes[] = { VIRTIO_NET_CTRL_MAC,
						   VIRTIO_NET_CTRL_GUEST_OFFLOADS,
						   VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_MQ };

		out[0] = classes[which >> 1 & 3];
		out[1] = which >> 3 & 1;
		put_le64(out + 2, which & 0x10 ? take_u64(in) : 1ull << (which >> 5));
		return out[0] == VIRTIO_NET_CTRL_MAC ? 8 : which & 0x20 ? 2 : 10;
	}
	h = take_header(in);
	memcpy(out, &h, sizeof(h));
	memset(out + sizeof(h), 1, 40);
	return which & 2 ? sizeof(h) : sizeof(h) + 40;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct nic_config config = { .name = "virtio-net.0",
				     .net = &backend.net,
				     .mac = { 2, 0, 0, 0, 0, 1 } };
	struct virtio_fuzz fuzz = {
		.type = &virtio_net_type, .config = &config, .step = step, .header = header
	};
	struct input in = { data, size };
	uint8_t how = take_u8(&in);

	memset(&backend, 0, sizeof(backend));
	backend.net = (struct net){
		.ops = &fake_ops,
		.what = "the fake",
		.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.offloads = how & 1 ? NET_CSUM | NET_TSO4 | NET_TSO6 | NET_TSO_ECN | NET_USO : 0,
	};
	CHECK(backend.net.fd >= 0);
	config.mtu = how & 2 ? 1500 : 0;
	virtio_fuzz_run(&in, &fuzz);
	CHECK(backend.closed);
	return 0;
}
