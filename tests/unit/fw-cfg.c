/* SPDX-License-Identifier: MIT */
/* fw_cfg's two ports, as an image uses them, and as it shouldn't. */
#include "platform/fw-cfg.h"

#include <string.h>

#include "tests/unit/tap.h"
#include "util/util.h"

#define PORT 0x510

static struct bus pio;

static void choose(uint16_t key)
{
	uint8_t data[2];

	put_le16(data, key);
	bus_access(&pio, PORT, data, 2, true);
}

static uint8_t next(void)
{
	uint8_t data = 0xaa;

	bus_access(&pio, PORT + 1, &data, 1, false);
	return data;
}

static uint64_t item(uint16_t key)
{
	uint64_t v = 0;

	choose(key);
	for (unsigned int i = 0; i < 8; i++)
		v |= (uint64_t)next() << 8 * i;
	return v;
}

static void test_items(void)
{
	bool nothing = true;

	ok(item(0) == get_le32("QEMU"), "the signature");
	ok(item(1) == 1, "no DMA");
	ok(item(3) == 5 * GIB, "RAM");
	ok(item(5) == 3 && item(15) == 3, "CPUs");
	ok(!item(0x19), "no files");
	for (uint32_t key = 0x20; key <= 0xffff; key++)
		nothing &= !item((uint16_t)key);
	ok(nothing, "no other item");
	choose(5);
	for (unsigned int i = 0; i < 100000; i++)
		next();
	ok(!next(), "zeros behind an item");
	ok(item(5) == 3, "which begins anew when it is chosen");
}

static void test_misuse(void)
{
	uint8_t data[8] = { 3, 0, 0, 0 };

	choose(5);
	bus_access(&pio, PORT, data, 1, true);
	ok(next() == 3, "half a key chooses nothing");
	choose(5);
	bus_access(&pio, PORT + 1, data, 1, true);
	ok(next() == 3, "nothing is written to an item");
	choose(5);
	memset(data, 0xaa, sizeof(data));
	bus_access(&pio, PORT, data, 2, false);
	ok(!data[0] && !data[1] && data[2] == 0xaa && next() == 3, "the key can't be read");
	ok(!bus_access(&pio, PORT, data, 4, true), "there are two ports");
}

static void test_state(struct device *dev)
{
	struct buf before = { 0 }, after = { 0 };
	struct reader in;

	choose(3);
	next();
	next();
	dev->ops->save(dev, &before);
	dev->ops->reset(dev);
	ok(next() == 'Q', "a reset chooses the signature");
	in = (struct reader){ .p = before.data, .left = before.len };
	ok(!dev->ops->load(dev, &in), "state is loaded");
	dev->ops->save(dev, &after);
	ok(before.len == after.len && !memcmp(before.data, after.data, before.len),
	   "and is what was saved");
	next();
	next();
	ok(next() == 5 * GIB >> 32, "the next byte is the next");
	in = (struct reader){ .p = before.data, .left = before.len - 1 };
	ok(dev->ops->load(dev, &in), "state that is cut short is refused");
	put_le32(before.data, 9);
	in = (struct reader){ .p = before.data, .left = before.len };
	ok(dev->ops->load(dev, &in), "and an offset past the end");
	buf_free(&before);
	buf_free(&after);
}

int main(void)
{
	struct device_env env = { .pio = &pio };
	struct fw_cfg_config config = { .name = "fw_cfg", .base = PORT, .cpus = 3, .ram = 5 * GIB };
	struct device *dev;
	struct err err;

	bus_init(&pio);
	ok(!fw_cfg_type.create(&env, &config, &dev, &err), "it is made");
	test_items();
	test_misuse();
	test_state(dev);
	dev->ops->destroy(dev);
	ok(!bus_access(&pio, PORT + 1, &(uint8_t){ 0 }, 1, false), "and is gone");
	bus_destroy(&pio);
	return done_testing();
}
