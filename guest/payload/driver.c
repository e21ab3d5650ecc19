/* SPDX-License-Identifier: MIT */
#include "guest/payload/driver.h"

#include "guest/payload/pci.h"
#include "guest/payload/port.h"

#define MAGIC 0x74726976
#define BLK_READ_ONLY (1ull << 5)

#define VSOCK_RX 0
#define VSOCK_TX 1
#define CONSOLE_TX 1

#define QUEUE_SIZE 8
#define PRINTED 8 /* sectors */
#define PATIENCE 2000000u

/* Where requests have their pieces. */
#define HEADER (ARENA_DATA + 0)
#define STATUS (ARENA_DATA + 0x10)
#define DATA (ARENA_DATA + 0x100)

struct device devices[DEVICES_MAX];
unsigned int n_devices;

static uint8_t arenas[DEVICES_MAX][ARENA] __attribute__((aligned(4096)));

uint32_t device_read(const struct device *d, uint32_t reg)
{
	return d->config ? pci_register_read(d, reg) : (uint32_t)mmio_read(d->base + reg, 4);
}

void device_write(const struct device *d, uint32_t reg, uint32_t v)
{
	if (d->config)
		pci_register_write(d, reg, v);
	else
		mmio_write(d->base + reg, v, 4);
}

static uint64_t offered_features(const struct device *d)
{
	uint64_t low;

	device_write(d, REG_FEATURES_SEL, 0);
	low = device_read(d, REG_FEATURES);
	device_write(d, REG_FEATURES_SEL, 1);
	return low | (uint64_t)device_read(d, REG_FEATURES) << 32;
}

bool device_negotiate(struct device *d, uint64_t features)
{
	uint32_t status = STATUS_ACKNOWLEDGE | STATUS_DRIVER;

	device_write(d, REG_STATUS, 0);
	device_write(d, REG_STATUS, status);
	device_write(d, REG_DRIVER_FEATURES_SEL, 0);
	device_write(d, REG_DRIVER_FEATURES, (uint32_t)features);
	device_write(d, REG_DRIVER_FEATURES_SEL, 1);
	device_write(d, REG_DRIVER_FEATURES, (uint32_t)((features | FEATURE_VERSION_1) >> 32));
	device_write(d, REG_STATUS, status | STATUS_FEATURES_OK);
	return device_read(d, REG_STATUS) == (status | STATUS_FEATURES_OK);
}

static void set_address(struct device *d, uint32_t reg, const volatile void *at)
{
	device_write(d, reg, (uint32_t)(uintptr_t)at);
	device_write(d, reg + 4, (uint32_t)((uint64_t)(uintptr_t)at >> 32));
}

static void clear(volatile uint16_t *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		p[i] = 0;
}

void device_set_queue(struct device *d, unsigned int q, uint32_t size)
{
	clear((volatile uint16_t *)queue_desc(d, q), size * 8);
	clear(queue_avail(d, q), size + 3);
	clear(queue_used(d, q), 4 * size + 3);
	d->offered[q] = 0;
	d->queue_size = size;
	device_write(d, REG_QUEUE_SEL, q);
	device_write(d, REG_QUEUE_NUM, size);
	set_address(d, REG_QUEUE_DESC, queue_desc(d, q));
	set_address(d, REG_QUEUE_DRIVER, queue_avail(d, q));
	set_address(d, REG_QUEUE_DEVICE, queue_used(d, q));
	device_write(d, REG_QUEUE_READY, 1);
}

