/* SPDX-License-Identifier: MIT */
/* What the guest sees of a virtio device: status, features, queue registers; saved and loaded. */
#include "virtio/core.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>
#include <unistd.h>

#define CORE_FEATURES                                                         \
	(FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | \
	 FEATURE(VIRTIO_RING_F_EVENT_IDX))

#define DRIVER_STATUS                                                                         \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK | \
	 VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FAILED)

/* `to` is private: the fields that loops change are copied one by one. */
static void set_state(struct virtio_dev *dev, const struct virtio_state *to)
{
	dev->st.driver_features = to->driver_features;
	dev->st.status = to->status;
	atomic_store(&dev->st.needs_reset, to->needs_reset);
	atomic_store(&dev->st.isr, to->isr);
	atomic_store(&dev->st.config_generation, to->config_generation);
	memcpy(dev->st.queues, to->queues, sizeof(dev->st.queues));
}

static void power_on(struct virtio_dev *dev)
{
	struct virtio_state st = { 0 };

	for (unsigned int i = 0; i < dev->n_queues; i++)
		st.queues[i].size = dev->queue_size;
	set_state(dev, &st);
}

static void reset(struct virtio_dev *dev)
{
	virtio_stop(dev);
	power_on(dev);
	if (dev->ops->reset)
		dev->ops->reset(dev);
	dev->transport->reset(dev);
}

/* Registers. */

static bool queue_size_possible(const struct virtio_dev *dev, uint32_t size)
{
	return size && size <= dev->queue_size && !(size & (size - 1));
}

bool virtio_has_feature(const struct virtio_dev *dev, unsigned int bit)
{
	return dev->st.driver_features & FEATURE(bit);
}

uint32_t virtio_device_features(const struct virtio_dev *dev, uint32_t word)
{
	return word < 2 ? (uint32_t)(dev->features >> (32 * word)) : 0;
}

uint32_t virtio_driver_features(const struct virtio_dev *dev, uint32_t word)
{
	return word < 2 ? (uint32_t)(dev->st.driver_features >> (32 * word)) : 0;
}

void virtio_set_driver_features(struct virtio_dev *dev, uint32_t word, uint32_t value)
{
	if (word > 1 || dev->st.status & VIRTIO_CONFIG_S_FEATURES_OK)
		return;
	dev->st.driver_features &= ~((uint64_t)UINT32_MAX << (32 * word));
	dev->st.driver_features |= (uint64_t)value << (32 * word);
}

static bool features_possible(const struct virtio_dev *dev, uint64_t driver_features)
{
	return !(driver_features & ~dev->features) && driver_features & FEATURE(VIRTIO_F_VERSION_1);
}

uint32_t virtio_status(const struct virtio_dev *dev)
{
	return dev->st.status |
	       (atomic_load(&dev->st.needs_reset) ? VIRTIO_CONFIG_S_NEEDS_RESET : 0);
}

void virtio_set_status(struct virtio_dev *dev, uint32_t status)
{
	uint32_t old = dev->st.status;
	uint32_t now = old | (status & DRIVER_STATUS);

	if (!status) {
		reset(dev);
		return;
	}
	if (!features_possible(dev, dev->st.driver_features))
		now &= ~VIRTIO_CONFIG_S_FEATURES_OK;
	if (!(now & VIRTIO_CONFIG_S_FEATURES_OK))
		now &= ~VIRTIO_CONFIG_S_DRIVER_OK;
	dev->st.status = now;
	if (now & ~old & VIRTIO_CONFIG_S_DRIVER_OK)
		virtio_start(dev);
}

const struct queue_state *virtio_queue_regs(const struct virtio_dev *dev, uint32_t i)
{
	return i < dev->n_queues ? &dev->st.queues[i] : NULL;
}

struct queue_state *virtio_queue_regs_writable(struct virtio_dev *dev, uint32_t i)
{
	if (i >= dev->n_queues || dev->st.queues[i].enabled ||
	    dev->st.status & VIRTIO_CONFIG_S_DRIVER_OK)
		return NULL;
	return &dev->st.queues[i];
}

