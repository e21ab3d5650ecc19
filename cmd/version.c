/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "cmd/cmd.h"
#include "vm/arch.h"

const char cmd_version_string[] = LKVM_VERSION;

int cmd_version(int argc, char **argv, const struct command *table)
{
	(void)argv;
	(void)table;
	if (argc > 1)
		return cmd_fail("version takes no arguments");
	printf("lkvm %s (Kindling), %s\n", cmd_version_string, arch_name);
	return 0;
}
