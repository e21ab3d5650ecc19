/* SPDX-License-Identifier: MIT */
/*
 * The registers of virtio-mmio (virtio/mmio.h): accesses of any offset, length and value, with an
 * entropy device behind them. What may not change does not.
 */
#include "virtio/mmio.h"

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/lib/loop.h"
#include "tests/fuzz/lib/ram.h"
#include "virtio/rng.h"

#define BASE 0xd0000000ull
#define STEPS 200

struct guest {
	struct bus mmio;
	struct irq_chip chip;
	struct log log;
	struct device_env env;
	struct virtio_dev *dev;
	unsigned int interrupts;
};

static void count(struct irq_chip *chip, const struct irq_line *line)
{
	CHECK(line->gsi == 5);
	container_of(chip, struct guest, chip)->interrupts++;
}

static uint32_t read32(struct guest *g, uint64_t offset)
{
	uint8_t data[8] = { 0 };

	CHECK(bus_access(&g->mmio, BASE + offset, data, 4, false));
	return get_le32(data);
}

static void write32(struct guest *g, uint64_t offset, uint32_t value)
{
	uint8_t data[8];

	put_le32(data, value);
	CHECK(bus_access(&g->mmio, BASE + offset, data, 4, true));
}

/* Registers that a driver knows, so that it gets somewhere. */
static uint64_t take_offset(struct input *in)
{
	static const uint16_t known[] = {
		VIRTIO_MMIO_DEVICE_FEATURES_SEL,
		VIRTIO_MMIO_DRIVER_FEATURES_SEL,
		VIRTIO_MMIO_DRIVER_FEATURES,
		VIRTIO_MMIO_QUEUE_SEL,
		VIRTIO_MMIO_QUEUE_NUM,
		VIRTIO_MMIO_QUEUE_READY,
		VIRTIO_MMIO_QUEUE_NOTIFY,
		VIRTIO_MMIO_INTERRUPT_ACK,
		VIRTIO_MMIO_STATUS,
		VIRTIO_MMIO_QUEUE_DESC_LOW,
		VIRTIO_MMIO_QUEUE_AVAIL_LOW,
		VIRTIO_MMIO_QUEUE_USED_LOW,
		VIRTIO_MMIO_QUEUE_DESC_HIGH,
		VIRTIO_MMIO_QUEUE_AVAIL_HIGH,
		VIRTIO_MMIO_QUEUE_USED_HIGH,
	};
	uint8_t which = take_u8(in);

	if (which & 0x80)
		return take_u16(in) % (VIRTIO_MMIO_SIZE + 16);
	return which < 0x40 ? known[which % ARRAY_SIZE(known)] : (which & 0x3f) * 4u;
}

static void access_any(struct input *in, struct guest *g)
{
	uint64_t offset = take_offset(in);
	uint8_t how = take_u8(in), data[8];
	uint32_t len = how & 8 ? 1 + (how & 7) : 4;

	memset(data, 0xa5, sizeof(data));
	if (how & 0x10) {
		put_le(data, take(in, len), len);
		bus_access(&g->mmio, BASE + offset, data, len, true);
	} else if (bus_access(&g->mmio, BASE + offset, data, len, false)) {
		CHECK(offset + len <= VIRTIO_MMIO_SIZE);
		/*
		 * Control registers know aligned words only, and this device has no config space.
		 */
		if (offset >= VIRTIO_MMIO_CONFIG || len != 4 || offset % 4)
			CHECK(!get_le(data, len));
	} else {
		CHECK(offset + len > VIRTIO_MMIO_SIZE &&
		      get_le(data, len) == (UINT64_MAX >> (64 - 8 * len)));
	}
}

/* As a driver does it, up to where the input says; a request is in the ring then. */
static void start(struct input *in, struct guest *g)
{
	static const uint32_t script[][2] = {
		{ VIRTIO_MMIO_STATUS, 0 },
		{ VIRTIO_MMIO_STATUS, 3 },
		{ VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1 },
		{ VIRTIO_MMIO_DRIVER_FEATURES, 1 },
		{ VIRTIO_MMIO_STATUS, 11 },
		{ VIRTIO_MMIO_QUEUE_SEL, 0 },
		{ VIRTIO_MMIO_QUEUE_NUM, 8 },
		{ VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)LOW },
		{ VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)LOW + 0x1000 },
		{ VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)LOW + 0x2000 },
		{ VIRTIO_MMIO_QUEUE_READY, 1 },
		{ VIRTIO_MMIO_STATUS, 15 },
		{ VIRTIO_MMIO_QUEUE_NOTIFY, 0 },
	};
	static const struct vring_desc d = { .addr = HIGH, .len = 8, .flags = VRING_DESC_F_WRITE };
	static const uint16_t avail[] = { 0, 1, 0 };
	uint32_t n = take_below(in, ARRAY_SIZE(script) + 1);

	ram_guest_write(LOW, &d, sizeof(d));
	ram_guest_write(LOW + 0x1000, avail, sizeof(avail));
	for (uint32_t i = 0; i < n; i++)
		write32(g, script[i][0], script[i][1]);
}

