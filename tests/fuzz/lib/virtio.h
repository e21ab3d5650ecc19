/* SPDX-License-Identifier: MIT */
/*
 * A driver that does anything, against one virtio device on a transport of the test's own: status,
 * features and queue registers in any order, rings with good, bad and random requests, config
 * reads, and what the machine does (quiesce, save, load, resume, reset). What must hold after each
 * step is checked.
 */
#ifndef TESTS_FUZZ_LIB_VIRTIO_H
#define TESTS_FUZZ_LIB_VIRTIO_H

#include "tests/fuzz/fuzz.h"
#include "virtio/core.h"

struct virtio_fuzz {
	const struct device_type *type;
	const void *config;
	/* Steps of the device's own, such as what happens outside; and ... */
	void (*step)(struct input *in, void *opaque);
	/* ... what goes before a quiesce, which may wait for the outside. Both may be NULL. */
	void (*before_quiesce)(void *opaque);
	/* The readable part of a good request begins so, often. */
	uint32_t (*header)(struct input *in, uint8_t out[64]);
	/* What goes after the device. May be NULL. */
	void (*after)(void *opaque);
	void *opaque;
};

/* Creates the device, runs the input, destroys it. */
void virtio_fuzz_run(struct input *in, const struct virtio_fuzz *fuzz);

#endif
