/* SPDX-License-Identifier: MIT */
/* virtio/blk, as a driver sees it, on a real file. */
#include "virtio/blk.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>

#include "host/disk-kind.h"
#include "tests/unit/driver.h"

#define SIZE 16
#define SECTORS 64
#define HEADER DATA
#define STATUS (DATA + 0x1000)
#define BUFFER (DATA + 0x2000)
#define NO_STATUS 0xee

static void fill(int fd)
{
	uint8_t sector[512];

	for (unsigned int i = 0; i < SECTORS; i++) {
		memset(sector, (int)i, sizeof(sector));
		if (pwrite(fd, sector, sizeof(sector), i * 512) != sizeof(sector))
			ok(false, "the disk is filled");
	}
}

static struct virtio_dev *plug_queues(struct machine *m, const char *path, bool read_only,
				      const char *engine, unsigned int queues)
{
	struct disk_config disk = { .path = path, .read_only = read_only };
	struct blk_config config = { .name = "blk",
				     .engine = engine,
				     .queues = queues,
				     .serial = "a serial of more than twenty bytes" };
	struct err err = { "" };

	if (disk_open(&disk, &config.disk, &err)) {
		printf("Bail out! %s\n", err.text);
		exit(1);
	}
	return machine_plug(m, &virtio_blk_type, &config);
}

static struct virtio_dev *plug(struct machine *m, const char *path, bool read_only,
			       const char *engine)
{
	return plug_queues(m, path, read_only, engine, 0);
}

static uint8_t *status_byte(struct machine *m)
{
	return mem_at(&m->mem, STATUS, 1, MEM_W);
}

static void put_header(struct machine *m, uint32_t type, uint64_t sector)
{
	struct virtio_blk_outhdr header = { .type = type, .sector = sector };

	memcpy(mem_at(&m->mem, HEADER, sizeof(header), MEM_W), &header, sizeof(header));
	*status_byte(m) = NO_STATUS;
}

/* Offers the chain at 0 and waits. What was used, or -1. */
static int64_t run(struct machine *m)
{
	uint16_t n = ring_avail(m, 0)->idx;

	driver_offer(m, 0, SIZE, 0);
	driver_kick(m, 0);
	if (!driver_wait_used(m, 0, n + 1))
		return -1;
	return ring_used(m, 0)->ring[n % SIZE].len;
}

/* A request in the usual form: header, data, status. Its status. */
static uint8_t request(struct machine *m, uint32_t type, uint64_t sector, uint32_t len)
{
	bool is_in = type != VIRTIO_BLK_T_OUT;

	put_header(m, type, sector);
	driver_desc(m, 0, 0, HEADER, sizeof(struct virtio_blk_outhdr), false, true);
	if (len)
		driver_desc(m, 0, 1, BUFFER, len, is_in, true);
	driver_desc(m, 0, len ? 2 : 1, STATUS, 1, true, false);
	if (run(m) != (is_in ? len + 1 : 1))
		ok(false, "the used length of type %u", type);
	return *status_byte(m);
}

/* One range to clear, of `flags`, in a request whose data have `len` bytes. */
static uint8_t clear(struct machine *m, uint32_t type, uint64_t sector, uint32_t n, uint32_t flags,
		     uint32_t len)
{
	struct virtio_blk_discard_write_zeroes range = { .sector = sector,
							 .num_sectors = n,
							 .flags = flags };

	put_header(m, type, 0);
	memcpy(mem_at(&m->mem, BUFFER, sizeof(range), MEM_W), &range, sizeof(range));
	driver_desc(m, 0, 0, HEADER, sizeof(struct virtio_blk_outhdr), false, true);
	if (len)
		driver_desc(m, 0, 1, BUFFER, len, false, true);
	driver_desc(m, 0, len ? 2 : 1, STATUS, 1, true, false);
	if (run(m) != 1)
		ok(false, "the used length of type %u", type);
	return *status_byte(m);
}

static bool sectors_are(int fd, unsigned int first, unsigned int n, int value)
{
	uint8_t sector[512];
	bool so = true;

	for (unsigned int i = first; i < first + n; i++)
		so &= pread(fd, sector, 512, i * 512) == 512 &&
		      sector[0] == (value < 0 ? (uint8_t)i : value) && sector[511] == sector[0];
	return so;
}

