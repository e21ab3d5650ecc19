/* SPDX-License-Identifier: MIT */
/* What runs of a virtio device: its queues on their loops, notifications both ways. */
#include <errno.h>
#include <linux/virtio_mmio.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "virtio/core.h"

/* Interrupts. */

void virtio_interrupt(struct virtio_dev *dev, unsigned int i)
{
	atomic_fetch_or(&dev->st.isr, VIRTIO_MMIO_INT_VRING);
	dev->transport->interrupt(dev, (int)i);
}

static void interrupt_config(struct virtio_dev *dev)
{
	/* Before DRIVER_OK the driver reads the config space anyhow, and expects no interrupt. */
	if (!atomic_load(&dev->running))
		return;
	atomic_fetch_or(&dev->st.isr, VIRTIO_MMIO_INT_CONFIG);
	dev->transport->interrupt(dev, -1);
}

void virtio_config_changed(struct virtio_dev *dev)
{
	atomic_fetch_add(&dev->st.config_generation, 1);
	interrupt_config(dev);
}

void virtio_broken(struct virtio_dev *dev, unsigned int i, const char *why)
{
	if (atomic_exchange(&dev->st.needs_reset, 1))
		return;
	log_guest(dev->env->log, &dev->complaints, "%s needs a reset by its driver: queue %u: %s",
		  dev->device.name, i, why);
	interrupt_config(dev);
}

/* Kicks. */

void virtio_notify(struct virtio_dev *dev, uint32_t i)
{
	uint64_t one = 1;
	int fd = i < dev->n_queues ? atomic_load(&dev->queues[i].kick_fd) : -1;

	/* A full counter is a kick that is still to be seen: EAGAIN is no loss. */
	if (fd >= 0 && write(fd, &one, sizeof(one)) < 0)
		return;
}

static void clear_notify(struct virtio_queue *vq)
{
	uint64_t count;

	/* Before the queue is looked at: a kick that comes after this is seen next time. */
	if (read(atomic_load(&vq->kick_fd), &count, sizeof(count)) < 0)
		return;
}

static void on_kick(void *opaque, uint32_t events)
{
	struct virtio_queue *vq = opaque;
	struct virtio_dev *dev = vq->dev;
	uint16_t before = vq->ring.st->next_avail;

	(void)events;
	clear_notify(vq);
	if (atomic_load(&dev->st.needs_reset))
		return;
	dev->ops->kick(dev, vq->index);
	if (dev->often)
		loop_found(vq->loop, (uint16_t)(vq->ring.st->next_avail - before));
}

bool virtio_wait_notify(struct virtio_dev *dev, unsigned int i, int timeout_ms)
{
	struct virtio_queue *vq = &dev->queues[i];
	struct pollfd pfd = { .fd = atomic_load(&vq->kick_fd), .events = POLLIN };

	if (!vq->active || poll(&pfd, 1, timeout_ms) <= 0)
		return false;
	clear_notify(vq);
	return true;
}

void virtio_give_back(struct virtio_dev *dev, unsigned int i, const struct chain *c,
		      uint32_t written)
{
	queue_push(&dev->queues[i].ring, c, written);
}

void virtio_tell_driver(struct virtio_dev *dev, unsigned int i)
{
	if (queue_needs_interrupt(&dev->queues[i].ring))
		virtio_interrupt(dev, i);
}

int virtio_pop(struct virtio_dev *dev, unsigned int i, struct chain *c)
{
	int rc = queue_pop(&dev->queues[i].ring, c);

	if (rc < 0)
		virtio_broken(dev, i, dev->queues[i].ring.broken);
	return rc;
}

void virtio_serve(struct virtio_dev *dev, unsigned int i, struct chain *c,
		  int64_t (*serve)(struct virtio_dev *dev, const struct chain *c))
{
	struct queue *q = &dev->queues[i].ring;

	queue_disable_kicks(q);
	/* What is left when the queue is taken away is looked at when it starts again. */
	for (unsigned int turn = 0; turn < q->size && !atomic_load(&dev->stopping); turn++) {
		int rc = queue_pop(q, c);
		int64_t written;

		if (!rc && !queue_enable_kicks(q))
			return;
		if (!rc) {
			queue_disable_kicks(q);
			continue;
		}
		written = rc < 0 ? VIRTIO_BROKEN : serve(dev, c);
		if (written == VIRTIO_BROKEN) {
			virtio_broken(dev, i, rc < 0 ? q->broken : "a malformed request");
			return;
		}
		if (written == VIRTIO_LATER) {
			queue_unpop(q);
			return;
		}
		if (written == VIRTIO_TAKEN)
			continue;
		virtio_give_back(dev, i, c, (uint32_t)written);
		virtio_tell_driver(dev, i);
	}
	virtio_notify(dev, i);
}

