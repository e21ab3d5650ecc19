/* SPDX-License-Identifier: MIT */
/*
 * A socket device (virtio 1.2, section 5.10) for streams between programs of the guest and of the
 * host. These meet the guest's at Unix sockets (virtio/vsock-table.h), or by AF_VSOCK, if the host's
 * kernel moves the packets (vhost-vsock).
 */
#ifndef VIRTIO_VSOCK_H
#define VIRTIO_VSOCK_H

#include "vm/device.h"

#define VSOCK_CID_MIN 3u
#define VSOCK_CID_MAX UINT32_C(0xfffffffe)

struct vsock_config {
	const char *name; /* borrowed; "virtio-vsock.0" */
	uint32_t cid;	  /* the guest's address: VSOCK_CID_MIN to VSOCK_CID_MAX */
	const char *path; /* of the Unix socket; borrowed, outlives the device. NULL: vhost-vsock */
};

extern const struct device_type virtio_vsock_type;

#endif
