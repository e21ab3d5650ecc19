/* SPDX-License-Identifier: MIT */
#include "host/net.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

int net_open(struct net_config *config, struct net *out[], struct err *err)
{
	int rc = config->mode == NET_MODE_USER ? passt_open(config, out, err)
					       : tap_open(config, out, err);

	for (unsigned int i = 0; !rc && config->handed && i < config->queues; i++)
		out[i]->left = true;
	return rc;
}

/* passt's place_fd is the only one. */
unsigned int net_handed(const struct net_config *config)
{
	return config->mode == NET_MODE_USER ? 2 : config->queues;
}

void net_close(struct net *queues[], unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		queues[i]->ops->close(queues[i]);
}

int net_changes_open(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	int rc;

	if (fd < 0)
		return -errno;
	if (!bind(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

/* What it was is not read: who asks looks at what there is. ENOBUFS: more than it could hold. */
void net_changes_clear(int fd)
{
	char first;

	while (recv(fd, &first, sizeof(first), 0) >= 0 || errno == ENOBUFS || errno == EINTR)
		;
}