void virtio_queue_set_size(struct virtio_dev *dev, uint32_t i, uint32_t size)
{
	struct queue_state *regs = virtio_queue_regs_writable(dev, i);

	if (regs)
		regs->size = queue_size_possible(dev, size) ? (uint16_t)size : 0;
}

void virtio_queue_enable(struct virtio_dev *dev, uint32_t i, bool enable)
{
	if (i < dev->n_queues && !(dev->st.status & VIRTIO_CONFIG_S_DRIVER_OK))
		dev->st.queues[i].enabled = enable;
}

void virtio_config_read(struct virtio_dev *dev, uint64_t offset, void *data, uint32_t len)
{
	memset(data, 0, len);
	if (offset >= dev->config_size)
		return;
	len = MIN(len, dev->config_size - (uint32_t)offset);
	dev->ops->config_read(dev, (uint32_t)offset, data, len);
}

void virtio_config_write(struct virtio_dev *dev, uint64_t offset, const void *data, uint32_t len)
{
	if (dev->ops->config_write && range_in(offset, len, dev->config_size))
		dev->ops->config_write(dev, (uint32_t)offset, data, len);
}

void virtio_hold(struct virtio_dev *dev, bool hold)
{
	if (hold)
		virtio_stop(dev);
	else if (dev->st.status & VIRTIO_CONFIG_S_DRIVER_OK && !atomic_load(&dev->running))
		virtio_start(dev);
}

/* The machine's side: struct device_ops. */

static void device_reset(struct device *device)
{
	struct virtio_dev *dev = virtio_from_device(device);

	pthread_mutex_lock(&dev->lock);
	reset(dev);
	pthread_mutex_unlock(&dev->lock);
}

static void device_quiesce(struct device *device)
{
	struct virtio_dev *dev = virtio_from_device(device);

	pthread_mutex_lock(&dev->lock);
	virtio_take_queues(dev);
	if (dev->ops->quiesce && !atomic_load(&dev->st.needs_reset))
		dev->ops->quiesce(dev);
	virtio_stop(dev);
	pthread_mutex_unlock(&dev->lock);
}

static void device_resume(struct device *device)
{
	struct virtio_dev *dev = virtio_from_device(device);

	pthread_mutex_lock(&dev->lock);
	virtio_hold(dev, false);
	pthread_mutex_unlock(&dev->lock);
}

static void device_log(struct device *device, bool on)
{
	struct virtio_dev *dev = virtio_from_device(device);

	/* (Nobody waits here for a device that is none of those: its lock may be held for long.) */
	if (!dev->ops->log)
		return;
	pthread_mutex_lock(&dev->lock);
	dev->logged = on;
	dev->ops->log(dev);
	pthread_mutex_unlock(&dev->lock);
}

static void save_state(const struct virtio_dev *dev, struct buf *out)
{
	buf_put_le64(out, dev->st.driver_features);
	buf_put_le32(out, dev->st.status);
	buf_put_le32(out, atomic_load(&dev->st.needs_reset));
	buf_put_le32(out, atomic_load(&dev->st.isr));
	buf_put_le32(out, atomic_load(&dev->st.config_generation));
	buf_put_le32(out, dev->n_queues);
	for (unsigned int i = 0; i < dev->n_queues; i++) {
		const struct queue_state *q = &dev->st.queues[i];

		buf_put_le64(out, q->desc);
		buf_put_le64(out, q->driver);
		buf_put_le64(out, q->device);
		buf_put_le16(out, q->size);
		buf_put_le16(out, q->enabled);
		buf_put_le16(out, q->next_avail);
		buf_put_le16(out, q->next_used);
	}
}

static void device_save(struct device *device, struct buf *out)
{
	struct virtio_dev *dev = virtio_from_device(device);

	pthread_mutex_lock(&dev->lock);
	save_state(dev, out);
	dev->transport->save(dev, out);
	if (dev->ops->save)
		dev->ops->save(dev, out);
	pthread_mutex_unlock(&dev->lock);
}

