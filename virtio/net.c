/* SPDX-License-Identifier: MIT */
/* The device: its features, its configuration, its control queue; frames are net-pair.c's. */
#include "virtio/net.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/net-header.h"
#include "virtio/net-pair.h"

#define QUEUE_SIZE 256

/* Up to what the features offered speak of. */
#define CONFIG_SIZE offsetof(struct virtio_net_config, speed)

/* Behind the last pair, and a driver that knows nothing of several knows but one. */
static unsigned int control_of(const struct virtio_net *nic)
{
	return virtio_has_feature(&nic->dev, VIRTIO_NET_F_MQ) ? 2 * nic->n_pairs : 2;
}

/* The pair whose loop queue `i` is on. NULL: there is no such queue under these features. */
static struct pair *pair_of(struct virtio_net *nic, unsigned int i)
{
	unsigned int control = control_of(nic);

	if (i > control)
		return NULL;
	return &nic->pairs[i == control ? 0 : i / 2];
}

uint64_t nic_taken_features(const struct virtio_net *nic)
{
	uint64_t guest = net_guest_features(UINT32_MAX);
	uint64_t features = nic->dev.st.driver_features, offloads = atomic_load(&nic->st.offloads);

	return offloads == AS_NEGOTIATED ? features : features & (~guest | offloads);
}

int nic_apply_offloads(struct virtio_net *nic)
{
	uint32_t offloads = net_guest_offloads(nic_taken_features(nic));
	struct net *net = nic->pairs[0].net;

	return net->offloads ? net->ops->set_offload(net, offloads & net->offloads) : 0;
}

/* ---- Control (section 5.1.6.5) ---- */

static bool set_mac(struct virtio_net *nic, const struct chain *c, uint32_t at)
{
	uint8_t mac[6];

	if (!virtio_has_feature(&nic->dev, VIRTIO_NET_F_CTRL_MAC_ADDR) ||
	    c->out_len != at + sizeof(mac) || !chain_read(c, at, mac, sizeof(mac)))
		return false;
	atomic_store(&nic->st.mac, get_le(mac, sizeof(mac)));
	return true;
}

static bool set_offloads(struct virtio_net *nic, const struct chain *c, uint32_t at)
{
	uint64_t before = atomic_load(&nic->st.offloads), offloads;
	uint64_t possible = nic->dev.st.driver_features & net_guest_features(UINT32_MAX);

	if (!virtio_has_feature(&nic->dev, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) ||
	    c->out_len != at + sizeof(offloads) ||
	    !chain_read(c, at, &offloads, sizeof(offloads)) || offloads & ~possible)
		return false;
	atomic_store(&nic->st.offloads, offloads);
	if (nic_apply_offloads(nic)) {
		atomic_store(&nic->st.offloads, before);
		return false;
	}
	for (unsigned int i = 0; i < nic->n_pairs; i++)
		pair_changed(&nic->pairs[i]);
	return true;
}

static int use_pairs(struct virtio_net *nic, unsigned int n)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < nic->n_pairs; i++)
		rc = pair_enable(&nic->pairs[i], i < n);
	return rc;
}

static bool set_pairs(struct virtio_net *nic, const struct chain *c, uint32_t at)
{
	struct virtio_net_ctrl_mq mq;

	if (!virtio_has_feature(&nic->dev, VIRTIO_NET_F_MQ) || c->out_len != at + sizeof(mq) ||
	    !chain_read(c, at, &mq, sizeof(mq)) || mq.virtqueue_pairs < 1 ||
	    mq.virtqueue_pairs > nic->n_pairs)
		return false;
	if (use_pairs(nic, mq.virtqueue_pairs)) {
		use_pairs(nic, nic->st.pairs);
		return false;
	}
	nic->st.pairs = mq.virtqueue_pairs;
	return true;
}

/*
 * What it wants to receive. It gets all that comes, as it may (section 5.1.6.5.1): the host's bridge
 * or its routes choose.
 */
static bool set_filter(struct virtio_net *nic, uint8_t class, uint8_t cmd, const struct chain *c,
		       uint32_t at)
{
	uint32_t unicast, multicast, left = c->out_len - at;

	if (!virtio_has_feature(&nic->dev, VIRTIO_NET_F_CTRL_RX))
		return false;
	if (class == VIRTIO_NET_CTRL_RX)
		return cmd <= VIRTIO_NET_CTRL_RX_ALLMULTI && left == 1;
	if (!chain_read(c, at, &unicast, sizeof(unicast)) ||
	    !chain_read(c, at + 4 + 6 * unicast, &multicast, sizeof(multicast)))
		return false;
	return (uint64_t)left == 8 + 6ull * unicast + 6ull * multicast;
}

