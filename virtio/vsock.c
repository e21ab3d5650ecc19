/* SPDX-License-Identifier: MIT */
#include "virtio/vsock.h"

#include <linux/virtio_ids.h>
#include <string.h>

#include "virtio/vsock-device.h"

#define QUEUE_SIZE 128

void vsock_init(struct virtio_vsock *vs, const struct virtio_ops *ops, const struct vsock_config *c,
		const struct device_env *env)
{
	vs->config.guest_cid = c->cid;
	vs->dev.ops = ops;
	vs->dev.id = VIRTIO_ID_VSOCK;
	vs->dev.n_queues = VSOCK_QUEUES;
	vs->dev.often = true;
	vs->dev.queue_size = QUEUE_SIZE;
	vs->dev.config_size = sizeof(vs->config);
	virtio_init(&vs->dev, c->name, env);
}

void vsock_config_read(struct virtio_dev *dev, uint32_t offset, void *data, uint32_t len)
{
	memcpy(data, (const uint8_t *)&vsock_of(dev)->config + offset, len);
}

static int64_t tell_event(struct virtio_dev *dev, const struct chain *c)
{
	struct virtio_vsock *vs = vsock_of(dev);
	const struct virtio_vsock_event event = { .id = VIRTIO_VSOCK_EVENT_TRANSPORT_RESET };

	if (!vs->interrupted)
		return VIRTIO_LATER;
	if (!chain_write(c, 0, &event, sizeof(event)))
		return VIRTIO_BROKEN;
	vs->interrupted = false;
	return sizeof(event);
}

void vsock_tell_events(struct virtio_dev *dev)
{
	virtio_serve(dev, VSOCK_EVENT, &vsock_of(dev)->event, tell_event);
}

static int vsock_create(const struct device_env *env, const void *config, struct device **out,
			struct err *err)
{
	const struct vsock_config *c = config;

	return c->path ? vsock_unix_create(env, c, out, err) : vsock_vhost_create(env, c, out, err);
}

const struct device_type virtio_vsock_type = { "virtio_vsock", vsock_create };
