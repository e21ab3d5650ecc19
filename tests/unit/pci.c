/* SPDX-License-Identifier: MIT */
/* vm/pci, vm/msix and virtio/pci: a driver on the other side of the bus, a good one and a liar. */
#include <errno.h>
#include <linux/pci.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_pci.h>

#include "tests/unit/driver.h"
#include "virtio/pci.h"
#include "virtio/rng.h"

#define ECAM 0xe0000000ull
#define WINDOW 0xc0000000ull
#define CONFIG(slot) (ECAM + ((slot) + 1) * 0x8000ull) /* function 0 of the next device */
#define BAR(slot) (WINDOW + (slot)*PCI_BAR_MAX)
#define SIZE 8

/* Parts of the BAR, found as a driver finds them. */
struct parts {
	uint64_t common, isr, notify, device;
	uint32_t window; /* capability */
	uint32_t msix;	 /* capability */
	uint64_t table, pending;
	unsigned int rings; /* where the driver has them */
};

static struct {
	struct msi last;
	_Atomic unsigned int sent;
	_Atomic int level[PCI_LINES];
} seen;

static void take_msi(struct irq_chip *chip, const struct msi *msi)
{
	(void)chip;
	seen.last = *msi;
	atomic_fetch_add(&seen.sent, 1);
}

static void line_up(struct irq_chip *chip, const struct irq_line *line)
{
	(void)chip;
	seen.level[line->gsi]++;
}

static void line_down(struct irq_chip *chip, const struct irq_line *line)
{
	(void)chip;
	seen.level[line->gsi]--;
}

static uint64_t rd(struct machine *m, uint64_t address, uint32_t len)
{
	uint8_t data[8];

	bus_access(&m->mmio, address, data, len, false);
	return get_le(data, len);
}

static void wr(struct machine *m, uint64_t address, uint64_t value, uint32_t len)
{
	uint8_t data[8];

	put_le(data, value, len);
	bus_access(&m->mmio, address, data, len, true);
}

static struct pci_bus *make_bus(struct machine *m, bool with_msi)
{
	struct pci_config config = { .ecam = ECAM, .window = WINDOW, .window_size = 256 * MIB };
	struct pci_bus *bus;
	struct err err;

	m->chip.send_msi = with_msi ? take_msi : NULL;
	m->chip.raise = line_up;
	m->chip.lower = line_down;
	for (uint32_t i = 0; i < PCI_LINES; i++)
		config.lines[i] = (struct irq_line){ &m->chip, i, IRQ_LEVEL };
	if (pci_create(&m->env, &config, &bus, &err)) {
		printf("Bail out! %s\n", err.text);
		exit(1);
	}
	return bus;
}

static struct virtio_dev *plug(struct machine *m, struct pci_bus *bus, unsigned int slot)
{
	const struct rng_config config = { .name = "rng" };
	struct device *device;
	struct err err;

	if (virtio_rng_type.create(&m->env, &config, &device, &err) ||
	    virtio_pci_plug(virtio_from_device(device), bus, slot, &err)) {
		printf("Bail out! %s\n", err.text);
		exit(1);
	}
	return virtio_from_device(device);
}

static void tear_down(struct pci_bus *bus, struct virtio_dev **devs, unsigned int n)
{
	while (n--)
		device_unplug(devs[n]);
	pci_device(bus)->ops->destroy(pci_device(bus));
}

static struct parts find_parts(struct machine *m, uint64_t config, uint64_t bar)
{
	struct parts p = { 0 };
	uint32_t at = (uint32_t)rd(m, config + PCI_CAPABILITY_LIST, 1);

