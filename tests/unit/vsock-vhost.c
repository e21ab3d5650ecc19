/* SPDX-License-Identifier: MIT */
/*
 * virtio/vsock by vhost-vsock, as a driver sees it; programs of the host are at AF_VSOCK. Needs
 * /dev/vhost-vsock, which is in the lab (tests/lab/x86-vhost-vsock.t).
 */
#include <errno.h>
#include <linux/virtio_vsock.h>
#include <sys/socket.h>

#include <linux/vm_sockets.h> /* (in some versions it needs the one before) */

#include "tests/unit/driver.h"
#include "virtio/vsock.h"

#define RX 0
#define TX 1
#define EVENT 2
#define SIZE 16
#define CID 77
#define PORT 52
#define RX_LEN 4096u
#define RX_AT(i) (DATA + 0x2000ull * (i))
#define TX_AT (DATA + 0x100000)
#define EVENT_AT (DATA + 0x200000)

static struct vsock_config config = { .name = "vsock", .cid = CID };
static uint16_t received;

static void start(struct machine *m)
{
	driver_start(m, 0, 3, SIZE);
	received = 0;
	for (uint16_t i = 0; i < SIZE; i++) {
		driver_desc(m, RX, i, RX_AT(i), RX_LEN, true, false);
		driver_offer(m, RX, SIZE, i);
	}
	driver_desc(m, EVENT, 0, EVENT_AT, 16, true, false);
	driver_offer(m, EVENT, SIZE, 0);
	driver_kick(m, RX);
}

/* The next packet; buffers are used once. */
static const struct virtio_vsock_hdr *receive(struct machine *m)
{
	if (!driver_wait_used(m, RX, received + 1))
		return NULL;
	return mem_at(&m->mem, RX_AT(ring_used(m, RX)->ring[received++ % SIZE].id % SIZE), RX_LEN,
		      MEM_R);
}

static void answer(struct machine *m, const struct virtio_vsock_hdr *to, uint16_t op)
{
	struct virtio_vsock_hdr hdr = {
		.src_cid = CID,
		.dst_cid = 2,
		.src_port = to->dst_port,
		.dst_port = to->src_port,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = op,
		.buf_alloc = 65536,
	};
	uint16_t n = used_idx(m, TX);

	memcpy(mem_at(&m->mem, TX_AT, sizeof(hdr), MEM_W), &hdr, sizeof(hdr));
	driver_desc(m, TX, 0, TX_AT, sizeof(hdr), false, false);
	driver_offer(m, TX, SIZE, 0);
	driver_kick(m, TX);
	if (!driver_wait_used(m, TX, n + 1))
		ok(false, "a packet is taken");
}

/* A program's, which does not wait for the guest to accept. */
static int call(void)
{
	struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_cid = CID, .svm_port = PORT };
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) && errno != EINPROGRESS)
		ok(false, "a program connects: %s", strerror(errno));
	return fd;
}

static bool is_op(const struct virtio_vsock_hdr *hdr, uint16_t op)
{
	return hdr && hdr->op == op && hdr->dst_cid == CID && hdr->dst_port == PORT;
}

static int connected(struct machine *m)
{
	int fd = call();
	const struct virtio_vsock_hdr *hdr = receive(m);

	if (!is_op(hdr, VIRTIO_VSOCK_OP_REQUEST))
		return -1;
	answer(m, hdr, VIRTIO_VSOCK_OP_RESPONSE);
	return fd;
}

static bool ends(int fd)
{
	char c;
	ssize_t n = -1;

	for (int i = 0; i < WAIT_MS && (n = recv(fd, &c, 1, 0)) < 0 && errno == EAGAIN; i++)
		usleep(1000);
	return n == 0 || (n < 0 && errno == ECONNRESET);
}

/* The kernel tells us, and then we the driver. */
static bool interrupted(struct machine *m, uint32_t before)
{
	return atomic_load(&m->interrupts) > before;
}

static void test_use(struct machine *m, struct virtio_dev *dev)
{
	struct device *d = &dev->device;
	const struct virtio_vsock_hdr *hdr;
	struct err err = { "" };
	struct device *device;
	unsigned int interrupts;
	int fd;

	ok(bus_read(m, 0x100, 8) == CID, "the guest's address");
	ok(virtio_vsock_type.create(&m->env, &config, &device, &err) == -EADDRINUSE,
	   "is nobody else's: %s", err.text);
	start(m);
	interrupts = atomic_load(&m->interrupts);
	fd = connected(m);
	ok(fd >= 0, "a program of the host's reaches the guest");
	ok(wait_until(interrupted, m, interrupts) &&
		   reg_read(m, VIRTIO_MMIO_INTERRUPT_STATUS) == VIRTIO_MMIO_INT_VRING,
	   "which is interrupted, with a status that is true");
	d->ops->quiesce(d);
	usleep(1000);
	ok(send(fd, "hello", 5, 0) == 5 && (usleep(30000), used_idx(m, RX) == received),
	   "nothing moves while it is paused");
	ok(mem_test_dirty(&m->mem, RINGS(RX) + USED_OFFSET, false) &&
		   mem_test_dirty(&m->mem, RX_AT(0), false),
	   "what was written is marked");
	d->ops->resume(d);
	hdr = receive(m);
	ok(is_op(hdr, VIRTIO_VSOCK_OP_RW) && hdr->len == 5 && !memcmp(hdr + 1, "hello", 5),
	   "a connection goes on after that");
	check_save_load(dev);
	ok(ends(fd), "a load ends it");
	ok(driver_wait_used(m, EVENT, 1), "and the guest is told");
	close(fd);
	start(m);
	fd = connected(m);
	ok(fd >= 0, "it can be started again");
	reg_write(m, VIRTIO_MMIO_STATUS, 0);
	ok(ends(fd), "a reset ends all connections");
	close(fd);
	start(m);
	ring_avail(m, TX)->idx += 1000;
	driver_kick(m, TX);
	ok(driver_wait_status(m, VIRTIO_CONFIG_S_NEEDS_RESET), "a broken ring: needs reset");
}

int main(void)
{
	struct machine m;
	struct virtio_dev *dev;

	if (access("/dev/vhost-vsock", R_OK | W_OK)) {
		printf("1..0 # SKIP no /dev/vhost-vsock here\n");
		return 0;
	}
	machine_set_up(&m, -1);
	dev = machine_plug(&m, &virtio_vsock_type, &config);
	test_use(&m, dev);
	device_unplug(dev);
	dev = machine_plug(&m, &virtio_vsock_type, &config);
	ok(dev, "its address is free again");
	device_unplug(dev);
	machine_tear_down(&m);
	return done_testing();
}
