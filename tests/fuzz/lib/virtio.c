/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/lib/virtio.h"

#include <linux/virtio_config.h>

#include "tests/fuzz/lib/loop.h"
#include "tests/fuzz/lib/ram.h"

#define STEPS 100

/* 8 KiB for each queue's rings, every other in LOW, and data between: from the seventh on they share. */
#define RINGS(i) (((i)&1 ? HIGH : LOW) + ((i)&4 ? 0x6000ull : (i)&2 ? 0x2000ull : 0))
#define AVAIL(i) (RINGS(i) + 0x1000)
#define USED(i) (RINGS(i) + 0x1400)
#define DATA (LOW + 0x4000)
#define TABLE (HIGH + 0x4000)

struct guest {
	const struct virtio_fuzz *fuzz;
	struct virtio_dev *dev;
	struct device_env env;
	struct log log;
	struct irq_chip chip;
	unsigned int interrupts;
	uint32_t plug; /* the transport's state, of any value */
	bool quiet;    /* between quiesce and resume */
	uint16_t offered[VIRTIO_QUEUES];
};

/* ---- The transport ---- */

static void plug_interrupt(struct virtio_dev *dev, int queue)
{
	CHECK(queue == -1 || (uint32_t)queue < dev->n_queues);
	CHECK(atomic_load(&dev->st.isr));
}

static void plug_reset(struct virtio_dev *dev)
{
	*(uint32_t *)dev->plug = 0;
}

static void plug_save(struct virtio_dev *dev, struct buf *out)
{
	buf_put_le32(out, *(uint32_t *)dev->plug);
}

static void plug_load(struct virtio_dev *dev, struct reader *in)
{
	*(uint32_t *)dev->plug = reader_le32(in);
}

static void plug_unplug(struct virtio_dev *dev)
{
	dev->plug = NULL;
}

static const struct virtio_transport transport = {
	.interrupt = plug_interrupt,
	.reset = plug_reset,
	.save = plug_save,
	.load = plug_load,
	.saved_size = sizeof(uint32_t),
	.unplug = plug_unplug,
};

/* ---- The driver: registers ---- */

static void set_status(struct guest *g, uint32_t status)
{
	pthread_mutex_lock(&g->dev->lock);
	virtio_set_status(g->dev, status);
	pthread_mutex_unlock(&g->dev->lock);
}

static void negotiate(struct guest *g, uint64_t features)
{
	uint32_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;

	set_status(g, 0);
	set_status(g, status);
	virtio_set_driver_features(g->dev, 0, (uint32_t)features);
	virtio_set_driver_features(g->dev, 1, (uint32_t)(features >> 32));
	set_status(g, status | VIRTIO_CONFIG_S_FEATURES_OK);
}

static void clear_ring(uint64_t gpa, size_t len)
{
	static const uint8_t zeros[0x400];

	for (size_t at = 0; at < len; at += sizeof(zeros))
		ram_guest_write(gpa + at, zeros, sizeof(zeros));
}

static void set_queue(struct guest *g, uint32_t i, uint32_t size)
{
	struct queue_state *regs;

	clear_ring(AVAIL(i), 0x1000);
	g->offered[i] = 0;
	virtio_queue_set_size(g->dev, i, size);
	regs = virtio_queue_regs_writable(g->dev, i);
	if (regs) {
		regs->desc = RINGS(i);
		regs->driver = AVAIL(i);
		regs->device = USED(i);
	}
	virtio_queue_enable(g->dev, i, true);
}

/* As a driver that knows its business. */
static void start(struct input *in, struct guest *g)
{
	static const uint32_t sizes[] = { 1, 2, 4, 8, 16, 32, 64, 256 };
	uint8_t how = take_u8(in);
	uint64_t features = g->dev->features;

	if (how & 1)
		features &= ~FEATURE(VIRTIO_RING_F_EVENT_IDX);
	if (how & 2)
		features &= ~FEATURE(VIRTIO_RING_F_INDIRECT_DESC);
	negotiate(g, features);
	for (uint32_t i = 0; i < g->dev->n_queues; i++)
		set_queue(g, i, MIN(sizes[how >> 2 & 7], (uint32_t)g->dev->queue_size));
	set_status(g, virtio_status(g->dev) | VIRTIO_CONFIG_S_DRIVER_OK);
}

