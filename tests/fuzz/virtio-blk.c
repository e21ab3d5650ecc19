/* SPDX-License-Identifier: MIT */
/*
 * virtio/blk.h behind a transport of the test's own (see lib/virtio.h), on a disk in memory, by the
 * device's public interface alone: how it does its I/O is its own affair.
 */
#include "virtio/blk.h"

#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/lib/loop.h"
#include "tests/fuzz/lib/virtio.h"

#define SECTORS 512u

static int image_fd(void)
{
	static int fd = -1;

	if (fd < 0) {
		fd = memfd_create("disk", MFD_CLOEXEC);
		CHECK(fd >= 0 && !ftruncate(fd, SECTORS * DISK_SECTOR));
	}
	/* What an input left there must not be seen by the next one. */
	CHECK(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, SECTORS * DISK_SECTOR));
	return fd;
}

static uint32_t header(struct input *in, uint8_t out[64])
{
	static const uint32_t types[] = {
		VIRTIO_BLK_T_IN,	   VIRTIO_BLK_T_OUT,	 VIRTIO_BLK_T_FLUSH,
		VIRTIO_BLK_T_GET_ID,	   VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES,
		VIRTIO_BLK_T_SECURE_ERASE,
	};
	uint32_t which = take_below(in, ARRAY_SIZE(types) + 1);
	uint8_t where = take_u8(in);
	struct virtio_blk_outhdr h = {
		.type = which < ARRAY_SIZE(types) ? types[which] : take_u32(in),
	};

	if (where < 200)
		h.sector = where;
	else if (where < 240)
		h.sector = SECTORS + 200 - where;
	else
		h.sector = take_u64(in);
	memcpy(out, &h, sizeof(h));
	return sizeof(h);
}

/* I/O that is still under way has a moment to come back. */
static void step(struct input *in, void *opaque)
{
	(void)in;
	(void)opaque;
	loops_run();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct blk_config config = { .name = "virtio-blk.0", .serial = "a serial of 20 bytes" };
	struct virtio_fuzz fuzz = {
		.type = &virtio_blk_type, .config = &config, .step = step, .header = header
	};
	struct disk_config disk = { 0 };
	struct input in = { data, size };
	char path[64];
	uint8_t how = take_u8(&in);
	int fd = image_fd();

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	disk.path = path;
	disk.read_only = how & 1;
	config.engine = how & 2 ? "threads" : NULL;
	CHECK(!disk_open(&disk, &config.disk, NULL));
	virtio_fuzz_run(&in, &fuzz);
	/* Nobody has written past its end. */
	CHECK(lseek(fd, 0, SEEK_END) == SECTORS * DISK_SECTOR);
	return 0;
}
