/* SPDX-License-Identifier: MIT */
/* virtio/core and virtio/mmio: what a driver may do, what it may not, and when. */
#include <dirent.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/driver.h"
#include "virtio/rng.h"

#define SIZE 8

/* A device half whose requests take as long as the test wants. */
struct slow {
	struct virtio_dev dev;
	struct chain chain;
	_Atomic bool hold, serving;
	_Atomic unsigned int served, stopped, stopped_while_serving;
	uint8_t config[6];
};

static struct slow *slow_of(struct virtio_dev *dev)
{
	return container_of(dev, struct slow, dev);
}

static int64_t slow_serve(struct virtio_dev *dev, const struct chain *c)
{
	struct slow *slow = slow_of(dev);

	(void)c;
	atomic_store(&slow->serving, true);
	while (atomic_load(&slow->hold))
		usleep(100);
	atomic_fetch_add(&slow->served, 1);
	atomic_store(&slow->serving, false);
	return 0;
}

static void slow_kick(struct virtio_dev *dev, unsigned int i)
{
	virtio_serve(dev, i, &slow_of(dev)->chain, slow_serve);
}

static void slow_stop(struct virtio_dev *dev, unsigned int i)
{
	struct slow *slow = slow_of(dev);

	(void)i;
	atomic_fetch_add(&slow->stopped, 1);
	atomic_fetch_add(&slow->stopped_while_serving, atomic_load(&slow->serving));
}

static void slow_config_read(struct virtio_dev *dev, uint32_t offset, void *data, uint32_t len)
{
	memcpy(data, slow_of(dev)->config + offset, len);
}

static void slow_destroy(struct virtio_dev *dev)
{
	virtio_fini(dev);
	free(slow_of(dev));
}

static const struct virtio_ops slow_ops = {
	.config_read = slow_config_read,
	.kick = slow_kick,
	.stop = slow_stop,
	.destroy = slow_destroy,
};

static int slow_create(const struct device_env *env, const void *config, struct device **out,
		       struct err *err)
{
	struct slow *slow = calloc(1, sizeof(*slow));

	(void)config;
	(void)err;
	if (!slow)
		return -ENOMEM;
	slow->dev.ops = &slow_ops;
	slow->dev.id = 42;
	slow->dev.n_queues = 2;
	slow->dev.queue_size = SIZE;
	slow->dev.config_size = sizeof(slow->config);
	slow->dev.features = FEATURE(3);
	memcpy(slow->config, "\1\2\3\4\5\6", 6);
	virtio_init(&slow->dev, "slow", env);
	*out = &slow->dev.device;
	return 0;
}

static const struct device_type slow_type = { "slow", slow_create };

static void test_registers(struct machine *m)
{
	ok(reg_read(m, VIRTIO_MMIO_MAGIC_VALUE) == 0x74726976, "magic");
	ok(reg_read(m, VIRTIO_MMIO_VERSION) == 2, "version 2");
	ok(reg_read(m, VIRTIO_MMIO_DEVICE_ID) == 42, "device ID");
	ok(reg_read(m, VIRTIO_MMIO_VENDOR_ID) == 0x4c444e4b, "vendor ID is KNDL");
	ok(reg_read(m, VIRTIO_MMIO_SHM_LEN_LOW) == UINT32_MAX &&
		   reg_read(m, VIRTIO_MMIO_SHM_LEN_HIGH) == UINT32_MAX &&
		   reg_read(m, VIRTIO_MMIO_SHM_BASE_LOW) == UINT32_MAX &&
		   reg_read(m, VIRTIO_MMIO_SHM_BASE_HIGH) == UINT32_MAX,
	   "no shared memory");
	ok(bus_read(m, 0, 1) == 0 && bus_read(m, 0, 2) == 0 && bus_read(m, 0, 8) == 0 &&
		   bus_read(m, 1, 4) == 0 && bus_read(m, 0xfe, 4) == 0 && bus_read(m, 0xfc, 8) == 0,
	   "control registers read 0 but by aligned 32 bits");
	bus_write(m, VIRTIO_MMIO_STATUS, 1, 1);
	bus_write(m, VIRTIO_MMIO_STATUS, 1, 2);
	bus_write(m, VIRTIO_MMIO_STATUS, 1, 8);
	bus_write(m, VIRTIO_MMIO_STATUS - 1, 0x100, 4);
	ok(reg_read(m, VIRTIO_MMIO_STATUS) == 0, "nor are they written otherwise");

	ok(bus_read(m, 0x100, 4) == 0x04030201 && bus_read(m, 0x102, 2) == 0x0403 &&
		   bus_read(m, 0x105, 1) == 6,
	   "config space in any size");
	ok(bus_read(m, 0x100, 8) == 0x060504030201 && bus_read(m, 0x104, 4) == 0x0605 &&
		   bus_read(m, 0x103, 4) == 0x060504,
	   "zeros behind the config space");
	ok(bus_read(m, 0x106, 4) == 0 && bus_read(m, 0x1f8, 8) == 0, "and nothing else there");
	bus_write(m, 0x100, 0, 8);
	ok(bus_read(m, 0x100, 4) == 0x04030201, "config space is read-only");
}

