/* SPDX-License-Identifier: MIT */
/*
 * Writes garbage to every register of every device, in every size, at every alignment, from all
 * CPUs at once, and moves what can be moved, PCI's BARs, onto each other and away; half of the devices were set up as a driver does it before. One device is spared in
 * each round, a different one each time, and must work all the while. After each round all of them
 * must.
 *
 * Command line: cpus=N rounds=N (0: for ever) seed=N. Needs -m 64 (PORT_NO_RAM).
 */
#include "guest/payload/crew.h"
#include "guest/payload/driver.h"
#include "guest/payload/option.h"
#include "guest/payload/pci.h"
#include "guest/payload/port.h"
#include "guest/payload/random.h"

#define STEPS 400   /* a CPU and round */
#define REQUESTS 25 /* the spared device's in that time */

static struct random randoms[CREW_MAX];
static struct device *spared;
static bool spared_failed;
static uint8_t scratch[CREW_MAX][64];

/* Numbers that mean something to some register, and numbers that don't. */
static uint64_t garbage_value(struct random *r)
{
	static const uint8_t meant[] = { 0, 1, 2, 3, 4, 7, 8, 11, 15, 16, 64, 128, 0x8f, 0xff };

	switch (random_below(r, 4)) {
	case 0:
		return meant[random_below(r, sizeof(meant))];
	case 1:
		return 1ull << random_below(r, 64);
	case 2:
		return ~0ull - random_below(r, 4);
	default:
		return random_next(r);
	}
}

static unsigned int any_size(struct random *r)
{
	return 1u << random_below(r, 4);
}

/* Where an access of `size` may begin: the range, and what is around it. */
static uint64_t any_place(struct random *r, uint64_t base, uint32_t range, unsigned int size)
{
	uint64_t at = base - port_margin + random_below(r, range + 2 * port_margin);

	return port_aligned ? at & ~(uint64_t)(size - 1) : at;
}

static void torture_place(struct random *r, const struct place *p, uint8_t *buffer)
{
	unsigned int size = any_size(r);
	uint64_t at;

	if (p->is_port && size == 8)
		size = 4;
	at = any_place(r, p->base, p->size, size);
	if (p->keep == ~0ull && random_once(r, 8))
		place_burst(p, at, size, buffer, 1 + random_below(r, 64 / size), random_once(r, 2));
	else if (random_once(r, 3))
		place_read(p, at, size);
	else
		place_write(p, at, garbage_value(r) & p->keep, size);
}

/*
 * Rings anywhere in the arena, or not in RAM at all; else the device would write its used ring over
 * this program. For the same reason descriptors don't lie over the other rings: two numbers that
 * are counted up would make an address.
 */
static uint32_t ring_address(struct random *r, const struct device *d, uint32_t reg)
{
	uint32_t arena = (uint32_t)(uintptr_t)d->arena;

	if (random_once(r, 4))
		return (uint32_t)random_next(r) | PORT_NO_RAM;
	if (reg == REG_QUEUE_DEVICE)
		return arena + ARENA_TABLES + random_below(r, 0x2000);
	if (reg == REG_QUEUE_DRIVER)
		return arena + random_below(r, 0x4000);
	return arena + random_below(r, 0x800) / 16 * (random_once(r, 8) ? 1 : 16);
}

static void torture_registers(struct random *r, const struct device *d)
{
	unsigned int size = random_once(r, 2) ? 4 : any_size(r);
	uint64_t at = any_place(r, d->base, REG_END, size);
	uint64_t v = garbage_value(r);
	uint32_t reg;

	if (random_once(r, 2)) { /* a register, and as it should be accessed */
		at = d->base + random_below(r, 0x44) * 4;
		size = 4;
	}
	reg = (uint32_t)(at - d->base);
	if (size == 4 &&
	    (reg == REG_QUEUE_DESC || reg == REG_QUEUE_DRIVER || reg == REG_QUEUE_DEVICE))
		v = ring_address(r, d, reg);
	if (random_once(r, 4))
		mmio_read(at, size);
	else
		mmio_write(at, v, size);
}

/* ---- PCI ---- */

/* A message from the table that is no plain interrupt (an NMI, an INIT) would be our end. */
#define PLAIN_MESSAGE (~0x0000070000000700ull)
/* The window reaches neither that table nor the addresses of rings. */
#define WINDOW_OFFSET 8
#define NO_RINGS 0x20u
#define NO_TABLE 0x4000u
/* In the third byte of an address: where no BAR was at first, as there are few. */
#define NO_HOME 0x80u

/*
 * Onto others: the spared one, which is there; and places behind the BARs that two may want at a
 * time. Not where another is at home: it would get that one's rings.
 */
static uint64_t any_bar(struct random *r, const struct device *d)
{
	switch (random_below(r, 8)) {
	case 0:
		return (uint64_t)(uintptr_t)d->arena;
	case 1:
		return port_ecam + random_below(r, 2) * 0x8000;
	case 2:
		return port_places[random_below(r, port_n_places)].base;
	case 3:
		return -(uint64_t)PCI_BAR_SIZE * (1 + random_below(r, 2));
	case 4:
		return garbage_value(r);
	case 5:
		return spared ? spared->base : d->base;
	case 6:
		return devices[random_below(r, 2)].base + PCI_BAR_SIZE;
	default:
		return d->base;
	}
}

