/* SPDX-License-Identifier: MIT */
/*
 * A network device (virtio 1.2, section 5.1): a pair of queues, and one for control. While any of
 * them runs they share a loop of their own.
 */
#ifndef VIRTIO_NET_H
#define VIRTIO_NET_H

#include "host/net.h"
#include "vm/device.h"

struct nic_config {
	const char *name; /* borrowed; "virtio-net.0" */
	/* The device's own once create() has succeeded: it closes it. */
	struct net *net;
	uint8_t mac[6];
	uint16_t mtu; /* told to the guest; 0: nothing is told */
};

extern const struct device_type virtio_net_type;

#endif
