/* SPDX-License-Identifier: MIT */
/*
 * A tap: an interface of the host whose wire ends here. Each read and write is one frame, behind a
 * header of virtio-net's where the tap has one: the kernel then takes frames that are not finished,
 * and brings such as it was told that we take.
 */
#include "host/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "util/util.h"

#define HEADER sizeof(struct virtio_net_hdr_v1)

/* Linux 6.2's, which Debian 12's headers lack: they go together. */
#define TUN_USO (0x20 | 0x40)

#define PIECES 1024 /* what writev() takes */

/* Of an interface's flags: as a queue is opened. */
#define KINDS (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE)

struct tap; /* one of its queues */

/* The interface. */
struct interface {
	char name[IFNAMSIZ];
	char what[IFNAMSIZ + 4];
	short flags; /* as it was opened */
	const char *down_script;
	unsigned int n, n_open;
	struct tap *queues[NET_QUEUES];
};

struct tap {
	struct net net;
	struct interface *interface;
	bool enabled, sure; /* as far as we know; nobody else has it */
	uint8_t frame[NET_FRAME_MAX];
};

static struct tap *tap_of(struct net *net)
{
	return container_of(net, struct tap, net);
}

/* ---- Frames ---- */

/* An interface that is down loses frames; one that was deleted is gone. */
static int send_error(int code)
{
	if (code == EAGAIN)
		return -EAGAIN;
	return code == EBADFD || code == EBADF ? -ENODEV : 0;
}

static int tap_send(struct net *net, const struct virtio_net_hdr_v1 *header,
		    const struct iovec *iov, unsigned int n)
{
	struct iovec all[PIECES];
	unsigned int skip = net->offloads ? 1 : 0;

	if (n + skip > PIECES)
		return 0;
	if (skip)
		all[0] = (struct iovec){ (void *)header, HEADER };
	memcpy(all + skip, iov, n * sizeof(*iov));
	for (;;) {
		if (writev(net->fd, all, (int)(n + skip)) >= 0)
			return 0;
		if (errno != EINTR)
			return send_error(errno);
	}
}

static ssize_t tap_receive(struct net *net, struct virtio_net_hdr_v1 *header, const uint8_t **frame)
{
	struct tap *t = tap_of(net);
	struct iovec iov[] = { { header, HEADER }, { t->frame, sizeof(t->frame) } };
	unsigned int skip = net->offloads ? 0 : 1;
	ssize_t n, least = NET_FRAME_MIN + (skip ? 0 : (ssize_t)HEADER);

	memset(header, 0, HEADER);
	n = readv(net->fd, iov + skip, 2 - (int)skip);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? -EAGAIN : -ENODEV;
	*frame = t->frame;
	return n < least ? 0 : n - (skip ? 0 : (ssize_t)HEADER);
}

static unsigned int tun_flags(uint32_t offloads)
{
	return (offloads & NET_CSUM ? TUN_F_CSUM : 0) | (offloads & NET_TSO4 ? TUN_F_TSO4 : 0) |
	       (offloads & NET_TSO6 ? TUN_F_TSO6 : 0) |
	       (offloads & NET_TSO_ECN ? TUN_F_TSO_ECN : 0) | (offloads & NET_USO ? TUN_USO : 0);
}

static int tap_set_offload(struct net *net, uint32_t offloads)
{
	return ioctl(net->fd, TUNSETOFFLOAD, tun_flags(offloads)) ? -errno : 0;
}

static int tap_enable(struct net *net, bool on)
{
	struct tap *t = tap_of(net);
	struct ifreq ifr = { .ifr_flags = on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };

	if (t->sure && on == t->enabled)
		return 0;
	/* EINVAL: it is so. Or the interface was deleted: it is remembered for when it comes back. */
	if (ioctl(net->fd, TUNSETQUEUE, &ifr) && errno != EINVAL)
		return -errno;
	t->enabled = on;
	t->sure = true;
	return 0;
}

/* ---- Setting up ---- */

static int open_error(const struct net_config *c, int code, struct err *err)
{
	const char *name = c->tap_name ? c->tap_name : "tap0";

	if (code == EPERM || code == EACCES)
		return err_set(
			err, code,
			"tap %s: %s; as root: ip tuntap add %s mode tap user NAME, and bring "
			"it up; or use mode=user",
			name, strerror(code), name);
	if (code == EBUSY)
		return err_set(err, code, "tap %s is in use by another process", name);
	if (code == EINVAL && c->queues > 1)
		return err_set(err, code,
			       "tap %s was not made for queues=%u; as root: ip tuntap add %s mode "
			       "tap multi_queue user NAME",
			       name, c->queues, name);
	return err_set(err, code, "tap %s: %s", name, strerror(code));
}

