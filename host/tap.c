/* SPDX-License-Identifier: MIT */
/*
 * A tap: an interface of the host whose wire ends here. Each read and write is one frame, behind a
 * header of virtio-net's where the tap has one: the kernel then takes frames that are not finished,
 * and brings such as it was told that we take.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/net.h"
#include "util/util.h"

#define HEADER sizeof(struct virtio_net_hdr_v1)

/* Linux 6.2's, which Debian 12's headers lack: they go together. */
#define TUN_USO (0x20 | 0x40)

#define DEFAULT_HOST_IP "192.168.33.1" /* kvmtool's */
#define PIECES 1024		       /* what writev() takes */

extern char **environ;

struct tap {
	struct net net;
	char name[IFNAMSIZ];
	char what[IFNAMSIZ + 4];
	const char *down_script;
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

/* ---- Setting up ---- */

/* Its stdout is ours, which is the guest's console: what it says goes to stderr. */
static int run_script(const char *script, const char *name)
{
	char *argv[] = { (char *)script, (char *)name, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t defaults;
	int rc, status = -1;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
	posix_spawnattr_init(&attr);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	posix_spawnattr_setsigdefault(&attr, &defaults);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
	rc = posix_spawn(&pid, script, &actions, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	if (rc)
		return -rc;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	/* How posix_spawn() says that there is no such program where it can't tell. */
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return -ENOENT;
	return status ? -ECANCELED : 0;
}

static int interface_ioctl(const struct tap *t, unsigned long request, struct ifreq *ifr)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return -errno;
	memcpy(ifr->ifr_name, t->name, IFNAMSIZ);
	rc = ioctl(fd, request, ifr) ? -errno : 0;
	close(fd);
	return rc;
}

static int set_mtu(const struct tap *t, unsigned int mtu)
{
	struct ifreq ifr = { .ifr_mtu = (int)mtu };

	return mtu ? interface_ioctl(t, SIOCSIFMTU, &ifr) : 0;
}

static int set_address(const struct tap *t, unsigned long request, const char *address)
{
	struct ifreq ifr = { 0 };
	struct sockaddr_in sin = { .sin_family = AF_INET };

	if (inet_pton(AF_INET, address, &sin.sin_addr) != 1)
		return -EINVAL;
	memcpy(&ifr.ifr_addr, &sin, sizeof(sin));
	return interface_ioctl(t, request, &ifr);
}

static int bring_up(const struct tap *t)
{
	struct ifreq ifr = { 0 };
	int rc = interface_ioctl(t, SIOCGIFFLAGS, &ifr);

	ifr.ifr_flags |= IFF_UP | IFF_RUNNING;
	return rc ? rc : interface_ioctl(t, SIOCSIFFLAGS, &ifr);
}

/* One that we made has no other who could configure it. */
static int configure(struct tap *t, const struct net_config *c, struct err *err)
{
	int rc = set_mtu(t, c->mtu);

	if (rc)
		return err_set(err, -rc, "tap %s: cannot set an MTU of %u: %s", t->name, c->mtu,
			       strerror(-rc));
	if (!c->script) {
		const char *ip = c->host_ip ? c->host_ip : DEFAULT_HOST_IP;

		rc = set_address(t, SIOCSIFADDR, ip);
		if (!rc)
			rc = set_address(t, SIOCSIFNETMASK, "255.255.255.0");
		if (rc)
			return err_set(err, -rc, "tap %s: cannot give it the address %s: %s",
				       t->name, ip, strerror(-rc));
	}
	rc = bring_up(t);
	if (rc)
		return err_set(err, -rc, "tap %s: cannot bring it up: %s", t->name, strerror(-rc));
	return 0;
}

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
	return err_set(err, code, "tap %s: %s", name, strerror(code));
}

/* A tap that was made for several queues says EINVAL to who doesn't say that he knows. */
static int attach(struct tap *t, const struct net_config *c, struct err *err)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };

	if (c->tap_name && strlen(c->tap_name) >= IFNAMSIZ)
		return err_set(err, EINVAL, "tap %s: a name has at most %u characters", c->tap_name,
			       IFNAMSIZ - 1);
	t->net.fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (t->net.fd < 0)
		return err_set(err, errno, "tap %s: cannot open /dev/net/tun: %s; use mode=user",
			       c->tap_name ? c->tap_name : "tap0", strerror(errno));
	strcpy(ifr.ifr_name, c->tap_name ? c->tap_name : "tap%d");
	if (ioctl(t->net.fd, TUNSETIFF, &ifr)) {
		ifr.ifr_flags |= IFF_MULTI_QUEUE;
		if (errno != EINVAL || ioctl(t->net.fd, TUNSETIFF, &ifr))
			return open_error(c, errno, err);
	}
	memcpy(t->name, ifr.ifr_name, IFNAMSIZ);
	return 0;
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
	memcpy(t->name, ifr.ifr_name, IFNAMSIZ);
	if (fcntl(c->fd, F_SETFL, flags | O_NONBLOCK) || fcntl(c->fd, F_SETFD, FD_CLOEXEC))
		return err_set(err, errno, "--network fd=%d: %s", c->fd, strerror(errno));
	t->net.fd = c->fd;
	return 0;
}

