/* SPDX-License-Identifier: MIT */
/*
 * All of a device is in one BAR, each part in pages of its own: a guest may map them apart, and
 * sizing a BAR costs it six accesses to configuration space.
 */
#include "virtio/pci.h"

#include <errno.h>
#include <linux/pci.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_pci.h>
#include <stdlib.h>
#include <string.h>

#define VENDOR 0x1af4
#define DEVICE_BASE 0x1040 /* and the virtio device ID */
#define REVISION 1

/* The BAR. */
#define COMMON 0x0000
#define COMMON_SIZE 0x40
#define ISR 0x1000
#define ISR_SIZE 4
#define DEVICE 0x2000
#define DEVICE_SIZE 0x1000
#define NOTIFY 0x3000
#define NOTIFY_STEP 4 /* bytes from queue to queue */
#define NOTIFY_SIZE (VIRTIO_QUEUES * NOTIFY_STEP)
#define MSIX_TABLE 0x4000
#define MSIX_PENDING 0x5000
#define BAR_SIZE 0x8000

_Static_assert(VIRTIO_QUEUES + 1 <= MSIX_VECTORS, "a vector for each queue, one for the config");

/* The transport's own registers, and the function that they are reached by. */
struct virtio_pci {
	struct pci_function fn;
	uint32_t window; /* offset of the capability by which configuration space reaches the BAR */
	uint32_t device_features_sel, driver_features_sel;
	uint16_t queue_sel;
	bool master; /* the bus's command register, as it was; under the bus's lock */
	/* What loops read while the driver may write. */
	_Atomic uint16_t config_vector, queue_vectors[VIRTIO_QUEUES];
};

/* ---- Common configuration ---- */

static uint32_t read_device_wide(const struct virtio_dev *dev, uint64_t offset)
{
	struct virtio_pci *pci = dev->plug;

	switch (offset) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		return pci->device_features_sel;
	case VIRTIO_PCI_COMMON_DF:
		return virtio_device_features(dev, pci->device_features_sel);
	case VIRTIO_PCI_COMMON_GFSELECT:
		return pci->driver_features_sel;
	case VIRTIO_PCI_COMMON_GF:
		return virtio_driver_features(dev, pci->driver_features_sel);
	case VIRTIO_PCI_COMMON_MSIX:
		return atomic_load(&pci->config_vector);
	case VIRTIO_PCI_COMMON_NUMQ:
		return dev->n_queues;
	case VIRTIO_PCI_COMMON_STATUS:
		return virtio_status(dev);
	case VIRTIO_PCI_COMMON_CFGGENERATION:
		return atomic_load(&dev->st.config_generation);
	case VIRTIO_PCI_COMMON_Q_SELECT:
		return pci->queue_sel;
	default:
		return 0;
	}
}

static uint64_t *ring_address(struct queue_state *q, uint64_t offset)
{
	switch (offset) {
	case VIRTIO_PCI_COMMON_Q_DESCLO:
	case VIRTIO_PCI_COMMON_Q_DESCHI:
		return &q->desc;
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
		return &q->driver;
	case VIRTIO_PCI_COMMON_Q_USEDLO:
	case VIRTIO_PCI_COMMON_Q_USEDHI:
		return &q->device;
	default:
		return NULL;
	}
}

/* Of the 32 bits that these eight-byte registers are accessed by. */
static unsigned int shift_of(uint64_t offset)
{
	return offset % 8 ? 32 : 0;
}

static uint32_t read_queue(const struct virtio_dev *dev, uint64_t offset)
{
	struct virtio_pci *pci = dev->plug;
	const struct queue_state *q = virtio_queue_regs(dev, pci->queue_sel);
	struct queue_state copy;
	const uint64_t *address;

	if (!q)
		return 0;
	switch (offset) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		return q->size;
	case VIRTIO_PCI_COMMON_Q_MSIX:
		return atomic_load(&pci->queue_vectors[pci->queue_sel]);
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		return q->enabled;
	case VIRTIO_PCI_COMMON_Q_NOFF:
		return pci->queue_sel;
	}
	/* Not its indices, which its loop writes. */
	copy = (struct queue_state){ .desc = q->desc, .driver = q->driver, .device = q->device };
	address = ring_address(&copy, offset);
	return address ? (uint32_t)(*address >> shift_of(offset)) : 0;
}