/* Makes the fd a queue of the interface that is named so, whose name may end in %d. 0 or -errno. */
static int attach(struct tap *t, char name[IFNAMSIZ])
{
	struct ifreq ifr = { .ifr_flags = t->interface->flags };

	memcpy(ifr.ifr_name, name, IFNAMSIZ);
	if (ioctl(t->net.fd, TUNSETIFF, &ifr))
		return -errno;
	memcpy(name, ifr.ifr_name, IFNAMSIZ);
	t->enabled = t->sure = true;
	return 0;
}

static int open_queue(struct tap *t, const struct net_config *c, struct err *err)
{
	struct interface *in = t->interface;
	int rc;

	t->net.fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (t->net.fd < 0)
		return err_set(err, errno, "tap %s: cannot open /dev/net/tun: %s; use mode=user",
			       c->tap_name ? c->tap_name : "tap0", strerror(errno));
	rc = attach(t, in->name);
	/* A tap that was made for several queues says so to who does not say that he knows. */
	if (rc == -EINVAL && c->queues == 1) {
		in->flags |= IFF_MULTI_QUEUE;
		rc = attach(t, in->name);
	}
	return rc ? open_error(c, -rc, err) : 0;
}

/* Somebody else's fd: it may have no header. */
static int adopt(struct tap *t, const struct net_config *c, bool *header, struct err *err)
{
	struct ifreq ifr = { 0 };
	int flags = fcntl(c->fd, F_GETFL);

	if (flags < 0 || ioctl(c->fd, TUNGETIFF, &ifr))
		return err_set(err, errno, "--network fd=%d is not a tap's: %s", c->fd,
			       strerror(errno));
	if (!(ifr.ifr_flags & IFF_TAP) || !(ifr.ifr_flags & IFF_NO_PI))
		return err_set(err, EINVAL,
			       "--network fd=%d: not a tap's that was opened with IFF_TAP and "
			       "IFF_NO_PI",
			       c->fd);
	*header = ifr.ifr_flags & IFF_VNET_HDR;
	memcpy(t->interface->name, ifr.ifr_name, IFNAMSIZ);
	if (fcntl(c->fd, F_SETFL, flags | O_NONBLOCK) || fcntl(c->fd, F_SETFD, FD_CLOEXEC))
		return err_set(err, errno, "--network fd=%d: %s", c->fd, strerror(errno));
	t->net.fd = c->fd;
	return 0;
}

/* Offloads that this kernel's taps know. */
static uint32_t all_offloads(void)
{
	return NET_CSUM | NET_TSO4 | NET_TSO6 | NET_TSO_ECN | (tap_knows_uso() ? NET_USO : 0);
}

/*
 * Another process's, which may be at work: what is found out changes nothing. Which queues it has enabled is not known
 * before it has stopped.
 */
static int take_over(struct tap *t, int fd, struct err *err)
{
	struct ifreq ifr = { .ifr_flags = t->interface->flags };
	bool there;

	t->net.fd = fd;
	there = !ioctl(fd, TUNGETIFF, &ifr);
	/* An interface that was deleted: it may come back. */
	if (!there && errno != EBADFD)
		return err_set(err, errno, "a tap's queue is handed on, and is none: %s",
			       strerror(errno));
	if (there)
		memcpy(t->interface->name, ifr.ifr_name, IFNAMSIZ);
	t->interface->flags = ifr.ifr_flags & KINDS;
	t->net.vhost = ifr.ifr_flags & IFF_VNET_HDR;
	t->net.offloads = t->net.vhost ? all_offloads() : 0;
	return 0;
}

/* As much as this kernel's taps can; begins with all of it left to the kernel. */
static int negotiate(struct tap *t, bool header, struct err *err)
{
	int size = HEADER, one = 1;

	if (!header)
		return 0;
	if (ioctl(t->net.fd, TUNSETVNETHDRSZ, &size))
		return err_set(err, errno, "tap %s: no header of %d bytes: %s", t->interface->name,
			       size, strerror(errno));
	/* As virtio 1.x has it; kernels that lack this have the host's order, which is the same. */
	ioctl(t->net.fd, TUNSETVNETLE, &one);
	t->net.offloads = all_offloads();
	t->net.vhost = true;
	if (tap_set_offload(&t->net, 0))
		return err_set(err, errno, "tap %s: %s", t->interface->name, strerror(errno));
	return 0;
}

