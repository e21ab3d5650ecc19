/* SPDX-License-Identifier: MIT */
/* virtio/ports with streams of the test's own, driven as Linux drives it, and as nobody should. */
#include "virtio/ports.h"

#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>

#include "tests/unit/driver.h"

#define SIZE 8
#define PORTS 2
#define QUEUES (2 * (PORTS + 1))
#define CONTROL_RX 2
#define CONTROL_TX 3
#define RX(port) ((port) ? 2 * (port) + 2 : 0)
#define TX(port) (RX(port) + 1)
#define MULTIPORT FEATURE(VIRTIO_CONSOLE_F_MULTIPORT)

/* Each queue has 64 KiB of data, each buffer 4 KiB. */
#define BUFFER(q, i) (DATA + 0x10000ull * (q) + 0x1000ull * (i))

struct outside {
	struct stream stream;
	struct stream_client client;
	_Atomic bool attached;
	_Atomic int has;	    /* bytes to read */
	_Atomic bool over, ended;   /* outside, in the guest */
	_Atomic unsigned int takes; /* bytes that write() takes yet */
	_Atomic unsigned int taken;
	unsigned int wrong; /* bytes that were not in turn */
};

struct fixture {
	struct machine m;
	struct outside outside[PORTS];
	struct virtio_dev *dev;
	uint16_t heard; /* messages of the control queue that were looked at */
};

static void attach(struct stream *s, const struct stream_client *client)
{
	struct outside *o = container_of(s, struct outside, stream);

	if (client)
		o->client = *client;
	atomic_store(&o->attached, client);
}

static ssize_t read_some(struct stream *s, const struct iovec *iov, unsigned int n)
{
	struct outside *o = container_of(s, struct outside, stream);
	size_t len = MIN(n ? iov[0].iov_len : 0, (size_t)atomic_load(&o->has));

	if (len)
		memset(iov[0].iov_base, 'i', len);
	atomic_fetch_sub(&o->has, (int)len);
	if (len)
		return (ssize_t)len;
	return atomic_load(&o->over) ? STREAM_END : STREAM_LATER;
}

/* Each byte is its own number. */
static size_t write_some(struct stream *s, const struct iovec *iov, unsigned int n)
{
	struct outside *o = container_of(s, struct outside, stream);
	size_t done = 0;

	for (unsigned int i = 0; i < n; i++) {
		const uint8_t *p = iov[i].iov_base;

		for (size_t k = 0; k < iov[i].iov_len; k++, done++) {
			if (!atomic_load(&o->takes))
				return done;
			atomic_fetch_sub(&o->takes, 1);
			o->wrong += p[k] != (uint8_t)atomic_fetch_add(&o->taken, 1);
		}
	}
	return done;
}

static void end(struct stream *s)
{
	atomic_store(&container_of(s, struct outside, stream)->ended, true);
}

static const struct stream_ops ops = { attach, read_some, write_some, end };

static void set_up(struct fixture *f)
{
	struct ports_config config = { .name = "ports", .n = PORTS };

	memset(f, 0, sizeof(*f));
	machine_set_up(&f->m, -1);
	for (unsigned int i = 0; i < PORTS; i++) {
		f->outside[i].stream.ops = &ops;
		atomic_store(&f->outside[i].takes, 1u << 30);
		config.ports[i] = (struct named_stream){ i ? "second" : "first",
							 &f->outside[i].stream };
	}
	f->dev = machine_plug(&f->m, &virtio_ports_type, &config);
}

static void tear_down(struct fixture *f)
{
	device_unplug(f->dev);
	ok(!atomic_load(&f->outside[0].attached), "the streams are let go");
	machine_tear_down(&f->m);
}

static void fill(struct fixture *f, unsigned int q)
{
	for (uint16_t i = 0; i < SIZE; i++) {
		driver_desc(&f->m, q, i, BUFFER(q, i), 0x1000, true, false);
		driver_offer(&f->m, q, SIZE, i);
	}
	driver_kick(&f->m, q);
}

static void start(struct fixture *f)
{
	driver_start(&f->m, MULTIPORT, QUEUES, SIZE);
	f->heard = 0;
	fill(f, CONTROL_RX);
	fill(f, RX(0));
	fill(f, RX(1));
}

static void send(struct fixture *f, unsigned int q, const void *data, uint32_t len)
{
	uint16_t at = ring_avail(&f->m, q)->idx % SIZE;

	memcpy(mem_at(&f->m.mem, BUFFER(q, at), len, MEM_W), data, len);
	driver_desc(&f->m, q, at, BUFFER(q, at), len, false, false);
	driver_offer(&f->m, q, SIZE, at);
	driver_kick(&f->m, q);
}

