/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the rings of virtio devices: random chains, indirect tables and indices, first by one CPU
 * that waits for what the device makes of each, then by all CPUs at once, while the devices walk
 * what they change, and are reset. After each round every device must work.
 *
 * All that can come of any mixture of these numbers, also of half-written ones, is that a device
 * writes into its own arena, or finds that an address is not RAM. Therefore: no length between
 * ARENA_PIECE and the size of RAM, no address with a high half whose low half is RAM's, no numbers
 * of a ring where descriptors are looked for, and what is written over descriptors keeps their
 * alignment.
 *
 * Command line: cpus=N rounds=N (0: for ever) seed=N. Needs -m 64 (PORT_NO_RAM).
 */
#include "guest/payload/crew.h"
#include "guest/payload/driver.h"
#include "guest/payload/option.h"
#include "guest/payload/port.h"
#include "guest/payload/random.h"

#define CHAINS 100 /* a round, one after the other */
#define STEPS 1500 /* a CPU and round, all at once */
#define SIZE 8

#define CONSOLE_RX 0
#define VSOCK_TX 1
#define LISTENER 9 /* a port of the host's, where somebody may be */
#define UNANSWERED \
	32 /* packets that a socket device surely takes without a buffer for the answers */

static struct random randoms[CREW_MAX];
static uint64_t ram_end;
static uint32_t served, refused;

static uint64_t arena_at(const struct device *d, uint32_t offset)
{
	return (uint64_t)(uintptr_t)d->arena + offset;
}

static uint64_t no_ram(struct random *r)
{
	/* The end of RAM is one device's only: two must not meet there. */
	switch (random_below(r, 6)) {
	case 0:
		return ~0ull - random_below(r, 32);
	case 1:
		return port_virtio + random_below(r, 0x1000);
	case 2:
		return ram_end + random_below(r, 0x1000);
	case 3:
		return random_next(r) | 1ull << 32 | PORT_NO_RAM;
	default:
		return (uint32_t)random_next(r) | PORT_NO_RAM;
	}
}

static uint64_t any_address(struct random *r, const struct device *d)
{
	switch (random_below(r, 48)) {
	case 0:
		return no_ram(r);
	case 1: /* over rings and tables */
		return arena_at(d, random_below(r, ARENA_DATA / 16) * 16);
	case 2: /* over the end of RAM, if it is long enough */
		return d == devices ? ram_end - 16 : no_ram(r);
	default:
		return arena_at(d, ARENA_DATA + random_below(r, ARENA_PIECE));
	}
}

static uint32_t any_length(struct random *r, uint64_t addr, const struct device *d)
{
	if (random_once(r, 64))
		return random_once(r, 2) ? 0 : (uint32_t)random_next(r) | PORT_NO_RAM;
	if (addr < arena_at(d, ARENA_DATA) || addr >= arena_at(d, ARENA))
		return 16 * (1 + random_below(r, ARENA_PIECE / 16));
	switch (random_below(r, 4)) {
	case 0:
		return 1;
	case 1:
		return 16;
	case 2:
		return 512 * (1 + random_below(r, ARENA_PIECE / 512));
	default:
		return 1 + random_below(r, ARENA_PIECE);
	}
}

static void put(volatile struct desc *to, uint64_t addr, uint32_t len, uint16_t flags,
		uint16_t next)
{
	/* Two words: whoever reads between them finds one old and one new. */
	((volatile uint64_t *)to)[0] = addr;
	((volatile uint64_t *)to)[1] = len | (uint64_t)flags << 32 |
				       (uint64_t)(len ? next : 0) << 48;
}

static volatile struct desc *tables(const struct device *d)
{
	return (volatile struct desc *)(d->arena + ARENA_TABLES);
}

/*
 * Entry `i` of a table of `n`, most often in a way that goes on to the next and ends at the last.
 */
static void any_desc(struct random *r, struct device *d, volatile struct desc *table, uint32_t i,
		     uint32_t n, bool is_in)
{
	uint64_t addr = any_address(r, d);
	uint32_t len = any_length(r, addr, d);
	uint16_t flags = (is_in ? DESC_WRITE : 0) | (i + 1 < n ? DESC_NEXT : 0);
	uint16_t next = (uint16_t)(i + 1);

	if (random_once(r, 32))
		flags ^= 1u << random_below(r, 3);
	if (random_once(r, 128))
		flags = len ? (uint16_t)random_next(r) : 7;
	if (random_once(r, 32))
		next = (uint16_t)(random_once(r, 2) ? random_below(r, n) : random_next(r));
	put(&table[i], addr, len, flags, next);
}

/* A table at an odd address, or the queue's own; where only descriptors lie. */
static uint32_t unruly_table(struct random *r)
{
	return random_once(r, 2) ? random_below(r, SIZE * 16)
				 : ARENA_TABLES + random_below(r, ARENA_PIECE);
}

