/* SPDX-License-Identifier: MIT */
/*
 * A PCI bus with two entropy devices (vm/pci.h, vm/msix.h, virtio/pci.h): accesses to configuration
 * space, to BARs wherever they are, and to all else, of any length and value; messages and lines.
 */
#include "vm/pci.h"

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/lib/loop.h"
#include "tests/fuzz/lib/ram.h"
#include "virtio/pci.h"
#include "virtio/rng.h"

#define ECAM 0xe0000000ull
#define WINDOW 0xc0000000ull
#define FUNCTIONS 2
#define STEPS 200

struct guest {
	struct bus mmio;
	struct irq_chip chip;
	struct log log;
	struct device_env env;
	struct pci_bus *bus;
	struct virtio_dev *devs[FUNCTIONS];
	bool with_msi;
	int level[PCI_LINES];
};

static void take_msi(struct irq_chip *chip, const struct msi *msi)
{
	CHECK(container_of(chip, struct guest, chip)->with_msi);
	CHECK(msi->devid == 8 || msi->devid == 16);
}

static void line_up(struct irq_chip *chip, const struct irq_line *line)
{
	struct guest *g = container_of(chip, struct guest, chip);

	CHECK(!g->with_msi && ++g->level[line->gsi] == 1);
}

static void line_down(struct irq_chip *chip, const struct irq_line *line)
{
	CHECK(--container_of(chip, struct guest, chip)->level[line->gsi] == 0);
}

static void access_at(struct guest *g, uint64_t address, uint64_t value, uint32_t len,
		      bool is_write)
{
	uint8_t data[8];

	put_le(data, value, len);
	bus_access(&g->mmio, address, data, len, is_write);
}

static uint32_t read32(struct guest *g, uint64_t address)
{
	uint8_t data[4];

	bus_access(&g->mmio, address, data, 4, false);
	return get_le32(data);
}

static uint64_t config_of(unsigned int i)
{
	return ECAM + (i + 1) * 0x8000ull;
}

/* A function's BAR, the bus, anywhere. */
static uint64_t take_address(struct input *in, struct guest *g)
{
	uint8_t where = take_u8(in);
	uint64_t config = config_of(where & 1);
	uint64_t bar = (read32(g, config + 0x10) & ~15u) | (uint64_t)read32(g, config + 0x14) << 32;

	switch (where >> 1 & 7) {
	case 0:
		return config + take_u8(in);
	case 1:
	case 2:
		return bar + (take_u8(in) & 0x3f); /* common configuration */
	case 3:
		return bar + 0x4000 + take_u8(in) % 40; /* MSI-X table */
	case 4:
		return bar + take_u16(in);
	case 5:
		return ECAM + take_u32(in) % (PCI_BUS_SIZE + 16);
	case 6:
		return bar + 0x1000 * take_below(in, 8);
	default:
		return config + 0x10 + take_u8(in) % 8; /* the BAR itself */
	}
}

static void access_any(struct input *in, struct guest *g)
{
	uint64_t address = take_address(in, g);
	uint8_t how = take_u8(in);
	uint32_t len = 1u << (how & 3);

	if (how & 4)
		len = 1 + take_u8(in) % 8;
	access_at(g, address, how & 0x10 ? take(in, len) : 0, len, how & 0x10);
}

/* To DRIVER_OK, with vectors for all. */
static void start(struct guest *g, unsigned int i)
{
	static const struct {
		uint16_t at;
		uint8_t len;
		uint32_t value;
	} script[] = {
		{ 20, 1, 0 },  { 20, 1, 3 },
		{ 8, 4, 1 },   { 12, 4, 1 },
		{ 20, 1, 11 }, { 16, 2, 0 },
		{ 22, 2, 0 },  { 24, 2, 8 },
		{ 26, 2, 1 },  { 32, 4, (uint32_t)LOW },
		{ 36, 4, 0 },  { 40, 4, (uint32_t)LOW + 0x1000 },
		{ 44, 4, 0 },  { 48, 4, (uint32_t)LOW + 0x2000 },
		{ 52, 4, 0 },  { 28, 2, 1 },
		{ 20, 1, 15 }, { 0x3000, 2, 0 },
	};
	static const struct vring_desc d = { .addr = HIGH, .len = 8, .flags = VRING_DESC_F_WRITE };
	static const uint16_t avail[] = { 0, 1, 0 };
	uint64_t bar = read32(g, config_of(i) + 0x10) & ~15u;

	ram_guest_write(LOW, &d, sizeof(d));
	ram_guest_write(LOW + 0x1000, avail, sizeof(avail));
	for (size_t n = 0; n < ARRAY_SIZE(script); n++)
		access_at(g, bar + script[n].at, script[n].value, script[n].len, true);
	access_at(g, bar + 0x401c, 0, 4, true); /* unmasked */
}

