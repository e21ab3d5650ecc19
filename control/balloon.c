/* SPDX-License-Identifier: MIT */
/* Commands for the balloon, whose QMP names sizes of what is left to the guest. */
#include "virtio/balloon.h"

#include <errno.h>

#include "control/parts.h"

static struct device *find(struct call *call)
{
	struct device *dev = control_device(call->control, "virtio-balloon.0");

	if (dev)
		return dev;
	call->class = "DeviceNotActive";
	err_set(call->err, ENODEV, "this guest has no balloon: run it with --balloon");
	return NULL;
}

static uint64_t left(const struct vm *vm, uint64_t taken)
{
	return taken < vm->config.mem ? vm->config.mem - taken : 0;
}

static int balloon(struct call *call)
{
	uint64_t mem = call->control->vm->config.mem;
	struct device *dev = find(call);
	int64_t value;

	if (!dev)
		return -ENODEV;
	if (!json_get_int(call->tree, call->args, "value", &value) || value <= 0)
		return err_set(call->err, EINVAL, "'value' is a number of bytes, more than 0");
	balloon_set_target(dev, (uint64_t)value < mem ? mem - (uint64_t)value : 0);
	return 0;
}

static int query_balloon(struct call *call)
{
	struct device *dev = find(call);
	struct balloon_info info;

	if (!dev)
		return -ENODEV;
	balloon_get_info(dev, &info);
	json_object(call->reply, "return");
	json_int(call->reply, "actual", (int64_t)left(call->control->vm, info.actual));
	json_end_object(call->reply);
	return 0;
}

void control_balloon_stats(struct control *c, struct json *j)
{
	struct device *dev = control_device(c, "virtio-balloon.0");
	struct balloon_info info;

	if (!dev)
		return;
	balloon_get_info(dev, &info);
	json_object(j, "balloon");
	json_int(j, "target", (int64_t)info.target);
	json_int(j, "actual", (int64_t)info.actual);
	json_end_object(j);
}

const struct control_command control_balloon_commands[] = {
	{ "balloon", "value", balloon, false },
	{ "query-balloon", "", query_balloon, false },
	{ NULL, NULL, NULL, false },
};