static void any_indirect(struct random *r, struct device *d, volatile struct desc *at)
{
	uint32_t n = 1 + random_below(r, 12), place = random_below(r, ARENA_TABLES / 2 / 16 / 2);
	uint64_t addr = arena_at(d, ARENA_TABLES + place * 16);
	uint32_t n_out = random_below(r, n + 1), len = n * 16;

	for (uint32_t i = 0; i < n; i++)
		any_desc(r, d, tables(d) + place, i, n, i >= n_out);
	if (random_once(r, 8))
		addr = random_once(r, 2) ? no_ram(r) : arena_at(d, unruly_table(r));
	if (random_once(r, 8))
		len = random_once(r, 2) ? (uint32_t)random_next(r) | PORT_NO_RAM
					: random_below(r, ARENA_PIECE);
	put(at, addr, len, DESC_INDIRECT | (random_once(r, 32) ? DESC_NEXT : 0), 1);
}

/* What a disk would understand, if the rest allows it. */
static void any_header(struct random *r, struct device *d)
{
	static const uint8_t types[] = { 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 8, 8, 11, 13, 4 };
	volatile uint64_t *header = (volatile uint64_t *)(d->arena + ARENA_DATA);
	uint64_t sector = random_below(r, (uint32_t)d->sectors);

	header[0] = types[random_below(r, sizeof(types))];
	if (random_once(r, 4))
		sector = d->sectors - 2 + random_below(r, 4);
	else if (random_once(r, 4))
		sector = random_once(r, 2) ? random_next(r) : ~0ull;
	header[1] = sector;
}

/* What a socket device would understand, most often: connections, data, and what breaks the rules. */
static void any_packet(struct random *r, struct device *d)
{
	volatile uint32_t *header = (volatile uint32_t *)(d->arena + ARENA_DATA);

	vsock_header(d, (uint16_t)random_below(r, 9), random_below(r, 4), LISTENER);
	header[6] = random_once(r, 2) ? 0 : random_below(r, ARENA_PIECE);
	header[8] = random_below(r, 4);
	header[9] = random_once(r, 4) ? 0 : 0x10000;
	header[10] = random_once(r, 4) ? random_next(r) : random_below(r, 0x10000);
	if (random_once(r, 16))
		header[random_below(r, PACKET_HEADER / 4)] = (uint32_t)random_next(r);
}

/* A frame that says of itself what is so, or not: flags, kind, lengths. */
static void any_frame(struct random *r, struct device *d)
{
	volatile uint16_t *header = (volatile uint16_t *)(d->arena + ARENA_DATA);

	for (unsigned int i = 0; i < NET_HEADER / 2; i++)
		header[i] = random_once(r, 4) ? random_next(r) : random_below(r, 64);
	header[0] = (uint16_t)(random_below(r, 3) | random_below(r, 6) << 8);
	if (random_once(r, 4))
		header[0] |= 0x8000;
}

static void any_chain(struct random *r, struct device *d, unsigned int q)
{
	volatile struct desc *table = queue_desc(d, q);
	uint32_t n = 1 + random_below(r, SIZE), n_out = random_below(r, n + 1);

	if (random_once(r, 3)) {
		uint32_t at = random_below(r, 2); /* behind a direct piece, or alone */

		any_desc(r, d, table, 0, 2, false);
		any_indirect(r, d, &table[at]);
	} else {
		for (uint32_t i = 0; i < n; i++)
			any_desc(r, d, table, i, n, i >= n_out);
	}
	if (d->id == ID_VSOCK && random_once(r, 2)) {
		any_packet(r, d);
		table = queue_desc(d, q);
		put(&table[0], arena_at(d, ARENA_DATA), PACKET_HEADER,
		    q == VSOCK_TX ? DESC_NEXT : DESC_WRITE, 1);
		any_desc(r, d, table, 1, 2, false);
	}
	if (d->id == ID_NET && random_once(r, 2)) {
		any_frame(r, d);
		table = queue_desc(d, q);
		put(&table[0], arena_at(d, ARENA_DATA), NET_HEADER + random_below(r, 0x1000), 0, 0);
	}
	if (!d->sectors)
		return;
	/* Half of what disks get begins with a header and ends with a status. */
	any_header(r, d);
	if (random_once(r, 2)) {
		n = 3;
		table = queue_desc(d, q);
		put(&table[0], arena_at(d, ARENA_DATA), 16, DESC_NEXT, 1);
		any_desc(r, d, table, 1, 3, random_once(r, 2));
		put(&table[2], arena_at(d, ARENA_DATA + 0x1fff), 1, DESC_WRITE, 0);
	}
}

/* ---- Alone with a device: each chain is served, or ends it ---- */

static bool start_any(struct random *r, struct device *d)
{
	uint64_t features = (random_next(r) & 3) * FEATURE_INDIRECT;

	if (random_once(r, 2))
		features |= d->offers & random_next(r);
	return device_start(d, features, SIZE);
}

/* Receive queues wait for input that never comes. */
static unsigned int some_queue(struct random *r, const struct device *d)
{
	if (d->id == ID_VSOCK)
		return VSOCK_TX;
	if (d->id == ID_NET)
		return NET_TX;
	return d->id == ID_CONSOLE ? CONSOLE_RX + 1 : random_below(r, d->n_queues);
}