/* What [at, at + len) must read, if only config space has anything there. */
static bool config_reads(struct machine *m, uint64_t at, uint32_t len)
{
	static const uint8_t config[] = { 1, 2, 3, 4, 5, 6 };
	uint8_t data[16], wanted[16];

	memset(data, 0xa5, sizeof(data));
	memset(wanted, 0xa5, sizeof(wanted));
	memset(wanted, at + len > 0x200 ? 0xff : 0, len);
	for (uint32_t i = 0; i < len && at + len <= 0x200; i++) {
		if (at >= 0x100 && at + i - 0x100 < sizeof(config))
			wanted[i] = config[at + i - 0x100];
	}
	bus_access(&m->mmio, BASE + at, data, len, false);
	return !memcmp(data, wanted, sizeof(data));
}

/* Any offset and size, over the end of the range too: what is there, and not a byte more. */
static void test_odd_accesses(struct machine *m, struct virtio_dev *dev)
{
	uint8_t ones[8] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct virtio_state before = dev->st;
	unsigned int wrong = 0;

	for (uint64_t at = 0; at < 0x210; at++) {
		for (uint32_t len = 1; len <= 8; len++) {
			if (len == 4 && at % 4 == 0 && at < 0x100)
				continue;
			wrong += !config_reads(m, at, len);
			bus_access(&m->mmio, BASE + at, ones, len, true);
		}
	}
	ok(!wrong, "any offset and size reads what is there (%u don't)", wrong);
	ok(!memcmp(&before, &dev->st, sizeof(before)), "and writes nothing");
}

