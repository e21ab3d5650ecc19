/* SPDX-License-Identifier: MIT */
#include "platform/fw-cfg.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "util/util.h"

#define PORTS 2
#define DATA_PORT 1

enum {
	KEY_SIGNATURE = 0x00,
	KEY_ID = 0x01, /* which interfaces there are */
	KEY_RAM_SIZE = 0x03,
	KEY_NOGRAPHIC = 0x04,
	KEY_CPUS = 0x05,
	KEY_MAX_CPUS = 0x0f,
	KEY_FILES = 0x19, /* how many, big-endian, and then each */
};

#define ID_TRADITIONAL 1
#define ITEM_MAX 8

struct state {
	uint32_t offset; /* of the next byte; no further than ITEM_MAX */
	uint16_t key;
	uint16_t zero;
};

struct fw_cfg {
	struct device dev;
	struct bus *bus;
	struct fw_cfg_config config;
	pthread_mutex_t lock; /* vCPUs */
	struct state s;
};

static struct fw_cfg *fw_cfg_of(struct device *dev)
{
	return container_of(dev, struct fw_cfg, dev);
}

/* All items are numbers, but for the signature, and what is not there is zeros. */
static uint64_t item(const struct fw_cfg *f)
{
	switch (f->s.key) {
	case KEY_SIGNATURE:
		return get_le32("QEMU");
	case KEY_ID:
		return ID_TRADITIONAL;
	case KEY_RAM_SIZE:
		return f->config.ram;
	case KEY_NOGRAPHIC:
		return 1;
	case KEY_CPUS:
	case KEY_MAX_CPUS:
		return f->config.cpus;
	case KEY_FILES:
	default:
		return 0;
	}
}

static uint8_t next_byte(struct fw_cfg *f)
{
	if (f->s.offset == ITEM_MAX)
		return 0;
	return (uint8_t)(item(f) >> 8 * f->s.offset++);
}

/* A key is written whole: half of one selects nothing. */
static void on_access(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	struct fw_cfg *f = opaque;

	pthread_mutex_lock(&f->lock);
	if (!is_write) {
		memset(data, 0, len);
		if (offset == DATA_PORT)
			*(uint8_t *)data = next_byte(f);
	} else if (offset == 0 && len == sizeof(f->s.key)) {
		f->s = (struct state){ .key = get_le16(data) };
	}
	pthread_mutex_unlock(&f->lock);
}

static void reset(struct device *dev)
{
	struct fw_cfg *f = fw_cfg_of(dev);

	pthread_mutex_lock(&f->lock);
	f->s = (struct state){ 0 };
	pthread_mutex_unlock(&f->lock);
}

static void save(struct device *dev, struct buf *out)
{
	buf_put(out, &fw_cfg_of(dev)->s, sizeof(struct state));
}

static int load(struct device *dev, struct reader *in)
{
	struct fw_cfg *f = fw_cfg_of(dev);
	struct state s;

	reader_get(in, &s, sizeof(s));
	if (in->failed || s.offset > ITEM_MAX || s.zero)
		return -EINVAL;
	pthread_mutex_lock(&f->lock);
	f->s = s;
	pthread_mutex_unlock(&f->lock);
	return 0;
}

static void fw_cfg_free(struct fw_cfg *f)
{
	pthread_mutex_destroy(&f->lock);
	free(f);
}

static void destroy(struct device *dev)
{
	struct fw_cfg *f = fw_cfg_of(dev);

	bus_release(f->bus, dev->base);
	fw_cfg_free(f);
}

static const struct device_ops ops = {
	.reset = reset,
	.save = save,
	.load = load,
	.destroy = destroy,
};

static int create(const struct device_env *env, const void *config, struct device **out,
		  struct err *err)
{
	const struct fw_cfg_config *c = config;
	struct fw_cfg *f = calloc(1, sizeof(*f));
	int rc;

	if (!f)
		return err_set(err, ENOMEM, "no memory for %s", c->name);
	f->config = *c;
	f->bus = env->pio;
	f->dev = (struct device){
		.ops = &ops,
		.name = c->name,
		.kind = DEVICE_PRIVATE,
		.is_pio = true,
		.base = c->base,
		.size = PORTS,
	};
	pthread_mutex_init(&f->lock, NULL);
	rc = bus_claim(f->bus, c->base, PORTS, on_access, f, c->name, err);
	if (rc)
		fw_cfg_free(f);
	else
		*out = &f->dev;
	return rc;
}

const struct device_type fw_cfg_type = { "fw_cfg", create };