static void control(struct fixture *f, uint32_t id, uint16_t event, uint16_t value)
{
	struct virtio_console_control m = { id, event, value };

	send(f, CONTROL_TX, &m, sizeof(m));
	driver_wait_used(&f->m, CONTROL_TX, ring_avail(&f->m, CONTROL_TX)->idx);
}

/* Is that the next message? `name` may be NULL. Its buffer is offered again. */
static bool hears(struct fixture *f, uint32_t id, uint16_t event, uint16_t value, const char *name)
{
	struct virtio_console_control m = { id, event, value };
	size_t len = sizeof(m) + (name ? strlen(name) : 0);
	uint16_t at = f->heard % SIZE;
	uint8_t *data;
	bool same;

	if (!driver_wait_used(&f->m, CONTROL_RX, ++f->heard))
		return false;
	data = mem_at(&f->m.mem, BUFFER(CONTROL_RX, at), 0x1000, MEM_W);
	same = !memcmp(data, &m, sizeof(m)) && ring_used(&f->m, CONTROL_RX)->ring[at].len == len &&
	       (!name || !memcmp(data + sizeof(m), name, strlen(name)));
	driver_offer(&f->m, CONTROL_RX, SIZE, at);
	driver_kick(&f->m, CONTROL_RX);
	return same;
}

static void test_greeting(struct fixture *f)
{
	ok(reg_read(&f->m, VIRTIO_MMIO_DEVICE_ID) == VIRTIO_ID_CONSOLE &&
		   driver_offered(&f->m) & MULTIPORT,
	   "a console with ports");
	ok(reg_read(&f->m, VIRTIO_MMIO_CONFIG + 4) == PORTS, "how many");
	start(f);
	usleep(2000);
	ok(used_idx(&f->m, CONTROL_RX) == 0, "nothing is told before the driver is ready");
	control(f, ~0u, VIRTIO_CONSOLE_DEVICE_READY, 1);
	ok(hears(f, 0, VIRTIO_CONSOLE_PORT_ADD, 1, NULL) &&
		   hears(f, 1, VIRTIO_CONSOLE_PORT_ADD, 1, NULL),
	   "then the ports are");
	control(f, 1, VIRTIO_CONSOLE_PORT_READY, 1);
	ok(hears(f, 1, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL) &&
		   hears(f, 1, VIRTIO_CONSOLE_PORT_NAME, 1, "second"),
	   "a port that is ready is open, and has a name then");
}

