/* SPDX-License-Identifier: MIT */
/* What the device is and says of itself; its requests are virtio/blk-queue.c's. */
#include "virtio/blk.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/blk-queue.h"

#define QUEUE_SIZE 256
#define SEG_MAX (QUEUE_SIZE - 2) /* header and status take a descriptor each */

/* Up to what the features offered speak of. */
#define CONFIG_SIZE offsetof(struct virtio_blk_config, unused1)
#define WCE offsetof(struct virtio_blk_config, wce)

static void on_growth(void *opaque, uint64_t size)
{
	struct virtio_blk *blk = opaque;

	atomic_store(&blk->capacity, size / SECTOR);
	log_at(blk->dev.env->log, LOG_INFO, "%s: it has grown to %llu bytes", blk->dev.device.name,
	       (unsigned long long)size);
	virtio_config_changed(&blk->dev);
}

static void blk_kick(struct virtio_dev *dev, unsigned int i)
{
	blk_queue_kick(&blk_of(dev)->queues[i]);
}

static int blk_activate(struct virtio_dev *dev, unsigned int i)
{
	struct virtio_blk *blk = blk_of(dev);
	struct blk_queue *q = &blk->queues[i];
	int rc = blk_queue_start(q);

	if (rc)
		return rc;
	dev->queues[i].loop = q->loop;
	if (!i) /* a disk that can't be watched does without */
		disk_growth_start(&blk->growth, q->loop, atomic_load(&blk->capacity) * SECTOR);
	log_at(dev->env->log, LOG_INFO, "%s: queue %u started, I/O by %s", dev->device.name, i,
	       disk_queue_engine(q->io));
	return 0;
}

static void blk_stop(struct virtio_dev *dev, unsigned int i)
{
	struct virtio_blk *blk = blk_of(dev);

	if (!i)
		disk_growth_stop(&blk->growth);
	blk_queue_stop(&blk->queues[i]);
}

/* What is saved has the size that whoever loads it finds. */
static void blk_quiesce(struct virtio_dev *dev)
{
	struct virtio_blk *blk = blk_of(dev);

	disk_growth_look(&blk->growth, atomic_load(&blk->capacity) * SECTOR);
}

static void blk_reset(struct virtio_dev *dev)
{
	atomic_store(&blk_of(dev)->write_back, true);
}

static void blk_config_read(struct virtio_dev *dev, uint32_t offset, void *data, uint32_t len)
{
	const struct virtio_blk *blk = blk_of(dev);
	struct virtio_blk_config config = blk->config;

	config.capacity = atomic_load(&blk->capacity);
	config.wce = atomic_load(&blk->write_back);
	memcpy(data, (uint8_t *)&config + offset, len);
}

static void blk_config_write(struct virtio_dev *dev, uint32_t offset, const void *data,
			     uint32_t len)
{
	if (offset == WCE && len == 1 && virtio_has_feature(dev, VIRTIO_BLK_F_CONFIG_WCE))
		atomic_store(&blk_of(dev)->write_back, *(const uint8_t *)data != 0);
}

static void blk_save(struct virtio_dev *dev, struct buf *out)
{
	buf_put_u8(out, atomic_load(&blk_of(dev)->write_back));
	buf_put_le64(out, atomic_load(&blk_of(dev)->capacity));
}

static int blk_load(struct virtio_dev *dev, struct reader *in)
{
	uint8_t write_back = reader_u8(in);
	uint64_t capacity = reader_le64(in);

	if (in->failed || write_back > 1)
		return -EINVAL;
	if (capacity != atomic_load(&blk_of(dev)->capacity))
		return -ESTALE;
	atomic_store(&blk_of(dev)->write_back, write_back);
	return 0;
}

static void blk_destroy(struct virtio_dev *dev)
{
	struct virtio_blk *blk = blk_of(dev);

	virtio_fini(dev);
	disk_growth_destroy(&blk->growth);
	disk_close(blk->disk);
	limit_destroy(&blk->reads);
	limit_destroy(&blk->writes);
	free(blk);
}