static int load_state(const struct virtio_dev *dev, struct reader *in, struct virtio_state *st)
{
	*st = (struct virtio_state){ 0 };
	st->driver_features = reader_le64(in);
	st->status = reader_le32(in);
	st->needs_reset = reader_le32(in);
	st->isr = reader_le32(in);
	st->config_generation = reader_le32(in);
	if (reader_le32(in) != dev->n_queues)
		return -EINVAL;
	for (unsigned int i = 0; i < dev->n_queues; i++) {
		struct queue_state *q = &st->queues[i];

		q->desc = reader_le64(in);
		q->driver = reader_le64(in);
		q->device = reader_le64(in);
		q->size = reader_le16(in);
		q->enabled = reader_le16(in);
		q->next_avail = reader_le16(in);
		q->next_used = reader_le16(in);
	}
	return in->failed ? -EINVAL : 0;
}

/* Could this device have got there? A queue that can't start will say so at resume. */
static bool state_possible(const struct virtio_dev *dev, const struct virtio_state *st)
{
	if (st->status & ~DRIVER_STATUS || st->needs_reset > 1 ||
	    st->isr & ~(VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG))
		return false;
	if (st->status & VIRTIO_CONFIG_S_FEATURES_OK) {
		if (!features_possible(dev, st->driver_features))
			return false;
	} else if (st->status & VIRTIO_CONFIG_S_DRIVER_OK) {
		return false;
	}
	for (unsigned int i = 0; i < dev->n_queues; i++) {
		const struct queue_state *q = &st->queues[i];

		if (q->enabled > 1 || (q->size && !queue_size_possible(dev, q->size)))
			return false;
	}
	return true;
}

/* All parts are read before any is applied. */
static int device_load(struct device *device, struct reader *in)
{
	struct virtio_dev *dev = virtio_from_device(device);
	struct reader transport_part;
	struct virtio_state st;
	int rc;

	pthread_mutex_lock(&dev->lock);
	rc = load_state(dev, in, &st);
	if (!rc && (!state_possible(dev, &st) || in->left < dev->transport->saved_size))
		rc = -EINVAL;
	if (rc)
		goto out;
	transport_part = *in;
	in->p += dev->transport->saved_size;
	in->left -= dev->transport->saved_size;
	if (dev->ops->load)
		rc = dev->ops->load(dev, in);
	if (rc)
		goto out;
	virtio_stop(dev);
	set_state(dev, &st);
	dev->transport->load(dev, &transport_part);
out:
	pthread_mutex_unlock(&dev->lock);
	return rc;
}

static void device_destroy(struct device *device)
{
	struct virtio_dev *dev = virtio_from_device(device);

	if (dev->transport)
		dev->transport->unplug(dev);
	dev->ops->destroy(dev);
}

static void device_count(struct device *device, struct device_count *out)
{
	struct virtio_dev *dev = virtio_from_device(device);

	*out = (struct device_count){ 0 };
	for (unsigned int i = 0; i < dev->n_queues; i++) {
		struct queue_count *c = &dev->queues[i].ring.count;

		out->requests += atomic_load_explicit(&c->requests, memory_order_relaxed);
		out->out += atomic_load_explicit(&c->out, memory_order_relaxed);
		out->in += atomic_load_explicit(&c->in, memory_order_relaxed);
	}
}

static const struct device_ops device_ops = {
	.reset = device_reset,
	.quiesce = device_quiesce,
	.resume = device_resume,
	.log = device_log,
	.save = device_save,
	.load = device_load,
	.count = device_count,
	.destroy = device_destroy,
};

void virtio_init(struct virtio_dev *dev, const char *name, const struct device_env *env)
{
	dev->device.ops = &device_ops;
	dev->device.name = name;
	dev->env = env;
	dev->features |= CORE_FEATURES;
	pthread_mutex_init(&dev->lock, NULL);
	for (unsigned int i = 0; i < dev->n_queues; i++) {
		struct virtio_queue *vq = &dev->queues[i];

		vq->dev = dev;
		vq->index = i;
		atomic_init(&vq->kick_fd, -1);
	}
	power_on(dev);
}

void virtio_fini(struct virtio_dev *dev)
{
	virtio_stop(dev);
	for (unsigned int i = 0; i < dev->n_queues; i++) {
		int fd = atomic_load(&dev->queues[i].kick_fd);

		if (fd >= 0)
			close(fd);
	}
	pthread_mutex_destroy(&dev->lock);
}
