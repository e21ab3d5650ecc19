/* SPDX-License-Identifier: MIT */
/*
 * virtio/net's own: the device, and a pair of its queues with the backend's queue that they share. A
 * pair has a loop while one of its queues is active; the functions are called on that loop, or when
 * no loop runs. The first pair's loop is the control queue's, too: it alone may wait for others'.
 */
#ifndef VIRTIO_NET_PAIR_H
#define VIRTIO_NET_PAIR_H

#include "host/net.h"
#include "util/limit.h"
#include "virtio/core.h"
#include "virtio/vhost.h"

#define RX(pair) (2 * (pair))
#define TX(pair) (2 * (pair) + 1)
static_assert(2 * NET_QUEUES + 1 <= VIRTIO_QUEUES, "raise VIRTIO_QUEUES");

/* The driver has not chosen offloads: they are as negotiated. */
#define AS_NEGOTIATED UINT64_MAX

/* Guest-visible. Atomic: what one thread changes while others read it. */
struct nic_state {
	_Atomic uint64_t mac;	   /* its first byte is the lowest */
	_Atomic uint32_t announce; /* 0 or 1: the guest is asked to */
	_Atomic uint64_t offloads; /* what it takes, VIRTIO_NET_F_GUEST_*, or AS_NEGOTIATED */
	uint32_t pairs;		   /* that the driver uses */
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
	bool enabled;	 /* the driver uses it: frames come and go */
	bool in_kernel;	 /* vhost-net moves them: we don't */
	bool starved, blocked;
	/* A limit is reached, and the timer will go on; the timer's fd, -1: there are no limits. */
	bool rx_limited, tx_limited;
	int timer;
	loop_id timer_source;
	/* The frame that waits for buffers; NULL: none. */
	const uint8_t *frame;
	uint32_t frame_len;
	struct virtio_net_hdr_v1 header;
	struct chain first, more, tx;
	struct vhost vhost;
};

struct virtio_net {
	struct virtio_dev dev;
	struct nic_state st;
	uint64_t mac; /* at power-on */
	uint16_t mtu;
	bool moved; /* loaded: its network may not know yet that it is here */
	bool vhost; /* is tried */
	struct limit rx, tx;
	/* virtio/net-link.c */
	_Atomic bool link;
	int changes_fd;
	loop_id changes;
	struct ratelimit lies;
	struct chain command;
	unsigned int n_pairs;
	struct pair pairs[];
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

/*
 * The driver uses it from now on, or no longer; and something else that it goes by has changed, the
 * link or the offloads. On the first pair's loop, or when no loop runs.
 */
int pair_enable(struct pair *p, bool on);
void pair_changed(struct pair *p);

/*
 * virtio/net-vhost.c. Leaves the pair to the kernel, if that can be; gives it a queue (one that can't
 * be given is ours, with the pair; -errno: but the kernel has the other one); takes all back.
 */
void pair_vhost_open(struct pair *p);
int pair_vhost_start(struct pair *p, unsigned int queue);
void pair_vhost_close(struct pair *p);
/* The device's `logged` has changed. */
void pair_vhost_log(struct pair *p);

/* Is this queue active, and the device in order? */
bool pair_runs(const struct pair *p, unsigned int queue);

/* The features, of which those of VIRTIO_NET_F_GUEST_* are what the guest takes now. */
uint64_t nic_taken_features(const struct virtio_net *nic);

/* Tells the backend what the guest takes now. 0 or -errno. */
int nic_apply_offloads(struct virtio_net *nic);

/*
 * The link, as the guest sees it: it follows the backend from when all queues run until the first is
 * stopped. A pair that finds its backend gone says so; any loop.
 */
void nic_link_start(struct virtio_net *nic);
void nic_link_stop(struct virtio_net *nic);
void nic_link_lost(struct pair *p);

#endif
