/* SPDX-License-Identifier: MIT */
/* A console of one port (virtio 1.2, section 5.3) on a tty. */
#ifndef VIRTIO_CONSOLE_H
#define VIRTIO_CONSOLE_H

#include "term/tty.h"
#include "vm/device.h"

struct console_config {
	const char *name; /* borrowed; "virtio-console.0" */
	struct tty *tty;  /* borrowed; outlives the device */
};

extern const struct device_type virtio_console_type;

#endif
