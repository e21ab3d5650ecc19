/* SPDX-License-Identifier: MIT */
/* A power button, whatever the machine has for one: ACPI's generic events (ged.h), or a key at a PL061 (pl061.h). */
#ifndef PLATFORM_POWER_BUTTON_H
#define PLATFORM_POWER_BUTTON_H

#include "util/util.h"
#include "vm/device.h"

struct power_button_config {
	const char *name; /* borrowed */
	bool is_pio;
	uint64_t base;
	struct irq_line irq;
};

struct power_button {
	struct device dev;
	bool (*press)(struct power_button *button);
	/* The guest learns by it that its VM's generation is another. NULL: this can't tell. */
	void (*tell_vmgenid)(void *button);
};

/* Once; it comes up by itself. False: the guest has no driver that listens. Any thread. */
static inline bool power_button_press(struct device *dev)
{
	struct power_button *button = container_of(dev, struct power_button, dev);

	return button->press(button);
}

#endif
