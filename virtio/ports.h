/* SPDX-License-Identifier: MIT */
/*
 * A virtio console of named ports (virtio 1.2, section 5.3, with VIRTIO_CONSOLE_F_MULTIPORT), each of
 * which is one stream: in Linux /dev/vportNpM, and /sys/class/virtio-ports/vportNpM/name. None of them
 * is a console.
 *
 * The guest sees a port as open at the other end until its stream's read() says STREAM_END and the guest
 * has all that came before. A stream's end() is called when the guest has closed the port, and all that it
 * wrote there has been taken.
 */
#ifndef VIRTIO_PORTS_H
#define VIRTIO_PORTS_H

#include "host/stream.h"
#include "vm/device.h"

#define PORTS_MAX 7 /* two queues each, and two for control: see VIRTIO_QUEUES */

struct ports_config {
	const char *name;		      /* borrowed; "virtio-ports.0" */
	unsigned int n;			      /* 1 to PORTS_MAX */
	struct named_stream ports[PORTS_MAX]; /* outlive the device */
};

extern const struct device_type virtio_ports_type;

#endif