static void write_register(struct input *in, struct guest *g)
{
	struct virtio_dev *dev = g->dev;
	uint32_t i = take_below(in, VIRTIO_QUEUES + 1);
	struct queue_state *regs;

	switch (take_below(in, 6)) {
	case 0:
		set_status(g, take_u8(in));
		break;
	case 1:
		set_status(g, virtio_status(dev) | 1u << take_below(in, 8));
		break;
	case 2:
		virtio_set_driver_features(dev, take_below(in, 3), take_u32(in));
		break;
	case 3:
		virtio_queue_enable(dev, i, take_u8(in) & 1);
		break;
	case 4:
		virtio_queue_set_size(dev, i, take_u16(in));
		break;
	case 5:
		regs = virtio_queue_regs_writable(dev, i);
		if (!regs)
			break;
		CHECK(!(virtio_status(dev) & VIRTIO_CONFIG_S_DRIVER_OK) && !regs->enabled);
		regs->desc = take_u8(in) & 1 ? take_u64(in) : LOW + take_u16(in);
		regs->driver = take_u8(in) & 1 ? take_u64(in) : HIGH + take_u16(in);
		regs->device = take_u8(in) & 1 ? take_u64(in) : LOW + take_u16(in);
		break;
	}
}

static void read_registers(struct input *in, struct guest *g)
{
	uint32_t len = 1 + take_below(in, 64);
	uint8_t *bytes = malloc(len); /* so that ASan sees a byte too many */
	uint64_t offset = take_u8(in) & 1 ? take_u64(in) : take_u8(in);

	CHECK(bytes);
	virtio_config_read(g->dev, offset, bytes, len);
	for (uint32_t i = 0; i < len; i++) {
		if (offset >= g->dev->config_size || offset + i >= g->dev->config_size)
			CHECK(!bytes[i]);
	}
	free(bytes);
	virtio_device_features(g->dev, take_u8(in));
	CHECK(!!virtio_queue_regs(g->dev, take_u8(in)) || g->dev->n_queues < 256);
}

/* ---- The driver: rings ---- */

static void offer(struct guest *g, uint32_t i, uint16_t head)
{
	uint32_t size = MAX(g->dev->st.queues[i].size, (uint16_t)1);
	uint16_t idx = g->offered[i] + 1;

	ram_guest_write(AVAIL(i) + 4 + 2 * (g->offered[i] % size), &head, sizeof(head));
	ram_guest_write(AVAIL(i) + 2, &idx, sizeof(idx));
	g->offered[i] = idx;
}

/* What devices count in, or any. */
static uint32_t take_len(struct input *in)
{
	static const uint16_t lengths[] = { 1, 4, 512, 513, 1024, 4096 };
	uint32_t which = take_below(in, ARRAY_SIZE(lengths) + 1);

	return which < ARRAY_SIZE(lengths) ? lengths[which] : 1 + take_u16(in) % 0x1200u;
}

/* A chain with a header and pieces of any length, which is good as far as the ring is concerned. */
static void put_request(struct input *in, struct guest *g)
{
	uint32_t i = take_below(in, g->dev->n_queues);
	uint32_t size = g->dev->st.queues[i].size;
	uint32_t n = 1 + take_below(in, 6), n_out = take_below(in, n + 1);
	bool indirect = take_u8(in) & 1;
	struct vring_desc d = { .addr = TABLE, .len = n * 16, .flags = VRING_DESC_F_INDIRECT };
	uint16_t head = take_u8(in) % MAX(size, 1u);
	uint64_t at = DATA;
	uint8_t header[64];
	uint32_t header_len = g->fuzz->header ? g->fuzz->header(in, header) : 0;

	if (!indirect && n > size)
		return;
	ram_guest_write(at, header, header_len);
	if (indirect)
		ram_guest_write(RINGS(i) + head * sizeof(d), &d, sizeof(d));
	for (uint32_t k = 0; k < n; k++) {
		uint32_t slot = indirect ? k : (head + k) % size;
		uint32_t next = indirect ? k + 1 : (head + k + 1) % size;

		d.addr = at;
		d.len = k || !n_out ? take_len(in) : MAX(header_len, 1u);
		d.flags = (k >= n_out ? VRING_DESC_F_WRITE : 0) |
			  (k + 1 < n ? VRING_DESC_F_NEXT : 0);
		d.next = (uint16_t)next;
		at += take_u8(in) & 1 ? d.len : 512;
		ram_guest_write((indirect ? TABLE : RINGS(i)) + slot * sizeof(d), &d, sizeof(d));
	}
	offer(g, i, head);
}

static void write_memory(struct input *in, struct guest *g)
{
	uint32_t i = take_below(in, g->dev->n_queues);
	const uint64_t places[] = { RINGS(i), AVAIL(i), USED(i), DATA, TABLE };
	uint8_t bytes[16];
	uint32_t len = 1 + take_below(in, sizeof(bytes));
	uint64_t gpa = places[take_below(in, ARRAY_SIZE(places))] + take_u8(in);

	for (uint32_t k = 0; k < len; k++)
		bytes[k] = take_u8(in);
	ram_guest_write(gpa, bytes, len);
}

/* ---- The machine ---- */

static void quiesce(struct guest *g)
{
	if (g->fuzz->before_quiesce)
		g->fuzz->before_quiesce(g->fuzz->opaque);
	g->dev->device.ops->quiesce(&g->dev->device);
	CHECK(!atomic_load(&g->dev->running));
	g->quiet = true;
}