/* Its own state comes back; a damaged one comes whole or not at all. */
static void save_and_load(struct input *in, struct device *d)
{
	struct buf saved = { 0 }, again = { 0 };
	uint32_t n = take_below(in, 4);
	struct reader r;

	d->ops->save(d, &saved);
	for (uint32_t i = 0; i < n; i++)
		saved.data[take_u16(in) % saved.len] ^= take_u8(in);
	r = (struct reader){ .p = saved.data, .left = saved.len };
	if (d->ops->load(d, &r))
		CHECK(n);
	d->ops->save(d, &again);
	CHECK(saved.len == again.len && (n || !memcmp(saved.data, again.data, saved.len)));
	buf_free(&saved);
	buf_free(&again);
}

/* Whatever was written, it is the same machine. */
static void check(struct guest *g)
{
	CHECK(read32(g, ECAM) == 0x00081b36);
	for (unsigned int i = 0; i < FUNCTIONS; i++) {
		const struct virtio_state *st = &g->devs[i]->st;

		CHECK(read32(g, config_of(i)) == 0x10441af4);
		CHECK((read32(g, config_of(i) + 0x10) & 0x7fff) == 4);
		CHECK(!(st->status & 4) || st->status & 8);
		for (unsigned int q = 1; q < VIRTIO_QUEUES; q++)
			CHECK(!st->queues[q].size && !st->queues[q].enabled);
	}
	CHECK(read32(g, config_of(FUNCTIONS)) == UINT32_MAX);
	ram_check_dirty();
}

static void create(struct guest *g)
{
	static const struct rng_config config = { .name = "rng" };
	struct pci_config bus = { .ecam = ECAM, .window = WINDOW, .window_size = 256 * MIB };
	struct device *device;

	g->chip = (struct irq_chip){ .lines = 8, .raise = line_up, .lower = line_down };
	g->chip.send_msi = g->with_msi ? take_msi : NULL;
	g->log = (struct log){ .fd = -1, .level = LOG_ERROR, .name = "fuzz" };
	g->env = (struct device_env){
		.mem = ram_fresh(), .mmio = &g->mmio, .chip = &g->chip, .log = &g->log
	};
	g->env.loop = loop_create("loop");
	for (uint32_t i = 0; i < PCI_LINES; i++)
		bus.lines[i] = (struct irq_line){ &g->chip, i, IRQ_LEVEL };
	CHECK(!bus_init(&g->mmio) && !pci_create(&g->env, &bus, &g->bus, NULL));
	for (unsigned int i = 0; i < FUNCTIONS; i++) {
		CHECK(!virtio_rng_type.create(&g->env, &config, &device, NULL));
		g->devs[i] = virtio_from_device(device);
		CHECK(!virtio_pci_plug(g->devs[i], g->bus, i, NULL));
	}
}

static void destroy(struct guest *g)
{
	for (unsigned int i = FUNCTIONS; i--;) {
		struct device *d = &g->devs[i]->device;

		d->ops->quiesce(d);
		d->ops->destroy(d);
	}
	pci_device(g->bus)->ops->destroy(pci_device(g->bus));
	bus_destroy(&g->mmio);
	loop_destroy(g->env.loop);
	loops_end();
}

static void step(struct input *in, struct guest *g)
{
	uint8_t how = take_u8(in);
	struct device *d = &g->devs[how & 1]->device;

	if (how < 0xd0) {
		access_any(in, g);
	} else if (how < 0xd8) {
		start(g, how & 1);
	} else if (how < 0xe8) {
		loops_run();
	} else if (how < 0xf0) {
		save_and_load(in, pci_device(g->bus));
	} else if (how < 0xf8) {
		d->ops->quiesce(d);
		save_and_load(in, d);
		d->ops->resume(d);
	} else if (how < 0xfc) {
		d->ops->reset(d);
	} else {
		pci_device(g->bus)->ops->reset(pci_device(g->bus));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct guest g = { .with_msi = take_u8(&in) & 1 };

	create(&g);
	for (int i = 0; i < STEPS && in.left; i++) {
		step(&in, &g);
		check(&g);
	}
	loops_run();
	destroy(&g);
	return 0;
}
