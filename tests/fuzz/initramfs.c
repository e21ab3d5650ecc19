/* SPDX-License-Identifier: MIT */
/* What is looked for to choose a transport: files in an initramfs, options of a configuration. */
#include "guest/initramfs.h"

#include <errno.h>

#include "guest/kconfig.h"
#include "tests/fuzz/fuzz.h"

#define ROOM 0x10000

struct seen {
	uint32_t files, enough;
	uint8_t sum;
};

static bool see(void *opaque, const char *path, const uint8_t *data, size_t size)
{
	struct seen *seen = opaque;

	for (size_t i = 0; path[i]; i++)
		seen->sum ^= (uint8_t)path[i];
	for (size_t i = 0; i < size; i++)
		seen->sum ^= data[i];
	return ++seen->files != seen->enough;
}

static void look_for_config(const uint8_t *file, size_t len)
{
	struct unpacked config;

	if (kconfig_is((const char *)file, len))
		kconfig_get((const char *)file, len, "VIRTIO_PCI");
	if (!kconfig_embedded(file, len, &config))
		return;
	kconfig_get((const char *)config.data, config.size, "X");
	unpacked_free(&config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct seen seen = { .enough = take_u8(&in) };
	uint8_t *file = heap_copy(in.p, in.left);
	int rc = initramfs_walk(file, in.left, ROOM, see, &seen);

	CHECK(!rc || rc == -EINVAL || rc == -E2BIG || rc == -ENOMEM || rc == -ENOTSUP);
	CHECK(!seen.enough || seen.files <= seen.enough);
	look_for_config(file, in.left);
	free(file);
	return 0;
}
