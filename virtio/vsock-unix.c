/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. A packet from the guest (tx) is served at once: its data go to the socket, or
 * wait in its connection; what it asks for in return is noted there, and the connection is put into
 * the queue of those that may have a packet. The guest's rx buffers are filled from that queue, a
 * packet for each connection in turn. A packet is made when there is a buffer for it and not before:
 * so nothing piles up, and a guest that gives no buffers only stops its own connections.
 *
 * All but the answers to those who are not connected: they have a short queue of their own. When
 * that is full tx waits for rx (section 5.10.6.1).
 *
 * One loop of its own has all queues and sockets.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "virtio/vsock-device.h"
#include "virtio/vsock-table.h"

#define HOST_CID 2
#define RESETS 64 /* that wait for a buffer */

struct vsock_unix {
	struct virtio_vsock vs;
	struct loop *loop; /* NULL: no queue is active */
	loop_id source;
	bool tx_waits; /* until an RST has gone */
	struct virtio_vsock_hdr resets[RESETS];
	unsigned int first_reset, n_resets;
	struct chain rx, tx;
	struct vsock_table table;
};

static struct vsock_unix *unix_of(struct virtio_dev *dev)
{
	return container_of(dev, struct vsock_unix, vs.dev);
}

/* ---- To the guest ---- */

static bool any_news(const struct vsock_unix *vu)
{
	return vu->n_resets || vu->table.first;
}

/* While there was something before, rx is at it, or waits for the guest. */
static void wake_rx(struct vsock_unix *vu, bool had_news)
{
	if (!had_news && any_news(vu))
		virtio_notify(&vu->vs.dev, VSOCK_RX);
}

static bool next_reset(struct vsock_unix *vu, struct virtio_vsock_hdr *hdr)
{
	if (!vu->n_resets)
		return false;
	*hdr = vu->resets[vu->first_reset];
	vu->first_reset = (vu->first_reset + 1) % RESETS;
	vu->n_resets--;
	if (vu->tx_waits)
		virtio_notify(&vu->vs.dev, VSOCK_TX);
	vu->tx_waits = false;
	return true;
}

static bool next_packet(struct vsock_unix *vu, const struct chain *c, struct virtio_vsock_hdr *hdr)
{
	struct vsock_conn *conn;

	while ((conn = vsock_table_next(&vu->table))) {
		bool emitted = vsock_conn_emit(conn, c, hdr);

		vsock_table_queue(&vu->table, conn);
		if (!emitted)
			continue;
		hdr->src_cid = HOST_CID;
		hdr->dst_cid = vu->vs.config.guest_cid;
		hdr->type = VIRTIO_VSOCK_TYPE_STREAM;
		return true;
	}
	return false;
}

static int64_t receive(struct virtio_dev *dev, const struct chain *c)
{
	struct vsock_unix *vu = unix_of(dev);
	struct virtio_vsock_hdr hdr;

	/* Data must have room, too, or they would never come through. */
	if (c->in_len <= sizeof(hdr))
		return VIRTIO_BROKEN;
	if (!next_reset(vu, &hdr) && !next_packet(vu, c, &hdr))
		return VIRTIO_LATER;
	chain_write(c, 0, &hdr, sizeof(hdr));
	return (int64_t)sizeof(hdr) + hdr.len;
}

/* ---- From the guest ---- */

/* There is room: transmit() has seen to it. */
static void send_reset(struct vsock_unix *vu, const struct virtio_vsock_hdr *to)
{
	vu->resets[(vu->first_reset + vu->n_resets++) % RESETS] = (struct virtio_vsock_hdr){
		.src_cid = to->dst_cid,
		.dst_cid = to->src_cid,
		.src_port = to->dst_port,
		.dst_port = to->src_port,
		.type = to->type,
		.op = VIRTIO_VSOCK_OP_RST,
	};
}

/* To nobody that is connected. */
static void serve_stranger(struct vsock_unix *vu, const struct virtio_vsock_hdr *hdr)
{
	struct vsock_conn *conn = NULL;

	if (hdr->op == VIRTIO_VSOCK_OP_RST)
		return;
	if (hdr->op == VIRTIO_VSOCK_OP_REQUEST)
		conn = vsock_table_connect(&vu->table, hdr);
	if (conn)
		vsock_table_queue(&vu->table, conn);
	else
		send_reset(vu, hdr);
}

