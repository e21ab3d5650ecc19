/* SPDX-License-Identifier: MIT */
/*
 * The header before each frame (virtio 1.2, sections 5.1.6.2 and 5.1.6.4): what it may say under
 * the features agreed on. Both sides may lie, so what is passed on is made anew from what was found
 * to be right.
 */
#ifndef VIRTIO_NET_HEADER_H
#define VIRTIO_NET_HEADER_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>

#include "host/net.h"

/* Newer than Debian 12's headers. */
#define NET_F_GUEST_USO4 54
#define NET_F_GUEST_USO6 55
#define NET_F_HOST_USO 56
#define NET_HDR_GSO_UDP_L4 5

/* All the features that a backend with these offloads (NET_*) allows. */
uint64_t net_features(uint32_t offloads);

/* Those that say what the guest takes, which it may take back (section 5.1.6.5.6). */
uint64_t net_guest_features(uint32_t offloads);

/* What a guest of these features takes, as NET_*. */
uint32_t net_guest_offloads(uint64_t features);

/*
 * A guest's header before a frame of `len` bytes. False, and the reason: the frame must be dropped.
 * Else `*header` is safe to hand on.
 */
bool net_check_sent(uint64_t features, struct virtio_net_hdr_v1 *header, uint32_t len,
		    const char **why);

/*
 * A backend's header before a frame of `len` bytes. False: this guest can't have the frame. Else
 * `*header` is what it may see, but for num_buffers.
 */
bool net_check_received(uint64_t features, struct virtio_net_hdr_v1 *header, uint32_t len);

#endif