/*
 * An ioeventfd spares an exit a notification, and costs up to some ten milliseconds once, as the
 * host waits for grace periods: as much as so many exits.
 */
#define EXITS_WORTH_A_SIGNAL 512

static void bind_signal(struct virtio_queue *vq)
{
	struct virtio_dev *dev = vq->dev;

	pthread_mutex_lock(&dev->lock);
	if (vq->active && !vq->bound && dev->transport->notify_signal &&
	    dev->transport->notify_signal(dev, vq->index, &vq->signal))
		vq->bound = !bus_bind_fd(dev->env->mmio, &vq->signal, atomic_load(&vq->kick_fd),
					 true);
	pthread_mutex_unlock(&dev->lock);
}

void virtio_driver_notified(struct virtio_dev *dev, uint32_t i)
{
	virtio_notify(dev, i);
	if (dev->often && i < dev->n_queues &&
	    atomic_fetch_add(&dev->queues[i].exits, 1) + 1 == EXITS_WORTH_A_SIGNAL)
		bind_signal(&dev->queues[i]);
}

void virtio_forget_signals(struct virtio_dev *dev)
{
	for (unsigned int i = 0; i < dev->n_queues; i++) {
		struct virtio_queue *vq = &dev->queues[i];

		if (vq->bound)
			bus_bind_fd(dev->env->mmio, &vq->signal, atomic_load(&vq->kick_fd), false);
		vq->bound = false;
		atomic_store(&vq->exits, 0);
	}
}

/* Starting and stopping. */

static int open_kick_fd(struct virtio_queue *vq)
{
	int fd;

	if (atomic_load(&vq->kick_fd) >= 0)
		return 0;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	atomic_store(&vq->kick_fd, fd);
	return 0;
}

static int give_to_loop(struct virtio_queue *vq)
{
	struct virtio_dev *dev = vq->dev;
	int rc = open_kick_fd(vq);

	if (rc)
		return rc;
	vq->loop = dev->env->loop;
	if (dev->ops->activate) {
		rc = dev->ops->activate(dev, vq->index);
		if (rc)
			return rc;
	}
	vq->active = true;
	if (!vq->loop)
		return 0;
	return loop_add(vq->loop, atomic_load(&vq->kick_fd), EPOLLIN, on_kick, vq, &vq->source);
}

static void start_queue(struct virtio_queue *vq)
{
	struct virtio_dev *dev = vq->dev;
	int rc;

	if (queue_start(&vq->ring, &dev->st.queues[vq->index], dev->env->mem,
			virtio_has_feature(dev, VIRTIO_RING_F_EVENT_IDX),
			virtio_has_feature(dev, VIRTIO_RING_F_INDIRECT_DESC))) {
		virtio_broken(dev, vq->index, vq->ring.broken);
		return;
	}
	rc = give_to_loop(vq);
	if (rc)
		virtio_broken(dev, vq->index, strerror(-rc));
	else
		virtio_notify(dev, vq->index); /* the driver may have filled it before */
}

void virtio_start(struct virtio_dev *dev)
{
	atomic_store(&dev->running, true);
	if (dev->env->driven)
		atomic_store(dev->env->driven, true);
	for (unsigned int i = 0; i < dev->n_queues; i++) {
		if (dev->st.queues[i].enabled && !atomic_load(&dev->st.needs_reset))
			start_queue(&dev->queues[i]);
	}
}

void virtio_take_queues(struct virtio_dev *dev)
{
	/* A driver can queue hours of work: only what is being served is waited for. */
	atomic_store(&dev->stopping, true);
	for (unsigned int i = 0; i < dev->n_queues; i++) {
		struct virtio_queue *vq = &dev->queues[i];

		if (vq->source != LOOP_NONE)
			loop_remove(vq->loop, vq->source);
		vq->source = LOOP_NONE;
	}
	atomic_store(&dev->stopping, false);
}

void virtio_stop(struct virtio_dev *dev)
{
	virtio_forget_signals(dev);
	virtio_take_queues(dev);
	for (unsigned int i = 0; i < dev->n_queues; i++) {
		struct virtio_queue *vq = &dev->queues[i];

		if (vq->active && dev->ops->stop)
			dev->ops->stop(dev, i);
		vq->active = false;
	}
	atomic_store(&dev->running, false);
}