static void torture_config(struct random *r, const struct device *d)
{
	unsigned int size = any_size(r);
	uint64_t at = any_place(r, d->config, PCI_CONFIG_SIZE, size);
	uint64_t v = garbage_value(r), window = d->config + d->window + WINDOW_OFFSET;
	bool moves = random_once(r, 4);

	if (moves) {
		v = any_bar(r, d);
		at = d->config + PCI_BAR;
		size = 8;
	} else if (random_once(r, 4)) {
		v |= 2;
		at = d->config + PCI_COMMAND;
		size = 2;
	}
	for (unsigned int i = 0; i < size; i++) {
		if (!moves && at + i == d->config + PCI_BAR + 2)
			v |= (uint64_t)NO_HOME << 8 * i;
		if (at + i == window)
			v &= ~((uint64_t)NO_RINGS << 8 * i);
		if (at + i == window + 1)
			v &= ~((uint64_t)(NO_TABLE >> 8) << 8 * i);
	}
	if (random_once(r, 4))
		mmio_read(at, size);
	else
		mmio_write(at, v, size);
}

/* Where its BAR was at first: nobody may be there now, but no RAM either. */
static void torture_bar(struct random *r, const struct device *d)
{
	unsigned int size = any_size(r);
	uint32_t at = random_below(r, 8) * 0x1000 + random_below(r, PCI_COMMON_SIZE);
	uint64_t v = garbage_value(r) & PLAIN_MESSAGE;

	if (random_once(r, 2)) {
		at = random_below(r, PCI_COMMON_SIZE / 2) * 2;
		size = at < 0x10 || at >= PCI_RINGS ? 4 : at == 0x14 ? 1 : 2;
	}
	if (random_once(r, 8))
		at = random_below(r, PCI_BAR_SIZE);
	at &= ~(port_aligned ? size - 1 : 0);
	if (size == 4 && at % 8 == 0 && at >= PCI_RINGS && at < PCI_RINGS_END)
		v = ring_address(r, d, REG_QUEUE_DESC + (at - PCI_RINGS) * 2);
	if (random_once(r, 4))
		mmio_read(d->base + at, size);
	else
		mmio_write(d->base + at, v, size);
}

/* A driver's own moves, at the wrong moment perhaps. */
static void drive(struct random *r, struct device *d)
{
	unsigned int q = random_below(r, d->n_queues + 1);

	switch (random_below(r, 8)) {
	case 0:
		device_start(d, 0, 8);
		break;
	case 1:
		device_start(d, FEATURE_INDIRECT | FEATURE_EVENT_IDX, 2);
		break;
	case 2:
		device_write(d, REG_STATUS, 0);
		break;
	case 3:
		device_write(d, REG_INTERRUPT_ACK, (uint32_t)random_next(r));
		break;
	case 4:
		device_write(d, REG_QUEUE_NOTIFY, q);
		break;
	default:
		if (q == d->n_queues)
			break;
		queue_desc(d, q)[0] = (struct desc){ (uint64_t)(uintptr_t)d->arena + ARENA_DATA,
						     1 + random_below(r, ARENA_PIECE),
						     random_once(r, 2) ? DESC_WRITE : 0, 0 };
		device_offer(d, q, 0);
		device_write(d, REG_QUEUE_NOTIFY, q);
	}
}

static void torture(struct random *r, uint8_t *buffer)
{
	unsigned int i = random_below(r, n_devices + port_n_places);

	if (i >= n_devices)
		torture_place(r, &port_places[i - n_devices], buffer);
	else if (&devices[i] == spared)
		return;
	else if (random_once(r, 4))
		drive(r, &devices[i]);
	else if (!devices[i].config)
		torture_registers(r, &devices[i]);
	else if (random_once(r, 2))
		torture_config(r, &devices[i]);
	else
		torture_bar(r, &devices[i]);
}

static void round_of(unsigned int cpu)
{
	for (unsigned int i = 0; i < STEPS; i++) {
		torture(&randoms[cpu], scratch[cpu]);
		if (cpu || !spared || i % (STEPS / REQUESTS))
			continue;
		if (!device_request(spared))
			spared_failed = true;
	}
}

/* All at once: one may be in the place of another. */
static void go_home(void)
{
	for (unsigned int i = 0; i < n_devices; i++)
		if (devices[i].config)
			pci_go_home(&devices[i]);
}

static void set_up(struct random *r)
{
	for (unsigned int i = 0; i < n_devices; i++)
		if (&devices[i] == spared || random_once(r, 2))
			device_start(&devices[i], random_once(r, 2) ? FEATURE_EVENT_IDX : 0, 8);
}

static bool all_work(void)
{
	const char *bad = port_check();
	bool all = !bad;

	if (bad) {
		put_str("dead: ");
		put_str(bad);
		put_str("\r\n");
	}
	for (unsigned int i = 0; i < n_devices; i++)
		all &= device_works(&devices[i]);
	return all;
}

static bool do_round(uint32_t number)
{
	/* One device, and in the last of these rounds none. */
	spared = number % (n_devices + 1) < n_devices ? &devices[number % (n_devices + 1)] : NULL;
	spared_failed = false;
	set_up(&randoms[0]);
	crew_run(round_of);
	go_home();
	port_repair();
	put_str("\r\nround ");
	put_hex(number);
	if (spared_failed) {
		put_str(": the spared device did not work: ");
		put_str(spared->name);
	}
	put_str("\r\n");
	return all_work() && !spared_failed;
}

int payload_main(const void *boot)
{
	const char *line = payload_cmdline(boot);
	uint32_t seed = option(line, "seed=", 1), rounds = option(line, "rounds=", 10);

	port_init();
	for (unsigned int i = 0; i < CREW_MAX; i++)
		random_seed(&randoms[i], (uint64_t)seed << 8 | i);
	if (!crew_start(boot, option(line, "cpus=", 1)) || !devices_find())
		return 1;
	for (uint32_t i = 0; i < rounds || !rounds; i++)
		if (!do_round(i))
			return 2;
	put_str("all devices work\r\n");
	return 0;
}