static bool one_chain(struct random *r, struct device *d)
{
	unsigned int q = some_queue(r, d);
	uint16_t before = queue_used(d, q)[1];

	any_chain(r, d, q);
	if (random_once(r, 32))
		d->offered[q] = (uint16_t)random_next(r);
	device_offer(d, q, random_once(r, 32) ? (uint16_t)random_next(r) : 0);
	device_write(d, REG_QUEUE_NOTIFY, q);
	if (d->offered[q] == before || device_wait(d, q, d->offered[q])) {
		served++;
		return true;
	}
	if (!(device_read(d, REG_STATUS) & STATUS_NEEDS_RESET))
		return false;
	refused++;
	return start_any(r, d);
}

static bool chains_of(struct device *d)
{
	struct random *r = &randoms[0];

	if (!start_any(r, d))
		return false;
	for (unsigned int i = 0; i < CHAINS; i++) {
		/* What could not be answered has been forgotten, before it is too much. */
		if (d->id == ID_VSOCK && i % UNANSWERED == UNANSWERED - 1 && !start_any(r, d))
			return false;
		if (!one_chain(r, d))
			return false;
	}
	return true;
}

/* ---- All at once ---- */

static void move_rings(struct random *r, struct device *d)
{
	static const uint32_t regs[] = { REG_QUEUE_DESC, REG_QUEUE_DRIVER, REG_QUEUE_DEVICE };
	unsigned int i = random_below(r, 3), q = random_below(r, d->n_queues);
	uint64_t at = no_ram(r);

	device_negotiate(d, FEATURE_INDIRECT);
	for (unsigned int k = 0; k < d->n_queues; k++)
		device_set_queue(d, k, SIZE);
	device_write(d, REG_QUEUE_SEL, q);
	device_write(d, REG_QUEUE_READY, 0);
	/* An available ring over anything; no other numbers where descriptors lie. */
	if (regs[i] == REG_QUEUE_DRIVER && random_once(r, 2))
		at = arena_at(d, random_below(r, 0x2000));
	device_write(d, regs[i], (uint32_t)at);
	device_write(d, regs[i] + 4, (uint32_t)(at >> 32));
	device_write(d, REG_QUEUE_READY, 1);
	device_write(d, REG_STATUS,
		     STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
}

static void step(struct random *r, struct device *d)
{
	unsigned int q = random_below(r, d->n_queues);
	volatile uint16_t *avail = queue_avail(d, q);

	switch (random_below(r, 64)) {
	case 0:
		start_any(r, d);
		break;
	case 1:
		move_rings(r, d);
		break;
	case 2:
		device_write(d, REG_STATUS, 0);
		break;
	case 3:
		avail[1] = (uint16_t)random_next(r);
		break;
	case 4:
		mmio_read(d->base + REG_CONFIG + random_below(r, 32) * 8, 8);
		break;
	case 5:
		avail[2 + SIZE] = (uint16_t)random_next(r); /* used_event */
		break;
	case 6:
		avail[0] = random_below(r, 2);
		break;
	case 7:
		avail[2 + random_below(r, SIZE)] = (uint16_t)random_next(r);
		break;
	case 8 ... 15:
		if (device_read(d, REG_STATUS) & STATUS_NEEDS_RESET)
			start_any(r, d);
		break;
	case 16 ... 39:
		any_chain(r, d, q);
		break;
	default:
		/* Offered while the other CPUs go on changing it. */
		avail[2 + avail[1] % SIZE] = (uint16_t)random_below(r, SIZE);
		port_fence();
		avail[1] = avail[1] + 1;
		device_write(d, REG_QUEUE_NOTIFY, q);
	}
}

static void storm(unsigned int cpu)
{
	struct random *r = &randoms[cpu];

	for (unsigned int i = 0; i < STEPS; i++)
		step(r, &devices[random_below(r, n_devices)]);
}

static bool do_round(void)
{
	bool all = true;

	for (unsigned int i = 0; i < n_devices; i++) {
		if (chains_of(&devices[i]))
			continue;
		put_str("neither served nor refused: ");
		put_str(devices[i].name);
		put_str("\r\n");
		all = false;
	}
	crew_run(storm);
	for (unsigned int i = 0; i < n_devices; i++)
		all &= device_works(&devices[i]);
	return all;
}

int payload_main(const void *boot)
{
	const char *line = payload_cmdline(boot);
	uint32_t seed = option(line, "seed=", 1), rounds = option(line, "rounds=", 10);

	port_init();
	ram_end = port_ram_end(boot);
	for (unsigned int i = 0; i < CREW_MAX; i++)
		random_seed(&randoms[i], (uint64_t)seed << 8 | i);
	if (!crew_start(boot, option(line, "cpus=", 1)) || !devices_find())
		return 1;
	for (uint32_t i = 0; i < rounds || !rounds; i++)
		if (!do_round())
			return 2;
	put_str("served ");
	put_hex(served);
	put_str(" refused ");
	put_hex(refused);
	put_str("\r\n");
	/* Both, or this has tested nothing. */
	return served && refused ? 0 : 3;
}
