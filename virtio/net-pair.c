/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. A pair of queues shares a backend, and one loop that waits for the driver's
 * kicks and the backend's fd.
 *
 * Receiving: the backend lends one frame at a time; it is copied into as many buffers as it takes,
 * which the driver gets all at once. When there are too few, the frame waits, the fd is not looked
 * at (what comes waits in the host), and the driver's kick goes on: the pair is starved. A frame
 * that all buffers of a queue could not hold is dropped.
 *
 * Transmitting: the backend takes a frame whole or not at all. When it doesn't, the frame stays in
 * the queue, and POLLOUT goes on: the pair is blocked. So nobody spins for the other.
 *
 * A limit that is reached leaves frames where they are, too: in the host, or in the driver's queue.
 *
 * While the link is down, or the driver does not use the pair, frames to be sent are dropped, and
 * none is received.
 */
#include "virtio/net-pair.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "virtio/net-header.h"

#define HEADER ((uint32_t)sizeof(struct virtio_net_hdr_v1))
#define VLAN_TAG 4u
/* Frames received in a row, so that a flood from outside can't keep the loop from the rest. */
#define TURN 256

bool pair_runs(const struct pair *p, unsigned int queue)
{
	const struct virtio_dev *dev = &p->nic->dev;

	return dev->queues[queue].active && !atomic_load(&dev->st.needs_reset);
}

/* May frames come and go? */
static bool is_open(const struct pair *p)
{
	return p->enabled && atomic_load(&p->nic->link);
}

void pair_watch(struct pair *p)
{
	bool open = is_open(p) && !p->in_kernel;
	uint32_t events = 0;

	if (open && pair_runs(p, RX(p->index)) && !p->starved && !p->rx_limited)
		events |= EPOLLIN;
	if (open && p->blocked)
		events |= EPOLLOUT;
	if (events == p->events)
		return;
	p->events = events;
	loop_set_events(p->loop, p->source, events);
}

/* ---- Limits ---- */

/* Has the next frame to wait? Then the timer will go on with it. */
static bool is_limited(struct pair *p, struct limit *limit, bool *limited)
{
	uint64_t rx, tx;

	*limited = limit_wait(limit);
	if (!*limited)
		return false;
	rx = p->rx_limited ? limit_wait(&p->nic->rx) : UINT64_MAX;
	tx = p->tx_limited ? limit_wait(&p->nic->tx) : UINT64_MAX;
	limit_timer_set(p->timer, MAX(MIN(rx, tx), (uint64_t)1)); /* 0 would stop it */
	return true;
}

static void on_timer(void *opaque, uint32_t events)
{
	struct pair *p = opaque;

	(void)events;
	limit_timer_clear(p->timer);
	if (p->tx_limited)
		pair_send(p);
	if (p->rx_limited && pair_runs(p, RX(p->index)))
		pair_receive(p);
	pair_watch(p);
}

static int start_timer(struct pair *p)
{
	p->rx_limited = p->tx_limited = false;
	if (!p->nic->rx.on)
		return 0;
	p->timer = limit_timer_open();
	return p->timer < 0 ? p->timer
			    : loop_add(p->loop, p->timer, EPOLLIN, on_timer, p, &p->timer_source);
}

static void stop_timer(struct pair *p)
{
	if (p->timer >= 0)
		close(p->timer);
	p->timer = -1;
}

/* ---- Receiving ---- */

/* Longer than the guest was told that any would be (section 5.1.4.1). */
static bool is_too_long(const struct pair *p)
{
	return virtio_has_feature(&p->nic->dev, VIRTIO_NET_F_MTU) &&
	       p->header.gso_type == VIRTIO_NET_HDR_GSO_NONE &&
	       p->frame_len > p->nic->mtu + NET_FRAME_MIN + VLAN_TAG;
}