static void test_clear(struct machine *m, int fd)
{
	const uint32_t zeroes = VIRTIO_BLK_T_WRITE_ZEROES, discard = VIRTIO_BLK_T_DISCARD;
	struct stat before, after;

	fill(fd);
	ok(driver_offered(m) & FEATURE(VIRTIO_BLK_F_DISCARD) &&
		   driver_offered(m) & FEATURE(VIRTIO_BLK_F_WRITE_ZEROES) &&
		   bus_read(m, 0x128, 4) == 1 && bus_read(m, 0x134, 4) == 1,
	   "a range can be discarded, or made zeros");
	ok(clear(m, zeroes, 3, 2, 0, 16) == VIRTIO_BLK_S_OK && sectors_are(fd, 3, 2, 0) &&
		   sectors_are(fd, 0, 3, -1) && sectors_are(fd, 5, SECTORS - 5, -1),
	   "two sectors become zeros");
	fstat(fd, &before);
	ok(clear(m, discard, 8, 32, 0, 16) == VIRTIO_BLK_S_OK && !fstat(fd, &after) &&
		   after.st_blocks < before.st_blocks && after.st_size == before.st_size,
	   "what is discarded takes no room on the host");
	ok(clear(m, zeroes, SECTORS - 1, 1, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP, 16) ==
			   VIRTIO_BLK_S_OK &&
		   sectors_are(fd, SECTORS - 1, 1, 0),
	   "the last one, unmapped");
	fill(fd);
	ok(clear(m, zeroes, SECTORS - 1, 2, 0, 16) == VIRTIO_BLK_S_IOERR &&
		   clear(m, zeroes, UINT64_MAX, 1, 0, 16) == VIRTIO_BLK_S_IOERR &&
		   clear(m, discard, 0, UINT32_MAX, 0, 16) == VIRTIO_BLK_S_IOERR &&
		   clear(m, discard, UINT64_MAX / 512 + 1, 1, 0, 16) == VIRTIO_BLK_S_IOERR,
	   "nothing past the end, nor too much at a time");
	ok(clear(m, zeroes, 0, 1, 0, 0) == VIRTIO_BLK_S_IOERR &&
		   clear(m, zeroes, 0, 1, 0, 15) == VIRTIO_BLK_S_IOERR &&
		   clear(m, zeroes, 0, 1, 0, 32) == VIRTIO_BLK_S_IOERR,
	   "nor by a range of another length");
	ok(clear(m, zeroes, 0, 1, 2, 16) == VIRTIO_BLK_S_UNSUPP &&
		   clear(m, discard, 0, 1, 1, 16) == VIRTIO_BLK_S_UNSUPP,
	   "nor with flags that are not known");
	ok(clear(m, zeroes, 0, 0, 0, 16) == VIRTIO_BLK_S_OK && sectors_are(fd, 0, SECTORS, -1),
	   "no sectors are no sectors, and all of that changed nothing");
}

/* By default a flush makes writes safe; a driver may want each of them to be. */
static void test_cache(struct machine *m, struct virtio_dev *dev)
{
	const uint64_t wce = 0x100 + offsetof(struct virtio_blk_config, wce);

	bus_write(m, wce, 0, 1);
	ok(bus_read(m, wce, 1) == 1, "write back, and stays it for who has not negotiated");
	driver_start(m, FEATURE(VIRTIO_BLK_F_FLUSH) | FEATURE(VIRTIO_BLK_F_CONFIG_WCE), 1, SIZE);
	bus_write(m, wce, 0, 1);
	ok(bus_read(m, wce, 1) == 0 && request(m, VIRTIO_BLK_T_OUT, 0, 512) == VIRTIO_BLK_S_OK &&
		   clear(m, VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 0, 16) == VIRTIO_BLK_S_OK,
	   "write through");
	check_save_load(dev);
	bus_write(m, wce + 1, 1, 1);
	bus_write(m, wce - 1, 0x0101, 2);
	bus_write(m, 0x100, 0, 8);
	ok(bus_read(m, wce, 1) == 0 && bus_read(m, 0x100, 8) == SECTORS,
	   "nothing else can be written there");
	driver_start(m, 0, 1, SIZE);
	ok(bus_read(m, wce, 1) == 1, "a reset makes it write back");
}

