/* SPDX-License-Identifier: MIT */
/*
 * Packets are moved by the host's kernel (vhost-vsock): the guest's address is one of the host's own
 * AF_VSOCK. It has the rx and tx queues; events are ours.
 *
 * An open file is an address taken. So it is opened when the device is made, and what is in its way
 * is known then. To close it is to end all connections: that is done when the guest resets the
 * device after it was in use.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "virtio/vhost.h"
#include "virtio/vsock-device.h"

#define PATH "/dev/vhost-vsock"

struct vsock_vhost {
	struct virtio_vsock vs;
	struct vhost vhost; /* its fd is -1 when it is to be opened again */
	bool owned;	    /* it knows the guest's memory */
	bool running;
};

static struct vsock_vhost *vhost_of(struct virtio_dev *dev)
{
	return container_of(dev, struct vsock_vhost, vs.dev);
}

/* Takes the guest's address. -EADDRINUSE: another guest has it. */
static int take_address(struct vsock_vhost *vv)
{
	uint64_t cid = vv->vs.config.guest_cid;
	int rc;

	vv->vhost.fd = open(PATH, O_RDWR | O_CLOEXEC);
	if (vv->vhost.fd < 0)
		return -errno;
	if (!ioctl(vv->vhost.fd, VHOST_VSOCK_SET_GUEST_CID, &cid))
		return 0;
	rc = -errno;
	vhost_close(&vv->vhost);
	return rc;
}

static int set_running(struct vsock_vhost *vv, int running)
{
	return ioctl(vv->vhost.fd, VHOST_VSOCK_SET_RUNNING, &running) ? -errno : 0;
}

static int make_ready(struct vsock_vhost *vv)
{
	int rc = 0;

	if (vv->owned)
		return 0;
	if (vv->vhost.fd < 0)
		rc = take_address(vv);
	if (!rc)
		rc = vhost_take(&vv->vhost, &vv->vs.dev, vv->vhost.fd, 0);
	vv->owned = !rc;
	return rc;
}

/* It wants both rings before it runs. */
static int vhost_activate(struct virtio_dev *dev, unsigned int i)
{
	struct vsock_vhost *vv = vhost_of(dev);
	int rc;

	if (i == VSOCK_EVENT)
		return 0;
	rc = make_ready(vv);
	if (!rc)
		rc = vhost_start(&vv->vhost, i, i, dev->env->loop);
	if (rc)
		return rc;
	dev->queues[i].loop = NULL;
	if (!vv->vhost.rings[VSOCK_RX].active || !vv->vhost.rings[VSOCK_TX].active)
		return 0;
	rc = set_running(vv, 1);
	vv->running = !rc;
	if (rc)
		vhost_stop(&vv->vhost, i);
	return rc;
}

/* Connections stay: who sends meanwhile waits. */
static void vhost_stop_queue(struct virtio_dev *dev, unsigned int i)
{
	struct vsock_vhost *vv = vhost_of(dev);

	if (i == VSOCK_EVENT)
		return;
	if (vv->running)
		set_running(vv, 0);
	vv->running = false;
	vhost_stop(&vv->vhost, i);
}

static void vhost_kick(struct virtio_dev *dev, unsigned int i)
{
	if (i == VSOCK_EVENT)
		vsock_tell_events(dev);
}

static void vhost_reset(struct virtio_dev *dev)
{
	struct vsock_vhost *vv = vhost_of(dev);

	if (vv->owned)
		vhost_close(&vv->vhost);
	vv->owned = false;
	vv->vs.interrupted = false;
}

static int vhost_load(struct virtio_dev *dev, struct reader *in)
{
	(void)in;
	vhost_reset(dev);
	vsock_of(dev)->interrupted = true;
	return 0;
}

static void vhost_destroy(struct virtio_dev *dev)
{
	struct vsock_vhost *vv = vhost_of(dev);

	virtio_fini(dev);
	if (vv->vhost.fd >= 0)
		vhost_close(&vv->vhost);
	free(vv);
}

static const struct virtio_ops vhost_ops = {
	.config_read = vsock_config_read,
	.activate = vhost_activate,
	.kick = vhost_kick,
	.stop = vhost_stop_queue,
	.reset = vhost_reset,
	.load = vhost_load,
	.destroy = vhost_destroy,
};

static int explain(const struct vsock_config *c, int rc, struct err *err)
{
	if (rc == -EADDRINUSE)
		return err_set(err, -rc, "%s: address %u is another guest's; give it another one",
			       c->name, c->cid);
	return err_set(err, -rc, "%s: " PATH ": %s; %s, or give it a Unix socket: uds=PATH",
		       c->name, strerror(-rc),
		       rc == -EACCES ? "make it yours to open" : "modprobe vhost_vsock");
}

int vsock_vhost_create(const struct device_env *env, const struct vsock_config *c,
		       struct device **out, struct err *err)
{
	struct vsock_vhost *vv = calloc(1, sizeof(*vv));
	int rc;

	if (!vv)
		return err_set(err, ENOMEM, "no memory for %s", c->name);
	vsock_init(&vv->vs, &vhost_ops, c, env);
	rc = take_address(vv);
	if (rc) {
		vhost_destroy(&vv->vs.dev);
		return explain(c, rc, err);
	}
	*out = &vv->vs.dev.device;
	return 0;
}