static void test_features(struct machine *m)
{
	uint64_t offered = driver_offered(m);

	ok(offered == (FEATURE(3) | FEATURE(VIRTIO_F_VERSION_1) |
		       FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | FEATURE(VIRTIO_RING_F_EVENT_IDX)),
	   "the device's features and the core's are offered");
	reg_write(m, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
	ok(reg_read(m, VIRTIO_MMIO_DEVICE_FEATURES) == 0, "no third word of features");
	ok(driver_negotiate(m, offered), "all of them are agreed on");
	ok(driver_negotiate(m, FEATURE(VIRTIO_F_VERSION_1)), "VERSION_1 alone is");
	ok(!driver_negotiate(m, FEATURE(3)), "without VERSION_1 there is no agreement");
	ok(!driver_negotiate(m, offered | FEATURE(VIRTIO_F_RING_PACKED)),
	   "nor with what was not offered");
	driver_ok(m);
	ok(!(reg_read(m, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_DRIVER_OK),
	   "no DRIVER_OK without FEATURES_OK");
	driver_negotiate(m, FEATURE(VIRTIO_F_VERSION_1));
	reg_write(m, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 7);
	reg_write(m, VIRTIO_MMIO_DRIVER_FEATURES, UINT32_MAX);
	reg_write(m, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	reg_write(m, VIRTIO_MMIO_DRIVER_FEATURES, UINT32_MAX);
	driver_ok(m);
	ok(status_has(m, VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FEATURES_OK),
	   "features don't change after FEATURES_OK");
	reg_write(m, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	ok(status_has(m, VIRTIO_CONFIG_S_DRIVER_OK), "only a reset takes bits away");
	reg_write(m, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_FAILED);
	ok(status_has(m, VIRTIO_CONFIG_S_FAILED), "a driver may give up");
	reg_write(m, VIRTIO_MMIO_STATUS, 0);
	ok(reg_read(m, VIRTIO_MMIO_STATUS) == 0, "and reset");
}

static void test_queue_registers(struct machine *m, struct virtio_dev *dev)
{
	const struct queue_state *q = &dev->st.queues[0];
	struct queue_state before;

	driver_negotiate(m, FEATURE(VIRTIO_F_VERSION_1));
	reg_write(m, VIRTIO_MMIO_QUEUE_SEL, 0);
	ok(reg_read(m, VIRTIO_MMIO_QUEUE_NUM_MAX) == SIZE, "the largest size");
	reg_write(m, VIRTIO_MMIO_QUEUE_DESC_HIGH, 0x12345678);
	reg_write(m, VIRTIO_MMIO_QUEUE_DESC_LOW, 0x9abcdef0);
	reg_write(m, VIRTIO_MMIO_QUEUE_AVAIL_LOW, 1);
	reg_write(m, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, 2);
	reg_write(m, VIRTIO_MMIO_QUEUE_USED_HIGH, 3);
	reg_write(m, VIRTIO_MMIO_QUEUE_USED_LOW, 4);
	ok(q->desc == 0x123456789abcdef0 && q->driver == 0x200000001 && q->device == 0x300000004,
	   "addresses are put together from halves");
	reg_write(m, VIRTIO_MMIO_QUEUE_NUM, 0x10000 + SIZE);
	ok(q->size == 0, "an impossible size is no size");
	driver_set_queue(m, 0, SIZE);
	before = *q;
	reg_write(m, VIRTIO_MMIO_QUEUE_DESC_LOW, 0);
	reg_write(m, VIRTIO_MMIO_QUEUE_NUM, 1);
	ok(!memcmp(&before, q, sizeof(before)), "a queue that is ready stays as it is");
	reg_write(m, VIRTIO_MMIO_QUEUE_READY, 0);
	ok(reg_read(m, VIRTIO_MMIO_QUEUE_READY) == 0, "before DRIVER_OK it can be taken back");
	reg_write(m, VIRTIO_MMIO_QUEUE_READY, 1);
	driver_ok(m);
	for (uint64_t offset = VIRTIO_MMIO_QUEUE_NUM; offset < VIRTIO_MMIO_CONFIG; offset += 4) {
		if (offset != VIRTIO_MMIO_STATUS)
			reg_write(m, offset, 0);
	}
	reg_write(m, VIRTIO_MMIO_QUEUE_SEL, 1);
	reg_write(m, VIRTIO_MMIO_QUEUE_NUM, 1);
	reg_write(m, VIRTIO_MMIO_QUEUE_DESC_HIGH, 1);
	reg_write(m, VIRTIO_MMIO_QUEUE_READY, 1);
	ok(!memcmp(&before, q, sizeof(before)) && !dev->st.queues[1].enabled &&
		   !dev->st.queues[1].desc && dev->st.queues[1].size == SIZE,
	   "after DRIVER_OK no queue changes");

	reg_write(m, VIRTIO_MMIO_STATUS, 0);
	for (uint64_t sel = 2; sel <= UINT32_MAX; sel = sel * 16 - 1) {
		reg_write(m, VIRTIO_MMIO_QUEUE_SEL, (uint32_t)sel);
		if (reg_read(m, VIRTIO_MMIO_QUEUE_NUM_MAX) || reg_read(m, VIRTIO_MMIO_QUEUE_READY))
			ok(false, "queue %llu does not exist", (unsigned long long)sel);
		reg_write(m, VIRTIO_MMIO_QUEUE_NUM, 1);
		reg_write(m, VIRTIO_MMIO_QUEUE_READY, 1);
		reg_write(m, VIRTIO_MMIO_QUEUE_USED_HIGH, 1);
		reg_write(m, VIRTIO_MMIO_QUEUE_NOTIFY, (uint32_t)sel);
	}
	ok(dev->st.queues[0].size == SIZE && !dev->st.queues[0].enabled &&
		   !dev->st.queues[1].enabled && !dev->st.queues[1].device,
	   "registers of queues that don't exist do nothing");
}

static bool interrupted(struct machine *m, uint32_t times)
{
	return atomic_load(&m->interrupts) >= times;
}

static void test_requests(struct machine *m, struct slow *slow)
{
	driver_start(m, 0, 2, SIZE);
	atomic_store(&m->interrupts, 0);
	driver_desc(m, 1, 0, DATA, 4, false, false);
	driver_offer(m, 1, SIZE, 0);
	driver_kick(m, 1);
	ok(driver_wait_used(m, 1, 1) && wait_until(interrupted, m, 1), "a request is served");
	ok(reg_read(m, VIRTIO_MMIO_INTERRUPT_STATUS) == VIRTIO_MMIO_INT_VRING, "and interrupts");
	reg_write(m, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	ok(reg_read(m, VIRTIO_MMIO_INTERRUPT_STATUS) == 0, "until acknowledged");
	ring_avail(m, 1)->flags = VRING_AVAIL_F_NO_INTERRUPT;
	driver_offer(m, 1, SIZE, 0);
	driver_kick(m, 1);
	driver_wait_used(m, 1, 2);
	slow->dev.device.ops->quiesce(&slow->dev.device);
	ok(atomic_load(&m->interrupts) == 1, "not, when the driver wants no interrupt");
	slow->dev.device.ops->resume(&slow->dev.device);

	for (unsigned int i = 0; i < 1000; i++) {
		driver_offer(m, 1, SIZE, 0);
		driver_kick(m, 1);
		if (!driver_wait_used(m, 1, (uint16_t)(3 + i))) {
			ok(false, "request %u of many is served", i);
			return;
		}
	}
	ok(true, "many requests are served");
}

static bool kicks_wanted(struct machine *m, uint32_t queue)
{
	return !__atomic_load_n(&ring_used(m, queue)->flags, __ATOMIC_ACQUIRE);
}

/* As many requests as one turn serves: the next one must look again, or kicks stay off for ever. */
static void test_full_queue(struct machine *m)
{
	struct virtio_dev *dev = machine_plug(m, &slow_type, NULL); /* a new one, never kicked */

	driver_negotiate(m, FEATURE(VIRTIO_F_VERSION_1));
	driver_set_queue(m, 0, SIZE);
	driver_desc(m, 0, 0, DATA, 4, false, false);
	for (int i = 0; i < SIZE; i++)
		driver_offer(m, 0, SIZE, 0);
	driver_ok(m);
	ok(driver_wait_used(m, 0, SIZE),
	   "a queue filled before DRIVER_OK is served without a kick");
	ok(wait_until(kicks_wanted, m, 0), "after which kicks are wanted again");
	device_unplug(dev);
}

static void test_config_change(struct machine *m, struct virtio_dev *dev)
{
	uint32_t generation;

	driver_negotiate(m, FEATURE(VIRTIO_F_VERSION_1));
	atomic_store(&m->interrupts, 0);
	generation = reg_read(m, VIRTIO_MMIO_CONFIG_GENERATION);
	virtio_config_changed(dev);
	ok(atomic_load(&m->interrupts) == 0 && !reg_read(m, VIRTIO_MMIO_INTERRUPT_STATUS),
	   "no interrupt before DRIVER_OK");
	driver_ok(m);
	virtio_config_changed(dev);
	ok(reg_read(m, VIRTIO_MMIO_INTERRUPT_STATUS) == VIRTIO_MMIO_INT_CONFIG &&
		   atomic_load(&m->interrupts) == 1,
	   "a configuration change interrupts");
	ok(reg_read(m, VIRTIO_MMIO_CONFIG_GENERATION) == generation + 2, "and counts generations");
}

static void test_needs_reset(struct machine *m, struct slow *slow)
{
	unsigned int served;

	driver_start(m, 0, 2, SIZE);
	atomic_store(&m->interrupts, 0);
	driver_desc(m, 0, 0, 0, 4, false, false); /* outside RAM */
	driver_offer(m, 0, SIZE, 0);
	driver_kick(m, 0);
	ok(driver_wait_status(m, VIRTIO_CONFIG_S_NEEDS_RESET), "a bad chain: needs reset");
	served = atomic_load(&slow->served);
	driver_desc(m, 1, 0, DATA, 4, false, false);
	driver_offer(m, 1, SIZE, 0);
	driver_kick(m, 1);
	driver_kick(m, 0);
	usleep(5000);
	slow->dev.device.ops->quiesce(&slow->dev.device);
	ok(reg_read(m, VIRTIO_MMIO_INTERRUPT_STATUS) == VIRTIO_MMIO_INT_CONFIG &&
		   atomic_load(&m->interrupts) == 1,
	   "with one configuration interrupt");
	ok(atomic_load(&slow->served) == served && used_idx(m, 1) == 0,
	   "and no other queue is served");
	slow->dev.device.ops->resume(&slow->dev.device);
	check_save_load(&slow->dev);
	ok(status_has(m, VIRTIO_CONFIG_S_NEEDS_RESET), "which survives save and load");
	driver_start(m, 0, 2, SIZE);
	driver_desc(m, 1, 0, DATA, 4, false, false);
	driver_offer(m, 1, SIZE, 0);
	driver_kick(m, 1);
	ok(driver_wait_used(m, 1, 1), "after a reset it works again");

	driver_negotiate(m, FEATURE(VIRTIO_F_VERSION_1));
	driver_set_queue(m, 0, 3);
	driver_ok(m);
	ok(status_has(m, VIRTIO_CONFIG_S_NEEDS_RESET), "a queue of size 3: needs reset");
	driver_negotiate(m, FEATURE(VIRTIO_F_VERSION_1));
	driver_set_queue(m, 0, SIZE);
	reg_write(m, VIRTIO_MMIO_QUEUE_READY, 0);
	reg_write(m, VIRTIO_MMIO_QUEUE_USED_HIGH, 1);
	reg_write(m, VIRTIO_MMIO_QUEUE_READY, 1);
	driver_ok(m);
	ok(status_has(m, VIRTIO_CONFIG_S_NEEDS_RESET), "a ring outside RAM: needs reset");
	reg_write(m, VIRTIO_MMIO_STATUS, 0);
}

/* Lets the request go on after a while. */
static void *release(void *opaque)
{
	struct slow *slow = opaque;

	usleep(20000);
	atomic_store(&slow->hold, false);
	return NULL;
}

static void test_reset_during_request(struct machine *m, struct slow *slow)
{
	unsigned int served = atomic_load(&slow->served), stopped = atomic_load(&slow->stopped);
	pthread_t thread;

	driver_start(m, 0, 2, SIZE);
	atomic_store(&slow->hold, true);
	driver_desc(m, 0, 0, DATA, 4, false, false);
	driver_offer(m, 0, SIZE, 0);
	driver_kick(m, 0);
	while (!atomic_load(&slow->serving))
		usleep(100);
	pthread_create(&thread, NULL, release, slow);
	reg_write(m, VIRTIO_MMIO_STATUS, 0);
	ok(atomic_load(&slow->served) == served + 1 && !atomic_load(&slow->serving) &&
		   used_idx(m, 0) == 1,
	   "a reset waits for the request that is being served");
	ok(atomic_load(&slow->stopped) == stopped + 2 && !atomic_load(&slow->stopped_while_serving),
	   "and stops each queue after it");
	pthread_join(thread, NULL);
	driver_offer(m, 0, SIZE, 0);
	driver_kick(m, 0);
	usleep(2000);
	ok(atomic_load(&slow->served) == served + 1, "after a reset nothing is served");
}

/* Once somebody waits for the queue. */
static void *release_when_stopping(void *opaque)
{
	struct slow *slow = opaque;

	for (int i = 0; i < 20 && !atomic_load(&slow->dev.stopping); i++)
		usleep(100000);
	atomic_store(&slow->hold, false);
	return NULL;
}

/*
 * A full queue of the longest requests: a reset, or the end of the VM, must not wait for them all.
 */
static void test_reset_of_full_queue(struct machine *m, struct slow *slow)
{
	unsigned int served = atomic_load(&slow->served);
	struct device *d = &slow->dev.device;
	pthread_t thread;

	driver_start(m, 0, 2, SIZE);
	atomic_store(&slow->hold, true);
	driver_desc(m, 0, 0, DATA, 4, false, false);
	for (int i = 0; i < SIZE; i++)
		driver_offer(m, 0, SIZE, 0);
	driver_kick(m, 0);
	while (!atomic_load(&slow->serving))
		usleep(100);
	pthread_create(&thread, NULL, release_when_stopping, slow);
	d->ops->quiesce(d);
	pthread_join(thread, NULL);
	ok(atomic_load(&slow->served) == served + 1 && used_idx(m, 0) == 1,
	   "of a full queue only the request that is being served is waited for (%u were)",
	   atomic_load(&slow->served) - served);
	d->ops->resume(d);
	ok(driver_wait_used(m, 0, SIZE), "the others are served after the pause");
}

/* As a reset does, but what was not taken yet stays in the queue. */
static void test_pause_during_request(struct machine *m, struct slow *slow)
{
	unsigned int served = atomic_load(&slow->served);
	struct device *d = &slow->dev.device;
	pthread_t thread;

	driver_start(m, 0, 2, SIZE);
	atomic_store(&slow->hold, true);
	driver_desc(m, 0, 0, DATA, 4, false, false);
	driver_offer(m, 0, SIZE, 0);
	driver_kick(m, 0);
	while (!atomic_load(&slow->serving))
		usleep(100);
	pthread_create(&thread, NULL, release, slow);
	d->ops->quiesce(d);
	ok(atomic_load(&slow->served) == served + 1 && !atomic_load(&slow->serving) &&
		   !atomic_load(&slow->stopped_while_serving) && used_idx(m, 0) == 1,
	   "a pause waits for the request that is being served");
	pthread_join(thread, NULL);
	driver_offer(m, 0, SIZE, 0);
	driver_kick(m, 0);
	usleep(2000);
	ok(atomic_load(&slow->served) == served + 1, "during a pause nothing is served");
	d->ops->resume(d);
	ok(driver_wait_used(m, 0, 2), "it is after the pause");
}

/* Other vCPUs that know of no reset. */
struct storm {
	struct machine *m;
	_Atomic bool stop;
};

static void *kick_on(void *opaque)
{
	struct storm *storm = opaque;

	for (uint32_t i = 0; !atomic_load(&storm->stop); i++) {
		driver_kick(storm->m, i % 4);
		reg_read(storm->m, VIRTIO_MMIO_INTERRUPT_STATUS);
		reg_write(storm->m, VIRTIO_MMIO_INTERRUPT_ACK, 1);
		bus_read(storm->m, 0x100, 4);
	}
	return NULL;
}

static void test_storm(struct machine *m)
{
	struct storm storm = { .m = m };
	unsigned int lost = 0;
	pthread_t threads[2];

	for (unsigned int i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_create(&threads[i], NULL, kick_on, &storm);
	for (unsigned int i = 0; i < 300; i++) {
		driver_start(m, i % 2 ? FEATURE(VIRTIO_RING_F_EVENT_IDX) : 0, 2, SIZE);
		driver_desc(m, 0, 0, DATA, 4, false, false);
		driver_offer(m, 0, SIZE, 0);
		driver_desc(m, 1, 0, DATA, 4, false, false);
		driver_offer(m, 1, SIZE, 0);
		if (i % 3)
			continue;
		driver_kick(m, 1);
		lost += !driver_wait_used(m, 1, 1);
	}
	atomic_store(&storm.stop, true);
	for (unsigned int i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	ok(!lost, "resets against kicks of other vCPUs (%u requests lost)", lost);
}

/* The state as core.c saves it: a change of one field at `offset`. */
static void test_impossible_states(struct machine *m, struct virtio_dev *dev)
{
	static const struct {
		const char *what;
		uint32_t offset, len;
		uint64_t value;
	} cases[] = {
		{ "features that are not offered", 0, 8, FEATURE(VIRTIO_F_VERSION_1) | 1 },
		{ "features without VERSION_1", 0, 8, 0 },
		{ "a status bit that a driver can't set", 8, 4, 0x4f },
		{ "DRIVER_OK without FEATURES_OK", 8, 4, 7 },
		{ "needs_reset 2", 12, 4, 2 },
		{ "interrupt bit 2", 16, 4, 4 },
		{ "another number of queues", 24, 4, 3 },
		{ "a queue size of 3", 28 + 24, 2, 3 },
		{ "a queue size above the largest", 28 + 24, 2, 16 },
		{ "a queue enabled twice", 28 + 26, 2, 2 },
	};
	struct device *d = &dev->device;
	struct buf buf = { 0 };

	driver_start(m, 0, 2, SIZE);
	d->ops->quiesce(d);
	d->ops->save(d, &buf);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct reader in;
		uint8_t copy[256];

		memcpy(copy, buf.data, buf.len);
		put_le(copy + cases[i].offset, cases[i].value, cases[i].len);
		in = (struct reader){ .p = copy, .left = buf.len };
		ok(d->ops->load(d, &in) == -EINVAL, "%s: refused", cases[i].what);
	}
	d->ops->resume(d);
	buf_free(&buf);
}

/* A state from another machine may name rings that this one's RAM has not. */
static void test_rings_elsewhere(struct machine *m, struct virtio_dev *dev)
{
	struct device *d = &dev->device;
	struct reader in;
	struct buf buf = { 0 };

	driver_start(m, 0, 2, SIZE);
	d->ops->quiesce(d);
	d->ops->save(d, &buf);
	put_le64(buf.data + 28, -16ull);
	in = (struct reader){ .p = buf.data, .left = buf.len };
	ok(!d->ops->load(d, &in), "rings outside RAM are loaded");
	d->ops->resume(d);
	ok(status_has(m, VIRTIO_CONFIG_S_NEEDS_RESET), "and need a reset when resumed");
	reg_write(m, VIRTIO_MMIO_STATUS, 0);
	buf_free(&buf);
}

static void test_restore(struct machine *m, struct virtio_dev *dev)
{
	unsigned int interrupts;

	driver_start(m, FEATURE(VIRTIO_RING_F_EVENT_IDX), 2, SIZE);
	driver_desc(m, 1, 0, DATA, 4, false, false);
	for (uint16_t i = 1; i <= SIZE + 3; i++) {
		driver_offer(m, 1, SIZE, 0);
		driver_kick(m, 1);
		driver_wait_used(m, 1, i);
	}
	dev->device.ops->quiesce(&dev->device);
	driver_offer(m, 1, SIZE, 0);
	driver_kick(m, 1);
	usleep(2000);
	ok(used_idx(m, 1) == SIZE + 3, "a quiesced device serves nothing");
	interrupts = atomic_load(&m->interrupts);
	check_save_load(dev);
	ok(driver_wait_used(m, 1, SIZE + 4), "a restored one goes on where it was");
	dev->device.ops->quiesce(&dev->device);
	ok(atomic_load(&m->interrupts) == interrupts,
	   "and does not tell again what it told before");
}

static unsigned int count_entries(const char *path)
{
	DIR *dir = opendir(path);
	unsigned int n = 0;

	while (dir && readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* A thread that was joined is seen there for a moment more: two looks shall agree. */
static unsigned int count_tasks(void)
{
	unsigned int before, now = count_entries("/proc/self/task");

	do {
		before = now;
		usleep(20000);
		now = count_entries("/proc/self/task");
	} while (now != before);
	return now;
}

/* Start-up time: what a guest does not use must cost nothing. */
static void test_unused(struct machine *m)
{
	const struct rng_config config = { .name = "rng" };
	struct virtio_dev *dev;
	unsigned int fds, tasks;

	loop_destroy(m->env.loop);
	m->env.loop = loop_create("loop");
	fds = count_entries("/proc/self/fd");
	tasks = count_tasks();
	dev = machine_plug(m, &virtio_rng_type, &config);
	driver_negotiate(m, FEATURE(VIRTIO_F_VERSION_1));
	driver_set_queue(m, 0, SIZE);
	ok(count_entries("/proc/self/fd") == fds && count_tasks() == tasks,
	   "before DRIVER_OK a device has neither fd nor thread");
	driver_ok(m);
	device_unplug(dev);
	loop_destroy(m->env.loop);
	m->env.loop = loop_create("loop");
	ok(count_entries("/proc/self/fd") == fds && count_tasks() == tasks,
	   "and leaves none behind");
}

static void test_plug(struct machine *m)
{
	struct virtio_dev *dev = machine_plug(m, &slow_type, NULL);
	struct irq_line irq = { 0 };
	struct device *second;
	struct err err;

	ok(dev->device.kind == DEVICE_VIRTIO_MMIO && dev->device.base == BASE &&
		   dev->device.size == VIRTIO_MMIO_SIZE && dev->device.irq.gsi == 5,
	   "a plugged device says where it is");
	if (slow_create(&m->env, NULL, &second, &err))
		return;
	ok(virtio_mmio_plug(virtio_from_device(second), BASE + 0x100, irq, &err) == -EEXIST,
	   "two can't have one place: %s", err.text);
	second->ops->destroy(second);
	device_unplug(dev);
	ok(bus_read(m, 0, 4) == UINT32_MAX, "an unplugged one answers no more");
}

static void test_rng(struct machine *m)
{
	const struct rng_config config = { .name = "rng" };
	struct virtio_dev *dev = machine_plug(m, &virtio_rng_type, &config);
	uint8_t *data = mem_at(&m->mem, DATA, 0x3000, MEM_W);
	unsigned int zeros = 0;

	ok(reg_read(m, VIRTIO_MMIO_DEVICE_ID) == VIRTIO_ID_RNG, "rng: its ID");
	driver_start(m, 0, 1, SIZE);
	driver_desc(m, 0, 0, DATA, 100, true, true);
	driver_desc(m, 0, 1, DATA + 0x1000, 100, true, false);
	machine_dirty_pages(m, true);
	driver_offer(m, 0, SIZE, 0);
	driver_kick(m, 0);
	ok(driver_wait_used(m, 0, 1) && ring_used(m, 0)->ring[0].len == 200, "rng: 200 bytes");
	for (unsigned int i = 0; i < 100; i++)
		zeros += !data[i] + !data[0x1000 + i];
	ok(zeros < 50 && !data[100] && !data[0x1000 + 100], "rng: random bytes where they belong");
	dev->device.ops->quiesce(&dev->device);
	ok(mem_test_dirty(&m->mem, DATA, false) && mem_test_dirty(&m->mem, DATA + 0x1000, false) &&
		   mem_test_dirty(&m->mem, RINGS(0) + USED_OFFSET, false) &&
		   machine_dirty_pages(m, true) == 3,
	   "rng: what it wrote is dirty, nothing else is");
	dev->device.ops->resume(&dev->device);

	driver_desc(m, 0, 0, DATA, 1 * MIB, true, false);
	driver_offer(m, 0, SIZE, 0);
	driver_kick(m, 0);
	ok(driver_wait_used(m, 0, 2) && ring_used(m, 0)->ring[1].len == 4096,
	   "rng: at most 4 KiB at a time");
	check_save_load(dev);
	driver_desc(m, 0, 0, DATA, 10, false, false);
	driver_offer(m, 0, SIZE, 0);
	driver_kick(m, 0);
	ok(driver_wait_status(m, VIRTIO_CONFIG_S_NEEDS_RESET),
	   "rng: no room to write: needs reset");
	device_unplug(dev);
}

int main(void)
{
	struct machine m;
	struct virtio_dev *dev;
	struct slow *slow;

	machine_set_up(&m, -1);
	test_plug(&m);
	test_rng(&m);
	test_unused(&m);
	test_full_queue(&m);

	dev = machine_plug(&m, &slow_type, NULL);
	slow = slow_of(dev);
	test_registers(&m);
	test_odd_accesses(&m, dev);
	test_features(&m);
	test_queue_registers(&m, dev);
	test_requests(&m, slow);
	test_config_change(&m, dev);
	test_needs_reset(&m, slow);
	test_reset_during_request(&m, slow);
	test_pause_during_request(&m, slow);
	test_reset_of_full_queue(&m, slow);
	test_storm(&m);
	test_impossible_states(&m, dev);
	test_rings_elsewhere(&m, dev);
	test_restore(&m, dev);
	device_unplug(dev);
	machine_tear_down(&m);
	return done_testing();
}
