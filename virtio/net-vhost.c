/* SPDX-License-Identifier: MIT */
/* A pair whose frames the host's kernel moves, between its queues and a tap: vhost-net. */
#include <errno.h>
#include <linux/vhost.h>
#include <string.h>
#include <sys/ioctl.h>

#include "virtio/net-pair.h"

static int set_backend(struct pair *p, unsigned int ring, int fd)
{
	struct vhost_vring_file file = { ring, fd };

	return ioctl(p->vhost.fd, VHOST_NET_SET_BACKEND, &file) ? -errno : 0;
}

static void say(const struct pair *p, int code)
{
	log_at(p->nic->dev.env->log, LOG_INFO, "%s: pair %u: frames are moved by %s%s%s",
	       p->nic->dev.device.name, p->index, code ? "us, not by vhost-net: " : "vhost-net",
	       code ? strerror(-code) : "", "");
}

void pair_vhost_open(struct pair *p)
{
	int rc;

	p->in_kernel = false;
	if (!p->nic->vhost || !p->net->vhost)
		return;
	rc = vhost_open(&p->vhost, &p->nic->dev, NET_VHOST, FEATURE(VIRTIO_NET_F_MRG_RXBUF));
	p->in_kernel = !rc;
	if (p->nic->dev.logged)
		pair_vhost_log(p);
	say(p, rc);
}

void pair_vhost_log(struct pair *p)
{
	if (p->in_kernel)
		vhost_log(&p->vhost);
}

static int start(struct pair *p, unsigned int ring, unsigned int queue)
{
	int rc = vhost_start(&p->vhost, ring, queue, p->loop);

	if (rc)
		return rc;
	rc = set_backend(p, ring, p->net->fd);
	if (rc)
		vhost_stop(&p->vhost, ring);
	return rc;
}

int pair_vhost_start(struct pair *p, unsigned int queue)
{
	int rc = start(p, queue - RX(p->index), queue);

	if (!rc || p->n_active)
		return rc;
	pair_vhost_close(p);
	say(p, rc);
	return 0;
}

void pair_vhost_close(struct pair *p)
{
	if (!p->in_kernel)
		return;
	for (unsigned int ring = 0; ring < VHOST_RINGS; ring++) {
		if (!p->vhost.rings[ring].active)
			continue;
		set_backend(p, ring, VHOST_FILE_UNBIND);
		vhost_stop(&p->vhost, ring);
	}
	vhost_close(&p->vhost);
	p->in_kernel = false;
}
