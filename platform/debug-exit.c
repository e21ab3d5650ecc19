/* SPDX-License-Identifier: MIT */
#include "platform/debug-exit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/util.h"

/* There is nothing to save: it is written once. */
struct debug_exit {
	struct device dev;
	struct bus *bus;
	struct debug_exit_config config;
};

/* The process's status has a byte: what does not fit must not turn into a success. */
static int low_byte(uint32_t value)
{
	return value && !(value & 0xff) ? 0xff : (int)(value & 0xff);
}

int debug_exit_status(enum debug_exit_rule rule, uint32_t ok, uint32_t value)
{
	switch (rule) {
	case DEBUG_EXIT_VALUE:
		break;
	case DEBUG_EXIT_SHIFT:
		return (int)((value << 1 | 1) & 0xff);
	case DEBUG_EXIT_OK:
		if (value == ok)
			return 0;
		return value ? low_byte(value) : 1;
	}
	return low_byte(value);
}

static void on_access(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	const struct debug_exit_config *c = opaque;

	(void)offset;
	if (is_write)
		c->ended(c->opaque, debug_exit_status(c->rule, c->ok, (uint32_t)get_le(data, len)));
	else
		memset(data, 0xff, len);
}

static void destroy(struct device *dev)
{
	struct debug_exit *d = container_of(dev, struct debug_exit, dev);

	bus_release(d->bus, dev->base);
	free(d);
}

static const struct device_ops ops = {
	.reset = device_resets_nothing,
	.save = device_saves_nothing,
	.load = device_loads_nothing,
	.destroy = destroy,
};

static int create(const struct device_env *env, const void *config, struct device **out,
		  struct err *err)
{
	const struct debug_exit_config *c = config;
	struct debug_exit *d = calloc(1, sizeof(*d));
	int rc;

	if (!d)
		return err_set(err, ENOMEM, "no memory for %s", c->name);
	d->config = *c;
	d->bus = c->is_pio ? env->pio : env->mmio;
	d->dev = (struct device){
		.ops = &ops,
		.name = c->name,
		.kind = DEVICE_PRIVATE,
		.is_pio = c->is_pio,
		.base = c->base,
		.size = DEBUG_EXIT_SIZE,
	};
	rc = bus_claim(d->bus, c->base, DEBUG_EXIT_SIZE, on_access, &d->config, c->name, err);
	if (rc)
		free(d);
	else
		*out = &d->dev;
	return rc;
}

const struct device_type debug_exit_type = { "debug_exit", create };
