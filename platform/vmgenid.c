/* SPDX-License-Identifier: MIT */
#include "platform/vmgenid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "util/util.h"

#define SIZE 16

struct vmgenid {
	struct device dev;
	struct mem *mem;
	void (*tell)(void *opaque);
	void *opaque;
	bool same_vm;
	bool restored; /* and did not go on yet */
};

static struct vmgenid *vmgenid_of(struct device *dev)
{
	return container_of(dev, struct vmgenid, dev);
}

static int renew(struct vmgenid *v)
{
	uint8_t id[SIZE];

	if (getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id))
		return -EIO;
	return mem_write(v->mem, v->dev.base, id, sizeof(id));
}

/* The vCPUs' state and that of the interrupt controllers is there. */
static void resume(struct device *dev)
{
	struct vmgenid *v = vmgenid_of(dev);
	bool is_copy = v->restored && !v->same_vm;

	v->restored = false;
	if (!is_copy || renew(v))
		return;
	if (v->tell)
		v->tell(v->opaque);
	else
		irq_raise(&dev->irq);
}

/* RAM has it all. */
static int load(struct device *dev, struct reader *in)
{
	(void)in;
	vmgenid_of(dev)->restored = true;
	return 0;
}

static void destroy(struct device *dev)
{
	free(vmgenid_of(dev));
}

static const struct device_ops ops = {
	.reset = device_resets_nothing,
	.resume = resume,
	.save = device_saves_nothing,
	.load = load,
	.destroy = destroy,
};

static int create(const struct device_env *env, const void *config, struct device **out,
		  struct err *err)
{
	const struct vmgenid_config *c = config;
	struct vmgenid *v = calloc(1, sizeof(*v));
	int rc;

	if (!v)
		return err_set(err, ENOMEM, "no memory for %s", c->name);
	*v = (struct vmgenid){
		.dev = {
			.ops = &ops,
			.name = c->name,
			.kind = DEVICE_VMGENID,
			.base = c->gpa,
			.size = SIZE,
			.irq = c->irq,
		},
		.mem = env->mem,
		.tell = c->tell,
		.opaque = c->opaque,
		.same_vm = c->same_vm,
	};
	rc = renew(v);
	if (rc) {
		free(v);
		return err_set(err, -rc, "%s: no random bytes, or no memory for them", c->name);
	}
	*out = &v->dev;
	return 0;
}

const struct device_type vmgenid_type = { "vmgenid", create };
