/* SPDX-License-Identifier: MIT */
/* In place of control.c and its commands where Kconfig leaves them out (CONFIG_CONTROL). */
#include <errno.h>

#include "control/control.h"

int control_create(const struct control_config *config, struct control **out, struct err *err)
{
	(void)config;
	*out = NULL;
	return err_set(err, ENOTSUP, "--name: this lkvm was built without it (CONFIG_CONTROL)");
}

void control_ended(struct control *c)
{
	(void)c;
}

void control_destroy(struct control *c)
{
	(void)c;
}

void control_come(struct control *c)
{
	(void)c;
}

void control_hand_on(struct control *c)
{
	(void)c;
}

void control_leave(struct control *c)
{
	(void)c;
}
