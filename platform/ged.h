/* SPDX-License-Identifier: MIT */
/*
 * What ACPI's Generic Event Device needs of the machine (ACPI 6.4, section 5.6.9): an interrupt, and a byte that
 * tells which events there were, and forgets them as it is read. The bits are DEVICE_GED's in vm/device.h; what
 * each of them means to the guest is in its DSDT.
 */
#ifndef PLATFORM_GED_H
#define PLATFORM_GED_H

#include "platform/power-button.h"

/* These have happened. Any thread. */
void ged_raise(struct device *dev, uint8_t events);

extern const struct device_type ged_type; /* "ged": a struct power_button_config */

#endif
