/* SPDX-License-Identifier: MIT */
#include "platform/pvpanic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/util.h"

#define EVENTS (PVPANIC_PANICKED | PVPANIC_CRASH_LOADED)

/* There is nothing to save: the register holds nothing. */
struct pvpanic {
	struct device dev;
	struct bus *bus;
	struct pvpanic_config config;
};

static void on_access(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	struct pvpanic *p = opaque;
	uint8_t *bytes = data;
	unsigned int events = offset || !len ? 0 : bytes[0] & EVENTS;

	if (is_write && events) {
		p->config.event(p->config.opaque, events);
	} else if (!is_write) {
		memset(data, 0, len);
		bytes[0] = offset ? 0 : EVENTS;
	}
}

static void destroy(struct device *dev)
{
	struct pvpanic *p = container_of(dev, struct pvpanic, dev);

	bus_release(p->bus, dev->base);
	free(p);
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
	const struct pvpanic_config *c = config;
	struct pvpanic *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return err_set(err, ENOMEM, "no memory for %s", c->name);
	p->config = *c;
	p->bus = c->is_pio ? env->pio : env->mmio;
	p->dev = (struct device){
		.ops = &ops,
		.name = c->name,
		.kind = DEVICE_PVPANIC,
		.is_pio = c->is_pio,
		.base = c->base,
		.size = c->is_pio ? 1 : 2, /* as the binding has it */
	};
	rc = bus_claim(p->bus, p->dev.base, p->dev.size, on_access, p, c->name, err);
	if (rc)
		free(p);
	else
		*out = &p->dev;
	return rc;
}

const struct device_type pvpanic_type = { "pvpanic", create };
