/* SPDX-License-Identifier: MIT */
/* The register of pvpanic, as a driver uses it. */
#include "platform/pvpanic.h"

#include <string.h>

#include "tests/unit/tap.h"

static void event(void *opaque, unsigned int events)
{
	*(unsigned int *)opaque = *(unsigned int *)opaque * 16 + events;
}

static uint8_t read_at(struct bus *bus, uint64_t addr, uint32_t len)
{
	uint8_t data[8];

	memset(data, 0xaa, sizeof(data));
	bus_access(bus, addr, data, len, false);
	return data[0];
}

static void write_at(struct bus *bus, uint64_t addr, uint8_t value)
{
	bus_access(bus, addr, &value, 1, true);
}

static void test(bool is_pio)
{
	unsigned int seen = 0;
	struct bus pio, mmio, *bus = is_pio ? &pio : &mmio;
	struct device_env env = { .pio = &pio, .mmio = &mmio };
	struct pvpanic_config config = {
		.name = "pvpanic", .is_pio = is_pio, .base = 0x505, .event = event, .opaque = &seen
	};
	struct device *dev;
	struct buf state = { 0 };

	bus_init(&pio);
	bus_init(&mmio);
	ok(!pvpanic_type.create(&env, &config, &dev, NULL), "%s", is_pio ? "a port" : "memory");
	ok(read_at(bus, 0x505, 1) == (PVPANIC_PANICKED | PVPANIC_CRASH_LOADED), "what it knows");
	write_at(bus, 0x505, 0);
	write_at(bus, 0x505, 0xfc);
	ok(!seen, "what it does not know is nothing");
	write_at(bus, 0x505, 1);
	write_at(bus, 0x505, 2);
	ok(seen == 0x12, "both events");
	dev->ops->save(dev, &state);
	dev->ops->reset(dev);
	ok(!state.len && read_at(bus, 0x505, 1) == 3, "it has no state");
	dev->ops->destroy(dev);
	ok(!bus_access(bus, 0x505, &seen, 1, false), "and is gone");
	bus_destroy(&pio);
	bus_destroy(&mmio);
}

int main(void)
{
	test(true);
	test(false);
	return done_testing();
}