	for (unsigned int i = 0; at && i < 16; i++, at = (uint32_t)rd(m, config + at + 1, 1)) {
		uint64_t offset = bar + rd(m, config + at + 8, 4);

		if (rd(m, config + at, 1) == PCI_CAP_ID_MSIX) {
			p.msix = at;
			p.table = bar + rd(m, config + at + PCI_MSIX_TABLE, 4);
			p.pending = bar + rd(m, config + at + PCI_MSIX_PBA, 4);
			continue;
		}
		switch (rd(m, config + at + 3, 1)) {
		case VIRTIO_PCI_CAP_COMMON_CFG:
			p.common = offset;
			break;
		case VIRTIO_PCI_CAP_ISR_CFG:
			p.isr = offset;
			break;
		case VIRTIO_PCI_CAP_NOTIFY_CFG:
			p.notify = offset;
			break;
		case VIRTIO_PCI_CAP_DEVICE_CFG:
			p.device = offset;
			break;
		case VIRTIO_PCI_CAP_PCI_CFG:
			p.window = at;
			break;
		}
	}
	return p;
}

/* To DRIVER_OK with queue 0 on vector 1 and changes of config on vector 0. */
static void start(struct machine *m, const struct parts *p)
{
	uint8_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;

	wr(m, p->common + VIRTIO_PCI_COMMON_STATUS, 0, 1);
	memset(mem_at(&m->mem, RINGS(p->rings), 0x10000, MEM_W), 0, 0x10000);
	wr(m, p->common + VIRTIO_PCI_COMMON_STATUS, status, 1);
	wr(m, p->common + VIRTIO_PCI_COMMON_GFSELECT, 1, 4);
	wr(m, p->common + VIRTIO_PCI_COMMON_GF, 1, 4); /* VERSION_1 */
	status |= VIRTIO_CONFIG_S_FEATURES_OK;
	wr(m, p->common + VIRTIO_PCI_COMMON_STATUS, status, 1);
	wr(m, p->common + VIRTIO_PCI_COMMON_MSIX, 0, 2);
	wr(m, p->common + VIRTIO_PCI_COMMON_Q_SELECT, 0, 2);
	wr(m, p->common + VIRTIO_PCI_COMMON_Q_SIZE, SIZE, 2);
	wr(m, p->common + VIRTIO_PCI_COMMON_Q_MSIX, 1, 2);
	wr(m, p->common + VIRTIO_PCI_COMMON_Q_DESCLO, RINGS(p->rings), 4);
	wr(m, p->common + VIRTIO_PCI_COMMON_Q_DESCHI, 0, 4);
	wr(m, p->common + VIRTIO_PCI_COMMON_Q_AVAILLO, RINGS(p->rings) + AVAIL_OFFSET, 4);
	wr(m, p->common + VIRTIO_PCI_COMMON_Q_USEDLO, RINGS(p->rings) + USED_OFFSET, 4);
	wr(m, p->common + VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	status |= VIRTIO_CONFIG_S_DRIVER_OK;
	wr(m, p->common + VIRTIO_PCI_COMMON_STATUS, status, 1);
}

/* One request of the source of entropy. */
static bool request(struct machine *m, const struct parts *p)
{
	uint16_t used = ring_used(m, p->rings)->idx;

	driver_desc(m, p->rings, 0, DATA, 64, true, false);
	driver_offer(m, p->rings, SIZE, 0);
	wr(m, p->notify, 0, 2);
	return driver_wait_used(m, p->rings, (uint16_t)(used + 1));
}

static void set_vector(struct machine *m, const struct parts *p, uint32_t i, uint64_t address,
		       uint32_t data, uint32_t control)
{
	wr(m, p->table + i * MSIX_ENTRY, address, 8);
	wr(m, p->table + i * MSIX_ENTRY + 8, data, 4);
	wr(m, p->table + i * MSIX_ENTRY + 12, control, 4);
}

static void msix_flags(struct machine *m, uint64_t config, const struct parts *p, uint32_t flags)
{
	wr(m, config + p->msix + PCI_MSIX_FLAGS, flags, 2);
}

static bool sent_soon(unsigned int n)
{
	for (unsigned int i = 0; i < WAIT_MS && atomic_load(&seen.sent) < n; i++)
		usleep(1000);
	return atomic_load(&seen.sent) == n;
}

/* The device is done with a request before it tells: what is set up meanwhile would be told by. */
static bool told_soon(struct machine *m, const struct parts *p)
{
	for (unsigned int i = 0; i < WAIT_MS; i++) {
		if (rd(m, p->isr, 1) == 1)
			return true;
		usleep(1000);
	}
	return false;
}

/* ---- Tests ---- */

static void test_enumeration(struct machine *m)
{
	ok(rd(m, ECAM, 4) == 0x00081b36 && rd(m, ECAM + PCI_CLASS_DEVICE, 2) == 0x0600,
	   "a host bridge");
	ok(rd(m, CONFIG(0), 4) == 0x10441af4 && rd(m, CONFIG(0) + PCI_REVISION_ID, 1) == 1,
	   "a modern virtio device");
	ok(rd(m, CONFIG(1), 4) == UINT32_MAX && rd(m, ECAM + PCI_BUS_SIZE - 4, 4) == UINT32_MAX,
	   "ones where no function is");
	ok(rd(m, CONFIG(0) + 0x100, 4) == UINT32_MAX && rd(m, CONFIG(0) + 0xfe, 4) == UINT32_MAX,
	   "and beyond a conventional space");
	ok(rd(m, CONFIG(0) + PCI_BASE_ADDRESS_0, 8) == (BAR(0) | 4), "a BAR of 64 bits");
}

/* Every byte of configuration space is written, with everything. */
static void test_config_writes(struct machine *m, struct pci_bus *bus, uint64_t bar_size)
{
	struct device *device = pci_device(bus);
	bool strange = false;

	for (uint32_t at = 0; at < PCI_CONFIG; at++) {
		for (uint32_t len = 1; len <= 8; len *= 2) {
			wr(m, CONFIG(0) + at, UINT64_MAX, len);
			wr(m, ECAM + at, UINT64_MAX, len);
		}
	}
	strange |= rd(m, CONFIG(0), 4) != 0x10441af4 || rd(m, ECAM, 4) != 0x00081b36;
	strange |= rd(m, CONFIG(0) + PCI_HEADER_TYPE, 1) != 0;
	ok(!strange, "whatever is written to a function, it stays what it is");
	ok(rd(m, CONFIG(0) + PCI_BASE_ADDRESS_0, 8) == ((UINT64_MAX & -bar_size) | 4),
	   "a BAR full of ones tells its size");
	ok(rd(m, BAR(0), 4) == UINT32_MAX, "and is nowhere");
	device->ops->reset(device);
	ok(rd(m, BAR(0), 4) == 0 && rd(m, CONFIG(0) + PCI_BASE_ADDRESS_0, 8) == (BAR(0) | 4),
	   "after a reset it is back");
}

static void move_bar(struct machine *m, unsigned int slot, uint64_t to)
{
	wr(m, CONFIG(slot) + PCI_BASE_ADDRESS_0, to, 4);
	wr(m, CONFIG(slot) + PCI_BASE_ADDRESS_1, to >> 32, 4);
}

/* Which device's common configuration is there? By the queue selected. */
static int who(struct machine *m, uint64_t at)
{
	uint64_t v = rd(m, at + VIRTIO_PCI_COMMON_Q_SELECT, 2);

	return v == UINT16_MAX ? -1 : (int)v;
}

static void test_moves(struct machine *m, struct pci_bus *bus)
{
	const uint64_t high = 0x8000000000ull, both = WINDOW + 16 * MIB;
	const struct rng_config config = { .name = "rng" };
	struct device *more;
	struct err err;

	wr(m, BAR(0) + VIRTIO_PCI_COMMON_Q_SELECT, 10, 2);
	wr(m, BAR(1) + VIRTIO_PCI_COMMON_Q_SELECT, 11, 2);
	move_bar(m, 0, high);
	ok(who(m, high) == 10 && who(m, BAR(0)) == -1, "a BAR moves to where 64 bits are needed");
	move_bar(m, 0, both);
	move_bar(m, 1, both);
	ok(who(m, both) == 10 && who(m, BAR(1)) == -1, "two on one place: the first has it");
	move_bar(m, 0, BAR(3));
	ok(who(m, both) == 11 && who(m, BAR(3)) == 10, "it moves off: the other appears");
	move_bar(m, 0, ECAM);
	ok(rd(m, ECAM, 4) == 0x00081b36 && who(m, BAR(3)) == -1, "onto the bus's own registers");
	move_bar(m, 0, UINT64_MAX);
	move_bar(m, 0, 0);
	ok(who(m, 0) == -1, "to nowhere");
	move_bar(m, 0, BAR(0));
	wr(m, CONFIG(0) + PCI_COMMAND, 0, 2);
	ok(who(m, BAR(0)) == -1, "memory decoding off");
	wr(m, CONFIG(0) + PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	ok(who(m, BAR(0)) == 10, "and on");
	virtio_rng_type.create(&m->env, &config, &more, &err);
	ok(virtio_pci_plug(virtio_from_device(more), bus, PCI_SLOTS, &err) == -ENOSPC,
	   "no such slot: %s", err.text);
	more->ops->destroy(more);
}

static void test_msix(struct machine *m, uint64_t config, const struct parts *p,
		      struct virtio_dev *dev)
{
	unsigned int sent;

	ok((rd(m, config + p->msix + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE) == 1,
	   "a vector for the queue, one for the config");
	ok(rd(m, p->table + 12, 4) == 1 && rd(m, p->table + 28, 4) == 1, "masked at power-on");
	start(m, p);
	ok(request(m, p) && told_soon(m, p) && !atomic_load(&seen.sent),
	   "MSI-X off: only the ISR tells");
	set_vector(m, p, 1, 0xfee00000, 0x41, 0);
	msix_flags(m, config, p, PCI_MSIX_FLAGS_ENABLE);
	ok(request(m, p) && sent_soon(1) && seen.last.data == 0x41 &&
		   seen.last.address == 0xfee00000 && seen.last.devid == 8,
	   "on: the queue's message is sent, in the function's name");

	set_vector(m, p, 1, 0xfee00000, 0x42, 1);
	ok(request(m, p), "masked: served");
	for (int i = 0; i < WAIT_MS && !rd(m, p->pending, 8); i++)
		usleep(1000);
	ok(rd(m, p->pending, 8) == 2 && atomic_load(&seen.sent) == 1, "and pending");
	wr(m, p->table + 28, 0, 4);
	ok(sent_soon(2) && seen.last.data == 0x42 && !rd(m, p->pending, 4), "sent when unmasked");
	msix_flags(m, config, p, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	ok(request(m, p), "all masked: served");
	for (int i = 0; i < WAIT_MS && !rd(m, p->pending, 8); i++)
		usleep(1000);
	ok(atomic_load(&seen.sent) == 2, "and kept");
	msix_flags(m, config, p, PCI_MSIX_FLAGS_ENABLE);
	ok(sent_soon(3), "sent in the end");

	sent = atomic_load(&seen.sent);
	wr(m, p->common + VIRTIO_PCI_COMMON_Q_MSIX, 2, 2);
	ok(rd(m, p->common + VIRTIO_PCI_COMMON_Q_MSIX, 2) == VIRTIO_MSI_NO_VECTOR,
	   "a vector that isn't there can't be chosen");
	ok(request(m, p) && (usleep(20000), atomic_load(&seen.sent) == sent), "and none is sent");
	wr(m, p->common + VIRTIO_PCI_COMMON_MSIX, 0xfffe, 2);
	virtio_config_changed(dev);
	for (uint32_t at = 0; at < 0x1000; at++) {
		for (uint32_t len = 1; len <= 8; len *= 2) {
			wr(m, p->table + 32 + at, 0, len);
			wr(m, p->pending + at, UINT64_MAX, len);
		}
	}
	ok(rd(m, p->table + 32, 8) == 0 && rd(m, p->pending, 8) == 0 &&
		   rd(m, p->table + 1, 4) == 0 && rd(m, p->table + 3, 2) == 0,
	   "there is nothing behind the table, nor at odd places");
}

/* A kernel that starts another takes back the leave to write memory first. */
static void test_master(struct machine *m, uint64_t config, const struct parts *p)
{
	uint16_t used;

	start(m, p);
	ok(request(m, p), "a driver that gave no leave to master the bus is served");
	wr(m, config + PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	ok(request(m, p), "with leave, too");
	wr(m, config + PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	used = ring_used(m, p->rings)->idx;
	driver_offer(m, p->rings, SIZE, 0);
	wr(m, p->notify, 0, 2);
	usleep(20000);
	ok(ring_used(m, p->rings)->idx == used, "taken back: memory is not touched");
	wr(m, config + PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	ok(driver_wait_used(m, p->rings, (uint16_t)(used + 1)) && request(m, p),
	   "given again: what waited is served");
	wr(m, config + PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	start(m, p);
	wr(m, p->common + VIRTIO_PCI_COMMON_STATUS, 0, 1);
	wr(m, config + PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	ok(rd(m, p->common + VIRTIO_PCI_COMMON_STATUS, 1) == 0, "leave starts nothing by itself");
}

static void test_common(struct machine *m, const struct parts *p)
{
	uint64_t common = p->common;

	start(m, p);
	wr(m, common + VIRTIO_PCI_COMMON_Q_DESCLO, 0, 4);
	wr(m, common + VIRTIO_PCI_COMMON_Q_SIZE, 4, 2);
	wr(m, common + VIRTIO_PCI_COMMON_Q_ENABLE, 0, 2);
	ok(rd(m, common + VIRTIO_PCI_COMMON_Q_DESCLO, 4) == RINGS(0) &&
		   rd(m, common + VIRTIO_PCI_COMMON_Q_SIZE, 2) == SIZE &&
		   rd(m, common + VIRTIO_PCI_COMMON_Q_ENABLE, 2) == 1,
	   "after DRIVER_OK no queue changes");
	wr(m, common + VIRTIO_PCI_COMMON_Q_SELECT, 1, 2);
	ok(rd(m, common + VIRTIO_PCI_COMMON_Q_SIZE, 2) == 0 &&
		   rd(m, common + VIRTIO_PCI_COMMON_Q_MSIX, 2) == 0 &&
		   rd(m, common + VIRTIO_PCI_COMMON_NUMQ, 2) == 1,
	   "a queue that isn't there");
	wr(m, common + VIRTIO_PCI_COMMON_Q_SELECT, 0xffff, 2);
	wr(m, common + VIRTIO_PCI_COMMON_Q_MSIX, 0, 2);
	wr(m, common + VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	wr(m, common + VIRTIO_PCI_COMMON_STATUS, 0, 1);
	ok(rd(m, common + VIRTIO_PCI_COMMON_STATUS, 1) == 0 &&
		   rd(m, common + VIRTIO_PCI_COMMON_Q_SELECT, 2) == 0 &&
		   rd(m, common + VIRTIO_PCI_COMMON_Q_MSIX, 2) == VIRTIO_MSI_NO_VECTOR &&
		   rd(m, common + VIRTIO_PCI_COMMON_MSIX, 2) == VIRTIO_MSI_NO_VECTOR,
	   "a reset of the device");
	wr(m, common + VIRTIO_PCI_COMMON_STATUS, 0x0101, 2);
	ok(rd(m, common + VIRTIO_PCI_COMMON_STATUS, 1) == 0 &&
		   rd(m, common + VIRTIO_PCI_COMMON_STATUS, 4) == 0 &&
		   rd(m, common + VIRTIO_PCI_COMMON_DF, 2) == 0 && rd(m, common + 0x3c, 8) == 0,
	   "registers have one width");
	for (uint32_t i = 0; i < 0x1000; i++)
		wr(m, p->notify + i, i, 2);
	ok(true, "notifications of queues that aren't there, before DRIVER_OK");
}

/* The BAR through configuration space. */
static void test_window(struct machine *m, uint64_t config, const struct parts *p, uint64_t bar)
{
	uint64_t cap = config + p->window;
	uint32_t status = (uint32_t)(p->common - bar) + VIRTIO_PCI_COMMON_STATUS;

	wr(m, cap + 8, status, 4);
	wr(m, cap + 12, 1, 4);
	wr(m, cap + 16, VIRTIO_CONFIG_S_ACKNOWLEDGE, 4);
	ok(rd(m, p->common + VIRTIO_PCI_COMMON_STATUS, 1) == 1 && (uint8_t)rd(m, cap + 16, 4) == 1,
	   "status by the window in configuration space");
	wr(m, cap + 12, 3, 4);
	wr(m, cap + 16, 2, 4);
	wr(m, cap + 12, 4, 4);
	wr(m, cap + 8, 0x7ffe, 4);
	wr(m, cap + 16, 2, 4);
	wr(m, cap + 8, UINT32_MAX, 4);
	wr(m, cap + 16, 2, 4);
	wr(m, cap + 8, status, 4);
	wr(m, cap + 12, 1, 4);
	wr(m, cap + 4, 1, 1);
	wr(m, cap + 16, 2, 4);
	ok(rd(m, p->common + VIRTIO_PCI_COMMON_STATUS, 1) == 1,
	   "odd lengths, offsets past the end, other BARs: nothing");
	wr(m, cap + 4, 0, 1);
	wr(m, cap + 16, 0, 4);
}

static void test_lines(struct machine *m)
{
	struct pci_bus *bus = make_bus(m, false);
	struct virtio_dev *devs[5];
	struct parts p[5];

	for (unsigned int i = 0; i < 5; i++) {
		devs[i] = plug(m, bus, i);
		p[i] = find_parts(m, CONFIG(i), BAR(i));
	}
	ok(!p[0].msix && rd(m, CONFIG(0) + PCI_INTERRUPT_PIN, 1) == 1,
	   "without messages a function has INTA#");
	start(m, &p[0]);
	ok(request(m, &p[0]), "served");
	for (int i = 0; i < WAIT_MS && !seen.level[1]; i++)
		usleep(1000);
	ok(seen.level[1] == 1 && rd(m, CONFIG(0) + PCI_STATUS, 2) & PCI_STATUS_INTERRUPT,
	   "device 1 raises line 1");
	p[4].rings = 1;
	start(m, &p[4]); /* device 5 is of the same line */
	ok(request(m, &p[4]), "served");
	ok(rd(m, p[0].isr, 1) == 1 && seen.level[1] == 1, "the line stays up for the other");
	for (int i = 0; i < WAIT_MS && !(rd(m, CONFIG(4) + PCI_STATUS, 2) & 8); i++)
		usleep(1000);
	wr(m, CONFIG(4) + PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE, 2);
	ok(seen.level[1] == 0, "a disabled pin is low");
	wr(m, CONFIG(4) + PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	ok(seen.level[1] == 1, "and high again");
	wr(m, p[4].common + VIRTIO_PCI_COMMON_STATUS, 0, 1);
	ok(seen.level[1] == 0 && rd(m, p[4].isr, 1) == 0, "a reset lowers it");
	tear_down(bus, devs, 5);
}

static bool equal(const struct buf *a, const struct buf *b)
{
	return a->len == b->len && !memcmp(a->data, b->data, a->len);
}

static void test_save(struct machine *m, struct pci_bus *bus, const struct parts *p,
		      struct virtio_dev *dev)
{
	struct device *device = pci_device(bus);
	struct buf first = { 0 }, second = { 0 }, function = { 0 }, again = { 0 };
	size_t refused = 0;
	struct reader in;

	start(m, p);
	set_vector(m, p, 0, 0xfee01000, 7, 0);
	msix_flags(m, CONFIG(0), p, PCI_MSIX_FLAGS_ENABLE);
	move_bar(m, 0, WINDOW + 32 * MIB);
	dev->device.ops->quiesce(&dev->device);
	device->ops->save(device, &first);
	dev->device.ops->save(&dev->device, &function);
	device->ops->reset(device);
	dev->device.ops->reset(&dev->device);
	in = (struct reader){ .p = first.data, .left = first.len };
	ok(!device->ops->load(device, &in) && !in.left && who(m, WINDOW + 32 * MIB) == 0,
	   "a bus is loaded, BARs in their places");
	in = (struct reader){ .p = function.data, .left = function.len };
	ok(!dev->device.ops->load(&dev->device, &in), "and the device");
	device->ops->save(device, &second);
	dev->device.ops->save(&dev->device, &again);
	ok(equal(&first, &second) && equal(&function, &again), "save, reset, load, save: equal");
	dev->device.ops->reset(&dev->device);

	for (size_t i = 0; i < first.len; i++) {
		in = (struct reader){ .p = first.data, .left = i };
		refused += device->ops->load(device, &in) == -EINVAL;
	}
	ok(refused == first.len, "one cut short is refused");
	first.data[1] ^= 1; /* the host bridge's vendor */
	in = (struct reader){ .p = first.data, .left = first.len };
	ok(device->ops->load(device, &in) == -EINVAL, "one of another machine, too");
	device->ops->reset(device);
	buf_free(&first);
	buf_free(&second);
	buf_free(&function);
	buf_free(&again);
}

static void test_many(struct machine *m)
{
	struct pci_bus *bus = make_bus(m, true);
	struct virtio_dev *devs[PCI_SLOTS];
	unsigned int found = 0;

	for (unsigned int i = 0; i < PCI_SLOTS; i++)
		devs[i] = plug(m, bus, i);
	ok(rd(m, CONFIG(0) + PCI_HEADER_TYPE, 1) == 0x80, "a device of many functions says so");
	for (uint32_t i = 8; i < 256; i++)
		found += rd(m, ECAM + i * 0x1000, 4) == 0x10441af4;
	ok(found == PCI_SLOTS, "%u functions on a bus", found);
	ok(who(m, BAR(PCI_SLOTS - 1)) == 0, "the last of them answers");
	tear_down(bus, devs, PCI_SLOTS);
}

int main(void)
{
	struct virtio_dev *devs[2];
	struct pci_bus *bus;
	struct machine m;
	struct parts p;

	machine_set_up(&m, -1);
	bus = make_bus(&m, true);
	devs[0] = plug(&m, bus, 0);
	p = find_parts(&m, CONFIG(0), BAR(0));
	ok(p.common && p.isr && p.notify && !p.device && p.window && p.msix,
	   "all parts of a device without config space are found");
	test_enumeration(&m);
	test_config_writes(&m, bus, 32 * KIB);
	test_msix(&m, CONFIG(0), &p, devs[0]);
	test_common(&m, &p);
	test_master(&m, CONFIG(0), &p);
	test_window(&m, CONFIG(0), &p, BAR(0));
	test_save(&m, bus, &p, devs[0]);
	devs[1] = plug(&m, bus, 1);
	test_moves(&m, bus);
	tear_down(bus, devs, 2);
	test_lines(&m);
	test_many(&m);
	machine_tear_down(&m);
	return done_testing();
}
