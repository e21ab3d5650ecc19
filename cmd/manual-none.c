/* SPDX-License-Identifier: MIT */
/* In place of manual.c where Kconfig leaves it out (CONFIG_MANUAL). */
#include "cmd/cmd.h"

static int none(const struct command *table)
{
	(void)table;
	return cmd_fail("the manual: this lkvm was built without it (CONFIG_MANUAL)");
}

int manual_mdoc(const struct command *table)
{
	return none(table);
}

int manual_bash(const struct command *table)
{
	return none(table);
}