/* False: there is no frame now. `p->frame` may be NULL then or not: some are only thrown away. */
static bool fetch(struct pair *p)
{
	ssize_t len;

	if (!is_open(p) || is_limited(p, &p->nic->rx, &p->rx_limited))
		return false;
	len = p->net->ops->receive(p->net, &p->header, &p->frame);
	if (len <= 0) {
		p->frame = NULL;
		if (len != 0 && len != -EAGAIN)
			nic_link_lost(p);
		return len == 0;
	}
	p->frame_len = (uint32_t)len;
	limit_charge(&p->nic->rx, p->frame_len);
	if (!net_check_received(nic_taken_features(p->nic), &p->header, p->frame_len) ||
	    is_too_long(p))
		p->frame = NULL;
	return true;
}

/* Copies what is left of the frame after `done` bytes, header included, which is written last. */
static uint32_t fill(const struct pair *p, const struct chain *c, uint32_t done)
{
	uint32_t len = MIN(c->in_len, HEADER + p->frame_len - done);
	uint32_t skip = done ? 0 : HEADER;

	chain_write(c, skip, p->frame + done + skip - HEADER, len - skip);
	return len;
}

/* The number of buffers it took, 0 when there are too few now, -1 when there never are enough. */
static int spread(struct pair *p, struct queue *q)
{
	struct virtio_dev *dev = &p->nic->dev;
	bool merge = virtio_has_feature(dev, VIRTIO_NET_F_MRG_RXBUF);
	uint32_t done = 0;
	int n = 0;

	while (done < HEADER + p->frame_len) {
		struct chain *c = n ? &p->more : &p->first;
		uint32_t len;

		if (n == q->size || (n && !merge))
			return -1;
		if (virtio_pop(dev, RX(p->index), c) <= 0)
			return 0;
		if (c->in_len < HEADER) {
			queue_unpop(q);
			virtio_broken(dev, RX(p->index), "a buffer shorter than a header");
			return 0;
		}
		len = fill(p, c, done);
		queue_put(q, c, len);
		done += len;
		n++;
	}
	return n;
}

/* Gives the frame to the driver, or drops it. False: it must wait for buffers. */
static bool deliver(struct pair *p)
{
	struct queue *q = &p->nic->dev.queues[RX(p->index)].ring;
	int n = spread(p, q);

	if (!n) {
		/* Asks for what comes behind those that are there: looked at before they go back. */
		p->starved = !queue_enable_kicks(q);
		queue_take_back(q);
		return false;
	}
	if (n < 0) {
		queue_take_back(q);
	} else {
		p->header.num_buffers = (uint16_t)n;
		chain_write(&p->first, 0, &p->header, HEADER);
		queue_dirty(q, &p->first, HEADER);
		queue_publish(q);
		virtio_tell_driver(&p->nic->dev, RX(p->index));
	}
	p->frame = NULL;
	return true;
}

void pair_receive(struct pair *p)
{
	struct virtio_dev *dev = &p->nic->dev;
	struct queue *q = &dev->queues[RX(p->index)].ring;

	p->starved = p->rx_limited = false;
	queue_disable_kicks(q);
	for (unsigned int turn = 0; turn < TURN && !atomic_load(&dev->stopping); turn++) {
		if (!p->frame && !fetch(p))
			return;
		if (!p->frame || deliver(p))
			continue;
		if (p->starved || !pair_runs(p, RX(p->index)))
			return;
		queue_disable_kicks(q); /* one slipped in */
	}
	/* The rest may be in the backend already, where no POLLIN tells of it. */
	virtio_notify(dev, RX(p->index));
}

/* ---- Transmitting ---- */

static int64_t transmit(struct virtio_dev *dev, const struct chain *c)
{
	struct virtio_net *nic = nic_of(dev);
	struct pair *p = container_of(c, struct pair, tx);
	struct iovec iov[QUEUE_MAX_SIZE];
	struct virtio_net_hdr_v1 header;
	const char *why = NULL;
	int rc;

	if (!chain_read(c, 0, &header, HEADER))
		return VIRTIO_BROKEN;
	if (!is_open(p))
		return 0;
	if (is_limited(p, &nic->tx, &p->tx_limited))
		return VIRTIO_LATER;
	if (!net_check_sent(dev->st.driver_features, &header, c->out_len - HEADER, &why)) {
		log_guest(dev->env->log, &nic->lies, "%s: not sent: %s", dev->device.name, why);
		return 0;
	}
	rc = p->net->ops->send(p->net, &header, iov,
			       chain_out_iov(c, HEADER, c->out_len - HEADER, iov));
	if (rc == -EAGAIN) {
		p->blocked = true;
		return VIRTIO_LATER;
	}
	if (rc)
		nic_link_lost(p);
	limit_charge(&nic->tx, c->out_len - HEADER);
	return 0;
}

