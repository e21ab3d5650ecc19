/* SPDX-License-Identifier: MIT */
/*
 * An ARM PL031, a clock that counts seconds, with an alarm (PrimeCell RTC, ARM DDI 0224). It tells
 * the host's CLOCK_REALTIME until the guest sets it, and keeps that distance from then on, also
 * through a save and a load elsewhere.
 *
 * The host is asked for a timer, on env->loop, only when the guest unmasks the alarm.
 */
#ifndef PLATFORM_PL031_H
#define PLATFORM_PL031_H

#include "vm/device.h"

struct pl031_config {
	const char *name; /* "rtc0"; borrowed */
	uint64_t base;	  /* MMIO, 4 KiB */
	struct irq_line irq;
};

extern const struct device_type pl031_type; /* "pl031" */

#endif
