/* SPDX-License-Identifier: MIT */
#include "platform/ged.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct ged {
	struct power_button button;
	struct bus *bus;
	_Atomic uint8_t events; /* all that the guest can see */
};

static struct ged *ged_of(struct device *dev)
{
	return container_of(dev, struct ged, button.dev);
}

void ged_raise(struct device *dev, uint8_t events)
{
	atomic_fetch_or(&ged_of(dev)->events, events);
	irq_raise(&dev->irq);
}

static bool press(struct power_button *button)
{
	ged_raise(&button->dev, GED_POWER_BUTTON);
	return true;
}

static void tell_vmgenid(void *button)
{
	ged_raise(&((struct power_button *)button)->dev, GED_VMGENID);
}

static void on_access(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	struct ged *g = opaque;

	(void)offset; /* it is one byte */
	if (is_write)
		return;
	memset(data, 0, len);
	*(uint8_t *)data = atomic_exchange(&g->events, 0);
}

static void reset(struct device *dev)
{
	atomic_store(&ged_of(dev)->events, 0);
}

static void save(struct device *dev, struct buf *out)
{
	buf_put_u8(out, atomic_load(&ged_of(dev)->events));
}

/* An interrupt that was under way is in its controller's state. */
static int load(struct device *dev, struct reader *in)
{
	uint8_t events;

	reader_get(in, &events, sizeof(events));
	if (in->failed || events & ~GED_EVENTS)
		return -EINVAL;
	atomic_store(&ged_of(dev)->events, events);
	return 0;
}

static void destroy(struct device *dev)
{
	struct ged *g = ged_of(dev);

	bus_release(g->bus, dev->base);
	free(g);
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
	const struct power_button_config *c = config;
	struct ged *g = calloc(1, sizeof(*g));
	int rc;

	if (!g)
		return err_set(err, ENOMEM, "no memory for %s", c->name);
	g->bus = c->is_pio ? env->pio : env->mmio;
	g->button = (struct power_button){
		.dev = {
			.ops = &ops,
			.name = c->name,
			.kind = DEVICE_GED,
			.is_pio = c->is_pio,
			.base = c->base,
			.size = 1,
			.irq = c->irq,
		},
		.press = press,
		.tell_vmgenid = tell_vmgenid,
	};
	rc = bus_claim(g->bus, c->base, 1, on_access, g, c->name, err);
	if (rc)
		free(g);
	else
		*out = &g->button.dev;
	return rc;
}

const struct device_type ged_type = { "ged", create };
