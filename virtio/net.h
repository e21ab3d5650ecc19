/* SPDX-License-Identifier: MIT */
/*
 * A network device (virtio 1.2, section 5.1): one pair of queues or several, and one for control.
 * While a pair runs it has a loop of its own; the first one's is the control queue's, too.
 */
#ifndef VIRTIO_NET_H
#define VIRTIO_NET_H

#include "host/net.h"
#include "util/limit.h"
#include "vm/device.h"

struct nic_config {
	const char *name; /* borrowed; "virtio-net.0" */
	/* A pair of queues for each; the device's own once create() has succeeded: it closes them. */
	struct net *const *nets;
	unsigned int pairs; /* 1 to NET_QUEUES */
	uint8_t mac[6];
	uint16_t mtu; /* told to the guest; 0: nothing is told */
	bool vhost;   /* the host's kernel moves the frames, where both it and the backend can */
	/* Of what is received, and as much of what is sent; an operation is a frame. No vhost then. */
	struct limit_config limit;
};

extern const struct device_type virtio_net_type;

#endif