bool device_start(struct device *d, uint64_t features, uint32_t size)
{
	if (!device_negotiate(d, features))
		return false;
	for (unsigned int q = 0; q < d->n_queues; q++)
		device_set_queue(d, q, size);
	device_write(d, REG_STATUS,
		     STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
	return device_read(d, REG_STATUS) & STATUS_DRIVER_OK;
}

void device_offer(struct device *d, unsigned int q, uint16_t head)
{
	volatile uint16_t *avail = queue_avail(d, q);

	avail[2 + d->offered[q] % d->queue_size] = head;
	port_fence();
	avail[1] = ++d->offered[q];
	port_fence();
}

bool device_wait(struct device *d, unsigned int q, uint16_t idx)
{
	for (uint32_t i = 0; i < PATIENCE; i++) {
		if (queue_used(d, q)[1] == idx) {
			port_fence();
			return true;
		}
		if (i % 64 == 63 && device_read(d, REG_STATUS) & STATUS_NEEDS_RESET)
			return false;
	}
	return false;
}

/* ---- Requests ---- */

static void put_desc(struct device *d, unsigned int q, uint16_t i, uint32_t at, uint32_t len,
		     uint16_t flags)
{
	queue_desc(d, q)[i] = (struct desc){
		.addr = (uint64_t)(uintptr_t)d->arena + at,
		.len = len,
		.flags = flags,
		.next = (uint16_t)(i + 1),
	};
}

static bool do_request(struct device *d, unsigned int q)
{
	device_offer(d, q, 0);
	device_write(d, REG_QUEUE_NOTIFY, q);
	return device_wait(d, q, d->offered[q]);
}

static bool rng_request(struct device *d)
{
	volatile uint8_t *data = d->arena + DATA;
	unsigned int changed = 0;

	for (unsigned int i = 0; i < 64; i++)
		data[i] = (uint8_t)d->requests;
	put_desc(d, 0, 0, DATA, 64, DESC_WRITE);
	if (!do_request(d, 0))
		return false;
	for (unsigned int i = 0; i < 64; i++)
		changed += data[i] != (uint8_t)d->requests;
	return changed > 32;
}

bool disk_transfer(struct device *d, uint32_t type, uint64_t sector, uint32_t len)
{
	volatile uint32_t *header = (volatile uint32_t *)(d->arena + HEADER);
	volatile uint8_t *status = d->arena + STATUS;

	header[0] = type;
	header[1] = 0;
	header[2] = (uint32_t)sector;
	header[3] = (uint32_t)(sector >> 32);
	*status = 0xff;
	put_desc(d, 0, 0, HEADER, 16, DESC_NEXT);
	put_desc(d, 0, 1, DATA, len, DESC_NEXT | (type == DISK_IN ? DESC_WRITE : 0));
	put_desc(d, 0, 2, STATUS, 1, DESC_WRITE);
	if (!len)
		queue_desc(d, 0)[0].next = 2;
	return do_request(d, 0) && !*status;
}

/* FNV-1a: what matters is that a changed byte is seen. */
static uint64_t print_of(struct device *d)
{
	const volatile uint8_t *data = d->arena + DATA;
	uint64_t print = 0xcbf29ce484222325ull;

	for (unsigned int i = 0; i < PRINTED * DISK_SECTOR; i++)
		print = (print ^ data[i]) * 0x100000001b3ull;
	return print;
}

static bool blk_request(struct device *d)
{
	uint64_t sector = d->requests % d->sectors;
	volatile uint32_t *data = (volatile uint32_t *)(d->arena + DATA);

	if (d->read_only)
		return disk_transfer(d, DISK_IN, 0, PRINTED * DISK_SECTOR) &&
		       print_of(d) == d->print;
	for (unsigned int i = 0; i < DISK_SECTOR / 4; i++)
		data[i] = d->requests * 2654435761u + i;
	if (!disk_transfer(d, DISK_OUT, sector, DISK_SECTOR) || !disk_transfer(d, DISK_FLUSH, 0, 0))
		return false;
	for (unsigned int i = 0; i < DISK_SECTOR / 4; i++)
		data[i] = 0;
	if (!disk_transfer(d, DISK_IN, sector, DISK_SECTOR))
		return false;
	for (unsigned int i = 0; i < DISK_SECTOR / 4; i++)
		if (data[i] != d->requests * 2654435761u + i)
			return false;
	return true;
}

static bool console_request(struct device *d)
{
	static const char text[] = "virtio console\r\n";

	for (unsigned int i = 0; i < sizeof(text) - 1; i++)
		((volatile uint8_t *)d->arena)[DATA + i] = (uint8_t)text[i];
	put_desc(d, CONSOLE_TX, 0, DATA, sizeof(text) - 1, 0);
	return do_request(d, CONSOLE_TX);
}

/* To all stations, of a protocol that nobody speaks. */
static bool net_request(struct device *d)
{
	volatile uint8_t *data = d->arena + DATA;

	for (unsigned int i = 0; i < NET_HEADER + 60; i++)
		data[i] = i < NET_HEADER ? 0 : i < NET_HEADER + 6 ? 0xff : 0x88;
	put_desc(d, NET_TX, 0, DATA, NET_HEADER + 60, 0);
	return do_request(d, NET_TX);
}

void vsock_header(struct device *d, uint16_t op, uint32_t guest_port, uint32_t host_port)
{
	volatile uint32_t *header = (volatile uint32_t *)(d->arena + DATA);

	for (unsigned int i = 0; i < PACKET_HEADER / 4; i++)
		header[i] = 0;
	header[0] = d->cid;
	header[2] = PACKET_HOST;
	header[4] = guest_port;
	header[5] = host_port;
	header[7] = PACKET_STREAM | (uint32_t)op << 16;
}

/* To a port of the host where nobody listens: that is refused. */
static bool vsock_request(struct device *d)
{
	volatile uint32_t *answer = (volatile uint32_t *)(d->arena + HEADER);

	vsock_header(d, PACKET_REQUEST, d->requests, 7);
	put_desc(d, VSOCK_RX, 0, HEADER, 2 * PACKET_HEADER, DESC_WRITE);
	device_offer(d, VSOCK_RX, 0);
	device_write(d, REG_QUEUE_NOTIFY, VSOCK_RX);
	put_desc(d, VSOCK_TX, 0, DATA, PACKET_HEADER, 0);
	return do_request(d, VSOCK_TX) && device_wait(d, VSOCK_RX, d->offered[VSOCK_RX]) &&
	       answer[2] == d->cid && answer[5] == d->requests &&
	       answer[7] == (PACKET_STREAM | PACKET_RST << 16);
}

bool device_request(struct device *d)
{
	d->requests++;
	switch (d->id) {
	case ID_NET:
		return net_request(d);
	case ID_BLOCK:
		return blk_request(d);
	case ID_CONSOLE:
		return console_request(d);
	case ID_VSOCK:
		return vsock_request(d);
	default:
		return rng_request(d);
	}
}

bool device_works(struct device *d)
{
	/* Two kinds of rings: a reset that forgot something shows in the second. */
	if (device_start(d, 0, QUEUE_SIZE) && device_request(d) && device_request(d) &&
	    device_start(d, FEATURE_INDIRECT | FEATURE_EVENT_IDX, QUEUE_SIZE / 2) &&
	    device_request(d))
		return true;
	put_str("dead: ");
	put_str(d->name);
	put_str(" at ");
	put_hex(d->base);
	put_str(", status ");
	put_hex(device_read(d, REG_STATUS));
	put_str("\r\n");
	return false;
}

/* ---- Finding them ---- */

static bool learn_disk(struct device *d)
{
	d->sectors = (uint64_t)device_read(d, REG_CONFIG + 4) << 32 | device_read(d, REG_CONFIG);
	d->read_only = offered_features(d) & BLK_READ_ONLY;
	if (d->sectors < PRINTED || !device_start(d, 0, QUEUE_SIZE))
		return false;
	if (!d->read_only)
		return true;
	if (!disk_transfer(d, DISK_IN, 0, PRINTED * DISK_SECTOR))
		return false;
	d->print = print_of(d);
	return true;
}

static bool learn(struct device *d)
{
	d->n_queues = 1;
	switch (d->id) {
	case ID_NET:
		d->name = "network";
		d->n_queues = 3;
		d->offers = offered_features(d);
		return true;
	case ID_BLOCK:
		d->name = "disk";
		return learn_disk(d);
	case ID_CONSOLE:
		d->name = "console";
		d->n_queues = 2;
		return true;
	case ID_RNG:
		d->name = "rng";
		return true;
	case ID_VSOCK:
		d->name = "vsock";
		d->n_queues = 3;
		d->cid = device_read(d, REG_CONFIG);
		return true;
	}
	return false;
}

/* The machine's device number `i`. False: there is none. */
static bool look(struct device *d, unsigned int i)
{
	d->base = port_virtio + i * port_virtio_step;
	if (device_read(d, REG_MAGIC) != MAGIC)
		return pci_find(d, i);
	d->id = device_read(d, REG_DEVICE_ID);
	return true;
}

struct device *device_find(uint32_t id)
{
	struct device *d = &devices[0];

	for (unsigned int i = 0; i < DEVICES_MAX; i++) {
		d->arena = arenas[0];
		d->config = 0;
		d->n_queues = id == ID_CONSOLE ? 2 : 1;
		if (!look(d, i))
			return NULL;
		if (d->id == id)
			return d;
	}
	return NULL;
}

volatile uint32_t *disk_data(struct device *d)
{
	return (volatile uint32_t *)(d->arena + DATA);
}

bool devices_find(void)
{
	while (n_devices < DEVICES_MAX) {
		struct device *d = &devices[n_devices];

		d->arena = arenas[n_devices];
		if (!look(d, n_devices))
			break;
		if (!learn(d) || !device_works(d)) {
			put_str("a device doesn't work from the start\r\n");
			return false;
		}
		n_devices++;
	}
	return true;
}
