/* SPDX-License-Identifier: MIT */
/* virtio/balloon, as a driver sees it, and a host that asks; and as a driver that lies. */
#include "virtio/balloon.h"

#include <errno.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_ids.h>
#include <stddef.h>

#include "tests/unit/driver.h"

#define SIZE 16
#define INFLATE 0
#define DEFLATE 1
#define STATS 2
#define HINTS 3
#define REPORTS 4
#define ALL                                                                              \
	(FEATURE(VIRTIO_BALLOON_F_STATS_VQ) | FEATURE(VIRTIO_BALLOON_F_DEFLATE_ON_OOM) | \
	 FEATURE(VIRTIO_BALLOON_F_FREE_PAGE_HINT) | FEATURE(VIRTIO_BALLOON_F_REPORTING))
#define POISON FEATURE(VIRTIO_BALLOON_F_PAGE_POISON)

#define NUM_PAGES 0x100
#define ACTUAL 0x104
#define CMD_ID 0x108
#define POISON_VAL 0x10c

/* What the driver tells lies at DATA, what it gives away from here on. */
#define PAGES (RAM + 2 * MIB)
#define N_PAGES 32
#define PFN(n) ((uint32_t)((PAGES >> 12) + (n)))

static void fill(struct machine *m)
{
	for (unsigned int i = 0; i < N_PAGES; i++)
		memset(mem_at(&m->mem, PAGES + i * MEM_PAGE, MEM_PAGE, MEM_W), 'a' + (int)i % 26,
		       MEM_PAGE);
	machine_dirty_pages(m, true);
}

/* Bit n: page n was discarded, and is dirty; all others are as they were. ~0: neither. */
static uint32_t gone(struct machine *m)
{
	uint32_t map = 0;

	for (unsigned int i = 0; i < N_PAGES; i++) {
		const uint8_t *p = mem_at(&m->mem, PAGES + i * MEM_PAGE, MEM_PAGE, MEM_R);
		bool zero = !p[0];

		for (unsigned int at = 0; at < MEM_PAGE; at++) {
			if (p[at] != (zero ? 0 : 'a' + i % 26))
				return ~0u;
		}
		if (zero != mem_test_dirty(&m->mem, PAGES + i * MEM_PAGE, false))
			return ~0u;
		map |= (uint32_t)zero << i;
	}
	return map;
}

/* Offers the chain at 0 of queue `i`, waits, and says whether it came back with nothing written. */
static bool run(struct machine *m, unsigned int i)
{
	uint16_t n = ring_avail(m, i)->idx;

	driver_offer(m, i, SIZE, 0);
	driver_kick(m, i);
	return driver_wait_used(m, i, n + 1) && ring_used(m, i)->ring[n % SIZE].id == 0 &&
	       ring_used(m, i)->ring[n % SIZE].len == 0;
}

static bool give(struct machine *m, unsigned int queue, const uint32_t *pfns, uint32_t n)
{
	memcpy(mem_at(&m->mem, DATA, n * 4, MEM_W), pfns, n * 4);
	driver_desc(m, queue, 0, DATA, n * 4, false, false);
	return run(m, queue);
}

#define GIVE(queue, ...)                                 \
	({                                               \
		const uint32_t pfns[] = { __VA_ARGS__ }; \
		fill(m);                                 \
		give(m, queue, pfns, ARRAY_SIZE(pfns));  \
	})

