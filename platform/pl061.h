/* SPDX-License-Identifier: MIT */
/*
 * Arm's PL061 (DDI 0190): eight GPIOs, of which one, PL061_POWER_BUTTON of vm/device.h, leads to the power button,
 * and the others nowhere.
 */
#ifndef PLATFORM_PL061_H
#define PLATFORM_PL061_H

#include "platform/power-button.h"

extern const struct device_type pl061_type; /* "pl061": a struct power_button_config */

#endif
