/* SPDX-License-Identifier: MIT */
/*
 * Writes garbage to every register of every device, in every size, at every alignment, from all
 * CPUs at once; half of the devices were set up as a driver does it before. One device is spared in
 * each round, a different one each time, and must work all the while. After each round all of them
 * must.
 *
 * Command line: cpus=N rounds=N (0: for ever) seed=N. Needs -m 64 (PORT_NO_RAM).
 */
#include "guest/payload/crew.h"
#include "guest/payload/driver.h"
#include "guest/payload/option.h"
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
	else
		torture_registers(r, &devices[i]);
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
