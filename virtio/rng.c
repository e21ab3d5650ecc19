/* SPDX-License-Identifier: MIT */
#include "virtio/rng.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <sys/random.h>

#include "virtio/core.h"

#define QUEUE_SIZE 8
/* A driver asks again for more; it must not keep the loop busy with a gigabyte. */
#define MAX_BYTES 4096u

struct virtio_rng {
	struct virtio_dev dev;
	struct chain chain;
};

static struct virtio_rng *rng_of(struct virtio_dev *dev)
{
	return container_of(dev, struct virtio_rng, dev);
}

static int64_t serve(struct virtio_dev *dev, const struct chain *c)
{
	uint8_t random[MAX_BYTES];
	uint32_t len = MIN(c->in_len, MAX_BYTES);
	uint32_t got = 0;

	(void)dev;
	if (!len)
		return VIRTIO_BROKEN;
	while (got < len) {
		ssize_t n = getrandom(random + got, len - got, 0);

		/* Only EINTR is possible: the pool is ready, or it waits until it is. */
		if (n > 0)
			got += (uint32_t)n;
	}
	chain_write(c, 0, random, len);
	return len;
}

static void rng_kick(struct virtio_dev *dev, unsigned int i)
{
	virtio_serve(dev, i, &rng_of(dev)->chain, serve);
}

static void rng_destroy(struct virtio_dev *dev)
{
	virtio_fini(dev);
	free(rng_of(dev));
}

static const struct virtio_ops rng_ops = {
	.kick = rng_kick,
	.destroy = rng_destroy,
};

static int rng_create(const struct device_env *env, const void *config, struct device **out,
		      struct err *err)
{
	const struct rng_config *c = config;
	struct virtio_rng *rng = calloc(1, sizeof(*rng));

	if (!rng)
		return err_set(err, ENOMEM, "no memory for %s", c->name);
	rng->dev.ops = &rng_ops;
	rng->dev.id = VIRTIO_ID_RNG;
	rng->dev.n_queues = 1;
	rng->dev.queue_size = QUEUE_SIZE;
	virtio_init(&rng->dev, c->name, env);
	*out = &rng->dev.device;
	return 0;
}

const struct device_type virtio_rng_type = { "virtio_rng", rng_create };