static bool obey(struct virtio_net *nic, const struct chain *c)
{
	struct virtio_net_ctrl_hdr h;
	uint32_t at = sizeof(h);

	if (!chain_read(c, 0, &h, sizeof(h)))
		return false;
	if (h.class == VIRTIO_NET_CTRL_MAC && h.cmd == VIRTIO_NET_CTRL_MAC_ADDR_SET)
		return set_mac(nic, c, at);
	if (h.class == VIRTIO_NET_CTRL_RX ||
	    (h.class == VIRTIO_NET_CTRL_MAC && h.cmd == VIRTIO_NET_CTRL_MAC_TABLE_SET))
		return set_filter(nic, h.class, h.cmd, c, at);
	if (h.class == VIRTIO_NET_CTRL_MQ && h.cmd == VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET)
		return set_pairs(nic, c, at);
	if (h.class == VIRTIO_NET_CTRL_GUEST_OFFLOADS &&
	    h.cmd == VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET)
		return set_offloads(nic, c, at);
	if (h.class == VIRTIO_NET_CTRL_ANNOUNCE && h.cmd == VIRTIO_NET_CTRL_ANNOUNCE_ACK)
		return atomic_exchange(&nic->st.announce, 0);
	return false;
}

static int64_t command(struct virtio_dev *dev, const struct chain *c)
{
	uint8_t ack;

	if (c->out_len < sizeof(struct virtio_net_ctrl_hdr) || !c->in_len)
		return VIRTIO_BROKEN;
	ack = obey(nic_of(dev), c) ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
	chain_write(c, 0, &ack, sizeof(ack));
	return sizeof(ack);
}

/* ---- The device ---- */

static void nic_kick(struct virtio_dev *dev, unsigned int i)
{
	struct virtio_net *nic = nic_of(dev);
	struct pair *p = pair_of(nic, i);

	if (i == control_of(nic))
		virtio_serve(dev, i, &nic->command, command);
	else if (i == RX(p->index))
		pair_receive(p);
	else
		pair_send(p);
	pair_watch(p);
}

/* After a move the network learns by the guest's own frames where it is now. */
static void announce(struct virtio_net *nic)
{
	if (!nic->moved || !virtio_has_feature(&nic->dev, VIRTIO_NET_F_GUEST_ANNOUNCE))
		return;
	nic->moved = false;
	atomic_store(&nic->st.announce, 1);
	virtio_config_changed(&nic->dev);
}

static int start_pair(struct pair *p)
{
	struct virtio_net *nic = p->nic;
	int rc = pair_start(p);

	if (!rc && !p->index && nic_apply_offloads(nic))
		log_at(nic->dev.env->log, LOG_INFO, "%s: %s does not change its offloads",
		       nic->dev.device.name, p->net->what);
	return rc;
}

/* Puts queue `i` of a pair that has started into its loop, or the kernel's hands. */
static int place_queue(struct pair *p, unsigned int i)
{
	struct virtio_net *nic = p->nic;
	int rc = 0;

	nic->dev.queues[i].loop = p->loop;
	if (i == control_of(nic))
		return 0;
	if (p->in_kernel)
		rc = pair_vhost_start(p, i);
	if (p->in_kernel)
		nic->dev.queues[i].loop = NULL;
	return rc;
}

/* Of those that the driver enabled: they start in turn. */
static bool is_last(const struct virtio_dev *dev, unsigned int i)
{
	while (++i < dev->n_queues && !dev->st.queues[i].enabled)
		;
	return i == dev->n_queues;
}

static int nic_activate(struct virtio_dev *dev, unsigned int i)
{
	struct virtio_net *nic = nic_of(dev);
	struct pair *p = pair_of(nic, i);
	int rc = p ? 0 : -EINVAL;

	if (!rc && !p->loop)
		rc = start_pair(p);
	if (rc)
		return rc;
	rc = place_queue(p, i);
	if (rc)
		return rc;
	p->n_active++;
	if (i == control_of(nic))
		announce(nic);
	if (is_last(dev, i))
		nic_link_start(nic);
	return 0;
}

static void nic_stop(struct virtio_dev *dev, unsigned int i)
{
	struct virtio_net *nic = nic_of(dev);
	struct pair *p = pair_of(nic, i);

	nic_link_stop(nic);
	pair_vhost_close(p);
	pair_unwatch(p);
	if (!--p->n_active)
		pair_stop(p);
}

/* The last frames of a guest that ends go out, as far as nobody has to wait for it. */
static void nic_quiesce(struct virtio_dev *dev)
{
	struct virtio_net *nic = nic_of(dev);

	nic_link_stop(nic);
	for (unsigned int i = 0; i < nic->n_pairs; i++) {
		struct pair *p = &nic->pairs[i];

		if (!p->loop)
			continue;
		pair_vhost_close(p);
		pair_unwatch(p);
		if (pair_runs(p, TX(i)))
			pair_send(p);
	}
}

static void nic_log(struct virtio_dev *dev)
{
	struct virtio_net *nic = nic_of(dev);

	for (unsigned int i = 0; i < nic->n_pairs; i++)
		pair_vhost_log(&nic->pairs[i]);
}

static void nic_config_read(struct virtio_dev *dev, uint32_t offset, void *data, uint32_t len)
{
	struct virtio_net *nic = nic_of(dev);
	struct virtio_net_config config = { .max_virtqueue_pairs = (uint16_t)nic->n_pairs,
					    .mtu = nic->mtu };

	put_le(config.mac, atomic_load(&nic->st.mac), sizeof(config.mac));
	config.status = (atomic_load(&nic->link) ? VIRTIO_NET_S_LINK_UP : 0) |
			(atomic_load(&nic->st.announce) ? VIRTIO_NET_S_ANNOUNCE : 0);
	memcpy(data, (uint8_t *)&config + offset, len);
}

