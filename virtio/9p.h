/* SPDX-License-Identifier: MIT */
/*
 * A 9P device (virtio 1.2, id 9): a directory of the host's, served to the guest by 9P2000.L, as
 * Linux mounts it: mount -t 9p -o trans=virtio,version=9p2000.L TAG DIR. What of the host's the
 * guest can reach, and as whom, is host/tree.h's. Each device has a loop of its own while it runs.
 *
 * A directory that is removed, or whose file system doesn't answer any more, is dead: what then
 * can't be done is an I/O error (EIO), whatever else it seems to be, as nothing is known of the
 * files any more; what is open may work on. The guest decides what to make of that; but a run whose
 * root is dead has no status of its own to tell, and ends (machine.c).
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
	unsigned int max_fds;	    /* that it may have open; see host/tree.h */
	void (*died)(void *opaque); /* once at most, on the device's thread; may be NULL */
	void *opaque;
};

extern const struct device_type virtio_9p_type;

#endif
