/* SPDX-License-Identifier: MIT */
/* An entropy device (virtio 1.2, section 5.4): the host's random bytes. */
#ifndef VIRTIO_RNG_H
#define VIRTIO_RNG_H

#include "vm/device.h"

struct rng_config {
	const char *name; /* borrowed; "virtio-rng.0" */
};

extern const struct device_type virtio_rng_type;

#endif
