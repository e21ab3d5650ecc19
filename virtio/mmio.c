/* SPDX-License-Identifier: MIT */
#include "virtio/mmio.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define VIRTIO_MMIO_NO_LEGACY
#include <linux/virtio_mmio.h>

#define MAGIC 0x74726976  /* "virt" */
#define VENDOR 0x4c444e4b /* "KNDL" */
#define VERSION 2
#define NO_REGION UINT32_MAX /* length and base of shared memory that isn't there */

/* The transport's own registers. */
struct virtio_mmio {
	uint32_t device_features_sel, driver_features_sel, queue_sel;
};

static uint32_t read_register(struct virtio_dev *dev, uint64_t offset)
{
	struct virtio_mmio *mmio = dev->plug;
	const struct queue_state *q = virtio_queue_regs(dev, mmio->queue_sel);

	switch (offset) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MAGIC;
	case VIRTIO_MMIO_VERSION:
		return VERSION;
	case VIRTIO_MMIO_DEVICE_ID:
		return dev->id;
	case VIRTIO_MMIO_VENDOR_ID:
		return VENDOR;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return virtio_device_features(dev, mmio->device_features_sel);
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return q ? dev->queue_size : 0;
	case VIRTIO_MMIO_QUEUE_READY:
		return q ? q->enabled : 0;
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		return atomic_load(&dev->st.isr);
	case VIRTIO_MMIO_STATUS:
		return virtio_status(dev);
	case VIRTIO_MMIO_SHM_LEN_LOW:
	case VIRTIO_MMIO_SHM_LEN_HIGH:
	case VIRTIO_MMIO_SHM_BASE_LOW:
	case VIRTIO_MMIO_SHM_BASE_HIGH:
		return NO_REGION;
	case VIRTIO_MMIO_CONFIG_GENERATION:
		return atomic_load(&dev->st.config_generation);
	default: /* reserved, or write-only */
		return 0;
	}
}

static void set_low(uint64_t *reg, uint32_t value)
{
	*reg = (*reg & ~(uint64_t)UINT32_MAX) | value;
}

static void set_high(uint64_t *reg, uint32_t value)
{
	*reg = (uint32_t)*reg | (uint64_t)value << 32;
}

static void write_queue_address(struct queue_state *q, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
		set_low(&q->desc, value);
		break;
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		set_high(&q->desc, value);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
		set_low(&q->driver, value);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		set_high(&q->driver, value);
		break;
	case VIRTIO_MMIO_QUEUE_USED_LOW:
		set_low(&q->device, value);
		break;
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		set_high(&q->device, value);
		break;
	}
}

static void write_register(struct virtio_dev *dev, uint64_t offset, uint32_t value)
{
	struct virtio_mmio *mmio = dev->plug;
	struct queue_state *q;

	switch (offset) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		mmio->device_features_sel = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		mmio->driver_features_sel = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		virtio_set_driver_features(dev, mmio->driver_features_sel, value);
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		mmio->queue_sel = value;
		break;
	case VIRTIO_MMIO_QUEUE_NUM:
		virtio_queue_set_size(dev, mmio->queue_sel, value);
		break;
	case VIRTIO_MMIO_QUEUE_READY:
		virtio_queue_enable(dev, mmio->queue_sel, value & 1);
		break;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		atomic_fetch_and(&dev->st.isr, ~value);
		break;
	case VIRTIO_MMIO_STATUS:
		virtio_set_status(dev, value);
		break;
	default: /* a ring's address; what is reserved or read-only changes nothing */
		q = virtio_queue_regs_writable(dev, mmio->queue_sel);
		if (q)
			write_queue_address(q, offset, value);
	}
}

/* Control registers know only aligned 32-bit accesses: others read as 0 and write nothing. */
static void access_register(struct virtio_dev *dev, uint64_t offset, void *data, uint32_t len,
			    bool is_write)
{
	bool possible = len == 4 && offset % 4 == 0;

	if (!is_write)
		put_le(data, possible ? read_register(dev, offset) : 0, len);
	else if (possible)
		write_register(dev, offset, get_le32(data));
}

static void access_range(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	struct virtio_dev *dev = opaque;

	/* The hot register, and one that needs no lock. */
	if (offset == VIRTIO_MMIO_QUEUE_NOTIFY && len == 4 && is_write) {
		virtio_driver_notified(dev, get_le32(data));
		return;
	}
	pthread_mutex_lock(&dev->lock);
	if (offset < VIRTIO_MMIO_CONFIG)
		access_register(dev, offset, data, len, is_write);
	else if (is_write)
		virtio_config_write(dev, offset - VIRTIO_MMIO_CONFIG, data, len);
	else
		virtio_config_read(dev, offset - VIRTIO_MMIO_CONFIG, data, len);
	pthread_mutex_unlock(&dev->lock);
}

static void mmio_interrupt(struct virtio_dev *dev, int queue)
{
	(void)queue; /* one line for all; isr says why */
	irq_raise(&dev->device.irq);
}

static bool mmio_notify_signal(struct virtio_dev *dev, unsigned int i, struct bus_signal *signal)
{
	*signal = (struct bus_signal){
		.addr = dev->device.base + VIRTIO_MMIO_QUEUE_NOTIFY,
		.len = 4,
		.has_value = true,
		.value = i,
	};
	return true;
}

static void mmio_reset(struct virtio_dev *dev)
{
	*(struct virtio_mmio *)dev->plug = (struct virtio_mmio){ 0 };
}

static void mmio_save(struct virtio_dev *dev, struct buf *out)
{
	struct virtio_mmio *mmio = dev->plug;

	buf_put_le32(out, mmio->device_features_sel);
	buf_put_le32(out, mmio->driver_features_sel);
	buf_put_le32(out, mmio->queue_sel);
}

static void mmio_load(struct virtio_dev *dev, struct reader *in)
{
	struct virtio_mmio *mmio = dev->plug;

	mmio->device_features_sel = reader_le32(in);
	mmio->driver_features_sel = reader_le32(in);
	mmio->queue_sel = reader_le32(in);
}

static void mmio_unplug(struct virtio_dev *dev)
{
	bus_release(dev->env->mmio, dev->device.base);
	free(dev->plug);
}

static const struct virtio_transport virtio_mmio_transport = {
	.interrupt = mmio_interrupt,
	.notify_signal = mmio_notify_signal,
	.reset = mmio_reset,
	.save = mmio_save,
	.load = mmio_load,
	.saved_size = 3 * sizeof(uint32_t),
	.unplug = mmio_unplug,
};

int virtio_mmio_plug(struct virtio_dev *dev, uint64_t base, struct irq_line irq, struct err *err)
{
	struct virtio_mmio *mmio = calloc(1, sizeof(*mmio));
	int rc;

	if (!mmio)
		return err_set(err, ENOMEM, "no memory for %s", dev->device.name);
	dev->plug = mmio;
	dev->device.kind = DEVICE_VIRTIO_MMIO;
	dev->device.base = base;
	dev->device.size = VIRTIO_MMIO_SIZE;
	dev->device.irq = irq;
	dev->transport = &virtio_mmio_transport;
	/* Last: from now on vCPUs may come. */
	rc = bus_claim(dev->env->mmio, base, VIRTIO_MMIO_SIZE, access_range, dev, dev->device.name,
		       err);
	if (rc) {
		dev->transport = NULL;
		dev->plug = NULL;
		free(mmio);
	}
	return rc;
}