/* The interface was deleted, and made again: all its queues go there. 0 or -errno. */
static int come_back(struct interface *in)
{
	struct err ignored;
	int rc = MIN(tap_flags(in->name), 0);

	for (unsigned int i = 0; !rc && i < in->n; i++) {
		struct tap *t = in->queues[i];
		bool enabled = t->enabled;

		rc = attach(t, in->name);
		if (!rc)
			rc = i ? tap_enable(&t->net, enabled) : negotiate(t, true, &ignored);
	}
	return rc;
}

static bool tap_link(struct net *net)
{
	struct interface *in = tap_of(net)->interface;
	struct ifreq ifr = { 0 }; /* with the name that it has now */
	int flags;

	if (ioctl(net->fd, TUNGETIFF, &ifr) && (come_back(in) || ioctl(net->fd, TUNGETIFF, &ifr)))
		return false;
	flags = tap_flags(ifr.ifr_name);
	/* In another network namespace we can't look. */
	return flags < 0 || flags & IFF_UP;
}

static int of_interface_mtu(struct net *net)
{
	return tap_mtu(tap_of(net)->interface->name);
}

static void tap_close(struct net *net)
{
	struct tap *t = tap_of(net);
	struct interface *in = t->interface;

	if (in->down_script && in->n_open == in->n && !net->left)
		tap_run_script(in->down_script, in->name);
	if (net->fd >= 0)
		close(net->fd);
	free(t);
	if (!--in->n_open)
		free(in);
}

static const struct net_ops fd_ops = {
	.send = tap_send,
	.receive = tap_receive,
	.set_offload = tap_set_offload,
	.mtu = of_interface_mtu,
	.close = tap_close,
};

static const struct net_ops tap_ops = {
	.send = tap_send,
	.receive = tap_receive,
	.set_offload = tap_set_offload,
	.enable = tap_enable,
	.link = tap_link,
	.mtu = of_interface_mtu,
	.close = tap_close,
};

static int add_queue(struct interface *in, const struct net_config *c, struct err *err)
{
	bool header = true, by_fd = c->mode == NET_MODE_FD;
	struct tap *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return err_set(err, ENOMEM, "no memory for a tap");
	t->net = (struct net){
		.ops = by_fd ? &fd_ops : &tap_ops, .what = in->what, .fd = -1, .place_fd = -1
	};
	t->interface = in;
	in->queues[in->n_open++] = t;
	if (c->handed)
		return take_over(t, c->handed + (int)in->n_open - 1, err);
	rc = by_fd ? adopt(t, c, &header, err) : open_queue(t, c, err);
	if (!rc && in->n_open == 1)
		return negotiate(t, header, err);
	t->net.offloads = in->queues[0]->net.offloads;
	t->net.vhost = in->queues[0]->net.vhost;
	if (rc)
		return rc;
	rc = tap_enable(&t->net, false);
	return rc ? err_set(err, -rc, "tap %s: %s", in->name, strerror(-rc)) : 0;
}

static int set_up(struct interface *in, const struct net_config *c, struct err *err)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < c->queues; i++)
		rc = add_queue(in, c, err);
	if (rc || c->handed)
		return rc;
	if (c->script) {
		rc = tap_run_script(c->script, in->name);
		if (rc)
			return err_set(err, -rc, "--network script: %s %s: %s", c->script, in->name,
				       rc == -ECANCELED ? "it failed" : strerror(-rc));
	}
	if (!rc && c->mode == NET_MODE_TAP && !c->tap_name)
		rc = tap_configure(in->name, c, err);
	return rc;
}

int tap_open(const struct net_config *config, struct net *out[], struct err *err)
{
	const char *name = config->tap_name ? config->tap_name : "tap%d";
	struct interface *in;
	int rc;

	if (strlen(name) >= IFNAMSIZ)
		return err_set(err, EINVAL, "tap %s: a name has at most %u characters", name,
			       IFNAMSIZ - 1);
	in = calloc(1, sizeof(*in));
	if (!in)
		return err_set(err, ENOMEM, "no memory for a tap");
	in->n = config->queues;
	in->flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (in->n > 1 ? IFF_MULTI_QUEUE : 0);
	strcpy(in->name, name);
	rc = set_up(in, config, err);
	snprintf(in->what, sizeof(in->what), "tap %s", in->name);
	for (unsigned int i = in->n_open; i-- > 0;) {
		out[i] = &in->queues[i]->net;
		if (rc && config->mode == NET_MODE_FD)
			out[i]->fd = -1; /* still the caller's */
	}
	if (!rc)
		in->down_script = config->down_script;
	else if (in->n_open)
		net_close(out, in->n_open);
	else
		free(in);
	return rc;
}
