/* SPDX-License-Identifier: MIT */
/*
 * The driver's side of virtio-mmio, for the tests of devices: a machine of nothing but RAM, a bus
 * and an interrupt line, and a driver that talks to a device as a guest does. It waits by polling,
 * for at most WAIT_MS.
 */
#ifndef TESTS_UNIT_DRIVER_H
#define TESTS_UNIT_DRIVER_H

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/tap.h"
#include "util/util.h"
#include "virtio/mmio.h"

#define RAM 0x40000000ull
#define RAM_SIZE (8 * MIB)
#define BASE 0xd0000000ull
#define WAIT_MS 10000

/* Each queue has 64 KiB for its rings, and there is room for data behind. */
#define RINGS(i) (RAM + 0x10000ull * (i))
#define AVAIL_OFFSET 0x2000
#define USED_OFFSET 0x4000
#define DATA (RAM + 1 * MIB)

struct machine {
	struct mem mem;
	struct bus mmio, pio;
	struct irq_chip chip;
	_Atomic unsigned int interrupts;
	struct log log;
	struct device_env env;
};

static inline void count_interrupt(struct irq_chip *chip, const struct irq_line *line)
{
	(void)line;
	atomic_fetch_add(&container_of(chip, struct machine, chip)->interrupts, 1);
}

/* `log_fd` -1: what it logs is dropped. */
static inline void machine_set_up(struct machine *m, int log_fd)
{
	memset(m, 0, sizeof(*m));
	m->chip = (struct irq_chip){ .lines = 8, .raise = count_interrupt };
	m->log = (struct log){ .fd = log_fd, .level = LOG_DEBUG, .name = "test" };
	m->env = (struct device_env){
		.mem = &m->mem, .mmio = &m->mmio, .pio = &m->pio, .chip = &m->chip, .log = &m->log
	};
	m->env.loop = loop_create("loop");
	if (!m->env.loop || bus_init(&m->mmio) || bus_init(&m->pio) ||
	    mem_create(&m->mem, MEM_ANON, -1, RAM_SIZE, NULL) ||
	    mem_add_slot(&m->mem, RAM, 0, RAM_SIZE)) {
		printf("Bail out! no machine\n");
		exit(1);
	}
}

static inline void machine_tear_down(struct machine *m)
{
	loop_destroy(m->env.loop);
	bus_destroy(&m->mmio);
	bus_destroy(&m->pio);
	mem_destroy(&m->mem);
}

static inline struct virtio_dev *machine_plug(struct machine *m, const struct device_type *type,
					      const void *config)
{
	struct irq_line irq = { .chip = &m->chip, .gsi = 5, .trigger = IRQ_EDGE };
	struct device *device;
	struct err err = { "" };

	if (type->create(&m->env, config, &device, &err) ||
	    virtio_mmio_plug(virtio_from_device(device), BASE, irq, &err)) {
		printf("Bail out! %s\n", err.text);
		exit(1);
	}
	return virtio_from_device(device);
}

static inline void device_unplug(struct virtio_dev *dev)
{
	dev->device.ops->quiesce(&dev->device);
	dev->device.ops->destroy(&dev->device);
}

static inline uint64_t bus_read(struct machine *m, uint64_t offset, uint32_t len)
{
	uint8_t data[8];

	bus_access(&m->mmio, BASE + offset, data, len, false);
	return get_le(data, len);
}

static inline void bus_write(struct machine *m, uint64_t offset, uint64_t value, uint32_t len)
{
	uint8_t data[8];

	put_le(data, value, len);
	bus_access(&m->mmio, BASE + offset, data, len, true);
}

static inline uint32_t reg_read(struct machine *m, uint64_t offset)
{
	return (uint32_t)bus_read(m, offset, 4);
}

static inline void reg_write(struct machine *m, uint64_t offset, uint32_t value)
{
	bus_write(m, offset, value, 4);
}

static inline uint64_t driver_offered(struct machine *m)
{
	uint64_t low;

	reg_write(m, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	low = reg_read(m, VIRTIO_MMIO_DEVICE_FEATURES);
	reg_write(m, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	return low | (uint64_t)reg_read(m, VIRTIO_MMIO_DEVICE_FEATURES) << 32;
}

/* Resets the device and negotiates; true when it agreed. */
static inline bool driver_negotiate(struct machine *m, uint64_t features)
{
	uint32_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;

	reg_write(m, VIRTIO_MMIO_STATUS, 0);
	reg_write(m, VIRTIO_MMIO_STATUS, status);
	reg_write(m, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	reg_write(m, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)features);
	reg_write(m, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	reg_write(m, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32));
	reg_write(m, VIRTIO_MMIO_STATUS, status | VIRTIO_CONFIG_S_FEATURES_OK);
	return reg_read(m, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_FEATURES_OK;
}

static inline struct vring_desc *ring_desc(struct machine *m, unsigned int i)
{
	return mem_at(&m->mem, RINGS(i), 0x1000, MEM_W);
}

static inline struct vring_avail *ring_avail(struct machine *m, unsigned int i)
{
	return mem_at(&m->mem, RINGS(i) + AVAIL_OFFSET, 0x1000, MEM_W);
}

static inline struct vring_used *ring_used(struct machine *m, unsigned int i)
{
	return mem_at(&m->mem, RINGS(i) + USED_OFFSET, 0x1000, MEM_W);
}

static inline void driver_set_queue(struct machine *m, unsigned int i, uint32_t size)
{
	memset(mem_at(&m->mem, RINGS(i), 0x10000, MEM_W), 0, 0x10000);
	reg_write(m, VIRTIO_MMIO_QUEUE_SEL, i);
	reg_write(m, VIRTIO_MMIO_QUEUE_NUM, size);
	reg_write(m, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)RINGS(i));
	reg_write(m, VIRTIO_MMIO_QUEUE_DESC_HIGH, 0);
	reg_write(m, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)RINGS(i) + AVAIL_OFFSET);
	reg_write(m, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, 0);
	reg_write(m, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)RINGS(i) + USED_OFFSET);
	reg_write(m, VIRTIO_MMIO_QUEUE_USED_HIGH, 0);
	reg_write(m, VIRTIO_MMIO_QUEUE_READY, 1);
}