static void test_config(struct machine *m, struct virtio_dev *dev)
{
	struct balloon_info info;
	unsigned int interrupts;
	uint32_t generation;

	ok(reg_read(m, VIRTIO_MMIO_DEVICE_ID) == VIRTIO_ID_BALLOON, "its ID");
	ok((driver_offered(m) & 0xff) == (ALL | POISON), "its features");
	ok(bus_read(m, NUM_PAGES, 4) == 3, "the target from the start, in pages");
	driver_start(m, ALL, 5, SIZE);
	bus_write(m, NUM_PAGES, 99, 4);
	bus_write(m, CMD_ID, 99, 4);
	bus_write(m, POISON_VAL, 99, 4);
	ok(bus_read(m, NUM_PAGES, 4) == 3 && !bus_read(m, CMD_ID, 4) && !bus_read(m, POISON_VAL, 4),
	   "what is not the driver's can't be written");
	bus_write(m, ACTUAL, 0x01020304, 4);
	bus_write(m, ACTUAL + 1, 5, 1);
	balloon_get_info(&dev->device, &info);
	ok(bus_read(m, ACTUAL, 4) == 0x01020504 && info.actual == 0x01020504ull * 4096 &&
		   info.target == 3 * 4096,
	   "what the driver has given is known");
	generation = reg_read(m, VIRTIO_MMIO_CONFIG_GENERATION);
	interrupts = atomic_load(&m->interrupts);
	balloon_set_target(&dev->device, 5 * 4096 + 4095);
	ok(bus_read(m, NUM_PAGES, 4) == 5 && atomic_load(&m->interrupts) == interrupts + 1 &&
		   reg_read(m, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_CONFIG &&
		   reg_read(m, VIRTIO_MMIO_CONFIG_GENERATION) != generation,
	   "the driver is told of another target");
	balloon_set_target(&dev->device, 5 * 4096);
	ok(atomic_load(&m->interrupts) == interrupts + 1, "but not of the same");
	balloon_set_target(&dev->device, UINT64_MAX);
	ok(bus_read(m, NUM_PAGES, 4) == UINT32_MAX, "the largest target is all that can be told");
	driver_start(m, ALL | POISON, 5, SIZE);
	bus_write(m, POISON_VAL, 0xaaaaaaaa, 4);
	ok(bus_read(m, POISON_VAL, 4) == 0xaaaaaaaa && !bus_read(m, ACTUAL, 4) &&
		   bus_read(m, NUM_PAGES, 4) == UINT32_MAX,
	   "a reset forgets the driver's, and keeps the host's");
	driver_start(m, ALL, 5, SIZE);
}

static void test_inflate(struct machine *m)
{
	ok(GIVE(INFLATE, PFN(1), PFN(2), PFN(3)) && gone(m) == 0xe, "pages upwards");
	ok(GIVE(INFLATE, PFN(3), PFN(2), PFN(1), PFN(0)) && gone(m) == 0xf, "downwards");
	ok(GIVE(INFLATE, PFN(9), PFN(0), PFN(4), PFN(5), PFN(3), PFN(2), PFN(9), PFN(9)) &&
		   gone(m) == 0x23d,
	   "in any order, and twice");
	ok(GIVE(DEFLATE, PFN(1), PFN(2)) && !gone(m), "a page that is taken back stays");
	ok(GIVE(INFLATE, PFN(1)) && GIVE(INFLATE, PFN(1)) && gone(m) == 2, "and can go again");
}

/* The numbers in pieces of any length, in an indirect table, with something left over. */
static void test_framing(struct machine *m)
{
	uint32_t pfns[] = { PFN(4), PFN(5), PFN(20), PFN(30) };
	struct vring_desc *table = mem_at(&m->mem, DATA + 0x1000, 64, MEM_W);

	driver_start(m, ALL | FEATURE(VIRTIO_RING_F_INDIRECT_DESC), 5, SIZE);
	fill(m);
	memcpy(mem_at(&m->mem, DATA, sizeof(pfns), MEM_W), pfns, sizeof(pfns));
	driver_desc(m, INFLATE, 0, DATA, 1, false, true);
	driver_desc(m, INFLATE, 1, DATA + 1, 6, false, true);
	driver_desc(m, INFLATE, 2, DATA + 7, 8, false, false);
	ok(run(m, INFLATE) && gone(m) == (1u << 4 | 1u << 5 | 1u << 20),
	   "numbers cut in any way; the one that is cut short is none");
	table[0] = (struct vring_desc){
		.addr = DATA + 12, .len = 4, .flags = VRING_DESC_F_NEXT, .next = 1
	};
	table[1] = (struct vring_desc){ .addr = DATA + 0x2000,
					.len = 64,
					.flags = VRING_DESC_F_WRITE };
	memset(mem_at(&m->mem, DATA + 0x2000, 64, MEM_W), 'w', 64);
	ring_desc(m, INFLATE)[0] = (struct vring_desc){ .addr = DATA + 0x1000,
							.len = 32,
							.flags = VRING_DESC_F_INDIRECT };
	ok(run(m, INFLATE) && gone(m) == (1u << 4 | 1u << 5 | 1u << 20 | 1u << 30) &&
		   *(char *)mem_at(&m->mem, DATA + 0x2000, 1, MEM_R) == 'w',
	   "by an indirect table; and what is writable is not written to");
	driver_desc(m, INFLATE, 0, DATA, 64, true, false);
	ok(run(m, INFLATE), "no numbers at all");
}

static void test_no_ram(struct machine *m, int log_fd)
{
	const uint32_t end = (uint32_t)((RAM + RAM_SIZE) >> 12);
	char text[1024] = "";
	off_t logged = lseek(log_fd, 0, SEEK_END);

	ok(GIVE(INFLATE, 0, 0xd0000, end, UINT32_MAX, (RAM >> 12) - 1, PFN(1), UINT32_MAX, 0, 1,
		UINT32_MAX - 1, UINT32_MAX) &&
		   gone(m) == 2,
	   "pages that are no RAM are left alone, the others are taken");
	if (pread(log_fd, text, sizeof(text) - 1, logged) < 0)
		text[0] = 0;
	ok(strstr(text, "balloon: 4 KiB at 0xd0000000 are not taken"), "the log says: %.*s",
	   (int)strcspn(text, "\n"), text);
	fill(m);
	memset(mem_at(&m->mem, RAM + RAM_SIZE - MEM_PAGE, MEM_PAGE, MEM_W), 'e', MEM_PAGE);
	ok(give(m, INFLATE, (const uint32_t[]){ end - 1, end, end + 1 }, 3) &&
		   *(char *)mem_at(&m->mem, RAM + RAM_SIZE - 1, 1, MEM_R) == 'e',
	   "nor a run that leaves it");
	ok(!(reg_read(m, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET), "the device lives");
	logged = lseek(log_fd, 0, SEEK_END);
	for (unsigned int i = 0; i < 1000; i++)
		GIVE(INFLATE, UINT32_MAX);
	ok(lseek(log_fd, 0, SEEK_END) - logged < 4096, "a thousand more are no thousand lines");
}

/*
 * One page's number, 25 million times over, in one request: neither the loop nor a reset waits for
 * that.
 */
static void nothing(void *opaque)
{
	*(bool *)opaque = true;
}

static void offer_many(struct machine *m, unsigned int queue, bool is_in)
{
	uint32_t *pfns = mem_at(&m->mem, PAGES, 6 * MIB, MEM_W);

	for (unsigned int i = 0; i < 6 * MIB / 4; i++)
		pfns[i] = (uint32_t)(DATA >> 12);
	for (uint16_t i = 0; i < SIZE; i++)
		driver_desc(m, queue, i, PAGES, 6 * MIB, is_in, i + 1 < SIZE);
	for (unsigned int i = 0; i < SIZE; i++)
		driver_offer(m, queue, SIZE, 0);
	driver_kick(m, queue);
}

static void test_many(struct machine *m, struct virtio_dev *dev)
{
	bool called = false;
	struct buf saved = { 0 };

	offer_many(m, INFLATE, false);
	usleep(1000);
	loop_call(m->env.loop, nothing, &called);
	ok(called && !used_idx(m, INFLATE), "the loop does other things meanwhile");
	dev->device.ops->quiesce(&dev->device);
	dev->device.ops->save(&dev->device, &saved);
	ok(!used_idx(m, INFLATE) && !dev->st.queues[INFLATE].next_avail,
	   "a request that is half done has not been taken, for who saves it");
	buf_free(&saved);
	dev->device.ops->resume(&dev->device);
	usleep(1000);
	reg_write(m, VIRTIO_MMIO_STATUS, 0);
	ok(!used_idx(m, INFLATE), "nor does a reset wait for it");
	driver_start(m, ALL, 5, SIZE);
	offer_many(m, REPORTS, true);
	ok(driver_wait_used(m, REPORTS, SIZE), "1.5 GiB of reports in turns");
	driver_start(m, ALL, 5, SIZE);
}

/* ---- Reports ---- */

static void test_reports(struct machine *m)
{
	fill(m);
	driver_desc(m, REPORTS, 0, PAGES + 4 * MEM_PAGE, 2 * MEM_PAGE, true, true);
	driver_desc(m, REPORTS, 1, PAGES + 8 * MEM_PAGE, MEM_PAGE, true, false);
	ok(run(m, REPORTS) && gone(m) == 0x130, "two ranges are reported");
	fill(m);
	driver_desc(m, REPORTS, 0, PAGES + 1, MEM_PAGE, true, true);
	driver_desc(m, REPORTS, 1, PAGES + 3 * MEM_PAGE - 1, MEM_PAGE + 2, true, true);
	driver_desc(m, REPORTS, 2, PAGES + 6 * MEM_PAGE, MEM_PAGE - 1, true, false);
	ok(run(m, REPORTS) && gone(m) == 8, "of ranges that are no pages, what is a page");
	fill(m);
	driver_desc(m, REPORTS, 0, PAGES, MEM_PAGE, false, true);
	driver_desc(m, REPORTS, 1, PAGES + MEM_PAGE, MEM_PAGE, true, false);
	ok(run(m, REPORTS) && gone(m) == 2, "what is to be read is no report");
	driver_desc(m, REPORTS, 0, RAM + RAM_SIZE - MEM_PAGE, 2 * MEM_PAGE, true, false);
	driver_offer(m, REPORTS, SIZE, 0);
	driver_kick(m, REPORTS);
	ok(driver_wait_status(m, VIRTIO_CONFIG_S_NEEDS_RESET), "past RAM: needs reset");
	driver_start(m, ALL, 5, SIZE);
}

/* A chain as long as the ring, and one that is longer; and the rings themselves. */
static void test_odd_reports(struct machine *m)
{
	fill(m);
	for (uint16_t i = 0; i < SIZE; i++)
		driver_desc(m, REPORTS, i, PAGES + i * MEM_PAGE, MEM_PAGE, true, i + 1 < SIZE);
	ok(run(m, REPORTS) && gone(m) == 0xffff, "as many ranges as the ring has room for");
	ring_desc(m, REPORTS)[SIZE - 1].flags |= VRING_DESC_F_NEXT;
	ring_desc(m, REPORTS)[SIZE - 1].next = 0;
	driver_offer(m, REPORTS, SIZE, 0);
	driver_kick(m, REPORTS);
	ok(driver_wait_status(m, VIRTIO_CONFIG_S_NEEDS_RESET), "and one more: needs reset");
	driver_start(m, ALL, 5, SIZE);
	driver_desc(m, REPORTS, 0, RAM, MIB, true, false);
	driver_offer(m, REPORTS, SIZE, 0);
	driver_kick(m, REPORTS);
	ok(driver_wait_status(m, VIRTIO_CONFIG_S_NEEDS_RESET) || used_idx(m, REPORTS) == 1,
	   "its own rings: what comes of it is the guest's affair");
	driver_start(m, ALL, 5, SIZE);
	ok(GIVE(INFLATE, PFN(7)) && gone(m) == 0x80, "and a reset mends it");
}

static void test_poison(struct machine *m)
{
	driver_start(m, ALL | POISON, 5, SIZE);
	driver_desc(m, REPORTS, 0, PAGES, MEM_PAGE, true, false);
	fill(m);
	ok(run(m, REPORTS) && gone(m) == 1, "pages that are poisoned by zeros may be zeros");
	driver_start(m, ALL | POISON, 5, SIZE);
	bus_write(m, POISON_VAL, 'a' * 0x01010101u, 4);
	driver_desc(m, REPORTS, 0, PAGES, MEM_PAGE, true, false);
	fill(m);
	ok(run(m, REPORTS) && !gone(m), "pages that are by something else are kept");
	ok(GIVE(INFLATE, PFN(3)) && gone(m) == 8, "but not those of the balloon");
	driver_start(m, ALL, 5, SIZE);
}

/* ---- Statistics ---- */

static void put_stat(struct machine *m, unsigned int at, uint16_t tag, uint64_t value)
{
	struct virtio_balloon_stat stat = { .tag = tag, .val = value };

	memcpy(mem_at(&m->mem, DATA + at * sizeof(stat), sizeof(stat), MEM_W), &stat, sizeof(stat));
}

/* Waits until the driver's statistics have arrived so many times. */
static struct balloon_info told(struct virtio_dev *dev, uint64_t times)
{
	struct balloon_info info;

	for (unsigned int i = 0; i < 100000; i++) {
		balloon_get_info(&dev->device, &info);
		if (info.told >= times)
			break;
		usleep(100);
	}
	if (info.told != times)
		ok(false, "told %llu times, not %llu", (unsigned long long)info.told,
		   (unsigned long long)times);
	return info;
}

static void tell(struct machine *m, uint32_t len)
{
	driver_desc(m, STATS, 0, DATA, len, false, false);
	driver_offer(m, STATS, SIZE, 0);
	driver_kick(m, STATS);
}

static void test_stats(struct machine *m, struct virtio_dev *dev)
{
	struct balloon_info info;

	driver_negotiate(m, FEATURE(VIRTIO_F_VERSION_1));
	ok(balloon_ask_stats(&dev->device) == -ENOTSUP, "no driver, no statistics");
	driver_start(m, ALL, 5, SIZE);
	ok(!balloon_ask_stats(&dev->device), "asked for before there are any");
	put_stat(m, 0, VIRTIO_BALLOON_S_MEMFREE, 1234567);
	put_stat(m, 1, 15, UINT64_MAX);
	put_stat(m, 2, 16, 3);
	put_stat(m, 3, UINT16_MAX, 4);
	tell(m, 40);
	info = told(dev, 1);
	ok(info.known == (1u << VIRTIO_BALLOON_S_MEMFREE | 1u << 15) &&
		   info.stats[VIRTIO_BALLOON_S_MEMFREE] == 1234567 && info.stats[15] == UINT64_MAX,
	   "the first are there, and unknown ones are not");
	usleep(20000);
	ok(!used_idx(m, STATS), "the buffer is kept");
	ok(!balloon_ask_stats(&dev->device) && driver_wait_used(m, STATS, 1) &&
		   ring_used(m, STATS)->ring[0].len == 0,
	   "and given back when they are asked for");
	put_stat(m, 0, VIRTIO_BALLOON_S_MEMFREE, 7);
	tell(m, 19);
	info = told(dev, 2);
	ok(info.known == 1u << VIRTIO_BALLOON_S_MEMFREE &&
		   info.stats[VIRTIO_BALLOON_S_MEMFREE] == 7,
	   "new ones; one that is cut short is none");
	tell(m, 9);
	info = told(dev, 3);
	ok(!info.known && driver_wait_used(m, STATS, 2),
	   "one buffer more than the driver may have");
	tell(m, 6 * MIB);
	told(dev, 4);
	ok(driver_wait_used(m, STATS, 3), "one of 6 MiB does no harm");
	driver_desc(m, STATS, 0, DATA, 40, true, false);
	driver_offer(m, STATS, SIZE, 0);
	driver_kick(m, STATS);
	ok(!told(dev, 5).known && driver_wait_used(m, STATS, 4), "nor one that can't be read");
}

/* The buffer that waits is not lost when the device rests, is saved, and loaded. */
static void test_stats_saved(struct machine *m, struct virtio_dev *dev)
{
	uint16_t used;

	driver_start(m, ALL, 5, SIZE);
	put_stat(m, 0, VIRTIO_BALLOON_S_MEMFREE, 42);
	tell(m, 10);
	told(dev, 1);
	dev->device.ops->quiesce(&dev->device);
	ok(dev->st.queues[STATS].next_avail == 0 && balloon_ask_stats(&dev->device) == -ENOTSUP,
	   "a device at rest has not taken the buffer");
	dev->device.ops->resume(&dev->device);
	ok(told(dev, 2).stats[VIRTIO_BALLOON_S_MEMFREE] == 42, "it is read again afterwards");
	check_save_load(dev);
	ok(told(dev, 1).stats[VIRTIO_BALLOON_S_MEMFREE] == 42, "and after a restore");
	used = used_idx(m, STATS);
	ok(!used && !balloon_ask_stats(&dev->device) && driver_wait_used(m, STATS, 1),
	   "and is given back once");
	ok(bus_read(m, NUM_PAGES, 4) == UINT32_MAX, "the target is still the same");
}

/* ---- Hints ---- */

struct seen {
	pthread_mutex_t lock;
	unsigned int ranges, ends;
	uint64_t first, bytes;
};

static void see(void *opaque, uint64_t gpa, uint64_t len)
{
	struct seen *s = opaque;

	pthread_mutex_lock(&s->lock);
	if (!s->ranges++)
		s->first = gpa;
	s->bytes += len;
	pthread_mutex_unlock(&s->lock);
}

static void see_end(void *opaque)
{
	struct seen *s = opaque;

	pthread_mutex_lock(&s->lock);
	s->ends++;
	pthread_mutex_unlock(&s->lock);
}

static bool saw(struct seen *s, unsigned int ranges, uint64_t bytes, unsigned int ends)
{
	bool so;

	pthread_mutex_lock(&s->lock);
	so = s->ranges == ranges && s->bytes == bytes && s->ends == ends;
	pthread_mutex_unlock(&s->lock);
	return so;
}

static bool command(struct machine *m, uint32_t id)
{
	memcpy(mem_at(&m->mem, DATA, 4, MEM_W), &id, 4);
	driver_desc(m, HINTS, 0, DATA, 4, false, false);
	return run(m, HINTS);
}

static bool name(struct machine *m, uint64_t gpa, uint32_t len)
{
	driver_desc(m, HINTS, 0, gpa, len, true, false);
	return run(m, HINTS);
}

static void test_hints(struct machine *m, struct virtio_dev *dev)
{
	struct seen s = { .lock = PTHREAD_MUTEX_INITIALIZER };
	const struct balloon_hints hints = { see, see_end, &s };
	struct device *d = &dev->device;
	uint32_t id;

	driver_start(m, FEATURE(VIRTIO_BALLOON_F_REPORTING), 5, SIZE);
	ok(balloon_start_hints(d, &hints) == -ENOTSUP, "a driver that gives no hints");
	driver_start(m, ALL, 5, SIZE);
	reg_write(m, VIRTIO_MMIO_INTERRUPT_ACK, 3);
	fill(m);
	ok(command(m, 2) && name(m, PAGES, MEM_PAGE) && saw(&s, 0, 0, 0), "nobody asked");
	ok(!balloon_start_hints(d, &hints) && balloon_start_hints(d, &hints) == -EBUSY,
	   "hinting starts, once");
	id = (uint32_t)bus_read(m, CMD_ID, 4);
	ok(id >= 2 && reg_read(m, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_CONFIG,
	   "the driver is told, by command %u", id);
	ok(command(m, 0) && name(m, PAGES, MEM_PAGE) && command(m, id + 1) &&
		   name(m, PAGES, MEM_PAGE) && saw(&s, 0, 0, 0),
	   "answers to other commands are none to this one");
	ok(command(m, id) && name(m, PAGES + MEM_PAGE, 2 * MEM_PAGE) && name(m, PAGES + 1, 4096) &&
		   name(m, PAGES + 4095, 4098) && saw(&s, 2, 3 * MEM_PAGE, 0) &&
		   s.first == PAGES + MEM_PAGE,
	   "whole pages that are free");
	ok(command(m, 0) && saw(&s, 2, 3 * MEM_PAGE, 1) && name(m, PAGES, MEM_PAGE) &&
		   command(m, id) && name(m, PAGES, MEM_PAGE) && command(m, 0) &&
		   saw(&s, 2, 3 * MEM_PAGE, 1),
	   "until it says that it has told all");
	ok(bus_read(m, CMD_ID, 4) == id, "it keeps them");
	balloon_end_hints(d);
	ok(bus_read(m, CMD_ID, 4) == VIRTIO_BALLOON_CMD_ID_DONE,
	   "until it is told that we are done");
	ok(!gone(m), "and hints discard nothing");
	ok(!balloon_start_hints(d, &hints) && bus_read(m, CMD_ID, 4) == id + 1,
	   "another time is another command");
	ok(command(m, id) && name(m, PAGES, MEM_PAGE) && saw(&s, 2, 3 * MEM_PAGE, 1) &&
		   command(m, id + 1) && name(m, PAGES, MEM_PAGE) && saw(&s, 3, 4 * MEM_PAGE, 1),
	   "and late answers are none to it");
	d->ops->quiesce(d);
	ok(saw(&s, 3, 4 * MEM_PAGE, 2) && bus_read(m, CMD_ID, 4) == VIRTIO_BALLOON_CMD_ID_DONE &&
		   balloon_start_hints(d, &hints) == -ENOTSUP,
	   "a machine that rests has ended it");
	d->ops->resume(d);
	check_save_load(dev);
	ok(!balloon_start_hints(d, &hints) && bus_read(m, CMD_ID, 4) == id + 2,
	   "a restored one has not forgotten which commands there were");
	reg_write(m, VIRTIO_MMIO_STATUS, 0);
	ok(saw(&s, 3, 4 * MEM_PAGE, 3) && !bus_read(m, CMD_ID, 4), "a reset ends it, too");
	balloon_end_hints(d);
	ok(!bus_read(m, CMD_ID, 4), "and that is that");
	driver_start(m, ALL, 5, SIZE);
}

/* ---- Queues by their numbers ---- */

static bool reports_at(struct machine *m, uint64_t features, unsigned int i)
{
	driver_start(m, features | FEATURE(VIRTIO_BALLOON_F_REPORTING), 5, SIZE);
	fill(m);
	driver_desc(m, i, 0, PAGES, MEM_PAGE, true, false);
	driver_offer(m, i, SIZE, 0);
	driver_kick(m, i);
	return driver_wait_used(m, i, 1) && gone(m) == 1;
}

static void test_numbers(struct machine *m, struct virtio_dev *dev)
{
	const uint64_t stats = FEATURE(VIRTIO_BALLOON_F_STATS_VQ);
	const uint64_t hints = FEATURE(VIRTIO_BALLOON_F_FREE_PAGE_HINT);
	struct seen s = { .lock = PTHREAD_MUTEX_INITIALIZER };
	const struct balloon_hints user = { see, see_end, &s };

	ok(reports_at(m, 0, 2) && reports_at(m, stats, 3) && reports_at(m, hints, 3) &&
		   reports_at(m, stats | hints, 4),
	   "reports come by the queue that is next, as Linux counts");
	ok(reports_at(m, 0, 4) && reports_at(m, stats, 4) && reports_at(m, hints, 4),
	   "or by that of the specification");
	driver_start(m, hints, 5, SIZE);
	ok(!balloon_start_hints(&dev->device, &user), "hints without statistics");
	*(uint32_t *)mem_at(&m->mem, DATA, 4, MEM_W) = (uint32_t)bus_read(m, CMD_ID, 4);
	driver_desc(m, 2, 0, DATA, 4, false, true);
	driver_desc(m, 2, 1, PAGES, MEM_PAGE, true, false);
	ok(run(m, 2) && saw(&s, 1, MEM_PAGE, 0), "come by the third queue");
	driver_start(m, 0, 5, SIZE);
	ok(GIVE(INFLATE, PFN(1)) && gone(m) == 2, "a driver of nothing but inflate and deflate");
	for (unsigned int i = 2; i < 5; i++) {
		driver_desc(m, i, 0, PAGES, MEM_PAGE, true, false);
		driver_offer(m, i, SIZE, 0);
		driver_kick(m, i);
	}
	driver_kick(m, 5);
	driver_kick(m, UINT32_MAX);
	usleep(20000);
	ok(!used_idx(m, 2) && !used_idx(m, 3) && !used_idx(m, 4) && gone(m) == 2 &&
		   !(reg_read(m, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET),
	   "its other queues are nobody's");
	driver_start(m, ALL, 5, SIZE);
}

/* ---- Both sides at once ---- */

struct host {
	struct device *device;
	struct seen seen;
	_Atomic bool stop;
};

static void *host_asks(void *opaque)
{
	struct host *h = opaque;
	const struct balloon_hints user = { see, see_end, &h->seen };
	struct balloon_info info;

	for (unsigned int i = 0; !atomic_load(&h->stop); i++) {
		balloon_set_target(h->device, i % 7 * MEM_PAGE);
		balloon_ask_stats(h->device);
		balloon_start_hints(h->device, &user);
		usleep(i % 4 * 200);
		balloon_get_info(h->device, &info);
		if (i % 3)
			balloon_end_hints(h->device);
	}
	balloon_end_hints(h->device);
	return NULL;
}

static void driver_does(struct machine *m)
{
	uint32_t *id = mem_at(&m->mem, DATA, 4, MEM_W);

	for (unsigned int i = 0; i < 10 && (*id = (uint32_t)bus_read(m, CMD_ID, 4)) < 2; i++)
		usleep(50);
	for (unsigned int i = INFLATE; i <= HINTS; i++)
		driver_desc(m, i, 0, DATA, 40, false, false);
	driver_desc(m, HINTS, 0, DATA, 4, false, true);
	driver_desc(m, HINTS, 1, PAGES, MEM_PAGE, true, false);
	driver_desc(m, REPORTS, 0, PAGES, MIB, true, false);
	for (unsigned int i = INFLATE; i <= REPORTS; i++) {
		for (unsigned int n = 0; n < SIZE; n++)
			driver_offer(m, i, SIZE, 0);
		driver_kick(m, i);
	}
}

/* A host that asks without a pause, and a driver that is reset, or whose machine rests, meanwhile. */
static void test_both(struct machine *m, struct virtio_dev *dev)
{
	struct host h = { .device = &dev->device, .seen.lock = PTHREAD_MUTEX_INITIALIZER };
	pthread_t t;

	pthread_create(&t, NULL, host_asks, &h);
	for (unsigned int i = 0; i < 200; i++) {
		driver_start(m, ALL, 5, SIZE);
		driver_does(m);
		if (i % 2)
			usleep(500);
		if (i % 3 == 0) {
			dev->device.ops->quiesce(&dev->device);
			dev->device.ops->resume(&dev->device);
		}
	}
	atomic_store(&h.stop, true);
	pthread_join(t, NULL);
	driver_start(m, ALL, 5, SIZE);
	ok(h.seen.ranges && h.seen.ends && GIVE(INFLATE, PFN(1)) && gone(m) == 2,
	   "both sides at once: %u ranges, %u ends", h.seen.ranges, h.seen.ends);
}

int main(void)
{
	const struct balloon_config config = { .name = "balloon", .target = 3 * MEM_PAGE };
	char log_path[] = "/tmp/kindling-log-XXXXXX";
	int log_fd = mkstemp(log_path);
	struct virtio_dev *dev;
	struct machine m;

	unlink(log_path);
	machine_set_up(&m, log_fd);
	dev = machine_plug(&m, &virtio_balloon_type, &config);
	test_config(&m, dev);
	test_inflate(&m);
	test_framing(&m);
	test_no_ram(&m, log_fd);
	test_reports(&m);
	test_odd_reports(&m);
	test_poison(&m);
	test_stats(&m, dev);
	test_stats_saved(&m, dev);
	test_hints(&m, dev);
	test_numbers(&m, dev);
	test_many(&m, dev);
	test_both(&m, dev);
	device_unplug(dev);
	machine_tear_down(&m);
	close(log_fd);
	return done_testing();
}
