/* SPDX-License-Identifier: MIT */
/*
 * virtio/net's own: the device, and a pair of its queues with the backend that they share. A pair
 * has a loop while one of its queues is active; the functions are called on that loop, or when no
 * loop runs.
 */
#ifndef VIRTIO_NET_PAIR_H
#define VIRTIO_NET_PAIR_H

#include "host/net.h"
#include "virtio/core.h"

#define PAIRS 1
#define RX(pair) (2 * (pair))
#define TX(pair) (2 * (pair) + 1)
#define CONTROL (2 * PAIRS) /* where it is when VIRTIO_NET_F_MQ is not negotiated, too */
static_assert(CONTROL < VIRTIO_QUEUES, "raise VIRTIO_QUEUES");

/* The driver has not chosen offloads: they are as negotiated. */
#define AS_NEGOTIATED UINT64_MAX

/* Guest-visible. Atomic: the loop changes them, vCPUs read them. */
struct nic_state {
	_Atomic uint64_t mac;	   /* its first byte is the lowest */
	_Atomic uint32_t announce; /* 0 or 1: the guest is asked to */
	uint64_t offloads;	   /* what it takes, VIRTIO_NET_F_GUEST_*, or AS_NEGOTIATED */
};

struct pair {
	struct virtio_net *nic;
	unsigned int index;
	struct net *net;
	/* While one of its queues is active. */
	struct loop *loop;
	unsigned int n_active;
	loop_id source;
	uint32_t events; /* that the loop waits for at the fd */
	bool starved, blocked;
	/* The frame that waits for buffers; NULL: none. */
	const uint8_t *frame;
	uint32_t frame_len;
	struct virtio_net_hdr_v1 header;
	struct chain first, more, tx;
};

struct virtio_net {
	struct virtio_dev dev;
	struct nic_state st;
	uint64_t mac; /* at power-on */
	uint16_t mtu;
	_Atomic bool link; /* the backend's other end is there */
	bool moved;	   /* loaded: its network may not know yet that it is here */
	struct ratelimit lies;
	struct chain command;
	struct pair pairs[PAIRS];
};

static inline struct virtio_net *nic_of(struct virtio_dev *dev)
{
	return container_of(dev, struct virtio_net, dev);
}

/* Makes the loop, which watches nothing yet; ends it. 0 or -errno. */
int pair_start(struct pair *p);
void pair_stop(struct pair *p);

/* The backend's fd is not looked at any more. */
void pair_unwatch(struct pair *p);

/* Moves what can be moved: from the backend to the driver, and the other way. */
void pair_receive(struct pair *p);
void pair_send(struct pair *p);

/* After either: waits for what there is use for. */
void pair_watch(struct pair *p);

/* Is this queue active, and the device in order? */
bool pair_runs(const struct pair *p, unsigned int queue);

/* The features, of which those of VIRTIO_NET_F_GUEST_* are what the guest takes now. */
uint64_t nic_taken_features(const struct virtio_net *nic);

#endif