static void test_data(struct fixture *f)
{
	struct outside *o = &f->outside[1];
	uint8_t numbers[256];

	for (int i = 0; i < 256; i++)
		numbers[i] = (uint8_t)i;
	atomic_store(&o->has, 5000);
	o->client.input(o->client.opaque);
	usleep(2000);
	ok(used_idx(&f->m, RX(1)) == 0, "what comes waits for a program that has the port open");
	control(f, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	ok(driver_wait_used(&f->m, RX(1), 2) && ring_used(&f->m, RX(1))->ring[0].len == 4096 &&
		   ring_used(&f->m, RX(1))->ring[1].len == 904,
	   "then it is there");
	send(f, TX(1), numbers, 256);
	send(f, TX(1), numbers, 256);
	ok(driver_wait_used(&f->m, TX(1), 2) && atomic_load(&o->taken) == 512 && !o->wrong,
	   "and what is written goes out");
	atomic_store(&o->takes, 100);
	send(f, TX(1), numbers, 256);
	usleep(2000);
	ok(used_idx(&f->m, TX(1)) == 2, "a stream that is full holds it up");
	control(f, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
	usleep(2000);
	ok(!atomic_load(&o->ended), "also the end, which came behind");
	atomic_store(&o->takes, 1000);
	o->client.room(o->client.opaque);
	ok(driver_wait_used(&f->m, TX(1), 3) && atomic_load(&o->taken) == 768 && !o->wrong,
	   "until there is room: every byte once");
	for (int i = 0; i < 1000 && !atomic_load(&o->ended); i++)
		usleep(1000);
	ok(atomic_load(&o->ended), "then it ends");
}

static void test_end(struct fixture *f)
{
	struct outside *o = &f->outside[0];

	control(f, 0, VIRTIO_CONSOLE_PORT_READY, 1);
	ok(hears(f, 0, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL) &&
		   hears(f, 0, VIRTIO_CONSOLE_PORT_NAME, 1, "first"),
	   "the first port has the first queues");
	control(f, 0, VIRTIO_CONSOLE_PORT_OPEN, 1);
	atomic_store(&o->has, 3 * 4096);
	atomic_store(&o->over, true);
	o->client.input(o->client.opaque);
	ok(hears(f, 0, VIRTIO_CONSOLE_PORT_OPEN, 0, NULL) && used_idx(&f->m, RX(0)) == 3,
	   "an end outside closes the port, when all is with the guest");
	send(f, TX(0), "", 1);
	ok(driver_wait_used(&f->m, TX(0), 1), "which may still write");
	control(f, 0, VIRTIO_CONSOLE_PORT_READY, 1);
	ok(hears(f, 0, VIRTIO_CONSOLE_PORT_OPEN, 0, NULL) &&
		   hears(f, 0, VIRTIO_CONSOLE_PORT_NAME, 1, "first"),
	   "and learns again that it is closed");
}

static void test_flood(struct fixture *f)
{
	struct virtio_console_control m = { 1, VIRTIO_CONSOLE_PORT_READY, 1 };
	uint16_t before;

	start(f);
	before = used_idx(&f->m, CONTROL_RX);
	for (int i = 0; i < 2000; i++) {
		m.id = i % 2 ? 1 : (uint32_t)i * 77;
		send(f, CONTROL_TX, &m, sizeof(m));
		driver_wait_used(&f->m, CONTROL_TX, ring_avail(&f->m, CONTROL_TX)->idx);
	}
	usleep(2000);
	ok((uint16_t)(used_idx(&f->m, CONTROL_RX) - before) == SIZE &&
		   !(reg_read(&f->m, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET),
	   "a flood of requests is answered as far as there are buffers");
}

static void test_hostile(struct fixture *f)
{
	uint64_t tiny = 0;

	start(f);
	control(f, 7, VIRTIO_CONSOLE_PORT_OPEN, 1);
	control(f, ~0u, VIRTIO_CONSOLE_PORT_READY, 1);
	control(f, 1, 999, 1);
	ok(!(reg_read(&f->m, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET),
	   "ports and events that don't exist are not heard");
	send(f, CONTROL_TX, &tiny, 7);
	ok(driver_wait_status(&f->m, VIRTIO_CONFIG_S_NEEDS_RESET),
	   "a message that is too short needs a reset");
	start(f);
	ok(!(reg_read(&f->m, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET),
	   "by which it lives");
	driver_start(&f->m, MULTIPORT, QUEUES, SIZE);
	driver_desc(&f->m, CONTROL_RX, 0, BUFFER(CONTROL_RX, 0), 7, true, false);
	driver_offer(&f->m, CONTROL_RX, SIZE, 0);
	driver_kick(&f->m, CONTROL_RX);
	control(f, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	ok(driver_wait_status(&f->m, VIRTIO_CONFIG_S_NEEDS_RESET), "as does a buffer too small");
	driver_start(&f->m, 0, 2, SIZE);
	fill(f, 0);
	send(f, 1, "console", 7);
	ok(driver_wait_used(&f->m, 1, 1) && used_idx(&f->m, 0) == 0,
	   "a driver without ports has nothing here, and is not kept waiting");
}

static void test_last_words(struct fixture *f)
{
	uint8_t numbers[256];
	struct outside *o = &f->outside[1];
	unsigned int taken;

	for (int i = 0; i < 256; i++)
		numbers[i] = (uint8_t)i;
	start(f);
	taken = atomic_load(&o->taken);
	atomic_store(&o->takes, 0);
	for (int i = 0; i < 4; i++)
		send(f, TX(1), numbers, 256);
	usleep(2000);
	atomic_store(&o->takes, 10000);
	f->dev->device.ops->quiesce(&f->dev->device);
	ok(atomic_load(&o->taken) - taken == 1024 && !o->wrong,
	   "quiesce takes what a stopped guest has written");
	f->dev->device.ops->resume(&f->dev->device);
	check_save_load(f->dev);
}

int main(void)
{
	struct fixture *f = malloc(sizeof(*f));

	set_up(f);
	test_greeting(f);
	test_data(f);
	test_end(f);
	tear_down(f);
	set_up(f);
	test_flood(f);
	test_hostile(f);
	test_last_words(f);
	tear_down(f);
	free(f);
	return done_testing();
}