/* False: the backend still holds the end of a frame, and takes no other. */
static bool flush(struct pair *p)
{
	int rc = p->net->ops->flush && is_open(p) ? p->net->ops->flush(p->net) : 0;

	if (rc && rc != -EAGAIN)
		nic_link_lost(p);
	return rc != -EAGAIN;
}

void pair_send(struct pair *p)
{
	p->tx_limited = false;
	p->blocked = !flush(p);
	if (!p->blocked && pair_runs(p, TX(p->index)))
		virtio_serve(&p->nic->dev, TX(p->index), &p->tx, transmit);
	if (!p->blocked)
		p->blocked = !flush(p);
}

/* ---- The loop ---- */

static void on_ready(void *opaque, uint32_t events)
{
	struct pair *p = opaque;

	if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP) && p->blocked)
		pair_send(p);
	if (p->events & EPOLLIN && pair_runs(p, RX(p->index)))
		pair_receive(p);
	pair_watch(p);
}

/* A queue of the backend that nobody looks at must get nothing. */
static int enable(struct pair *p, bool on)
{
	return p->net->ops->enable ? p->net->ops->enable(p->net, on) : 0;
}

int pair_start(struct pair *p)
{
	int rc;

	p->enabled = p->index < p->nic->st.pairs;
	rc = enable(p, p->enabled);
	if (rc)
		return rc;
	p->loop = loop_create("net");
	if (!p->loop)
		return -ENOMEM;
	p->events = 0;
	p->starved = p->blocked = false;
	rc = loop_add(p->loop, p->net->fd, 0, on_ready, p, &p->source);
	if (!rc)
		rc = start_timer(p);
	if (rc) {
		loop_destroy(p->loop);
		stop_timer(p);
		p->loop = NULL;
		return rc;
	}
	pair_vhost_open(p);
	return 0;
}

void pair_unwatch(struct pair *p)
{
	loop_remove(p->loop, p->source);
	loop_remove(p->loop, p->timer_source);
	p->source = p->timer_source = LOOP_NONE;
}

void pair_stop(struct pair *p)
{
	pair_vhost_close(p);
	pair_unwatch(p);
	loop_destroy(p->loop);
	stop_timer(p);
	p->loop = NULL;
	/* Who goes on may be another process, which knows nothing of it. */
	if (p->frame && p->net->ops->put_back) {
		p->net->ops->put_back(p->net, p->frame_len);
		p->frame = NULL;
	}
	if (p->index)
		enable(p, false);
}

/* What waits for buffers came under other rules. */
static void look_again(void *opaque)
{
	struct pair *p = opaque;

	p->frame = NULL;
	if (p->in_kernel)
		return;
	pair_send(p);
	if (pair_runs(p, RX(p->index)))
		pair_receive(p);
	pair_watch(p);
}

void pair_changed(struct pair *p)
{
	if (p->loop)
		loop_call(p->loop, look_again, p);
}

static void begin(void *opaque)
{
	struct pair *p = opaque;

	p->enabled = true;
	look_again(p);
}

static void end(void *opaque)
{
	struct pair *p = opaque;

	p->enabled = false;
	look_again(p);
}

int pair_enable(struct pair *p, bool on)
{
	int rc = on ? -EINVAL : 0;

	if (on && p->loop)
		rc = enable(p, true);
	if (!rc && p->loop)
		loop_call(p->loop, on ? begin : end, p);
	return on ? rc : enable(p, false);
}