/* A vector that isn't there can't be chosen: the driver reads that back. */
static uint16_t possible_vector(const struct virtio_pci *pci, uint32_t vector)
{
	return vector < pci->fn.msix.n ? (uint16_t)vector : VIRTIO_MSI_NO_VECTOR;
}

static void write_ring_address(struct virtio_dev *dev, uint64_t offset, uint32_t value)
{
	struct virtio_pci *pci = dev->plug;
	struct queue_state *q = virtio_queue_regs_writable(dev, pci->queue_sel);
	uint64_t *address = q ? ring_address(q, offset) : NULL;

	if (address)
		*address = (*address & ~((uint64_t)UINT32_MAX << shift_of(offset))) |
			   (uint64_t)value << shift_of(offset);
}

static void write_common(struct virtio_dev *dev, uint64_t offset, uint32_t value)
{
	struct virtio_pci *pci = dev->plug;

	switch (offset) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		pci->device_features_sel = value;
		break;
	case VIRTIO_PCI_COMMON_GFSELECT:
		pci->driver_features_sel = value;
		break;
	case VIRTIO_PCI_COMMON_GF:
		virtio_set_driver_features(dev, pci->driver_features_sel, value);
		break;
	case VIRTIO_PCI_COMMON_MSIX:
		atomic_store(&pci->config_vector, possible_vector(pci, value));
		break;
	case VIRTIO_PCI_COMMON_STATUS:
		virtio_set_status(dev, value);
		break;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		pci->queue_sel = (uint16_t)value;
		break;
	case VIRTIO_PCI_COMMON_Q_SIZE:
		virtio_queue_set_size(dev, pci->queue_sel, value);
		break;
	case VIRTIO_PCI_COMMON_Q_MSIX:
		if (pci->queue_sel < dev->n_queues)
			atomic_store(&pci->queue_vectors[pci->queue_sel],
				     possible_vector(pci, value));
		break;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		if (value == 1) /* a driver must not write 0 */
			virtio_queue_enable(dev, pci->queue_sel, true);
		break;
	default: /* a ring's address; what is reserved or read-only changes nothing */
		write_ring_address(dev, offset, value);
	}
}

/* A register's width, the only one that it can be accessed by: others read as 0, write nothing. */
static uint32_t width_of(uint64_t offset)
{
	if (offset == VIRTIO_PCI_COMMON_STATUS || offset == VIRTIO_PCI_COMMON_CFGGENERATION)
		return 1;
	if (offset >= VIRTIO_PCI_COMMON_MSIX && offset < VIRTIO_PCI_COMMON_Q_DESCLO)
		return offset % 2 ? 0 : 2;
	return offset % 4 ? 0 : 4;
}

static void access_common(struct virtio_dev *dev, uint64_t offset, void *data, uint32_t len,
			  bool is_write)
{
	if (offset >= COMMON_SIZE || len != width_of(offset)) {
		if (!is_write)
			memset(data, 0, len);
	} else if (is_write) {
		write_common(dev, offset, (uint32_t)get_le(data, len));
	} else if (offset <= VIRTIO_PCI_COMMON_Q_SELECT) {
		put_le(data, read_device_wide(dev, offset), len);
	} else {
		put_le(data, read_queue(dev, offset), len);
	}
}

/* ---- The BAR ---- */

/* Reading it acknowledges. */
static void read_isr(struct virtio_dev *dev, uint64_t offset, void *data, uint32_t len)
{
	struct virtio_pci *pci = dev->plug;

	memset(data, 0, len);
	if (offset)
		return;
	put_le(data, atomic_exchange(&dev->st.isr, 0), len);
	pci_update_intx(&pci->fn);
}