static void test_config(struct machine *m, bool read_only)
{
	uint64_t offered = driver_offered(m);

	ok(reg_read(m, VIRTIO_MMIO_DEVICE_ID) == VIRTIO_ID_BLOCK, "its ID");
	ok(bus_read(m, 0x100, 8) == SECTORS, "its capacity");
	ok(bus_read(m, 0x10c, 4) == 254, "its most segments");
	ok(bus_read(m, 0x114, 4) == 512, "its block size");
	ok(!!(offered & FEATURE(VIRTIO_BLK_F_RO)) == read_only, "read-only: %d", read_only);
	ok(offered & FEATURE(VIRTIO_BLK_F_FLUSH), "it can flush");
	ok(offered & FEATURE(VIRTIO_BLK_F_TOPOLOGY), "it tells of blocks below, wherever it lies");
}

static void test_reads(struct machine *m)
{
	uint8_t *buffer = mem_at(&m->mem, BUFFER, 0x10000, MEM_W);

	ok(request(m, VIRTIO_BLK_T_IN, 3, 1024) == VIRTIO_BLK_S_OK && buffer[0] == 3 &&
		   buffer[511] == 3 && buffer[512] == 4 && buffer[1024] == 0,
	   "two sectors are read");
	ok(request(m, VIRTIO_BLK_T_IN, SECTORS - 1, 512) == VIRTIO_BLK_S_OK &&
		   buffer[0] == SECTORS - 1,
	   "the last sector");
	buffer[0] = 99;
	ok(request(m, VIRTIO_BLK_T_IN, SECTORS - 1, 1024) == VIRTIO_BLK_S_IOERR, "not past it");
	ok(request(m, VIRTIO_BLK_T_IN, SECTORS, 512) == VIRTIO_BLK_S_IOERR, "nor behind it");
	ok(request(m, VIRTIO_BLK_T_IN, UINT64_MAX, 512) == VIRTIO_BLK_S_IOERR,
	   "nor at the largest");
	ok(request(m, VIRTIO_BLK_T_IN, UINT64_MAX / 512 + 1, 512) == VIRTIO_BLK_S_IOERR,
	   "nor where bytes wrap to 0");
	ok(request(m, VIRTIO_BLK_T_IN, 0, 100) == VIRTIO_BLK_S_IOERR, "nor part of a sector");
	ok(buffer[0] == 99, "and nothing is read then");
	ok(request(m, 77, 0, 512) == VIRTIO_BLK_S_UNSUPP, "an unknown type is not supported");
	ok(request(m, VIRTIO_BLK_T_GET_ID, 0, 20) == VIRTIO_BLK_S_OK &&
		   !memcmp(buffer, "a serial of more tha", 20),
	   "its serial, cut to 20 bytes");
	ok(request(m, VIRTIO_BLK_T_GET_ID, 0, 5) == VIRTIO_BLK_S_OK && buffer[5] == 'i',
	   "or to what there is room for");
	ok(request(m, VIRTIO_BLK_T_FLUSH, 0, 0) == VIRTIO_BLK_S_OK, "flushed");
}

static void test_writes(struct machine *m, int fd)
{
	uint8_t *buffer = mem_at(&m->mem, BUFFER, 0x10000, MEM_W);
	uint8_t sector[512];

	memset(buffer, 0xaa, 512);
	ok(request(m, VIRTIO_BLK_T_OUT, 7, 512) == VIRTIO_BLK_S_OK, "a sector is written");
	ok(pread(fd, sector, 512, 7 * 512) == 512 && sector[0] == 0xaa && sector[511] == 0xaa,
	   "it is in the file");
	ok(request(m, VIRTIO_BLK_T_OUT, SECTORS, 512) == VIRTIO_BLK_S_IOERR, "not behind the end");
	ok(lseek(fd, 0, SEEK_END) == SECTORS * 512, "the file has not grown");
}

