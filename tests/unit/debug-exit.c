/* SPDX-License-Identifier: MIT */
/* What is written to a debug exit, and the status that it becomes. */
#include "platform/debug-exit.h"

#include <string.h>

#include "tests/unit/tap.h"

static void ended(void *opaque, int status)
{
	*(int *)opaque = status;
}

static const struct {
	enum debug_exit_rule rule;
	uint32_t ok, value;
	int status;
} cases[] = {
	{ DEBUG_EXIT_VALUE, 0, 0, 0 },
	{ DEBUG_EXIT_VALUE, 0, 255, 255 },
	{ DEBUG_EXIT_VALUE, 0, 256, 255 },
	{ DEBUG_EXIT_VALUE, 0, 0xffffff00, 255 },
	{ DEBUG_EXIT_VALUE, 0, 0x80000000, 255 },
	{ DEBUG_EXIT_VALUE, 0, 258, 2 },
	{ DEBUG_EXIT_SHIFT, 0, 0, 1 },
	{ DEBUG_EXIT_SHIFT, 0, 1, 3 },
	{ DEBUG_EXIT_SHIFT, 0, 0x80000000, 1 },
	{ DEBUG_EXIT_SHIFT, 0, 0xffffffff, 255 },
	{ DEBUG_EXIT_OK, 41, 41, 0 },
	{ DEBUG_EXIT_OK, 41, 42, 42 },
	{ DEBUG_EXIT_OK, 41, 0, 1 },
	{ DEBUG_EXIT_OK, 41, 41 + 256, 41 },
	{ DEBUG_EXIT_OK, 41, 256, 255 },
	{ DEBUG_EXIT_OK, 0, 0, 0 },
	{ DEBUG_EXIT_OK, 0x80000000, 0x80000000, 0 },
};

static void test_rules(void)
{
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int status = debug_exit_status(cases[i].rule, cases[i].ok, cases[i].value);

		ok(status == cases[i].status, "rule %d makes 0x%x %d (%d)", cases[i].rule,
		   cases[i].value, cases[i].status, status);
	}
}

static void test_device(bool is_pio)
{
	int status = -1;
	struct bus pio, mmio, *bus = is_pio ? &pio : &mmio;
	struct device_env env = { .pio = &pio, .mmio = &mmio };
	struct debug_exit_config config = { .name = "debug-exit",
					    .is_pio = is_pio,
					    .base = 0xf4,
					    .ended = ended,
					    .opaque = &status };
	struct device *dev, *other;
	struct buf state = { 0 };
	struct err err;
	uint8_t data[8];

	bus_init(&pio);
	bus_init(&mmio);
	ok(!debug_exit_type.create(&env, &config, &dev, &err), "%s", is_pio ? "a port" : "memory");
	config.base = 0xf7;
	ok(debug_exit_type.create(&env, &config, &other, &err), "a second one over it: %s",
	   err.text);
	memset(data, 0, sizeof(data));
	ok(bus_access(bus, 0xf4, data, 4, false) && !memcmp(data, "\377\377\377\377\0", 5) &&
		   status == -1,
	   "a read ends nothing");
	for (uint32_t len = 1; len <= 4; len *= 2) {
		memcpy(data, "\7\1\1\1", 4);
		bus_access(bus, 0xf8 - len, data, len, true);
		ok(status == 7, "%u bytes, at the end of its range", len);
		status = -1;
	}
	dev->ops->save(dev, &state);
	dev->ops->reset(dev);
	ok(!state.len && status == -1, "it has no state");
	dev->ops->destroy(dev);
	ok(!bus_access(bus, 0xf4, data, 1, true) && status == -1, "and is gone");
	bus_destroy(&pio);
	bus_destroy(&mmio);
}

int main(void)
{
	test_rules();
	test_device(true);
	test_device(false);
	return done_testing();
}
