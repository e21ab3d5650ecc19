/* SPDX-License-Identifier: MIT */
/* virtio/net on a backend of the test's own: a socket pair that keeps frames apart. */
#include "virtio/net.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include "tests/unit/driver.h"
#include "virtio/net-header.h"

#define SIZE 8
#define RX 0
#define TX 1
#define CONTROL 2
#define HEADER 12u
#define RX_DATA DATA
#define TX_DATA (DATA + 2 * MIB)
#define CONTROL_DATA (DATA + 4 * MIB)
#define ALL_OFFLOADS (NET_CSUM | NET_TSO4 | NET_TSO6 | NET_TSO_ECN | NET_USO)

static const uint8_t mac[6] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };

struct outside {
	struct net net;
	struct limit_config limit;
	int end; /* ours */
	_Atomic uint32_t offloads;
	_Atomic bool closed, enabled, refuses, down;
	uint8_t frame[HEADER + NET_FRAME_MAX + 1];
	struct machine m;
	struct virtio_dev *dev;
};

/* ---- The backend ---- */

static int fake_send(struct net *net, const struct virtio_net_hdr_v1 *header,
		     const struct iovec *iov, unsigned int n)
{
	struct iovec all[QUEUE_MAX_SIZE + 1] = { { (void *)header, HEADER } };
	struct msghdr msg = { .msg_iov = all, .msg_iovlen = n + 1 };

	memcpy(all + 1, iov, n * sizeof(*iov));
	if (sendmsg(net->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return 0;
	return errno == EAGAIN ? -EAGAIN : -ENODEV;
}

static ssize_t fake_receive(struct net *net, struct virtio_net_hdr_v1 *header,
			    const uint8_t **frame)
{
	struct outside *o = container_of(net, struct outside, net);
	ssize_t n = recv(net->fd, o->frame, sizeof(o->frame), MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN ? -EAGAIN : -ENODEV;
	if (!n)
		return -ENODEV;
	memcpy(header, o->frame, HEADER);
	*frame = o->frame + HEADER;
	return n < (ssize_t)(HEADER + NET_FRAME_MIN) ? 0 : n - (ssize_t)HEADER;
}

static int fake_set_offload(struct net *net, uint32_t offloads)
{
	atomic_store(&container_of(net, struct outside, net)->offloads, offloads);
	return 0;
}

static void fake_close(struct net *net)
{
	close(net->fd);
	atomic_store(&container_of(net, struct outside, net)->closed, true);
}

static const struct net_ops fake_ops = {
	.send = fake_send,
	.receive = fake_receive,
	.set_offload = fake_set_offload,
	.close = fake_close,
};

static int fake_enable(struct net *net, bool on)
{
	struct outside *o = container_of(net, struct outside, net);

	if (on && atomic_load(&o->refuses))
		return -E2BIG;
	atomic_store(&o->enabled, on);
	return 0;
}

static bool fake_link(struct net *net)
{
	return !atomic_load(&container_of(net, struct outside, net)->down);
}

/* One of several queues. */
static const struct net_ops queue_ops = {
	.send = fake_send,
	.receive = fake_receive,
	.set_offload = fake_set_offload,
	.enable = fake_enable,
	.link = fake_link,
	.close = fake_close,
};

static void open_outside(struct outside *o, const struct net_ops *ops, uint32_t offloads)
{
	int ends[2], small = 4096;

	memset(o, 0, sizeof(*o));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		exit(1);
	/* A slow outside comes soon. */
	setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	o->end = ends[1];
	o->net =
		(struct net){ .ops = ops, .what = "the fake", .fd = ends[0], .offloads = offloads };
}

/* The machine is that of the first. */
static void plug_all(struct outside *o, unsigned int n, uint16_t mtu)
{
	struct net *nets[NET_QUEUES];
	struct nic_config config = {
		.name = "nic", .nets = nets, .pairs = n, .mtu = mtu, .limit = o->limit
	};

	for (unsigned int i = 0; i < n; i++)
		nets[i] = &o[i].net;
	memcpy(config.mac, mac, sizeof(mac));
	machine_set_up(&o->m, -1);
	o->dev = machine_plug(&o->m, &virtio_net_type, &config);
}

static void plug(struct outside *o, uint32_t offloads, uint16_t mtu)
{
	open_outside(o, &fake_ops, offloads);
	plug_all(o, 1, mtu);
}

static void unplug_all(struct outside *o, unsigned int n)
{
	device_unplug(o->dev);
	for (unsigned int i = 0; i < n; i++) {
		ok(atomic_load(&o[i].closed), "the backend is closed at the end");
		close(o[i].end);
	}
	machine_tear_down(&o->m);
}

static void unplug(struct outside *o)
{
	unplug_all(o, 1);
}

/* ---- Frames ---- */

static uint8_t pattern(uint32_t i, uint8_t seed)
{
	return (uint8_t)(i * 7 + i / 251 + seed);
}

/* Comes from outside, `len` bytes, with this header (NULL: zeros). */
static bool come(struct outside *o, const struct virtio_net_hdr_v1 *header, uint32_t len,
		 uint8_t seed)
{
	uint8_t *bytes = calloc(1, HEADER + len);
	bool sent;

	if (header)
		memcpy(bytes, header, HEADER);
	for (uint32_t i = 0; i < len; i++)
		bytes[HEADER + i] = pattern(i, seed);
	sent = send(o->end, bytes, HEADER + len, 0) == (ssize_t)(HEADER + len);
	free(bytes);
	return sent;
}

/* Arrives outside: its length, or -1 when none does in `ms`. */
static int arrive(struct outside *o, struct virtio_net_hdr_v1 *header, uint8_t *bytes, size_t max,
		  int ms)
{
	struct iovec iov[] = { { header, HEADER }, { bytes, max } };
	struct pollfd pfd = { .fd = o->end, .events = POLLIN };

	if (poll(&pfd, 1, ms) != 1)
		return -1;
	return (int)readv(o->end, iov, 2) - (int)HEADER;
}

static bool arrives(struct outside *o, uint32_t len, uint8_t seed)
{
	struct virtio_net_hdr_v1 header;
	uint8_t bytes[2000];
	int n = arrive(o, &header, bytes, sizeof(bytes), WAIT_MS);
	bool same = n == (int)len;

	for (uint32_t i = 0; same && i < len; i++)
		same = bytes[i] == pattern(i, seed);
	return same;
}

/* Puts a frame into the TX queue at slot `at`: header and frame in one piece. */
static void put(struct outside *o, uint16_t at, const struct virtio_net_hdr_v1 *header,
		uint32_t len, uint8_t seed)
{
	uint64_t gpa = TX_DATA + at * 0x20000ull;
	uint8_t *p = mem_at(&o->m.mem, gpa, HEADER + len, MEM_W);

	memset(p, 0, HEADER);
	if (header)
		memcpy(p, header, HEADER);
	for (uint32_t i = 0; i < len; i++)
		p[HEADER + i] = pattern(i, seed);
	driver_desc(&o->m, TX, at, gpa, HEADER + len, false, false);
	driver_offer(&o->m, TX, SIZE, at);
}

/* A receive buffer of `len` bytes at slot `at`, for a frame that begins `len` bytes a slot. */
static uint64_t buffer_gpa(uint16_t at)
{
	return RX_DATA + at * 0x20000ull;
}

static void give(struct outside *o, uint16_t at, uint32_t len)
{
	driver_desc(&o->m, RX, at, buffer_gpa(at), len, true, false);
	driver_offer(&o->m, RX, SIZE, at);
}

/* The header and `len` bytes of the frame are in the used buffers from `first` on. */
static bool came_whole(struct outside *o, uint16_t first, uint16_t count, uint32_t len,
		       uint8_t seed)
{
	struct vring_used *used = ring_used(&o->m, RX);
	uint32_t at = 0, skip = HEADER;

	for (uint16_t k = 0; k < count; k++) {
		struct vring_used_elem e = used->ring[(first + k) % SIZE];
		uint8_t *p = mem_at(&o->m.mem, buffer_gpa((uint16_t)e.id), e.len, MEM_R);

		if (!p)
			return false;
		for (uint32_t i = skip; i < e.len; i++) {
			if (p[i] != pattern(at++, seed))
				return false;
		}
		skip = 0;
	}
	return at == len;
}

static struct virtio_net_hdr_v1 *received_header(struct outside *o, uint16_t slot)
{
	uint32_t id = ring_used(&o->m, RX)->ring[slot % SIZE].id;

	return mem_at(&o->m.mem, buffer_gpa((uint16_t)id), HEADER, MEM_R);
}

static bool nothing_more(struct machine *m, unsigned int i, uint16_t count)
{
	usleep(20000);
	return used_idx(m, i) == count;
}

/* Does this process do next to nothing, for a while? */
static bool is_idle(void)
{
	struct timespec before, after;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	usleep(50000);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	return (after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec <
	       10000000;
}

/* ---- Tests ---- */

static void test_what_it_is(void)
{
	static struct outside o;
	uint64_t offload = net_features(ALL_OFFLOADS);
	uint8_t got[6];

	plug(&o, 0, 0);
	ok(reg_read(&o.m, VIRTIO_MMIO_DEVICE_ID) == VIRTIO_ID_NET, "its ID");
	ok(!(driver_offered(&o.m) & offload), "without a header no offload is offered");
	ok(!(driver_offered(&o.m) & FEATURE(VIRTIO_NET_F_MTU)), "nor an MTU that nobody gave");
	for (uint32_t i = 0; i < 6; i++)
		got[i] = (uint8_t)bus_read(&o.m, VIRTIO_MMIO_CONFIG + i, 1);
	ok(!memcmp(got, mac, 6), "its MAC address");
	ok(bus_read(&o.m, VIRTIO_MMIO_CONFIG + 6, 2) == VIRTIO_NET_S_LINK_UP, "its link is up");
	ok(bus_read(&o.m, VIRTIO_MMIO_CONFIG + 8, 2) == 1, "one pair of queues");
	ok(bus_read(&o.m, VIRTIO_MMIO_CONFIG + 12, 4) == 0, "and no more in its config space");
	unplug(&o);
	plug(&o, NET_CSUM | NET_TSO4 | NET_TSO6, 1400);
	ok((driver_offered(&o.m) & offload) == net_features(NET_CSUM | NET_TSO4 | NET_TSO6),
	   "with one those are that the backend has");
	ok(driver_offered(&o.m) & FEATURE(VIRTIO_NET_F_MTU) &&
		   bus_read(&o.m, VIRTIO_MMIO_CONFIG + 10, 2) == 1400,
	   "an MTU that was given is told");
	unplug(&o);
}

static void test_transmit(struct outside *o)
{
	struct machine *m = &o->m;

	driver_start(m, 0, 2, SIZE);
	put(o, 0, NULL, 60, 1);
	driver_kick(m, TX);
	ok(arrives(o, 60, 1), "a frame goes out");
	ok(driver_wait_used(m, TX, 1) && ring_used(m, TX)->ring[0].len == 0, "and is given back");
	put(o, 1, NULL, 1514, 2);
	driver_desc(m, TX, 1, TX_DATA + 0x20000, 5, false, true);
	driver_desc(m, TX, 2, TX_DATA + 0x20000 + 5, 8, false, true);
	driver_desc(m, TX, 3, TX_DATA + 0x20000 + 13, 1513, false, false);
	o->dev->device.ops->quiesce(&o->dev->device);
	machine_dirty_pages(m, true);
	o->dev->device.ops->resume(&o->dev->device);
	ok(arrives(o, 1514, 2), "one that is cut into pieces, the header too");
	driver_wait_used(m, TX, 2);
	o->dev->device.ops->quiesce(&o->dev->device);
	mem_test_dirty(&m->mem, RINGS(RX) + USED_OFFSET, true); /* perhaps */
	ok(mem_test_dirty(&m->mem, RINGS(TX) + USED_OFFSET, true) && !machine_dirty_pages(m, true),
	   "which dirties nothing but used rings");
	o->dev->device.ops->resume(&o->dev->device);
}

/* What a driver may say and what it may not. */
static void test_headers(struct outside *o)
{
	enum { CSUM = VIRTIO_NET_HDR_F_NEEDS_CSUM, V4 = 1, UFO = 3, V6 = 4, UDP = 5, ECN = 0x80 };
	static const struct {
		const char *what;
		uint32_t len, driver; /* NET_*: what it agreed to */
		struct virtio_net_hdr_v1 h;
		bool sent;
	} cases[] = {
		{ "plain", 60, 0, { 0 }, true },
		{ "13 bytes", 13, 0, { 0 }, false },
		{ "no byte", 0, 0, { 0 }, false },
		{ "14 bytes", 14, 0, { 0 }, true },
		{ "70000 bytes", 70000, ALL_OFFLOADS, { 0 }, false },
		{ "checksum left out",
		  60,
		  NET_CSUM,
		  { .flags = CSUM, .csum_start = 34, .csum_offset = 16 },
		  true },
		{ "the same, not agreed on",
		  60,
		  0,
		  { .flags = CSUM, .csum_start = 34, .csum_offset = 16 },
		  false },
		{ "checksum at the very end",
		  60,
		  NET_CSUM,
		  { .flags = CSUM, .csum_start = 42, .csum_offset = 16 },
		  true },
		{ "checksum past the end",
		  60,
		  NET_CSUM,
		  { .flags = CSUM, .csum_start = 43, .csum_offset = 16 },
		  false },
		{ "numbers that wrap in 16 bits",
		  60,
		  NET_CSUM,
		  { .flags = CSUM, .csum_start = 0xffff, .csum_offset = 0xffff },
		  false },
		{ "csum_start alone past the end",
		  60,
		  NET_CSUM,
		  { .flags = CSUM, .csum_start = 60 },
		  false },
		{ "unknown flags, ignored",
		  60,
		  NET_CSUM,
		  { .flags = 0xfe, .csum_start = 0xffff },
		  true },
		{ "TSOv4",
		  1900,
		  NET_CSUM | NET_TSO4,
		  { .flags = CSUM,
		    .gso_type = V4,
		    .gso_size = 500,
		    .hdr_len = 54,
		    .csum_start = 34,
		    .csum_offset = 16 },
		  true },
		{ "TSOv4 with a header longer than the frame",
		  1900,
		  NET_CSUM | NET_TSO4,
		  { .flags = CSUM,
		    .gso_type = V4,
		    .gso_size = 500,
		    .hdr_len = 0xffff,
		    .csum_start = 34,
		    .csum_offset = 16 },
		  true },
		{ "TSOv4 not agreed on",
		  1900,
		  NET_CSUM | NET_TSO6,
		  { .flags = CSUM,
		    .gso_type = V4,
		    .gso_size = 500,
		    .csum_start = 34,
		    .csum_offset = 16 },
		  false },
		{ "TSOv4 in parts of no byte",
		  1900,
		  NET_CSUM | NET_TSO4,
		  { .flags = CSUM, .gso_type = V4, .csum_start = 34, .csum_offset = 16 },
		  false },
		{ "TSOv4 without a checksum's place",
		  1900,
		  NET_CSUM | NET_TSO4,
		  { .gso_type = V4, .gso_size = 500 },
		  false },
		{ "TSOv4 with ECN, not agreed on",
		  1900,
		  NET_CSUM | NET_TSO4,
		  { .flags = CSUM,
		    .gso_type = V4 | ECN,
		    .gso_size = 500,
		    .csum_start = 34,
		    .csum_offset = 16 },
		  false },
		{ "TSOv6 with ECN",
		  1900,
		  ALL_OFFLOADS,
		  { .flags = CSUM,
		    .gso_type = V6 | ECN,
		    .gso_size = 500,
		    .csum_start = 54,
		    .csum_offset = 16 },
		  true },
		{ "USO",
		  1900,
		  NET_CSUM | NET_USO,
		  { .flags = CSUM,
		    .gso_type = UDP,
		    .gso_size = 500,
		    .csum_start = 34,
		    .csum_offset = 6 },
		  true },
		{ "UFO, which nobody has",
		  1900,
		  ALL_OFFLOADS,
		  { .flags = CSUM,
		    .gso_type = UFO,
		    .gso_size = 500,
		    .csum_start = 34,
		    .csum_offset = 6 },
		  false },
		{ "an unknown kind",
		  1900,
		  ALL_OFFLOADS,
		  { .flags = CSUM,
		    .gso_type = 77,
		    .gso_size = 500,
		    .csum_start = 34,
		    .csum_offset = 6 },
		  false },
		{ "ECN of nothing",
		  1900,
		  ALL_OFFLOADS,
		  { .flags = CSUM,
		    .gso_type = ECN,
		    .gso_size = 500,
		    .csum_start = 34,
		    .csum_offset = 6 },
		  false },
	};
	static uint8_t bytes[HEADER + NET_FRAME_MAX];

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct virtio_net_hdr_v1 h = { 0 };
		int n;

		driver_start(&o->m, net_features(cases[i].driver), 2, SIZE);
		put(o, 0, &cases[i].h, cases[i].len, 3);
		put(o, 1, NULL, 77, 4);
		driver_kick(&o->m, TX);
		n = arrive(o, &h, bytes, sizeof(bytes), WAIT_MS);
		ok(n == (cases[i].sent ? (int)cases[i].len : 77), "%s: %s (%d)", cases[i].what,
		   cases[i].sent ? "sent" : "dropped", n);
		if (cases[i].sent) {
			ok(!(h.flags & ~CSUM) && h.hdr_len <= cases[i].len && !h.num_buffers &&
				   h.gso_type == cases[i].h.gso_type &&
				   (h.flags ? h.csum_start == cases[i].h.csum_start
					    : !h.csum_start),
			   "and nothing else is handed on");
			arrive(o, &h, bytes, sizeof(bytes), WAIT_MS);
		}
		ok(driver_wait_used(&o->m, TX, 2), "all are given back");
	}
	driver_start(&o->m, 0, 2, SIZE);
	driver_desc(&o->m, TX, 0, TX_DATA, 11, false, false);
	driver_offer(&o->m, TX, SIZE, 0);
	driver_kick(&o->m, TX);
	ok(driver_wait_status(&o->m, VIRTIO_CONFIG_S_NEEDS_RESET), "11 bytes: needs reset");
}

/* Nobody outside reads, for now. */
static void test_blocked(struct outside *o, bool event_idx)
{
	enum { FRAMES = 60 };
	struct machine *m = &o->m;
	bool all = true;
	int given = 0, read = 0;

	driver_start(m, event_idx ? FEATURE(VIRTIO_RING_F_EVENT_IDX) : 0, 2, SIZE);
	for (; given < SIZE; given++)
		put(o, (uint16_t)given, NULL, 1500, (uint8_t)given);
	driver_kick(m, TX);
	usleep(20000);
	ok(used_idx(m, TX) < SIZE, "a slow outside holds the guest up");
	ok(is_idle(), "and nobody spins");
	for (; read < FRAMES; read++) {
		all &= arrives(o, 1500, (uint8_t)read);
		while (given < FRAMES && (uint16_t)(given - used_idx(m, TX)) < SIZE) {
			put(o, (uint16_t)(given % SIZE), NULL, 1500, (uint8_t)given);
			given++;
			driver_kick(m, TX);
		}
	}
	ok(all, "every frame comes out once, in order");
	ok(driver_wait_used(m, TX, FRAMES), "and all are given back");
}

static void test_receive(struct outside *o, bool event_idx)
{
	struct machine *m = &o->m;

	driver_start(m,
		     FEATURE(VIRTIO_NET_F_MRG_RXBUF) |
			     (event_idx ? FEATURE(VIRTIO_RING_F_EVENT_IDX) : 0),
		     2, SIZE);
	give(o, 0, 2000);
	driver_kick(m, RX);
	o->dev->device.ops->quiesce(&o->dev->device);
	machine_dirty_pages(m, true);
	o->dev->device.ops->resume(&o->dev->device);
	come(o, NULL, 1514, 5);
	ok(driver_wait_used(m, RX, 1) && came_whole(o, 0, 1, 1514, 5), "a frame comes in");
	ok(received_header(o, 0)->num_buffers == 1 && !received_header(o, 0)->flags,
	   "its header says one buffer");
	o->dev->device.ops->quiesce(&o->dev->device);
	ok(mem_test_dirty(&m->mem, buffer_gpa(0), false) &&
		   mem_test_dirty(&m->mem, RINGS(RX) + USED_OFFSET, false),
	   "data and used ring are dirty");
	o->dev->device.ops->resume(&o->dev->device);
	for (uint16_t i = 0; i < 3; i++)
		give(o, i, 600);
	driver_kick(m, RX);
	come(o, NULL, 1514, 6);
	ok(driver_wait_used(m, RX, 4) && came_whole(o, 1, 3, 1514, 6) &&
		   received_header(o, 1)->num_buffers == 3 &&
		   ring_used(m, RX)->ring[1].len == 600 &&
		   ring_used(m, RX)->ring[3].len == 1526 - 1200,
	   "one over three buffers, each full but the last");
}

/* No buffer, too few, or none that will ever do. */
static void test_starved(struct outside *o, bool event_idx)
{
	struct machine *m = &o->m;
	uint64_t features = event_idx ? FEATURE(VIRTIO_RING_F_EVENT_IDX) : 0;

	driver_start(m, features | FEATURE(VIRTIO_NET_F_MRG_RXBUF), 2, SIZE);
	come(o, NULL, 1000, 7);
	come(o, NULL, 1100, 8);
	usleep(20000);
	ok(is_idle() && !used_idx(m, RX), "without buffers frames wait, and nobody spins");
	give(o, 0, 400);
	give(o, 1, 400);
	driver_kick(m, RX);
	ok(nothing_more(m, RX, 0), "with too few as well");
	ok(is_idle(), "and nobody spins");
	give(o, 2, 400);
	driver_kick(m, RX);
	ok(driver_wait_used(m, RX, 3) && came_whole(o, 0, 3, 1000, 7), "a third completes it");
	give(o, 3, 2000);
	driver_kick(m, RX);
	ok(driver_wait_used(m, RX, 4) && came_whole(o, 3, 1, 1100, 8), "then the next");
	for (uint16_t i = 0; i < SIZE; i++)
		give(o, i, 100);
	driver_kick(m, RX);
	come(o, NULL, 1000, 9);
	come(o, NULL, 64, 10);
	ok(driver_wait_used(m, RX, 5) && came_whole(o, 4, 1, 64, 10),
	   "a frame that a whole queue can't hold is dropped, the next comes");

	driver_start(m, features, 2, SIZE);
	give(o, 0, 100);
	give(o, 1, 100);
	driver_kick(m, RX);
	come(o, NULL, 89, 11);
	come(o, NULL, 88, 12);
	ok(driver_wait_used(m, RX, 1) && came_whole(o, 0, 1, 88, 12) &&
		   received_header(o, 0)->num_buffers == 1 && nothing_more(m, RX, 1),
	   "without merging a frame that one buffer can't hold is dropped");
}

static void test_bad_buffers(struct outside *o)
{
	struct machine *m = &o->m;

	for (int i = 0; i < 4; i++) {
		driver_start(m, i & 1 ? FEATURE(VIRTIO_NET_F_MRG_RXBUF) : 0, 2, SIZE);
		if (i < 2)
			give(o, 0, 11);
		else
			driver_desc(m, RX, 0, RX_DATA, 2000, false, false),
				driver_offer(m, RX, SIZE, 0);
		driver_kick(m, RX);
		come(o, NULL, 100, 13);
		ok(driver_wait_status(m, VIRTIO_CONFIG_S_NEEDS_RESET),
		   "a receive buffer %s: needs reset",
		   i < 2 ? "shorter than a header" : "that can't be written");
	}
	driver_start(m, FEATURE(VIRTIO_NET_F_MRG_RXBUF), 2, SIZE);
	give(o, 0, 100);
	driver_desc(m, RX, 1, RAM + RAM_SIZE - 1, 2000, true, false);
	driver_offer(m, RX, SIZE, 1);
	driver_kick(m, RX);
	come(o, NULL, 1000, 14);
	ok(driver_wait_status(m, VIRTIO_CONFIG_S_NEEDS_RESET) && !used_idx(m, RX),
	   "a second buffer past RAM: needs reset, and nothing was given");
}

/* A backend that says what was not agreed on. */
static void test_received_headers(struct outside *o)
{
	struct machine *m = &o->m;
	struct virtio_net_hdr_v1 csum = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					  .csum_start = 34,
					  .csum_offset = 16 };
	struct virtio_net_hdr_v1 valid = { .flags = VIRTIO_NET_HDR_F_DATA_VALID };
	struct virtio_net_hdr_v1 tso = csum;

	tso.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	tso.gso_size = 500;
	driver_start(m, 0, 2, SIZE);
	ok(atomic_load(&o->offloads) == 0, "nothing negotiated: the backend finishes frames");
	give(o, 0, 2000);
	give(o, 1, 2000);
	driver_kick(m, RX);
	come(o, &csum, 100, 1);
	come(o, &tso, 100, 2);
	come(o, &valid, 100, 3);
	ok(driver_wait_used(m, RX, 1) && came_whole(o, 0, 1, 100, 3) &&
		   !received_header(o, 0)->flags,
	   "frames that are unfinished nevertheless are dropped");
	driver_start(m, FEATURE(VIRTIO_NET_F_GUEST_CSUM) | FEATURE(VIRTIO_NET_F_GUEST_TSO4), 2,
		     SIZE);
	ok(atomic_load(&o->offloads) == (NET_CSUM | NET_TSO4), "negotiated ones are asked for");
	for (uint16_t i = 0; i < 4; i++)
		give(o, i, 2000);
	driver_kick(m, RX);
	come(o, &csum, 100, 1);
	come(o, &tso, 1900, 2);
	come(o, &valid, 100, 3);
	csum.csum_start = 90;
	come(o, &csum, 100, 4);
	come(o, NULL, 100, 5);
	ok(driver_wait_used(m, RX, 4) && came_whole(o, 3, 1, 100, 5),
	   "those come, but for a checksum past the end");
	ok(received_header(o, 0)->csum_start == 34 && received_header(o, 0)->csum_offset == 16 &&
		   received_header(o, 1)->gso_type == VIRTIO_NET_HDR_GSO_TCPV4 &&
		   received_header(o, 1)->gso_size == 500 &&
		   received_header(o, 2)->flags == VIRTIO_NET_HDR_F_DATA_VALID,
	   "with what their headers say");
}

static void test_mtu(void)
{
	static struct outside o;

	plug(&o, 0, 1000);
	driver_start(&o.m, FEATURE(VIRTIO_NET_F_MTU), 2, SIZE);
	give(&o, 0, 2000);
	driver_kick(&o.m, RX);
	come(&o, NULL, 1019, 1);
	come(&o, NULL, 1018, 2);
	ok(driver_wait_used(&o.m, RX, 1) && came_whole(&o, 0, 1, 1018, 2),
	   "a frame longer than the MTU allows is dropped");
	unplug(&o);
}

/* ---- Control ---- */

/* By queue `control`. The answer, or -1 when none came. */
static int command_by(struct outside *o, unsigned int control, uint8_t class, uint8_t cmd,
		      const void *data, uint32_t len)
{
	struct machine *m = &o->m;
	uint8_t *p = mem_at(&m->mem, CONTROL_DATA, 0x1000, MEM_W);
	uint16_t before = used_idx(m, control);

	p[0] = class;
	p[1] = cmd;
	memcpy(p + 2, data, len);
	p[0x800] = 0xee;
	driver_desc(m, control, 0, CONTROL_DATA, 2 + len, false, true);
	driver_desc(m, control, 1, CONTROL_DATA + 0x800, 1, true, false);
	driver_offer(m, control, SIZE, 0);
	driver_kick(m, control);
	return driver_wait_used(m, control, before + 1) ? p[0x800] : -1;
}

static int command(struct outside *o, uint8_t class, uint8_t cmd, const void *data, uint32_t len)
{
	return command_by(o, CONTROL, class, cmd, data, len);
}

/* All that comes is received, whatever it asks for: but what it asks must make sense. */
static void test_filters(struct outside *o)
{
	static const uint8_t tables[4 + 12 + 4 + 6] = { [0] = 2, [16] = 1 };
	static const uint8_t huge[8] = { 0xff, 0xff, 0xff, 0xff, 0xab, 0xaa, 0xaa, 0xaa };

	driver_start(&o->m, FEATURE(VIRTIO_NET_F_CTRL_VQ) | FEATURE(VIRTIO_NET_F_CTRL_RX), 3, SIZE);
	for (uint8_t cmd = 0; cmd < 2; cmd++) {
		ok(command(o, VIRTIO_NET_CTRL_RX, cmd, "\1", 1) == 0 &&
			   command(o, VIRTIO_NET_CTRL_RX, cmd, "\0", 1) == 0 &&
			   command(o, VIRTIO_NET_CTRL_RX, cmd, "\0", 0) == 1 &&
			   command(o, VIRTIO_NET_CTRL_RX, cmd, "\0", 2) == 1,
		   "filter %u is acknowledged", cmd);
	}
	ok(command(o, VIRTIO_NET_CTRL_RX, 2, "\1", 1) == 1, "one that was not offered is not");
	ok(command(o, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, tables, 26) == 0 &&
		   command(o, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, tables, 25) ==
			   1 &&
		   command(o, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, tables, 16) == 1,
	   "a table of MAC addresses, if it is whole");
	for (uint32_t len = 0; len <= 8; len++)
		ok(command(o, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, huge, len) == 1,
		   "a table that claims more than its %u bytes", len);
}

static void test_control(struct outside *o)
{
	static const uint8_t other[6] = { 2, 3, 4, 5, 6, 7 };
	struct machine *m = &o->m;
	uint64_t none = 0, csum = FEATURE(VIRTIO_NET_F_GUEST_CSUM), uso = FEATURE(NET_F_GUEST_USO4);
	uint64_t features = FEATURE(VIRTIO_NET_F_CTRL_VQ) | FEATURE(VIRTIO_NET_F_CTRL_MAC_ADDR) |
			    FEATURE(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) | csum |
			    FEATURE(VIRTIO_NET_F_GUEST_TSO4);

	driver_start(m, features, 3, SIZE);
	ok(command(o, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, other, 6) == 0 &&
		   bus_read(m, VIRTIO_MMIO_CONFIG, 4) == 0x05040302,
	   "another MAC address");
	ok(command(o, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, other, 5) == 1 &&
		   command(o, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, other, 4) == 1,
	   "not of 5 bytes");
	ok(command(o, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &csum, 8) == 0 &&
		   atomic_load(&o->offloads) == NET_CSUM,
	   "fewer offloads");
	ok(command(o, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &none, 8) == 0 &&
		   atomic_load(&o->offloads) == 0,
	   "none");
	ok(command(o, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &uso, 8) == 1 &&
		   command(o, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &none, 7) == 1 &&
		   command(o, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 1, &none, 8) == 1,
	   "not such as were not agreed on, nor other commands");
	ok(command(o, VIRTIO_NET_CTRL_RX, 0, "\1", 1) == 1 && command(o, 99, 99, "", 0) == 1 &&
		   command(o, VIRTIO_NET_CTRL_ANNOUNCE, 0, "", 0) == 1,
	   "what is not there is refused");
	check_save_load(o->dev);
	ok(bus_read(m, VIRTIO_MMIO_CONFIG, 4) == 0x05040302 && atomic_load(&o->offloads) == 0,
	   "after which both are as they were");
	ok(bus_read(m, VIRTIO_MMIO_CONFIG + 6, 2) == VIRTIO_NET_S_LINK_UP,
	   "a guest that can't announce itself is not asked to");
	driver_start(m, features | FEATURE(VIRTIO_NET_F_GUEST_ANNOUNCE), 3, SIZE);
	ok(bus_read(m, VIRTIO_MMIO_CONFIG, 4) == 0x12005452, "a reset brings its own MAC back");
	ok(atomic_load(&o->offloads) == (NET_CSUM | NET_TSO4), "and the offloads");
	check_save_load(o->dev);
	ok(bus_read(m, VIRTIO_MMIO_CONFIG + 6, 2) ==
			   (VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE) &&
		   reg_read(m, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_CONFIG,
	   "one that can is asked to, after it was loaded");
	check_save_load(o->dev);
	ok(command(o, VIRTIO_NET_CTRL_ANNOUNCE, 0, "", 0) == 0 &&
		   bus_read(m, VIRTIO_MMIO_CONFIG + 6, 2) == VIRTIO_NET_S_LINK_UP,
	   "until it says that it did");
	driver_start(m, features & ~FEATURE(VIRTIO_NET_F_CTRL_MAC_ADDR), 3, SIZE);
	ok(command(o, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, other, 6) == 1,
	   "a command that was not agreed on is refused");
	driver_desc(m, CONTROL, 0, CONTROL_DATA, 1, false, true);
	driver_desc(m, CONTROL, 1, CONTROL_DATA + 0x800, 1, true, false);
	driver_offer(m, CONTROL, SIZE, 0);
	driver_kick(m, CONTROL);
	ok(driver_wait_status(m, VIRTIO_CONFIG_S_NEEDS_RESET), "one of a byte: needs reset");
}

/* ---- Several pairs of queues ---- */

#define PAIRS 3
#define LAST (2 * PAIRS) /* the control queue */

static int set_pairs(struct outside *o, uint16_t n)
{
	return command_by(o, LAST, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &n,
			  sizeof(n));
}

/* Does a frame come in by queue `rx`, where there was none? */
static bool comes_by(struct outside *all, unsigned int pair, uint8_t seed)
{
	struct machine *m = &all->m;
	uint16_t at = used_idx(m, 2 * pair);
	const uint8_t *p = mem_at(&m->mem, RX_DATA, 2000, MEM_R);

	driver_desc(m, 2 * pair, 0, RX_DATA, 2000, true, false);
	driver_offer(m, 2 * pair, SIZE, 0);
	driver_kick(m, 2 * pair);
	come(&all[pair], NULL, 100, seed);
	return driver_wait_used(m, 2 * pair, at + 1) && p[HEADER] == pattern(0, seed) &&
	       p[HEADER + 99] == pattern(99, seed);
}

/* Sent by pair `pair`: is it given back? */
static bool put_by(struct outside *all, unsigned int pair, uint32_t len, uint8_t seed)
{
	struct machine *m = &all->m;
	unsigned int tx = 2 * pair + 1;
	uint16_t at = used_idx(m, tx);
	uint8_t *p = mem_at(&m->mem, TX_DATA, HEADER + len, MEM_W);

	memset(p, 0, HEADER);
	for (uint32_t i = 0; i < len; i++)
		p[HEADER + i] = pattern(i, seed);
	driver_desc(m, tx, 0, TX_DATA, HEADER + len, false, false);
	driver_offer(m, tx, SIZE, 0);
	driver_kick(m, tx);
	return driver_wait_used(m, tx, at + 1);
}

static bool enabled(const struct outside *o, bool second, bool third)
{
	return atomic_load(&o[0].enabled) && atomic_load(&o[1].enabled) == second &&
	       atomic_load(&o[2].enabled) == third;
}

static void test_pairs(struct outside *o)
{
	struct machine *m = &o->m;
	uint64_t features = FEATURE(VIRTIO_NET_F_CTRL_VQ) | FEATURE(VIRTIO_NET_F_MQ);
	struct virtio_net_hdr_v1 header;
	uint8_t bytes[100];

	ok(bus_read(m, VIRTIO_MMIO_CONFIG + 8, 2) == PAIRS, "%u pairs are told of", PAIRS);
	driver_start(m, features, LAST + 1, SIZE);
	ok(enabled(o, false, false), "one is used at first");
	ok(put_by(o, 1, 60, 1) && arrive(&o[1], &header, bytes, sizeof(bytes), 20) < 0,
	   "what is sent by another is dropped");
	ok(set_pairs(o, 0) == 1 && set_pairs(o, PAIRS + 1) == 1 && enabled(o, false, false),
	   "none, or more than there are: refused");
	atomic_store(&o[2].refuses, true);
	ok(set_pairs(o, PAIRS) == 1 && enabled(o, false, false), "more than the host has: refused");
	atomic_store(&o[2].refuses, false);
	ok(set_pairs(o, PAIRS) == 0 && enabled(o, true, true), "all of them");
	for (unsigned int i = 0; i < PAIRS; i++) {
		ok(comes_by(o, i, (uint8_t)(20 + i)), "a frame comes by pair %u", i);
		ok(put_by(o, i, 60, (uint8_t)(30 + i)) && arrives(&o[i], 60, (uint8_t)(30 + i)),
		   "and one goes");
	}
	check_save_load(o->dev);
	ok(enabled(o, true, true), "after which all are used again");
	ok(comes_by(o, 2, 40), "and one comes by the last");
	ok(set_pairs(o, 2) == 0 && enabled(o, true, false), "two of them");
	come(&o[2], NULL, 100, 50);
	driver_desc(m, 4, 0, RX_DATA, 2000, true, false);
	driver_offer(m, 4, SIZE, 0);
	driver_kick(m, 4);
	ok(nothing_more(m, 4, used_idx(m, 4)) && comes_by(o, 1, 51), "the third brings nothing");
	ok(is_idle(), "and nobody spins");
	reg_write(m, VIRTIO_MMIO_STATUS, 0);
	ok(enabled(o, false, false), "a reset ends that");

	driver_start(m, FEATURE(VIRTIO_NET_F_CTRL_VQ) | FEATURE(VIRTIO_NET_F_CTRL_RX), 3, SIZE);
	ok(command(o, VIRTIO_NET_CTRL_RX, 0, "\1", 1) == 0 && comes_by(o, 0, 60),
	   "a driver that knows of one pair has its control queue behind that");
	driver_start(m, FEATURE(VIRTIO_NET_F_CTRL_VQ), 4, SIZE);
	ok(driver_wait_status(m, VIRTIO_CONFIG_S_NEEDS_RESET), "if it uses more: needs reset");
	/* Pairs whose queues it has not set up. */
	driver_negotiate(m, features | FEATURE(VIRTIO_F_VERSION_1));
	driver_set_queue(m, 2, SIZE);
	driver_set_queue(m, LAST, SIZE);
	driver_ok(m);
	ok(set_pairs(o, 2) == 0 && set_pairs(o, 3) == 1 && enabled(o, true, false),
	   "a pair that was not set up can't be used");
}

static void test_pair_resets(struct outside *o)
{
	uint64_t features = FEATURE(VIRTIO_NET_F_CTRL_VQ) | FEATURE(VIRTIO_NET_F_MQ);
	struct machine *m = &o->m;
	uint16_t all = PAIRS;
	uint8_t *p = mem_at(&m->mem, CONTROL_DATA, 0x1000, MEM_W);

	p[0] = VIRTIO_NET_CTRL_MQ;
	p[1] = VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET;
	memcpy(p + 2, &all, 2);
	for (unsigned int i = 0; i < 100; i++) {
		driver_start(m, features, LAST + 1, SIZE);
		for (unsigned int k = 0; k < PAIRS; k++) {
			char bytes[HEADER + 900] = { 0 };

			driver_desc(m, 2 * k, 0, buffer_gpa((uint16_t)k), 2000, true, false);
			driver_offer(m, 2 * k, SIZE, 0);
			send(o[k].end, bytes, sizeof(bytes), MSG_DONTWAIT);
		}
		driver_desc(m, LAST, 0, CONTROL_DATA, 4, false, true);
		driver_desc(m, LAST, 1, CONTROL_DATA + 0x800, 1, true, false);
		driver_offer(m, LAST, SIZE, 0);
		driver_kick(m, LAST);
		if (i % 3 == 0) {
			o->dev->device.ops->quiesce(&o->dev->device);
			o->dev->device.ops->resume(&o->dev->device);
		}
	}
	driver_start(m, features, LAST + 1, SIZE);
	ok(set_pairs(o, PAIRS) == 0, "resets while pairs begin");
}

static void test_several(void)
{
	static struct outside o[PAIRS];

	for (unsigned int i = 0; i < PAIRS; i++)
		open_outside(&o[i], &queue_ops, 0);
	plug_all(o, PAIRS, 0);
	test_pairs(o);
	test_pair_resets(o);
	unplug_all(o, PAIRS);
}

/* ---- Life ---- */

static void drain(struct outside *o)
{
	uint8_t bytes[2000];

	while (recv(o->end, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

static void test_resets(struct outside *o)
{
	struct machine *m = &o->m;

	for (unsigned int i = 0; i < 200; i++) {
		driver_start(m, FEATURE(VIRTIO_NET_F_MRG_RXBUF), 3, SIZE);
		for (uint16_t k = 0; k < SIZE; k++) {
			put(o, k, NULL, 1000, 0);
			give(o, k, 500);
		}
		driver_kick(m, RX);
		driver_kick(m, TX);
		for (int k = 0; k < 4; k++) {
			char bytes[HEADER + 900] = { 0 };

			send(o->end, bytes, sizeof(bytes), MSG_DONTWAIT);
		}
		if (i % 3 == 0) {
			o->dev->device.ops->quiesce(&o->dev->device);
			o->dev->device.ops->resume(&o->dev->device);
		}
		if (i % 5 == 0)
			drain(o);
	}
	reg_write(m, VIRTIO_MMIO_STATUS, 0);
	drain(o);
	driver_start(m, FEATURE(VIRTIO_NET_F_MRG_RXBUF), 2, SIZE);
	put(o, 0, NULL, 60, 1);
	driver_kick(m, TX);
	ok(arrives(o, 60, 1), "resets and pauses during traffic: then it sends");
	for (uint16_t i = 0; i < SIZE; i++)
		give(o, i, 0x10000);
	driver_kick(m, RX);
	ok(driver_wait_used(m, RX, 1), "and receives");
}

static void test_last_frame(struct outside *o)
{
	driver_start(&o->m, 0, 2, SIZE);
	o->dev->device.ops->quiesce(&o->dev->device);
	o->dev->device.ops->resume(&o->dev->device);
	usleep(20000);
	put(o, 0, NULL, 200, 9);
	o->dev->device.ops->quiesce(&o->dev->device);
	ok(used_idx(&o->m, TX) == 1, "quiesce takes a frame that was not even notified");
	ok(arrives(o, 200, 9), "and sends it");
	o->dev->device.ops->resume(&o->dev->device);
}

static bool link_is_down(struct machine *m, uint32_t arg)
{
	(void)arg;
	return !(bus_read(m, VIRTIO_MMIO_CONFIG + 6, 2) & VIRTIO_NET_S_LINK_UP);
}

static bool config_changed(struct machine *m, uint32_t arg)
{
	(void)arg;
	return reg_read(m, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_CONFIG;
}

static void test_gone(void)
{
	static struct outside o;

	plug(&o, 0, 0);
	driver_start(&o.m, 0, 2, SIZE);
	reg_write(&o.m, VIRTIO_MMIO_INTERRUPT_ACK, 3);
	shutdown(o.end, SHUT_RDWR);
	ok(wait_until(link_is_down, &o.m, 0), "the other end goes: the link is down");
	ok(wait_until(config_changed, &o.m, 0), "which the guest is told");
	put(&o, 0, NULL, 60, 1);
	driver_kick(&o.m, TX);
	ok(driver_wait_used(&o.m, TX, 1), "what it sends now is given back");
	ok(is_idle(), "and nobody spins");
	driver_start(&o.m, 0, 2, SIZE);
	ok(link_is_down(&o.m, 0), "it stays so after a reset");
	unplug(&o);
}

/* The host's side is down when the driver comes, and up when it comes again. */
static void test_link(void)
{
	static struct outside o;

	open_outside(&o, &queue_ops, 0);
	plug_all(&o, 1, 0);
	atomic_store(&o.down, true);
	driver_start(&o.m, 0, 2, SIZE);
	ok(link_is_down(&o.m, 0), "a backend that is down: so is the link");
	ok(put_by(&o, 0, 60, 1) && is_idle(), "what is sent is given back");
	atomic_store(&o.down, false);
	driver_start(&o.m, 0, 2, SIZE);
	ok(!link_is_down(&o.m, 0) && config_changed(&o.m, 0), "up, and so is the link");
	ok(put_by(&o, 0, 60, 2) && arrives(&o, 60, 2), "and what is sent arrives");
	unplug(&o);
}

/* 100 frames a second each way: so many one after the other, and how long they took. */
static double time_of_sent(struct outside *o, unsigned int n, uint16_t *count)
{
	struct timespec begun, ended;

	clock_gettime(CLOCK_MONOTONIC, &begun);
	for (unsigned int i = 0; i < n; i++) {
		put(o, 0, NULL, 60, 1);
		driver_kick(&o->m, TX);
		if (!arrives(o, 60, 1) || !driver_wait_used(&o->m, TX, ++*count))
			ok(false, "a frame of ours goes out");
	}
	clock_gettime(CLOCK_MONOTONIC, &ended);
	return (double)(ended.tv_sec - begun.tv_sec) +
	       (double)(ended.tv_nsec - begun.tv_nsec) / 1e9;
}

static double time_of_received(struct outside *o, unsigned int n, uint16_t *count)
{
	struct timespec begun, ended;

	clock_gettime(CLOCK_MONOTONIC, &begun);
	for (unsigned int i = 0; i < n; i++) {
		give(o, 0, 2000);
		driver_kick(&o->m, RX);
		come(o, NULL, 60, 1);
		if (!driver_wait_used(&o->m, RX, ++*count))
			ok(false, "a frame comes");
	}
	clock_gettime(CLOCK_MONOTONIC, &ended);
	return (double)(ended.tv_sec - begun.tv_sec) +
	       (double)(ended.tv_nsec - begun.tv_nsec) / 1e9;
}

static void test_limits(void)
{
	static struct outside o;
	uint16_t sent = 0, received = 0;
	double took;

	open_outside(&o, &fake_ops, 0);
	o.limit = (struct limit_config){ .ops = 100 };
	plug_all(&o, 1, 0);
	driver_start(&o.m, 0, 2, SIZE);
	/* Ten of them are free after the rest before. */
	took = time_of_sent(&o, 50, &sent);
	ok(took > 0.38 && took < 5, "50 of 100 frames a second are sent in %.2f s", took);
	took = time_of_received(&o, 50, &received);
	ok(took > 0.38 && took < 5, "and as many come, by a limit of their own, in %.2f s", took);
	put(&o, 0, NULL, 60, 1);
	driver_kick(&o.m, TX);
	come(&o, NULL, 60, 1);
	come(&o, NULL, 60, 1);
	ok(is_idle(), "nobody spins meanwhile");
	reg_write(&o.m, VIRTIO_MMIO_STATUS, 0);
	unplug(&o);
}

int main(void)
{
	static struct outside o;

	test_what_it_is();
	plug(&o, ALL_OFFLOADS, 0);
	test_transmit(&o);
	test_headers(&o);
	test_blocked(&o, false);
	test_blocked(&o, true);
	test_receive(&o, false);
	test_receive(&o, true);
	test_starved(&o, false);
	test_starved(&o, true);
	test_bad_buffers(&o);
	test_received_headers(&o);
	test_control(&o);
	test_filters(&o);
	test_last_frame(&o);
	test_resets(&o);
	unplug(&o);
	test_mtu();
	test_gone();
	test_several();
	test_link();
	test_limits();
	return done_testing();
}