/* A header in three pieces, data cut at odd places, the status behind data in one piece. */
static void test_framing(struct machine *m)
{
	uint8_t *buffer = mem_at(&m->mem, BUFFER, 0x10000, MEM_W);

	put_header(m, VIRTIO_BLK_T_IN, 9);
	buffer[512] = NO_STATUS;
	driver_desc(m, 0, 0, HEADER, 1, false, true);
	driver_desc(m, 0, 1, HEADER + 1, 14, false, true);
	driver_desc(m, 0, 2, HEADER + 15, 1, false, true);
	driver_desc(m, 0, 3, BUFFER, 3, true, true);
	driver_desc(m, 0, 4, BUFFER + 3, 510, true, false);
	ok(run(m) == 513 && buffer[0] == 9 && buffer[511] == 9 && buffer[512] == VIRTIO_BLK_S_OK,
	   "a read cut in any way");

	put_header(m, VIRTIO_BLK_T_OUT, 11);
	memset(buffer, 0x55, 512);
	memcpy(mem_at(&m->mem, HEADER + 16, 500, MEM_W), buffer, 500);
	driver_desc(m, 0, 0, HEADER, 16 + 500, false, true);
	driver_desc(m, 0, 1, BUFFER, 12, false, true);
	driver_desc(m, 0, 2, STATUS, 1, true, false);
	ok(run(m) == 1 && *status_byte(m) == VIRTIO_BLK_S_OK,
	   "a write with data behind its header");
	ok(request(m, VIRTIO_BLK_T_IN, 11, 512) == VIRTIO_BLK_S_OK && buffer[0] == 0x55 &&
		   buffer[511] == 0x55,
	   "which arrived");
}

static void test_dirty(struct machine *m, struct virtio_dev *dev)
{
	machine_dirty_pages(m, true);
	request(m, VIRTIO_BLK_T_OUT, 0, 4096 * 2);
	dev->device.ops->quiesce(&dev->device);
	ok(mem_test_dirty(&m->mem, STATUS, false) &&
		   mem_test_dirty(&m->mem, RINGS(0) + USED_OFFSET, false) &&
		   machine_dirty_pages(m, true) == 2,
	   "a write to disk dirties status and used ring only");
	dev->device.ops->resume(&dev->device);
	request(m, VIRTIO_BLK_T_IN, 0, 4096 * 2);
	dev->device.ops->quiesce(&dev->device);
	ok(mem_test_dirty(&m->mem, BUFFER, false) &&
		   mem_test_dirty(&m->mem, BUFFER + 4096, false) &&
		   machine_dirty_pages(m, true) == 4,
	   "a read from disk dirties the data too");
	dev->device.ops->resume(&dev->device);
}

static void test_broken(struct machine *m)
{
	put_header(m, VIRTIO_BLK_T_IN, 0);
	driver_desc(m, 0, 0, HEADER, 15, false, true);
	driver_desc(m, 0, 1, STATUS, 1, true, false);
	driver_offer(m, 0, SIZE, 0);
	driver_kick(m, 0);
	ok(driver_wait_status(m, VIRTIO_CONFIG_S_NEEDS_RESET) && *status_byte(m) == NO_STATUS,
	   "a header too short: needs reset");
	driver_start(m, 0, 1, SIZE);
	driver_desc(m, 0, 0, HEADER, 16, false, false);
	driver_offer(m, 0, SIZE, 0);
	driver_kick(m, 0);
	ok(driver_wait_status(m, VIRTIO_CONFIG_S_NEEDS_RESET), "no room for a status: needs reset");
	driver_start(m, 0, 1, SIZE);
}

/* The same megabytes in all pieces of a chain: far more than the disk has, or this RAM. */
static void test_huge(struct machine *m)
{
	size_t before = mallinfo2().uordblks;
	unsigned int wrong = 0;

	for (unsigned int type = VIRTIO_BLK_T_IN; type <= VIRTIO_BLK_T_GET_ID; type++) {
		bool is_in = type != VIRTIO_BLK_T_OUT;

		put_header(m, type, 0);
		driver_desc(m, 0, 0, HEADER, 16, false, true);
		for (uint16_t i = 1; i < SIZE - 1; i++)
			driver_desc(m, 0, i, BUFFER, 6 * MIB, is_in, true);
		driver_desc(m, 0, SIZE - 1, STATUS, 1, true, false);
		wrong += run(m) < 0 || *status_byte(m) == NO_STATUS;
		if (type <= VIRTIO_BLK_T_OUT)
			wrong += *status_byte(m) != VIRTIO_BLK_S_IOERR;
	}
	ok(!wrong, "requests larger than the disk are answered (%u aren't)", wrong);
	/* (the driver's machine allocates nothing either) */
	ok(mallinfo2().uordblks <= before, "without memory for them");
}

