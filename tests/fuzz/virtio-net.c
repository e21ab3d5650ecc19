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
#define PAIRS 2

static struct backend {
	struct net net;
	bool slow, gone, closed, enabled;
	uint32_t left; /* flushes until what was sent is gone */
	uint32_t offloads;
	unsigned int n;
	struct frame {
		struct virtio_net_hdr_v1 header;
		uint32_t len; /* below NET_FRAME_MIN: no frame */
	} frames[FRAMES];
	uint8_t *lent; /* the last one, so that ASan sees a use after the next */
} backends[PAIRS];

static unsigned int n_pairs;
static bool down, stubborn;

static struct backend *backend_of(struct net *net)
{
	return container_of(net, struct backend, net);
}

static int fake_flush(struct net *net)
{
	struct backend *b = backend_of(net);

	if (b->gone)
		return -ENODEV;
	if (b->left)
		b->left--;
	return b->left ? -EAGAIN : 0;
}

static int fake_send(struct net *net, const struct virtio_net_hdr_v1 *h, const struct iovec *iov,
		     unsigned int n)
{
	static uint8_t bytes[NET_FRAME_MAX];
	struct backend *b = backend_of(net);
	uint32_t len = 0;

	CHECK(b->enabled);
	if (b->gone)
		return -ENODEV;
	if (b->slow || b->left)
		return -EAGAIN;
	for (unsigned int i = 0; i < n; i++) {
		CHECK(iov[i].iov_len && iov[i].iov_len <= NET_FRAME_MAX - len);
		memcpy(bytes + len, iov[i].iov_base, iov[i].iov_len);
		len += (uint32_t)iov[i].iov_len;
	}
	CHECK(len >= NET_FRAME_MIN);
	CHECK(!(h->flags & ~VIRTIO_NET_HDR_F_NEEDS_CSUM));
	CHECK(net->offloads || (!h->flags && !h->gso_type));
	if (h->flags)
		CHECK(h->csum_start + h->csum_offset + 2u <= len);
	if (h->gso_type)
		CHECK(h->flags && h->gso_size && h->hdr_len <= len);
	b->left = bytes[len - 1] & 1;
	return 0;
}

static ssize_t fake_receive(struct net *net, struct virtio_net_hdr_v1 *header,
			    const uint8_t **frame)
{
	struct backend *b = backend_of(net);
	struct frame f;
	uint64_t count;

	CHECK(b->enabled);
	free(b->lent);
	b->lent = NULL;
	if (b->gone)
		return -ENODEV;
	if (!b->n) {
		CHECK(read(net->fd, &count, sizeof(count)) > 0 || errno == EAGAIN);
		return -EAGAIN;
	}
	f = b->frames[0];
	memmove(b->frames, b->frames + 1, --b->n * sizeof(f));
	if (f.len < NET_FRAME_MIN)
		return 0;
	*header = f.header;
	b->lent = malloc(f.len);
	CHECK(b->lent);
	memset(b->lent, 0x5a, f.len);
	*frame = b->lent;
	return (ssize_t)f.len;
}

static int fake_set_offload(struct net *net, uint32_t offloads)
{
	CHECK(!(offloads & ~net->offloads));
	backend_of(net)->offloads = offloads;
	return offloads == (NET_CSUM | NET_TSO6) ? -EINVAL : 0;
}

static int fake_enable(struct net *net, bool on)
{
	if (on && stubborn && net != &backends[0].net)
		return -EBUSY;
	backend_of(net)->enabled = on;
	return 0;
}

static bool fake_link(struct net *net)
{
	CHECK(net == &backends[0].net);
	return !down;
}

static void fake_close(struct net *net)
{
	struct backend *b = backend_of(net);

	CHECK(!b->closed);
	free(b->lent);
	close(net->fd);
	b->closed = true;
}

static const struct net_ops fake_ops = {
	.send = fake_send,
	.receive = fake_receive,
	.flush = fake_flush,
	.set_offload = fake_set_offload,
	.close = fake_close,
};

static const struct net_ops queue_ops = {
	.send = fake_send,
	.receive = fake_receive,
	.set_offload = fake_set_offload,
	.enable = fake_enable,
	.link = fake_link,
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
	struct backend *b = &backends[n_pairs > 1 ? take_below(in, n_pairs) : 0];
	uint64_t one = 1;
	struct frame *f;

	(void)opaque;
	switch (take_below(in, 5)) {
	case 0:
	case 1:
		if (b->n == FRAMES)
			break;
		f = &b->frames[b->n++];
		f->header = take_header(in);
		f->len = take_u16(in);
		CHECK(write(b->net.fd, &one, sizeof(one)) > 0);
		break;
	case 2:
		b->slow = take_u8(in) & 1;
		break;
	case 3:
		b->left = take_below(in, 4);
		break;
	case 4:
		b->gone = take_u8(in) == 77;
		down = take_u8(in) == 78;
		stubborn = take_u8(in) == 79;
		CHECK(write(b->net.fd, &one, sizeof(one)) > 0);
		break;
	}
	loops_run();
}

static uint32_t command(struct input *in, uint8_t which, uint8_t out[64])
{
	static const uint8_t classes[] = { VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_GUEST_OFFLOADS,
					   VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_MQ,
					   VIRTIO_NET_CTRL_RX };
	static const uint32_t lengths[] = { 8, 10, 2, 4, 3 };
	unsigned int kind = (which >> 1) % ARRAY_SIZE(classes);

	out[0] = classes[kind];
	out[1] = which >> 3 & 1;
	put_le64(out + 2, which & 0x10 ? take_u64(in) : 1ull << (which >> 5));
	put_le64(out + 10, 0);
	return which & 0x40 ? 18 : lengths[kind];
}

static uint32_t header(struct input *in, uint8_t out[64])
{
	struct virtio_net_hdr_v1 h;
	uint8_t which = take_u8(in);

	if (which & 1)
		return command(in, which, out);
	h = take_header(in);
	memcpy(out, &h, sizeof(h));
	memset(out + sizeof(h), 1, 40);
	return which & 2 ? sizeof(h) : sizeof(h) + 40;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct net *nets[PAIRS];
	struct nic_config config = { .name = "virtio-net.0",
				     .nets = nets,
				     .mac = { 2, 0, 0, 0, 0, 1 } };
	struct virtio_fuzz fuzz = {
		.type = &virtio_net_type, .config = &config, .step = step, .header = header
	};
	struct input in = { data, size };
	uint8_t how = take_u8(&in);

	memset(backends, 0, sizeof(backends));
	n_pairs = how & 4 ? PAIRS : 1;
	down = stubborn = false;
	for (unsigned int i = 0; i < n_pairs; i++) {
		backends[i].net = (struct net){
			.ops = how & 4 ? &queue_ops : &fake_ops,
			.what = "the fake",
			.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
			.offloads = how & 1 ? NET_CSUM | NET_TSO4 | NET_TSO6 | NET_TSO_ECN | NET_USO
					    : 0,
		};
		CHECK(backends[i].net.fd >= 0);
		backends[i].enabled = !i;
		nets[i] = &backends[i].net;
	}
	config.pairs = n_pairs;
	config.mtu = how & 2 ? 1500 : 0;
	virtio_fuzz_run(&in, &fuzz);
	for (unsigned int i = 0; i < n_pairs; i++)
		CHECK(backends[i].closed);
	return 0;
}