/* As much as this kernel's taps can; begins with all of it left to the kernel. */
static int negotiate(struct tap *t, bool header, struct err *err)
{
	uint32_t all = NET_CSUM | NET_TSO4 | NET_TSO6 | NET_TSO_ECN;
	int size = HEADER, one = 1;

	if (!header)
		return 0;
	if (ioctl(t->net.fd, TUNSETVNETHDRSZ, &size))
		return err_set(err, errno, "tap %s: no header of %d bytes: %s", t->name, size,
			       strerror(errno));
	/* As virtio 1.x has it; kernels that lack this have the host's order, which is the same. */
	ioctl(t->net.fd, TUNSETVNETLE, &one);
	if (!tap_set_offload(&t->net, all | NET_USO))
		all |= NET_USO;
	t->net.offloads = all;
	if (tap_set_offload(&t->net, 0))
		return err_set(err, errno, "tap %s: %s", t->name, strerror(errno));
	return 0;
}

static void tap_close(struct net *net)
{
	struct tap *t = tap_of(net);

	if (t->down_script)
		run_script(t->down_script, t->name);
	close(net->fd);
	free(t);
}

static const struct net_ops tap_ops = {
	.send = tap_send,
	.receive = tap_receive,
	.set_offload = tap_set_offload,
	.close = tap_close,
};

static int set_up(struct tap *t, const struct net_config *c, struct err *err)
{
	bool header = true;
	int rc = c->mode == NET_MODE_FD ? adopt(t, c, &header, err) : attach(t, c, err);

	if (!rc)
		rc = negotiate(t, header, err);
	if (!rc && c->script) {
		rc = run_script(c->script, t->name);
		if (rc)
			return err_set(err, -rc, "%s %s: %s", c->script, t->name,
				       rc == -ECANCELED ? "it failed" : strerror(-rc));
	}
	if (!rc && c->mode == NET_MODE_TAP && !c->tap_name)
		rc = configure(t, c, err);
	return rc;
}

int tap_open(const struct net_config *config, struct net **out, struct err *err)
{
	struct tap *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return err_set(err, ENOMEM, "no memory for a tap");
	t->net = (struct net){ .ops = &tap_ops, .what = t->what, .fd = -1 };
	rc = set_up(t, config, err);
	if (rc) {
		if (t->net.fd >= 0 && config->mode != NET_MODE_FD)
			close(t->net.fd);
		free(t);
		return rc;
	}
	snprintf(t->what, sizeof(t->what), "tap %s", t->name);
	t->down_script = config->down_script;
	*out = &t->net;
	return 0;
}
