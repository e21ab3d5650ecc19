/* SPDX-License-Identifier: MIT */
/*
 * Everything that may happen to a device of a few registers: accesses, what the outside does, and a
 * device's life. What it saves, wherever it stands, it must load again.
 */
#ifndef TESTS_FUZZ_LIB_REGISTERS_H
#define TESTS_FUZZ_LIB_REGISTERS_H

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/lib/tty.h"
#include "vm/device.h"

struct registers {
	struct bus bus;
	struct irq_chip chip;
	struct log log;
	struct device_env env;
	struct irq_line irq;
	struct device *dev;
	struct tty tty; /* if the device has one */
	bool sure,
		up; /* the line, where it is a level; not sure after a load, which tells nothing */
};

/* An environment for create(). */
void registers_set_up(struct registers *r, enum irq_trigger trigger);
/* Runs the input, destroys the device and the environment. */
void registers_run(struct registers *r, struct input *in);

#endif
