/* SPDX-License-Identifier: MIT */
/*
 * QEMU's fw_cfg (its docs/specs/fw_cfg.rst), as far as test images read it: how many CPUs and how much
 * memory there is, and an empty list of files. Two I/O ports: an item's key is written to the first, 16
 * bits, its bytes are read from the second, one after the other, and zeros behind them. No DMA.
 */
#ifndef PLATFORM_FW_CFG_H
#define PLATFORM_FW_CFG_H

#include "vm/device.h"

struct fw_cfg_config {
	const char *name; /* borrowed */
	uint64_t base;	  /* an I/O port */
	uint16_t cpus;
	uint64_t ram; /* bytes */
};

extern const struct device_type fw_cfg_type; /* "fw_cfg" */

#endif