static void nic_reset(struct virtio_dev *dev)
{
	struct virtio_net *nic = nic_of(dev);

	atomic_store(&nic->st.mac, nic->mac);
	atomic_store(&nic->st.announce, 0);
	atomic_store(&nic->st.offloads, AS_NEGOTIATED);
	nic->st.pairs = 1;
	nic->moved = false;
	for (unsigned int i = 0; i < nic->n_pairs; i++)
		nic->pairs[i].frame = NULL;
}

static void nic_save(struct virtio_dev *dev, struct buf *out)
{
	struct virtio_net *nic = nic_of(dev);

	buf_put_le64(out, atomic_load(&nic->st.mac));
	buf_put_le32(out, atomic_load(&nic->st.announce));
	buf_put_le64(out, atomic_load(&nic->st.offloads));
	buf_put_le32(out, nic->st.pairs);
}

static int nic_load(struct virtio_dev *dev, struct reader *in)
{
	struct virtio_net *nic = nic_of(dev);
	uint64_t mac = reader_le64(in);
	uint32_t announced = reader_le32(in);
	uint64_t offloads = reader_le64(in);
	uint32_t pairs = reader_le32(in);

	if (in->failed || mac >> 48 || announced > 1 || !pairs || pairs > nic->n_pairs ||
	    (offloads != AS_NEGOTIATED && offloads & ~net_guest_features(UINT32_MAX)))
		return -EINVAL;
	atomic_store(&nic->st.mac, mac);
	atomic_store(&nic->st.announce, announced);
	atomic_store(&nic->st.offloads, offloads);
	nic->st.pairs = pairs;
	nic->moved = true;
	return 0;
}

static void nic_destroy(struct virtio_dev *dev)
{
	struct virtio_net *nic = nic_of(dev);
	struct net *nets[NET_QUEUES];

	virtio_fini(dev);
	for (unsigned int i = 0; i < nic->n_pairs; i++)
		nets[i] = nic->pairs[i].net;
	net_close(nets, nic->n_pairs);
	limit_destroy(&nic->rx);
	limit_destroy(&nic->tx);
	free(nic);
}

static const struct virtio_ops nic_ops = {
	.config_read = nic_config_read,
	.activate = nic_activate,
	.kick = nic_kick,
	.quiesce = nic_quiesce,
	.stop = nic_stop,
	.log = nic_log,
	.reset = nic_reset,
	.save = nic_save,
	.load = nic_load,
	.destroy = nic_destroy,
};

static uint64_t features_of(const struct nic_config *c)
{
	uint64_t features = FEATURE(VIRTIO_NET_F_MAC) | FEATURE(VIRTIO_NET_F_STATUS) |
			    FEATURE(VIRTIO_NET_F_MRG_RXBUF) | FEATURE(VIRTIO_NET_F_CTRL_VQ) |
			    FEATURE(VIRTIO_NET_F_CTRL_RX) | FEATURE(VIRTIO_NET_F_CTRL_MAC_ADDR) |
			    FEATURE(VIRTIO_NET_F_GUEST_ANNOUNCE) |
			    net_features(c->nets[0]->offloads);

	if (c->mtu)
		features |= FEATURE(VIRTIO_NET_F_MTU);
	if (c->pairs > 1)
		features |= FEATURE(VIRTIO_NET_F_MQ);
	return features;
}

static int nic_create(const struct device_env *env, const void *config, struct device **out,
		      struct err *err)
{
	const struct nic_config *c = config;
	struct virtio_net *nic = calloc(1, sizeof(*nic) + c->pairs * sizeof(nic->pairs[0]));

	if (!nic)
		return err_set(err, ENOMEM, "no memory for %s", c->name);
	nic->n_pairs = c->pairs;
	for (unsigned int i = 0; i < c->pairs; i++)
		nic->pairs[i] =
			(struct pair){ .nic = nic, .index = i, .net = c->nets[i], .timer = -1 };
	nic->mac = get_le(c->mac, sizeof(c->mac));
	nic->mtu = c->mtu;
	limit_init(&nic->rx, &c->limit);
	limit_init(&nic->tx, &c->limit);
	nic->vhost = c->vhost && !nic->rx.on; /* the kernel knows no limits */
	nic->changes_fd = -1;
	atomic_init(&nic->link, true);
	nic->dev.ops = &nic_ops;
	nic->dev.id = VIRTIO_ID_NET;
	nic->dev.n_queues = 2 * c->pairs + 1;
	nic->dev.queue_size = QUEUE_SIZE;
	nic->dev.often = true;
	nic->dev.config_size = CONFIG_SIZE;
	nic->dev.features = features_of(c);
	virtio_init(&nic->dev, c->name, env);
	nic_reset(&nic->dev);
	*out = &nic->dev.device;
	return 0;
}

const struct device_type virtio_net_type = { "virtio_net", nic_create };
