/* SPDX-License-Identifier: MIT */
/*
 * A driver of virtio devices as they should be driven, polled; and what it takes to drive them as they
 * shouldn't. They are virtio-mmio's, or on PCI (pci.h). Each device has an arena of RAM for itself: whatever it is told to write lands
 * there, and two devices never share a byte.
 */
#ifndef PAYLOAD_DRIVER_H
#define PAYLOAD_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#define DEVICES_MAX 8
#define DEVICE_QUEUES 4 /* an arena has rings for as many, which is enough but for ports (exec.c) */
#define QUEUES_MAX 16

/* A device's registers: VIRTIO_MMIO_* of Linux. */
#define REG_MAGIC 0x00
#define REG_DEVICE_ID 0x08
#define REG_FEATURES 0x10
#define REG_FEATURES_SEL 0x14
#define REG_DRIVER_FEATURES 0x20
#define REG_DRIVER_FEATURES_SEL 0x24
#define REG_QUEUE_SEL 0x30
#define REG_QUEUE_NUM_MAX 0x34
#define REG_QUEUE_NUM 0x38
#define REG_QUEUE_READY 0x44
#define REG_QUEUE_NOTIFY 0x50
#define REG_INTERRUPT_ACK 0x64
#define REG_STATUS 0x70
#define REG_QUEUE_DESC 0x80
#define REG_QUEUE_DRIVER 0x90
#define REG_QUEUE_DEVICE 0xa0
#define REG_CONFIG 0x100
#define REG_END 0x200

#define STATUS_ACKNOWLEDGE 1
#define STATUS_DRIVER 2
#define STATUS_DRIVER_OK 4
#define STATUS_FEATURES_OK 8
#define STATUS_NEEDS_RESET 64

#define FEATURE_BLK_FLUSH (1ull << 9)
#define FEATURE_INDIRECT (1ull << 28)
#define FEATURE_EVENT_IDX (1ull << 29)
#define FEATURE_VERSION_1 (1ull << 32)

#define DESC_NEXT 1
#define DESC_WRITE 2
#define DESC_INDIRECT 4

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

/*
 * Rings, then indirect tables, then data. What is at most ARENA_PIECE long and begins before the
 * last such part ends inside.
 */
#define ARENA 0x10000
#define ARENA_TABLES 0x8000
#define ARENA_DATA 0xc000
#define ARENA_PIECE 0x2000

struct device {
	const char *name;
	uint64_t base;	 /* of the registers, or of a PCI function's BAR at first */
	uint64_t config; /* a function's configuration space; 0: it is virtio-mmio's */
	uint32_t window; /* in there: the capability by which it reaches the BAR */
	uint32_t id, n_queues;
	uint8_t *arena;
	uint64_t sectors; /* of a disk */
	bool read_only;
	uint64_t print;	 /* of the first sectors of a read-only disk */
	uint32_t cid;	 /* ours, by a socket device */
	uint64_t offers; /* a network's features */
	uint32_t queue_size;
	uint16_t offered[QUEUES_MAX]; /* avail.idx */
	uint32_t requests;
};

#define ID_NET 1
#define ID_BLOCK 2
#define ID_CONSOLE 3
#define ID_RNG 4
#define ID_VSOCK 19

/* A packet's header (virtio 1.2, section 5.10.6), and what we know of it. */
#define PACKET_HEADER 44
#define PACKET_STREAM 1
#define PACKET_REQUEST 1
#define PACKET_RST 3
#define PACKET_HOST 2

/* What is before a frame (virtio 1.2, section 5.1.6). */
#define NET_HEADER 12
#define NET_TX 1

#define DISK_IN 0
#define DISK_OUT 1
#define DISK_FLUSH 4
#define DISK_SECTOR 512
#define DISK_DATA_MAX 0x2000

extern struct device devices[DEVICES_MAX];
extern unsigned int n_devices;

/* Finds all devices of a kind that it knows, and proves that they work. */
bool devices_find(void);

static inline struct desc *queue_desc(struct device *d, unsigned int q)
{
	return (struct desc *)(d->arena + q * 0x2000);
}

/* flags, idx, ring, used_event. */
static inline volatile uint16_t *queue_avail(struct device *d, unsigned int q)
{
	return (volatile uint16_t *)(d->arena + q * 0x2000 + 0x1000);
}

/* flags and idx; pairs of 32 bits; avail_event. */
static inline volatile uint16_t *queue_used(struct device *d, unsigned int q)
{
	return (volatile uint16_t *)(d->arena + q * 0x2000 + 0x1400);
}

uint32_t device_read(const struct device *d, uint32_t reg);
void device_write(const struct device *d, uint32_t reg, uint32_t v);

/* Reset, negotiation up to FEATURES_OK; rings where the arena has them, empty; DRIVER_OK. */
bool device_negotiate(struct device *d, uint64_t features);
void device_set_queue(struct device *d, unsigned int q, uint32_t size);
bool device_start(struct device *d, uint64_t features, uint32_t size);

void device_offer(struct device *d, unsigned int q, uint16_t head);

/* Waits for used.idx. False: the device needs a reset, or is too slow. */
bool device_wait(struct device *d, unsigned int q, uint16_t idx);

/*
 * The first device of that kind, untouched: for payloads that drive but one. NULL: there is none.
 */
struct device *device_find(uint32_t id);

/* A disk's request of up to DISK_DATA_MAX bytes, and where they lie; the device is started. */
bool disk_transfer(struct device *d, uint32_t type, uint64_t sector, uint32_t len);
volatile uint32_t *disk_data(struct device *d);

/* Writes the header of a packet of ours to the host to where disk_data() is. */
void vsock_header(struct device *d, uint16_t op, uint32_t guest_port, uint32_t host_port);

/* A request of its kind, whose answer is checked; the device is started. */
bool device_request(struct device *d);

/* Whatever was done to it: after a reset it works. Says so if not. */
bool device_works(struct device *d);

#endif