static void access_config(struct virtio_dev *dev, uint64_t offset, void *data, uint32_t len,
			  bool is_write)
{
	if (is_write)
		virtio_config_write(dev, offset, data, len);
	else
		virtio_config_read(dev, offset, data, len);
}

static void access_bar(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	struct virtio_dev *dev = opaque;
	struct virtio_pci *pci = dev->plug;

	/* The hot register, and one that needs no lock. */
	if (offset >= NOTIFY && offset < NOTIFY + NOTIFY_SIZE && is_write) {
		virtio_driver_notified(dev, (uint32_t)(offset - NOTIFY) / NOTIFY_STEP);
		return;
	}
	if (offset >= MSIX_PENDING) {
		msix_pending_access(&pci->fn.msix, offset - MSIX_PENDING, data, len, is_write);
		return;
	}
	if (offset >= MSIX_TABLE) {
		msix_table_access(&pci->fn.msix, offset - MSIX_TABLE, data, len, is_write);
		return;
	}
	pthread_mutex_lock(&dev->lock);
	if (offset < ISR)
		access_common(dev, offset, data, len, is_write);
	else if (offset >= DEVICE && offset < NOTIFY)
		access_config(dev, offset - DEVICE, data, len, is_write);
	else if (offset < DEVICE && !is_write)
		read_isr(dev, offset - ISR, data, len);
	else if (!is_write)
		memset(data, 0, len);
	pthread_mutex_unlock(&dev->lock);
}

/* ---- Configuration space's window on the BAR (section 4.1.4.9) ---- */

#define WINDOW_BAR offsetof(struct virtio_pci_cap, bar)
#define WINDOW_OFFSET offsetof(struct virtio_pci_cap, offset)
#define WINDOW_LENGTH offsetof(struct virtio_pci_cap, length)
#define WINDOW_DATA sizeof(struct virtio_pci_cap)
#define WINDOW_DATA_SIZE 4

/* Of the access that the window is set to, if [offset, offset + len) meets its data. */
static bool window_access(const struct virtio_pci *pci, uint32_t offset, uint32_t len,
			  uint64_t *bar_offset, uint32_t *bar_len)
{
	const uint8_t *cap = pci->fn.config + pci->window;

	if (!range_overlap(offset, len, pci->window + WINDOW_DATA, WINDOW_DATA_SIZE))
		return false;
	*bar_offset = get_le32(cap + WINDOW_OFFSET);
	*bar_len = get_le32(cap + WINDOW_LENGTH);
	return !cap[WINDOW_BAR] && (*bar_len == 1 || *bar_len == 2 || *bar_len == 4) &&
	       *bar_offset % *bar_len == 0 && range_in(*bar_offset, *bar_len, BAR_SIZE);
}

static void through_window(struct pci_function *fn, uint32_t offset, uint32_t len, bool is_write)
{
	struct virtio_pci *pci = container_of(fn, struct virtio_pci, fn);
	uint64_t bar_offset;
	uint32_t bar_len;

	if (window_access(pci, offset, len, &bar_offset, &bar_len))
		access_bar(fn->opaque, bar_offset, fn->config + pci->window + WINDOW_DATA, bar_len,
			   is_write);
}

static void config_read(struct pci_function *fn, uint32_t offset, uint32_t len)
{
	through_window(fn, offset, len, false);
}

/*
 * A guest that starts another kernel takes back the leave to master the bus, so that no device writes
 * to that one's memory. Who never gave it is served all the same.
 */
static void update_master(struct pci_function *fn)
{
	struct virtio_pci *pci = container_of(fn, struct virtio_pci, fn);
	struct virtio_dev *dev = fn->opaque;
	bool master = get_le16(fn->config + PCI_COMMAND) & PCI_COMMAND_MASTER;

	if (master == pci->master)
		return;
	pci->master = master;
	pthread_mutex_lock(&dev->lock);
	virtio_hold(dev, !master);
	pthread_mutex_unlock(&dev->lock);
}

