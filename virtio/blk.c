/* SPDX-License-Identifier: MIT */
/*
 * Requests are served one after the other, each with the host's plain reads and writes, on a thread
 * that has nothing else to do: a slow disk keeps nobody waiting but its own guest.
 */
#include "virtio/blk.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/core.h"

#define QUEUE_SIZE 256
#define SEG_MAX (QUEUE_SIZE - 2) /* header and status take a descriptor each */
#define SECTOR DISK_SECTOR

/* Up to what the features offered speak of. */
#define CONFIG_SIZE offsetof(struct virtio_blk_config, physical_block_exp)

struct virtio_blk {
	struct virtio_dev dev;
	struct disk *disk;
	struct virtio_blk_config config;
	char serial[VIRTIO_BLK_ID_BYTES]; /* padded with zeros; none if it is full */
	struct loop *loop;		  /* while the queue is active */
	struct ratelimit io_errors;
	/* The request that is being served. */
	struct chain chain;
	struct iovec data[QUEUE_MAX_SIZE];
};

static struct virtio_blk *blk_of(struct virtio_dev *dev)
{
	return container_of(dev, struct virtio_blk, dev);
}

static bool range_possible(const struct virtio_blk *blk, uint64_t sector, uint32_t len)
{
	uint32_t block = disk_block_size(blk->disk);

	return len % block == 0 && sector % (block / SECTOR) == 0 &&
	       range_in(sector, len / SECTOR, blk->config.capacity);
}

static uint8_t finish(struct virtio_blk *blk, const char *what, uint64_t sector, int rc)
{
	if (!rc)
		return VIRTIO_BLK_S_OK;
	log_guest(blk->dev.env->log, &blk->io_errors, "%s: %s at sector %llu: %s",
		  blk->dev.device.name, what, (unsigned long long)sector, strerror(-rc));
	return VIRTIO_BLK_S_IOERR;
}

static uint8_t read_sectors(struct virtio_blk *blk, const struct chain *c, uint64_t sector,
			    uint32_t len)
{
	unsigned int n;

	if (!range_possible(blk, sector, len))
		return VIRTIO_BLK_S_IOERR;
	n = chain_in_iov(c, 0, len, blk->data);
	return finish(blk, "read", sector, disk_read(blk->disk, blk->data, n, sector * SECTOR));
}

static uint8_t write_sectors(struct virtio_blk *blk, const struct chain *c, uint64_t sector,
			     uint32_t len)
{
	unsigned int n;

	if (disk_read_only(blk->disk) || !range_possible(blk, sector, len))
		return VIRTIO_BLK_S_IOERR;
	n = chain_out_iov(c, sizeof(struct virtio_blk_outhdr), len, blk->data);
	return finish(blk, "write", sector, disk_write(blk->disk, blk->data, n, sector * SECTOR));
}

static uint8_t get_id(struct virtio_blk *blk, const struct chain *c, uint32_t len)
{
	chain_write(c, 0, blk->serial, MIN(len, (uint32_t)sizeof(blk->serial)));
	return VIRTIO_BLK_S_OK;
}

/* Header, data and status may be cut into descriptors anywhere (virtio 1.2, section 2.7.4). */
static int64_t serve(struct virtio_dev *dev, const struct chain *c)
{
	struct virtio_blk *blk = blk_of(dev);
	struct virtio_blk_outhdr header;
	uint32_t out_data, in_data;
	uint8_t status;

	if (!chain_read(c, 0, &header, sizeof(header)) || !c->in_len)
		return VIRTIO_BROKEN;
	out_data = c->out_len - (uint32_t)sizeof(header);
	in_data = c->in_len - (uint32_t)sizeof(status);
	switch (header.type) {
	case VIRTIO_BLK_T_IN:
		status = read_sectors(blk, c, header.sector, in_data);
		break;
	case VIRTIO_BLK_T_OUT:
		status = write_sectors(blk, c, header.sector, out_data);
		break;
	case VIRTIO_BLK_T_FLUSH:
		status = finish(blk, "flush", 0, disk_flush(blk->disk));
		break;
	case VIRTIO_BLK_T_GET_ID:
		status = get_id(blk, c, in_data);
		break;
	default:
		status = VIRTIO_BLK_S_UNSUPP;
	}
	chain_write(c, in_data, &status, sizeof(status));
	/* The status is the last byte: whatever came before it counts as written. */
	return c->in_len;
}

static void blk_kick(struct virtio_dev *dev, unsigned int i)
{
	virtio_serve(dev, i, &blk_of(dev)->chain, serve);
}

static int blk_activate(struct virtio_dev *dev, unsigned int i)
{
	struct virtio_blk *blk = blk_of(dev);

	blk->loop = loop_create("blk");
	if (!blk->loop)
		return -ENOMEM;
	dev->queues[i].loop = blk->loop;
	return 0;
}

static void blk_stop(struct virtio_dev *dev, unsigned int i)
{
	struct virtio_blk *blk = blk_of(dev);

	(void)i;
	loop_destroy(blk->loop);
	blk->loop = NULL;
}

static void blk_config_read(struct virtio_dev *dev, uint32_t offset, void *data, uint32_t len)
{
	memcpy(data, (uint8_t *)&blk_of(dev)->config + offset, len);
}

static void blk_destroy(struct virtio_dev *dev)
{
	struct virtio_blk *blk = blk_of(dev);

	virtio_fini(dev);
	disk_close(blk->disk);
	free(blk);
}

static const struct virtio_ops blk_ops = {
	.config_read = blk_config_read,
	.activate = blk_activate,
	.kick = blk_kick,
	.stop = blk_stop,
	.destroy = blk_destroy,
};

static int blk_create(const struct device_env *env, const void *config, struct device **out,
		      struct err *err)
{
	const struct blk_config *c = config;
	struct virtio_blk *blk = calloc(1, sizeof(*blk));

	if (!blk)
		return err_set(err, ENOMEM, "no memory for %s", c->name);
	blk->disk = c->disk;
	blk->config.capacity = disk_size(c->disk) / SECTOR;
	blk->config.seg_max = SEG_MAX;
	blk->config.blk_size = disk_block_size(c->disk);
	if (c->serial)
		memcpy(blk->serial, c->serial, strnlen(c->serial, sizeof(blk->serial)));
	blk->dev.ops = &blk_ops;
	blk->dev.id = VIRTIO_ID_BLOCK;
	blk->dev.n_queues = 1;
	blk->dev.queue_size = QUEUE_SIZE;
	blk->dev.config_size = CONFIG_SIZE;
	blk->dev.features = FEATURE(VIRTIO_BLK_F_SEG_MAX) | FEATURE(VIRTIO_BLK_F_BLK_SIZE) |
			    FEATURE(VIRTIO_BLK_F_FLUSH);
	if (disk_read_only(c->disk))
		blk->dev.features |= FEATURE(VIRTIO_BLK_F_RO);
	virtio_init(&blk->dev, c->name, env);
	*out = &blk->dev.device;
	return 0;
}

const struct device_type virtio_blk_type = { "virtio_blk", blk_create };
