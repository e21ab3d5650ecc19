/* SPDX-License-Identifier: MIT */
/* What socket devices have in common, whoever moves their packets. */
#ifndef VIRTIO_VSOCK_DEVICE_H
#define VIRTIO_VSOCK_DEVICE_H

#include <linux/virtio_vsock.h>

#include "virtio/core.h"
#include "virtio/vsock.h"

#define VSOCK_RX 0
#define VSOCK_TX 1
#define VSOCK_EVENT 2
#define VSOCK_QUEUES 3

struct virtio_vsock {
	struct virtio_dev dev;
	struct virtio_vsock_config config;
	bool interrupted; /* the guest is to be told that its connections are gone */
	struct chain event;
};

static inline struct virtio_vsock *vsock_of(struct virtio_dev *dev)
{
	return container_of(dev, struct virtio_vsock, dev);
}

void vsock_init(struct virtio_vsock *vs, const struct virtio_ops *ops, const struct vsock_config *c,
		const struct device_env *env);
void vsock_config_read(struct virtio_dev *dev, uint32_t offset, void *data, uint32_t len);

/* The kick() of VSOCK_EVENT. */
void vsock_tell_events(struct virtio_dev *dev);

/* By Unix sockets at c->path; by the host's kernel. Both give `out` its destroy(). */
int vsock_unix_create(const struct device_env *env, const struct vsock_config *c,
		      struct device **out, struct err *err);
int vsock_vhost_create(const struct device_env *env, const struct vsock_config *c,
		       struct device **out, struct err *err);

#endif
