/* SPDX-License-Identifier: MIT */
/* In place of inspect.c where Kconfig leaves it out (CONFIG_INSPECT). */
#include "cmd/cmd.h"

int cmd_inspect(int argc, char **argv, const struct command *table)
{
	(void)argc;
	(void)argv;
	(void)table;
	return cmd_fail("inspect: this lkvm was built without it (CONFIG_INSPECT)");
}