static void config_written(struct pci_function *fn, uint32_t offset, uint32_t len)
{
	if (range_overlap(offset, len, PCI_COMMAND, sizeof(uint16_t)))
		update_master(fn);
	through_window(fn, offset, len, true);
}

static void moved(struct pci_function *fn)
{
	struct virtio_dev *dev = fn->opaque;

	pthread_mutex_lock(&dev->lock);
	virtio_forget_signals(dev);
	pthread_mutex_unlock(&dev->lock);
}

static const struct pci_ops function_ops = {
	.config_read = config_read,
	.config_written = config_written,
	.moved = moved,
};

/* ---- The transport ---- */

static void pci_interrupt(struct virtio_dev *dev, int queue)
{
	struct virtio_pci *pci = dev->plug;

	if (!pci->fn.msix.n)
		pci_update_intx(&pci->fn);
	else if (queue < 0)
		msix_raise(&pci->fn.msix, atomic_load(&pci->config_vector));
	else
		msix_raise(&pci->fn.msix, atomic_load(&pci->queue_vectors[queue]));
}

static bool pci_notify_signal(struct virtio_dev *dev, unsigned int i, struct bus_signal *signal)
{
	struct virtio_pci *pci = dev->plug;
	uint64_t bar = atomic_load(&pci->fn.decoded);

	*signal = (struct bus_signal){ .addr = bar + NOTIFY + i * NOTIFY_STEP };
	return bar;
}

static void pci_reset(struct virtio_dev *dev)
{
	struct virtio_pci *pci = dev->plug;

	pci->device_features_sel = pci->driver_features_sel = 0;
	pci->queue_sel = 0;
	atomic_store(&pci->config_vector, VIRTIO_MSI_NO_VECTOR);
	for (unsigned int i = 0; i < VIRTIO_QUEUES; i++)
		atomic_store(&pci->queue_vectors[i], VIRTIO_MSI_NO_VECTOR);
	pci_update_intx(&pci->fn);
}

static void pci_save(struct virtio_dev *dev, struct buf *out)
{
	struct virtio_pci *pci = dev->plug;

	buf_put_le32(out, pci->device_features_sel);
	buf_put_le32(out, pci->driver_features_sel);
	buf_put_le16(out, pci->queue_sel);
	buf_put_le16(out, atomic_load(&pci->config_vector));
	for (unsigned int i = 0; i < VIRTIO_QUEUES; i++)
		buf_put_le16(out, atomic_load(&pci->queue_vectors[i]));
}

static void pci_load(struct virtio_dev *dev, struct reader *in)
{
	struct virtio_pci *pci = dev->plug;

	pci->device_features_sel = reader_le32(in);
	pci->driver_features_sel = reader_le32(in);
	pci->queue_sel = reader_le16(in);
	atomic_store(&pci->config_vector, possible_vector(pci, reader_le16(in)));
	for (unsigned int i = 0; i < VIRTIO_QUEUES; i++)
		atomic_store(&pci->queue_vectors[i], possible_vector(pci, reader_le16(in)));
	pci_update_intx(&pci->fn);
}

static void pci_unplug(struct virtio_dev *dev)
{
	struct virtio_pci *pci = dev->plug;

	pci_remove(&pci->fn);
	free(pci);
}

static const struct virtio_transport virtio_pci_transport = {
	.interrupt = pci_interrupt,
	.notify_signal = pci_notify_signal,
	.reset = pci_reset,
	.save = pci_save,
	.load = pci_load,
	.saved_size = 2 * sizeof(uint32_t) + (2 + VIRTIO_QUEUES) * sizeof(uint16_t),
	.unplug = pci_unplug,
};

/* ---- Making the function ---- */