static void test_host_error(struct machine *m, int fd, int log_fd)
{
	off_t logged = lseek(log_fd, 0, SEEK_END);
	char line[256] = "";

	if (ftruncate(fd, 512))
		ok(false, "the file is cut short");
	ok(request(m, VIRTIO_BLK_T_IN, 5, 512) == VIRTIO_BLK_S_IOERR,
	   "a file cut short: an I/O error");
	if (pread(log_fd, line, sizeof(line) - 1, logged) < 0)
		line[0] = 0;
	ok(strstr(line, "blk: read at sector 5"), "the log says: %.*s", (int)strcspn(line, "\n"),
	   line);
	ok(request(m, VIRTIO_BLK_T_IN, 0, 512) == VIRTIO_BLK_S_OK, "and the device lives");
	fill(fd);
}

/*
 * A whole queue of requests offered at once, more than once over: each is answered, in whatever
 * order, and a driver that offers one request again before its answer gets one more for each.
 */
static void test_many(struct machine *m, int fd)
{
	unsigned int wrong = 0;
	uint8_t sector[512];

	driver_start(m, 0, 1, 256);
	for (uint16_t i = 0; i < SECTORS; i++) {
		struct virtio_blk_outhdr header = { .type = VIRTIO_BLK_T_OUT, .sector = i };
		uint64_t at = DATA + 0x1000 * (uint64_t)i;

		memcpy(mem_at(&m->mem, at, 16, MEM_W), &header, 16);
		memset(mem_at(&m->mem, at + 16, 512, MEM_W), 0x80 + i, 512);
		*(uint8_t *)mem_at(&m->mem, at + 600, 1, MEM_W) = NO_STATUS;
		driver_desc(m, 0, (uint16_t)(2 * i), at, 16 + 512, false, true);
		driver_desc(m, 0, (uint16_t)(2 * i + 1), at + 600, 1, true, false);
		driver_offer(m, 0, 256, (uint16_t)(2 * i));
	}
	driver_kick(m, 0);
	ok(driver_wait_used(m, 0, SECTORS), "%u requests at a time are answered", SECTORS);
	for (unsigned int i = 0; i < SECTORS; i++)
		wrong += *(uint8_t *)mem_at(&m->mem, DATA + 0x1000 * i + 600, 1, MEM_R) ||
			 pread(fd, sector, 512, i * 512) != 512 || sector[511] != 0x80 + i;
	ok(!wrong, "and each is on the disk (%u are not)", wrong);
	for (unsigned int i = 0; i < 1000; i++) {
		driver_offer(m, 0, 256, 2 * 3);
		if (i % 200 == 199 || i == 999) {
			driver_kick(m, 0);
			wrong += !driver_wait_used(m, 0, (uint16_t)(SECTORS + i + 1));
		}
	}
	ok(!wrong, "one request offered a thousand times is answered as often");
	fill(fd);
	driver_start(m, 0, 1, SIZE);
}

/* Resets while requests are under way: each is done whole or not at all, and the device goes on. */
static void test_resets(struct machine *m)
{
	uint8_t *buffer = mem_at(&m->mem, BUFFER, 0x10000, MEM_R);
	unsigned int wrong = 0;

	for (unsigned int i = 0; i < 200; i++) {
		driver_start(m, i % 2 ? FEATURE(VIRTIO_RING_F_EVENT_IDX) : 0, 1, SIZE);
		put_header(m, VIRTIO_BLK_T_IN, i % SECTORS);
		driver_desc(m, 0, 0, HEADER, 16, false, true);
		driver_desc(m, 0, 1, BUFFER, 512, true, true);
		driver_desc(m, 0, 2, STATUS, 1, true, false);
		for (unsigned int n = 0; n < SIZE; n++)
			driver_offer(m, 0, SIZE, 0);
		driver_kick(m, 0);
		if (i % 3 == 0 && !driver_wait_used(m, 0, 1))
			wrong++;
		reg_write(m, VIRTIO_MMIO_STATUS, 0);
		if (used_idx(m, 0) && (*status_byte(m) || buffer[511] != i % SECTORS))
			wrong++;
	}
	ok(!wrong, "resets during requests (%u wrong)", wrong);
	driver_start(m, 0, 1, SIZE);
}