/* Compares registers before and after a step. */
static void check_step(struct guest *g, const struct virtio_state *before)
{
	const struct virtio_state *now = &g->dev->st;
	const struct queue_state *a = &before->queues[0], *b = &now->queues[0];
	uint32_t status = now->status;

	CHECK(read32(g, VIRTIO_MMIO_MAGIC_VALUE) == 0x74726976);
	CHECK(read32(g, VIRTIO_MMIO_STATUS) == virtio_status(g->dev));
	CHECK(!(status & VIRTIO_CONFIG_S_DRIVER_OK) || status & VIRTIO_CONFIG_S_FEATURES_OK);
	if (before->status & VIRTIO_CONFIG_S_FEATURES_OK && status)
		CHECK(now->driver_features == before->driver_features);
	if (before->status & VIRTIO_CONFIG_S_DRIVER_OK && status)
		CHECK(a->desc == b->desc && a->driver == b->driver && a->device == b->device &&
		      a->size == b->size && a->enabled == b->enabled);
	/* Only a reset takes bits away, but for FEATURES_OK, which the device may refuse. */
	CHECK(!status || !(before->status & ~status &
			   ~(VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK)));
	for (unsigned int i = 1; i < VIRTIO_QUEUES; i++)
		CHECK(!now->queues[i].size && !now->queues[i].desc && !now->queues[i].enabled);
	ram_check_dirty();
}

static void save_and_load(struct input *in, struct guest *g)
{
	struct device *d = &g->dev->device;
	struct buf saved = { 0 }, again = { 0 };
	struct reader r;
	uint8_t n = take_below(in, 4);

	d->ops->quiesce(d);
	d->ops->save(d, &saved);
	for (uint8_t i = 0; i < n; i++)
		saved.data[take_u8(in) % saved.len] = take_u8(in);
	r = (struct reader){ .p = saved.data, .left = saved.len };
	if (!d->ops->load(d, &r)) {
		d->ops->save(d, &again);
		CHECK(saved.len == again.len && !memcmp(saved.data, again.data, saved.len));
	} else {
		CHECK(n);
	}
	buf_free(&saved);
	buf_free(&again);
	d->ops->resume(d);
}

static void create(struct guest *g)
{
	static const struct rng_config config = { .name = "virtio-rng.0" };
	struct irq_line irq = { .chip = &g->chip, .gsi = 5, .trigger = IRQ_EDGE };
	struct device *device;

	g->chip = (struct irq_chip){ .lines = 8, .raise = count };
	g->log = (struct log){ .fd = -1, .level = LOG_ERROR, .name = "fuzz" };
	g->env = (struct device_env){
		.mem = ram_fresh(), .mmio = &g->mmio, .chip = &g->chip, .log = &g->log
	};
	g->env.loop = loop_create("loop");
	CHECK(!bus_init(&g->mmio));
	CHECK(!virtio_rng_type.create(&g->env, &config, &device, NULL));
	g->dev = virtio_from_device(device);
	CHECK(!virtio_mmio_plug(g->dev, BASE, irq, NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct guest g = { 0 };
	struct device *d;

	create(&g);
	start(&in, &g);
	for (int i = 0; i < STEPS && in.left; i++) {
		struct virtio_state before = g.dev->st;
		uint8_t how = take_u8(&in);

		if (how < 0xe0)
			access_any(&in, &g);
		else if (how < 0xf0)
			start(&in, &g);
		else if (how < 0xf8)
			save_and_load(&in, &g);
		else
			loops_run();
		if (how < 0xe0)
			check_step(&g, &before);
	}
	loops_run();
	d = &g.dev->device;
	d->ops->quiesce(d);
	d->ops->destroy(d);
	bus_destroy(&g.mmio);
	loop_destroy(g.env.loop);
	loops_end();
	return 0;
}