static void serve_packet(struct vsock_unix *vu, const struct virtio_vsock_hdr *hdr,
			 const struct chain *c)
{
	struct vsock_conn *conn;

	if (hdr->dst_cid != HOST_CID || hdr->type != VIRTIO_VSOCK_TYPE_STREAM) {
		if (hdr->op != VIRTIO_VSOCK_OP_RST)
			send_reset(vu, hdr);
		return;
	}
	conn = vsock_table_find(&vu->table, hdr->dst_port, hdr->src_port);
	if (!conn) {
		serve_stranger(vu, hdr);
	} else if (hdr->op == VIRTIO_VSOCK_OP_RST) {
		vsock_table_leave(conn);
	} else if (vsock_conn_packet(conn, hdr, c)) {
		vsock_table_queue(&vu->table, conn);
	} else {
		send_reset(vu, hdr);
		vsock_table_leave(conn);
	}
}

static int64_t transmit(struct virtio_dev *dev, const struct chain *c)
{
	struct vsock_unix *vu = unix_of(dev);
	struct virtio_vsock_hdr hdr;

	vu->tx_waits = vu->n_resets == RESETS;
	if (vu->tx_waits)
		return VIRTIO_LATER;
	if (!chain_read(c, 0, &hdr, sizeof(hdr)) || hdr.len > c->out_len - sizeof(hdr))
		return VIRTIO_BROKEN;
	/* An answer to another's address would reach nobody. */
	if (hdr.src_cid == vu->vs.config.guest_cid)
		serve_packet(vu, &hdr, c);
	return 0;
}

/* ---- The device ---- */

static void unix_kick(struct virtio_dev *dev, unsigned int i)
{
	struct vsock_unix *vu = unix_of(dev);
	bool had_news = any_news(vu);

	if (i == VSOCK_RX) {
		virtio_serve(dev, VSOCK_RX, &vu->rx, receive);
	} else if (i == VSOCK_TX) {
		virtio_serve(dev, VSOCK_TX, &vu->tx, transmit);
		wake_rx(vu, had_news);
	} else {
		vsock_tell_events(dev);
	}
}

static void on_sockets(void *opaque, uint32_t events)
{
	struct vsock_unix *vu = opaque;
	bool had_news = any_news(vu);

	(void)events;
	vsock_table_events(&vu->table);
	wake_rx(vu, had_news);
}

static int start_loop(struct vsock_unix *vu)
{
	int rc = vsock_table_open(&vu->table);

	if (rc)
		return rc;
	vu->loop = loop_create("vsock");
	if (!vu->loop)
		return -ENOMEM;
	rc = loop_add(vu->loop, vu->table.epoll_fd, EPOLLIN, on_sockets, vu, &vu->source);
	if (rc) {
		loop_destroy(vu->loop);
		vu->loop = NULL;
	}
	return rc;
}

static int unix_activate(struct virtio_dev *dev, unsigned int i)
{
	struct vsock_unix *vu = unix_of(dev);
	int rc = vu->loop ? 0 : start_loop(vu);

	if (!rc)
		dev->queues[i].loop = vu->loop;
	return rc;
}

/* Connections stay, as far as the guest is concerned: their sockets wait. */
static void unix_stop(struct virtio_dev *dev, unsigned int i)
{
	struct vsock_unix *vu = unix_of(dev);

	(void)i;
	if (!vu->loop)
		return;
	loop_remove(vu->loop, vu->source);
	loop_destroy(vu->loop);
	vu->loop = NULL;
}

static void unix_reset(struct virtio_dev *dev)
{
	struct vsock_unix *vu = unix_of(dev);

	vsock_table_clear(&vu->table);
	vu->n_resets = 0;
	vu->tx_waits = vu->vs.interrupted = false;
}

/* No connection is ever saved: the guest is told that they are gone, when it goes on. */
static int unix_load(struct virtio_dev *dev, struct reader *in)
{
	(void)in;
	unix_reset(dev);
	vsock_of(dev)->interrupted = true;
	return 0;
}

static void unix_destroy(struct virtio_dev *dev)
{
	struct vsock_unix *vu = unix_of(dev);

	virtio_fini(dev);
	vsock_table_destroy(&vu->table);
	free(vu);
}

static const struct virtio_ops unix_ops = {
	.config_read = vsock_config_read,
	.activate = unix_activate,
	.kick = unix_kick,
	.stop = unix_stop,
	.reset = unix_reset,
	.load = unix_load,
	.destroy = unix_destroy,
};

int vsock_unix_create(const struct device_env *env, const struct vsock_config *c,
		      struct device **out, struct err *err)
{
	struct vsock_unix *vu = calloc(1, sizeof(*vu));
	int rc;

	if (!vu)
		return err_set(err, ENOMEM, "no memory for %s", c->name);
	rc = vsock_table_create(&vu->table, c->path, err);
	if (rc) {
		free(vu);
		return rc;
	}
	vsock_init(&vu->vs, &unix_ops, c, env);
	*out = &vu->vs.dev.device;
	return 0;
}