static const struct virtio_ops blk_ops = {
	.config_read = blk_config_read,
	.config_write = blk_config_write,
	.activate = blk_activate,
	.kick = blk_kick,
	.stop = blk_stop,
	.quiesce = blk_quiesce,
	.reset = blk_reset,
	.save = blk_save,
	.load = blk_load,
	.destroy = blk_destroy,
};

/* What says nothing is not offered: a driver reads each field by an exit, or two. */
static void describe(struct virtio_blk *blk, unsigned int n_queues)
{
	struct virtio_blk_config *config = &blk->config;
	uint32_t block = disk_block_size(blk->disk), physical = disk_physical_block(blk->disk);
	/* TOPOLOGY in any case: it may move to where the blocks below are larger, and back. */
	uint64_t features = FEATURE(VIRTIO_BLK_F_SEG_MAX) | FEATURE(VIRTIO_BLK_F_FLUSH) |
			    FEATURE(VIRTIO_BLK_F_CONFIG_WCE) | FEATURE(VIRTIO_BLK_F_TOPOLOGY);

	atomic_init(&blk->capacity, disk_size(blk->disk) / SECTOR);
	config->seg_max = SEG_MAX;
	config->blk_size = block;
	config->physical_block_exp = (uint8_t)__builtin_ctz(physical / block);
	config->min_io_size = (uint16_t)(physical / block);
	config->num_queues = (uint16_t)n_queues;
	if (block != SECTOR)
		features |= FEATURE(VIRTIO_BLK_F_BLK_SIZE);
	if (n_queues > 1)
		features |= FEATURE(VIRTIO_BLK_F_MQ);
	if (disk_read_only(blk->disk)) {
		features |= FEATURE(VIRTIO_BLK_F_RO);
	} else {
		features |= FEATURE(VIRTIO_BLK_F_DISCARD) | FEATURE(VIRTIO_BLK_F_WRITE_ZEROES);
		config->max_discard_sectors = config->max_write_zeroes_sectors = CLEAR_SECTORS;
		config->max_discard_seg = config->max_write_zeroes_seg = 1;
		config->discard_sector_alignment = physical / SECTOR;
		config->write_zeroes_may_unmap = 1;
	}
	blk->dev.features = features;
}

static int blk_create(const struct device_env *env, const void *config, struct device **out,
		      struct err *err)
{
	const struct blk_config *c = config;
	unsigned int n_queues = MAX(c->queues, 1u);
	struct virtio_blk *blk;

	if (n_queues > VIRTIO_QUEUES)
		return err_set(err, EINVAL, "%s: %u queues; %u are the most", c->name, n_queues,
			       VIRTIO_QUEUES);
	blk = calloc(1, sizeof(*blk) + n_queues * sizeof(blk->queues[0]));
	if (!blk)
		return err_set(err, ENOMEM, "no memory for %s", c->name);
	blk->disk = c->disk;
	blk->engine = c->engine;
	atomic_init(&blk->write_back, true);
	limit_init(&blk->reads, &c->limit);
	limit_init(&blk->writes, &c->limit);
	describe(blk, n_queues);
	disk_growth_init(&blk->growth, blk->disk, on_growth, blk);
	for (unsigned int i = 0; i < n_queues; i++) {
		blk->queues[i].blk = blk;
		blk->queues[i].index = i;
		blk->queues[i].timer = -1;
	}
	if (c->serial)
		memcpy(blk->serial, c->serial, strnlen(c->serial, sizeof(blk->serial)));
	blk->dev.ops = &blk_ops;
	blk->dev.id = VIRTIO_ID_BLOCK;
	blk->dev.n_queues = n_queues;
	blk->dev.often = true;
	blk->dev.queue_size = QUEUE_SIZE;
	blk->dev.config_size = CONFIG_SIZE;
	virtio_init(&blk->dev, c->name, env);
	*out = &blk->dev.device;
	return 0;
}

const struct device_type virtio_blk_type = { "virtio_blk", blk_create };
