/* SPDX-License-Identifier: MIT */
/*
 * virtio/balloon.h behind a transport of the test's own (see lib/virtio.h), with a host that asks
 * for this and that. What is discarded must be RAM, and marked dirty: lib/virtio.c sees to that.
 */
#include "virtio/balloon.h"

#include "tests/fuzz/lib/loop.h"
#include "tests/fuzz/lib/ram.h"
#include "tests/fuzz/lib/virtio.h"

struct host {
	struct device *device;
	bool hinting;
};

/* The device is made by lib/virtio.c: here it passes by. */
static struct host host;

static int create(const struct device_env *env, const void *config, struct device **out,
		  struct err *err)
{
	int rc = virtio_balloon_type.create(env, config, out, err);

	host = (struct host){ .device = *out };
	return rc;
}

static void see_free(void *opaque, uint64_t gpa, uint64_t len)
{
	CHECK(opaque == &host && host.hinting);
	CHECK(gpa % MEM_PAGE == 0 && len && len % MEM_PAGE == 0);
	CHECK((gpa >= LOW && range_in(gpa - LOW, len, SLOT_SIZE)) ||
	      (gpa >= HIGH && range_in(gpa - HIGH, len, SLOT_SIZE)));
}

/* At most once each time. */
static void see_end(void *opaque)
{
	CHECK(opaque == &host && host.hinting);
	host.hinting = false;
}

/* The driver's, in fact. */
static void write_config(struct input *in)
{
	struct virtio_dev *dev = virtio_from_device(host.device);
	uint64_t offset = take_below(in, 20), value = take_u64(in);

	pthread_mutex_lock(&dev->lock);
	virtio_config_write(dev, offset, &value, 1 + take_below(in, 8));
	pthread_mutex_unlock(&dev->lock);
}

static void step(struct input *in, void *opaque)
{
	static const struct balloon_hints hints = { see_free, see_end, &host };
	struct balloon_info info;

	(void)opaque;
	switch (take_below(in, 6)) {
	case 0:
		balloon_set_target(host.device, take_u64(in));
		break;
	case 1:
		balloon_ask_stats(host.device);
		break;
	case 2:
		if (!balloon_start_hints(host.device, &hints))
			host.hinting = true;
		break;
	case 3:
		balloon_end_hints(host.device);
		host.hinting = false;
		break;
	case 4:
		balloon_get_info(host.device, &info);
		CHECK(info.actual % MEM_PAGE == 0);
		CHECK(info.target % MEM_PAGE == 0 && !(info.known >> BALLOON_STATS));
		break;
	case 5:
		write_config(in);
		break;
	}
	loops_run();
}

/* Numbers of pages, an answer to a command, a statistic. */
static uint32_t header(struct input *in, uint8_t out[64])
{
	uint32_t how = take_below(in, 8), n = 1 + take_below(in, 16), page;

	if (how == 0) {
		put_le32(out, take_below(in, 5));
		return 4;
	}
	if (how == 1) {
		put_le16(out, take_below(in, 20));
		put_le64(out + 2, take_u64(in));
		return 10;
	}
	for (uint32_t i = 0; i < n; i++) {
		page = (how & 1 ? LOW : HIGH) >> 12;
		page += take_below(in, SLOT_SIZE / MEM_PAGE + 2) - (how & 2 ? i : 0);
		put_le32(out + 4 * i, how == 7 ? take_u32(in) : page);
	}
	return 4 * n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct device_type type = { "virtio_balloon", create };
	struct input in = { data, size };
	struct balloon_config config = { .name = "virtio-balloon.0", .target = take_u16(&in) };
	struct virtio_fuzz fuzz = {
		.type = &type, .config = &config, .step = step, .header = header
	};

	virtio_fuzz_run(&in, &fuzz);
	CHECK(!host.hinting);
	return 0;
}
