/* SPDX-License-Identifier: MIT */
/* In place of balloon.c where Kconfig leaves balloons out (CONFIG_VIRTIO_BALLOON). */
#include <errno.h>

#include "control/parts.h"

static int none(struct call *call)
{
	call->class = "DeviceNotActive";
	return err_set(call->err, ENODEV,
		       "this lkvm was built without balloons (CONFIG_VIRTIO_BALLOON)");
}

void control_balloon_stats(struct control *c, struct json *j)
{
	(void)c;
	(void)j;
}

const struct control_command control_balloon_commands[] = {
	{ "balloon", "value", none, false },
	{ "query-balloon", "", none, false },
	{ NULL, NULL, NULL, false },
};
