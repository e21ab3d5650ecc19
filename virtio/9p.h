/* SPDX-License-Identifier: MIT */
/*
 * A 9P device (virtio 1.2, id 9): a directory of the host's, served to the guest by 9P2000.L, as
 * Linux mounts it: mount -t 9p -o trans=virtio,version=9p2000.L TAG DIR. What of the host's the guest
 * can reach, and as whom, is host/tree.h's. Each device has a loop of its own while it runs.
 */
#ifndef VIRTIO_9P_H
#define VIRTIO_9P_H

#include <stdbool.h>

#include "vm/device.h"

#define P9_TAG_MAX 31

struct p9_config {
	const char *name; /* borrowed; "virtio-9p.0" */
	const char *tag;  /* copied; 1 to P9_TAG_MAX characters */
	const char *dir;
	bool read_only;
	unsigned int max_fds; /* that it may have open; see host/tree.h */
};

extern const struct device_type virtio_9p_type;

#endif