static void resume(struct guest *g)
{
	g->dev->device.ops->resume(&g->dev->device);
	g->quiet = false;
}

static bool saves_the_same(struct guest *g, const struct buf *first)
{
	struct buf again = { 0 };
	bool same;

	g->dev->device.ops->save(&g->dev->device, &again);
	same = again.len == first->len && !memcmp(again.data, first->data, again.len);
	buf_free(&again);
	return same;
}

static void save_and_load(struct input *in, struct guest *g)
{
	struct device *d = &g->dev->device;
	struct buf saved = { 0 };
	struct reader r;
	uint8_t damage;

	quiesce(g);
	d->ops->save(d, &saved);
	CHECK(!saved.failed);
	damage = take_below(in, 8);
	if (take_u8(in) & 1)
		d->ops->reset(d);
	r = (struct reader){ .p = saved.data, .left = saved.len };
	if (!damage) {
		CHECK(!d->ops->load(d, &r) && !r.left && !r.failed);
		CHECK(saves_the_same(g, &saved));
	} else {
		for (uint8_t i = 0; i < damage; i++)
			saved.data[take_u8(in) % saved.len] = take_u8(in);
		if (damage == 7)
			r.left = take_u8(in) % saved.len;
		if (!d->ops->load(d, &r))
			CHECK(saves_the_same(g, &saved));
	}
	buf_free(&saved);
	if (take_u8(in) & 1)
		resume(g);
}

/* ---- All of it ---- */

static void check_state(const struct guest *g)
{
	const struct virtio_dev *dev = g->dev;
	uint32_t status = virtio_status(dev);

	CHECK(!(status & VIRTIO_CONFIG_S_DRIVER_OK) || status & VIRTIO_CONFIG_S_FEATURES_OK);
	CHECK(!(status & VIRTIO_CONFIG_S_FEATURES_OK) ||
	      (!(dev->st.driver_features & ~dev->features) &&
	       virtio_has_feature(dev, VIRTIO_F_VERSION_1)));
	CHECK(!atomic_load(&dev->running) || (status & VIRTIO_CONFIG_S_DRIVER_OK && !g->quiet));
	for (uint32_t i = 0; i < VIRTIO_QUEUES; i++) {
		const struct queue_state *q = &dev->st.queues[i];

		CHECK(q->size <= dev->queue_size && !(q->size & (q->size - 1)) && q->enabled <= 1);
		CHECK(i < dev->n_queues || (!q->size && !dev->queues[i].active));
		CHECK(!dev->queues[i].active || atomic_load(&dev->running));
	}
	/* A request that is under way marks its answer when it is complete. */
	if (!atomic_load(&dev->running))
		ram_check_dirty();
}

static void step(struct input *in, struct guest *g)
{
	struct device *d = &g->dev->device;

	switch (take_below(in, 12)) {
	case 0:
		if (!g->quiet)
			start(in, g);
		break;
	case 1:
		if (!g->quiet)
			write_register(in, g);
		break;
	case 2:
		read_registers(in, g);
		break;
	case 3:
	case 4:
	case 5:
		put_request(in, g);
		break;
	case 6:
		write_memory(in, g);
		break;
	case 7:
		virtio_notify(g->dev, take_u8(in));
		loops_run();
		break;
	case 8:
		if (g->fuzz->step)
			g->fuzz->step(in, g->fuzz->opaque);
		break;
	case 9:
		for (uint32_t i = 0; i < g->dev->n_queues; i++)
			virtio_notify(g->dev, i);
		loops_run();
		break;
	case 10:
		save_and_load(in, g);
		break;
	case 11:
		if (g->quiet)
			resume(g);
		else if (take_u8(in) & 1)
			quiesce(g);
		else
			d->ops->reset(d);
		break;
	}
}

static void create(struct guest *g)
{
	struct device *device;

	g->log = (struct log){ .fd = -1, .level = LOG_ERROR, .name = "fuzz" };
	g->env = (struct device_env){ .mem = ram_fresh(), .chip = &g->chip, .log = &g->log };
	g->env.loop = loop_create("loop");
	CHECK(!g->fuzz->type->create(&g->env, g->fuzz->config, &device, NULL));
	g->dev = virtio_from_device(device);
	g->dev->transport = &transport;
	g->dev->plug = &g->plug;
}

void virtio_fuzz_run(struct input *in, const struct virtio_fuzz *fuzz)
{
	struct guest g = { .fuzz = fuzz };

	create(&g);
	if (take_u8(in) & 1)
		start(in, &g);
	for (int i = 0; i < STEPS && in->left; i++) {
		step(in, &g);
		check_state(&g);
	}
	quiesce(&g);
	check_state(&g);
	g.dev->device.ops->destroy(&g.dev->device);
	loop_destroy(g.env.loop);
	if (fuzz->after)
		fuzz->after(fuzz->opaque);
	loops_end();
}