static inline void driver_ok(struct machine *m)
{
	reg_write(m, VIRTIO_MMIO_STATUS,
		  reg_read(m, VIRTIO_MMIO_STATUS) | VIRTIO_CONFIG_S_DRIVER_OK);
}

/* From reset to DRIVER_OK, with VERSION_1 and `features`, all queues of `size` entries. */
static inline void driver_start(struct machine *m, uint64_t features, unsigned int n_queues,
				uint32_t size)
{
	if (!driver_negotiate(m, features | FEATURE(VIRTIO_F_VERSION_1)))
		ok(false, "features are agreed on");
	for (unsigned int i = 0; i < n_queues; i++)
		driver_set_queue(m, i, size);
	driver_ok(m);
}

/* Puts descriptor `at` into queue `i`: chained to the next one if there are more. */
static inline void driver_desc(struct machine *m, unsigned int i, uint16_t at, uint64_t addr,
			       uint32_t len, bool is_in, bool more)
{
	ring_desc(m, i)[at] = (struct vring_desc){
		.addr = addr,
		.len = len,
		.flags = (is_in ? VRING_DESC_F_WRITE : 0) | (more ? VRING_DESC_F_NEXT : 0),
		.next = at + 1,
	};
}

static inline void driver_offer(struct machine *m, unsigned int i, uint32_t size, uint16_t head)
{
	struct vring_avail *avail = ring_avail(m, i);

	avail->ring[avail->idx % size] = head;
	__atomic_store_n(&avail->idx, avail->idx + 1, __ATOMIC_SEQ_CST);
}

static inline void driver_kick(struct machine *m, unsigned int i)
{
	reg_write(m, VIRTIO_MMIO_QUEUE_NOTIFY, i);
}

/* Waits until `done` says so. */
static inline bool wait_until(bool (*done)(struct machine *m, uint32_t arg), struct machine *m,
			      uint32_t arg)
{
	for (int i = 0; i < WAIT_MS * 10; i++) {
		if (done(m, arg))
			return true;
		usleep(100);
	}
	return false;
}

/* How many requests queue `i` has given back, since it was set up. */
static inline uint16_t used_idx(struct machine *m, unsigned int i)
{
	return __atomic_load_n(&ring_used(m, i)->idx, __ATOMIC_ACQUIRE);
}

static inline bool used_reached(struct machine *m, uint32_t arg)
{
	return (int16_t)(used_idx(m, arg >> 16) - (uint16_t)arg) >= 0;
}

/* Has queue `i` given back `count` requests or more, since it was set up? */
static inline bool driver_wait_used(struct machine *m, unsigned int i, uint16_t count)
{
	return wait_until(used_reached, m, i << 16 | count);
}

static inline bool status_has(struct machine *m, uint32_t bits)
{
	return (reg_read(m, VIRTIO_MMIO_STATUS) & bits) == bits;
}

static inline bool driver_wait_status(struct machine *m, uint32_t bits)
{
	return wait_until(status_has, m, bits);
}

/* Marks all RAM clean, and says how many of its pages aren't. */
static inline unsigned int machine_dirty_pages(struct machine *m, bool clear)
{
	unsigned int n = 0;

	for (uint64_t at = 0; at < RAM_SIZE; at += MEM_PAGE)
		n += mem_test_dirty(&m->mem, RAM + at, clear);
	return n;
}

/*
 * Saves, resets, loads and saves a device: are both the same, and does it refuse what is cut short?
 */
static inline void check_save_load(struct virtio_dev *dev)
{
	struct device *d = &dev->device;
	struct buf first = { 0 }, second = { 0 };
	struct reader in;
	bool refused = true;

	d->ops->quiesce(d);
	d->ops->save(d, &first);
	for (size_t len = 0; len < first.len; len++) {
		in = (struct reader){ .p = first.data, .left = len };
		refused &= d->ops->load(d, &in) < 0;
	}
	ok(refused, "%s refuses a state cut short anywhere", d->name);
	d->ops->save(d, &second);
	ok(first.len == second.len && !memcmp(first.data, second.data, first.len),
	   "and has applied nothing of it");
	d->ops->reset(d);
	in = (struct reader){ .p = first.data, .left = first.len };
	ok(!d->ops->load(d, &in) && !in.left && !in.failed, "%s loads what it saved", d->name);
	second.len = 0;
	d->ops->save(d, &second);
	ok(first.len == second.len && !memcmp(first.data, second.data, first.len),
	   "and saves the same again");
	d->ops->resume(d);
	buf_free(&first);
	buf_free(&second);
}

#endif
