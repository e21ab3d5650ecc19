/* SPDX-License-Identifier: MIT */
#ifndef CMD_TRANSPORT_H
#define CMD_TRANSPORT_H

#include <stdbool.h>

#include "machine.h"

/*
 * Which transport the machine's kernel finds its virtio devices by, PCI or virtio-mmio: reads files
 * on the host, and says under -v why.
 */
bool transport_wants_pci(const struct machine_config *config);

#endif
