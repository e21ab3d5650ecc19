/* SPDX-License-Identifier: MIT */
/*
 * pvpanic, by which a guest's kernel says that it panics (QEMU's docs/specs/pvpanic.rst): one
 * register of a byte. Read, it tells which events may be written. Linux finds it as ACPI's
 * QEMU0001, or in the device tree as "qemu,pvpanic-mmio"; it costs a guest nothing before it does.
 */
#ifndef PLATFORM_PVPANIC_H
#define PLATFORM_PVPANIC_H

#include "vm/device.h"

#define PVPANIC_PANICKED (1u << 0)
#define PVPANIC_CRASH_LOADED (1u << 1) /* a crash kernel takes over */

struct pvpanic_config {
	const char *name; /* borrowed */
	bool is_pio;
	uint64_t base;
	/* On the vCPU's thread: bits of the above, at least one. */
	void (*event)(void *opaque, unsigned int events);
	void *opaque;
};

extern const struct device_type pvpanic_type; /* "pvpanic" */

#endif
