/* SPDX-License-Identifier: MIT */
/* In place of remote.c, control.c, list.c and stat.c where Kconfig leaves them out (CONFIG_CONTROL). */
#include "cmd/cmd.h"

static int none(const char *name)
{
	return cmd_fail("%s: this lkvm was built without it (CONFIG_CONTROL)", name);
}

#define NONE(name)                                                         \
	int cmd_##name(int argc, char **argv, const struct command *table) \
	{                                                                  \
		(void)argc;                                                \
		(void)table;                                               \
		return none(argv[0]);                                      \
	}

NONE(migrate)
NONE(list)
NONE(stat)
NONE(pause)
NONE(resume)
NONE(stop)
NONE(balloon)
NONE(debug)
NONE(snapshot)
