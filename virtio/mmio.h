/* SPDX-License-Identifier: MIT */
/* The MMIO transport, version 2 (virtio 1.2, section 4.2). */
#ifndef VIRTIO_MMIO_H
#define VIRTIO_MMIO_H

#include "virtio/core.h"

#define VIRTIO_MMIO_SIZE 0x200 /* bytes of registers and config space */

/*
 * Puts `dev`, made and not plugged in yet, at `base` with the edge-triggered interrupt `irq`, and
 * claims its range on env->mmio. On error the device is as before: the caller destroys it.
 */
int virtio_mmio_plug(struct virtio_dev *dev, uint64_t base, struct irq_line irq, struct err *err);

#endif