static void test_writable(struct machine *m, const char *path, const char *engine, int fd,
			  int log_fd)
{
	struct virtio_dev *dev;

	printf("# by %s\n", engine);
	fill(fd);
	dev = plug(m, path, false, engine);
	test_config(m, false);
	driver_start(m, 0, 1, SIZE);
	test_reads(m);
	test_writes(m, fd);
	test_clear(m, fd);
	test_cache(m, dev);
	test_framing(m);
	test_dirty(m, dev);
	test_huge(m);
	test_host_error(m, fd, log_fd);
	test_broken(m);
	test_many(m, fd);
	test_resets(m);
	check_save_load(dev);
	ok(request(m, VIRTIO_BLK_T_IN, 1, 512) == VIRTIO_BLK_S_OK, "it works after a restore");
	device_unplug(dev);
}

static void test_read_only(struct machine *m, const char *path, int log_fd)
{
	struct virtio_dev *dev = plug(m, path, true, NULL);
	off_t logged;

	test_config(m, true);
	driver_start(m, FEATURE(VIRTIO_RING_F_INDIRECT_DESC), 1, SIZE);
	logged = lseek(log_fd, 0, SEEK_END);
	ok(request(m, VIRTIO_BLK_T_OUT, 0, 512) == VIRTIO_BLK_S_IOERR &&
		   lseek(log_fd, 0, SEEK_END) == logged,
	   "a read-only disk is not written, nor is it tried, though the driver did not take RO");
	ok(clear(m, VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 0, 16) == VIRTIO_BLK_S_IOERR &&
		   clear(m, VIRTIO_BLK_T_DISCARD, 0, 1, 0, 16) == VIRTIO_BLK_S_IOERR &&
		   !(driver_offered(m) &
		     (FEATURE(VIRTIO_BLK_F_DISCARD) | FEATURE(VIRTIO_BLK_F_WRITE_ZEROES))),
	   "nor cleared");
	ok(request(m, VIRTIO_BLK_T_IN, 0, 512) == VIRTIO_BLK_S_OK, "it is read");
	ok(request(m, VIRTIO_BLK_T_FLUSH, 0, 0) == VIRTIO_BLK_S_OK, "and flushed");
	device_unplug(dev);
}

#define QUEUES 4
#define ROUNDS 50

/* Every queue reads, many requests at a time, while the others do; a driver may use fewer of them. */
static void test_queues(struct machine *m, const char *path, int fd, const char *engine)
{
	struct virtio_dev *dev = plug_queues(m, path, false, engine, QUEUES);
	unsigned int wrong = 0;

	fill(fd);
	ok(driver_offered(m) & FEATURE(VIRTIO_BLK_F_MQ) &&
		   bus_read(m, 0x100 + offsetof(struct virtio_blk_config, num_queues), 2) == QUEUES,
	   "%u queues by %s are told of", QUEUES, engine ? engine : "what is there");
	driver_start(m, FEATURE(VIRTIO_BLK_F_MQ), QUEUES, SIZE);
	for (unsigned int i = 0; i < QUEUES; i++) {
		uint64_t data = DATA + 0x10000 + i * 0x1000;
		struct virtio_blk_outhdr header = { .type = VIRTIO_BLK_T_IN, .sector = i };

		memcpy(mem_at(&m->mem, data, sizeof(header), MEM_W), &header, sizeof(header));
		driver_desc(m, i, 0, data, sizeof(header), false, true);
		driver_desc(m, i, 1, data + 0x200, 512, true, true);
		driver_desc(m, i, 2, data + 0x400, 1, true, false);
	}
	for (uint16_t n = 1; n <= ROUNDS; n++) {
		for (unsigned int i = 0; i < QUEUES; i++) {
			driver_offer(m, i, SIZE, 0);
			driver_kick(m, i);
		}
		for (unsigned int i = 0; i < QUEUES; i++) {
			uint8_t *data = mem_at(&m->mem, DATA + 0x10000 + i * 0x1000, 0x1000, MEM_W);

			wrong += !driver_wait_used(m, i, n) || data[0x200] != i ||
				 data[0x3ff] != i || data[0x400] != VIRTIO_BLK_S_OK;
			data[0x200] = data[0x400] = NO_STATUS;
		}
	}
	ok(!wrong, "each is served, and gets its own (%u wrong)", wrong);
	driver_start(m, 0, 1, SIZE);
	ok(request(m, VIRTIO_BLK_T_IN, 7, 512) == VIRTIO_BLK_S_OK, "a driver may use one of them");
	check_save_load(dev);
	device_unplug(dev);
}

