/* SPDX-License-Identifier: MIT */
/* virtio/rng.h behind a transport of the test's own: see lib/virtio.h. */
#include "virtio/rng.h"

#include <sys/random.h>

#include "tests/fuzz/lib/virtio.h"

/* Instead of the C library's: an input does the same each time. */
ssize_t getrandom(void *to, size_t len, unsigned int flags)
{
	(void)flags;
	memset(to, 'r', len);
	return (ssize_t)len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct rng_config config = { .name = "virtio-rng.0" };
	static const struct virtio_fuzz fuzz = { .type = &virtio_rng_type, .config = &config };
	struct input in = { data, size };

	virtio_fuzz_run(&in, &fuzz);
	return 0;
}
