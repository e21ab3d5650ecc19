/* SPDX-License-Identifier: MIT */
/*
 * A debug exit: what a guest writes there, 1, 2 or 4 bytes, ends the VM and becomes its exit status.
 * Test images and unikernels know it from QEMU's isa-debug-exit; our own payloads end so.
 */
#ifndef PLATFORM_DEBUG_EXIT_H
#define PLATFORM_DEBUG_EXIT_H

#include "vm/device.h"

/* From the value that was written to an exit status: one of 0 to 255 that is 0 only where it shall be. */
enum debug_exit_rule {
	DEBUG_EXIT_VALUE, /* the value; 255 for a larger one whose low byte would be 0 */
	DEBUG_EXIT_SHIFT, /* value << 1 | 1, as QEMU's process ends */
	DEBUG_EXIT_OK,	  /* one value means success; any other is itself, and 1 if it is 0 */
};

struct debug_exit_config {
	const char *name; /* borrowed */
	bool is_pio;
	uint64_t base;
	enum debug_exit_rule rule;
	uint32_t ok; /* DEBUG_EXIT_OK's */
	/* On the vCPU's thread, perhaps on several at once. */
	void (*ended)(void *opaque, int status);
	void *opaque;
};

#define DEBUG_EXIT_SIZE 4 /* bytes from `base` on */

int debug_exit_status(enum debug_exit_rule rule, uint32_t ok, uint32_t value);

extern const struct device_type debug_exit_type; /* "debug_exit" */

#endif