static bool capacity_is(struct machine *m, uint32_t sectors)
{
	return bus_read(m, 0x100, 8) == sectors;
}

static bool has_config_irq(struct machine *m, uint32_t unused)
{
	(void)unused;
	return reg_read(m, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_CONFIG;
}

static void test_growth(struct machine *m, const char *path, int fd)
{
	struct virtio_dev *dev = plug(m, path, false, NULL);

	driver_start(m, 0, 1, SIZE);
	reg_write(m, VIRTIO_MMIO_INTERRUPT_ACK, 3);
	ok(request(m, VIRTIO_BLK_T_IN, SECTORS, 512) == VIRTIO_BLK_S_IOERR &&
		   !ftruncate(fd, (SECTORS + 9) * 512 + 5) &&
		   wait_until(capacity_is, m, SECTORS + 9),
	   "a file that grows makes a disk that grows");
	ok(wait_until(has_config_irq, m, 0), "of which the driver is told");
	ok(request(m, VIRTIO_BLK_T_IN, SECTORS + 8, 512) == VIRTIO_BLK_S_OK &&
		   request(m, VIRTIO_BLK_T_IN, SECTORS + 9, 512) == VIRTIO_BLK_S_IOERR,
	   "up to its new end");
	ok(!ftruncate(fd, (SECTORS + 12) * 512) && wait_until(capacity_is, m, SECTORS + 12),
	   "and again, a second later");
	reg_write(m, VIRTIO_MMIO_STATUS, 0);
	if (ftruncate(fd, (SECTORS + 20) * 512))
		ok(false, "the file grows");
	driver_start(m, 0, 1, SIZE);
	ok(capacity_is(m, SECTORS + 20), "what happened without a driver is seen when it starts");
	if (ftruncate(fd, SECTORS * 512))
		ok(false, "the file shrinks");
	usleep(20000);
	ok(request(m, VIRTIO_BLK_T_IN, SECTORS, 512) == VIRTIO_BLK_S_IOERR &&
		   capacity_is(m, SECTORS + 20),
	   "one that shrinks has errors there");
	device_unplug(dev);
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* How long `n` requests of a type take, one after the other. */
static double time_of(struct machine *m, uint32_t type, unsigned int n)
{
	double begun = seconds();

	for (unsigned int i = 0; i < n; i++)
		request(m, type, 0, 512);
	return seconds() - begun;
}

/* LONG=1: for ten seconds each, when the mean is to be within 5 %. */
static void test_limits(struct machine *m, const char *path)
{
	double wanted = getenv("LONG") ? 10 : 0.3, most = getenv("LONG") ? wanted * 1.05 : 5;
	struct limit_config limits[] = { { .ops = 1000 }, { .bytes = 512000 } };

	for (unsigned int i = 0; i < ARRAY_SIZE(limits); i++) {
		struct disk_config disk = { .path = path };
		struct blk_config config = { .name = "blk", .limit = limits[i] };
		struct virtio_dev *dev;
		struct err err = { "" };
		double took;

		if (disk_open(&disk, &config.disk, &err))
			ok(false, "%s", err.text);
		dev = machine_plug(m, &virtio_blk_type, &config);
		driver_start(m, FEATURE(VIRTIO_BLK_F_FLUSH), 1, SIZE);
		/* A tenth of a second's are free after the rest before. */
		took = time_of(m, VIRTIO_BLK_T_IN, (unsigned int)(wanted * 1000));
		ok(took > wanted * 0.95 - 0.1 && took < most, "1000 reads a second, by %s: %.2f s",
		   i ? "bytes" : "number", took);
		ok(time_of(m, VIRTIO_BLK_T_OUT, 50) < 2, "writes have a limit of their own");
		time_of(m, VIRTIO_BLK_T_IN, 150);
		driver_offer(m, 0, SIZE, 0);
		driver_kick(m, 0);
		reg_write(m, VIRTIO_MMIO_STATUS, 0);
		ok(true, "a reset need not wait for who waits");
		device_unplug(dev);
	}
}

/* ---- A disk without holes, which takes its time ---- */

static _Atomic unsigned int cleared;

static int slow_clear(struct disk *disk, uint64_t offset, uint64_t len, bool discard)
{
	(void)disk;
	(void)offset;
	(void)len;
	(void)discard;
	usleep(20000);
	atomic_fetch_add(&cleared, 1);
	return 0;
}

static int slow_flush(struct disk *disk)
{
	(void)disk;
	return 0;
}

static void slow_close(struct disk *disk)
{
	(void)disk;
}

#define MANY 64

static void offer_clears(struct machine *m)
{
	struct virtio_blk_discard_write_zeroes range = { .num_sectors = 32 * MIB / 512 };

	driver_start(m, 0, 1, MANY);
	put_header(m, VIRTIO_BLK_T_WRITE_ZEROES, 0);
	memcpy(mem_at(&m->mem, BUFFER, sizeof(range), MEM_W), &range, sizeof(range));
	driver_desc(m, 0, 0, HEADER, sizeof(struct virtio_blk_outhdr), false, true);
	driver_desc(m, 0, 1, BUFFER, sizeof(range), false, true);
	driver_desc(m, 0, 2, STATUS, 1, true, false);
	for (unsigned int i = 0; i < MANY; i++)
		driver_offer(m, 0, MANY, 0);
	driver_kick(m, 0);
}

/* A reset waits for what is on its way: that may not be gigabytes of zeros. */
static void test_many_clears(struct machine *m)
{
	static const struct disk_ops ops = { .clear = slow_clear,
					     .flush = slow_flush,
					     .close = slow_close };
	struct disk disk = { .ops = &ops, .fd = -1, .block = 512, .size = 64 * GIB };
	struct blk_config config = { .name = "blk", .disk = &disk };
	struct virtio_dev *dev = machine_plug(m, &virtio_blk_type, &config);

	offer_clears(m);
	driver_wait_used(m, 0, 1);
	reg_write(m, VIRTIO_MMIO_STATUS, 0);
	ok(atomic_load(&cleared) < MANY / 2, "a reset waits for few of %u long clears (%u)", MANY,
	   atomic_load(&cleared));
	offer_clears(m);
	ok(driver_wait_used(m, 0, MANY), "and all are done in turn");
	device_unplug(dev);
}

int main(void)
{
	char path[] = "/tmp/kindling-blk-XXXXXX", log_path[] = "/tmp/kindling-log-XXXXXX";
	int fd = mkstemp(path), log_fd = mkstemp(log_path);
	struct io_uring ring;
	struct machine m;

	unlink(log_path);
	machine_set_up(&m, log_fd);
	if (!io_uring_queue_init(1, &ring, 0)) {
		io_uring_queue_exit(&ring);
		test_writable(&m, path, "uring", fd, log_fd);
	} else {
		ok(true, "# skip no io_uring is allowed here");
	}
	if (ftruncate(log_fd, 0) || lseek(log_fd, 0, SEEK_SET))
		ok(false, "the log is emptied");
	test_writable(&m, path, "threads", fd, log_fd);
	test_queues(&m, path, fd, NULL);
	test_queues(&m, path, fd, "threads");
	test_limits(&m, path);
	test_growth(&m, path, fd);
	test_read_only(&m, path, log_fd);
	test_many_clears(&m);
	machine_tear_down(&m);
	unlink(path);
	close(fd);
	close(log_fd);
	return done_testing();
}
