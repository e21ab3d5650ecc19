/* SPDX-License-Identifier: MIT */
/*
 * The link goes down with the backend's other end, and comes back with it where the host can tell:
 * a tap's interface may be set down and up, or deleted and made again.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "virtio/net-pair.h"

/* True: it was otherwise, and the guest has been told. */
static bool set_link(struct virtio_net *nic, bool up)
{
	const struct log *log = nic->dev.env->log;
	const char *name = nic->dev.device.name, *what = nic->pairs[0].net->what;

	if (atomic_exchange(&nic->link, up) == up)
		return false;
	if (up)
		log_at(log, LOG_INFO, "%s: %s is up, and the guest's link", name, what);
	else
		log_at(log, LOG_WARNING, "%s: %s is down or gone: the guest's link is down", name,
		       what);
	virtio_config_changed(&nic->dev);
	return true;
}

/* Others of its pairs notice when their backend says the same. */
void nic_link_lost(struct pair *p)
{
	set_link(p->nic, false);
}

static void look(struct virtio_net *nic)
{
	struct net *net = nic->pairs[0].net;

	if (!set_link(nic, net->ops->link(net)))
		return;
	/* If it was made anew it knows nothing of them. */
	nic_apply_offloads(nic);
	for (unsigned int i = 0; i < nic->n_pairs; i++)
		pair_changed(&nic->pairs[i]);
}

static void on_change(void *opaque, uint32_t events)
{
	struct virtio_net *nic = opaque;

	(void)events;
	net_changes_clear(nic->changes_fd);
	look(nic);
}

/* What is not heard of is no reason not to run. */
void nic_link_start(struct virtio_net *nic)
{
	struct pair *p = &nic->pairs[0];

	if (!p->loop || !p->net->ops->link)
		return;
	nic->changes_fd = net_changes_open();
	if (nic->changes_fd < 0)
		return;
	look(nic);
	loop_add(p->loop, nic->changes_fd, EPOLLIN, on_change, nic, &nic->changes);
}

void nic_link_stop(struct virtio_net *nic)
{
	if (nic->changes_fd < 0)
		return;
	loop_remove(nic->pairs[0].loop, nic->changes);
	nic->changes = LOOP_NONE;
	close(nic->changes_fd);
	nic->changes_fd = -1;
}