/* A part of the BAR; `more` is what some kinds have behind the common fields. */
static uint32_t add_part(struct pci_function *fn, uint8_t type, uint32_t offset, uint32_t length,
			 uint32_t more, bool has_more)
{
	uint32_t size = (uint32_t)sizeof(struct virtio_pci_cap) + (has_more ? 4 : 0);
	uint8_t cap[sizeof(struct virtio_pci_cap) + 4] = { 0 };

	cap[offsetof(struct virtio_pci_cap, cap_len)] = (uint8_t)size;
	cap[offsetof(struct virtio_pci_cap, cfg_type)] = type;
	put_le32(cap + offsetof(struct virtio_pci_cap, offset), offset);
	put_le32(cap + offsetof(struct virtio_pci_cap, length), length);
	put_le32(cap + sizeof(struct virtio_pci_cap), more);
	return pci_add_capability(fn, PCI_CAP_ID_VNDR, cap + 2, size - 2);
}

static void add_window(struct virtio_pci *pci)
{
	uint8_t *writable;

	pci->window = add_part(&pci->fn, VIRTIO_PCI_CAP_PCI_CFG, 0, 0, 0, true);
	writable = pci->fn.writable + pci->window;
	writable[WINDOW_BAR] = 0xff;
	put_le32(writable + WINDOW_OFFSET, UINT32_MAX);
	put_le32(writable + WINDOW_LENGTH, UINT32_MAX);
	put_le32(writable + WINDOW_DATA, UINT32_MAX);
}

/* What a guest calls it; drivers go by the device ID. */
static uint32_t class_of(const struct virtio_dev *dev)
{
	switch (dev->id) {
	case VIRTIO_ID_NET:
		return 0x020000; /* Ethernet */
	case VIRTIO_ID_BLOCK:
		return 0x018000; /* mass storage */
	case VIRTIO_ID_CONSOLE:
		return 0x078000; /* communication */
	default:
		return 0xff0000;
	}
}

/* In the order in which Linux looks for them: it begins from the first each time. */
static void describe(struct virtio_dev *dev, struct virtio_pci *pci, struct pci_bus *bus)
{
	struct pci_function *fn = &pci->fn;

	fn->name = dev->device.name;
	fn->ops = &function_ops;
	fn->bar_size = BAR_SIZE;
	fn->bar_access = access_bar;
	fn->opaque = dev;
	fn->intx = &dev->st.isr;
	pci_identify(fn, VENDOR, (uint16_t)(DEVICE_BASE + dev->id), class_of(dev), REVISION);
	add_part(fn, VIRTIO_PCI_CAP_COMMON_CFG, COMMON, COMMON_SIZE, 0, false);
	add_part(fn, VIRTIO_PCI_CAP_ISR_CFG, ISR, ISR_SIZE, 0, false);
	add_part(fn, VIRTIO_PCI_CAP_NOTIFY_CFG, NOTIFY, NOTIFY_SIZE, NOTIFY_STEP, true);
	if (dev->config_size)
		add_part(fn, VIRTIO_PCI_CAP_DEVICE_CFG, DEVICE, DEVICE_SIZE, 0, false);
	pci_add_interrupts(bus, fn, dev->n_queues + 1, MSIX_TABLE, MSIX_PENDING);
	add_window(pci);
}

int virtio_pci_plug(struct virtio_dev *dev, struct pci_bus *bus, unsigned int slot, struct err *err)
{
	struct virtio_pci *pci = calloc(1, sizeof(*pci));
	int rc;

	if (!pci)
		return err_set(err, ENOMEM, "no memory for %s", dev->device.name);
	dev->plug = pci;
	describe(dev, pci, bus);
	pci->fn.bus = bus;
	pci_reset(dev);
	dev->transport = &virtio_pci_transport;
	/* Last: from now on vCPUs may come. */
	rc = pci_add(bus, &pci->fn, slot, err);
	if (rc) {
		dev->transport = NULL;
		dev->plug = NULL;
		msix_fini(&pci->fn.msix);
		free(pci);
	}
	return rc;
}
