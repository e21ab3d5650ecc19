/* SPDX-License-Identifier: MIT */
#include "util/cmdline.h"

#include <stddef.h>
#include <string.h>

const char *cmdline_last(const char *cmdline, const char *name)
{
	const char *found = NULL;

	for (const char *p = cmdline; (p = strstr(p, name)); p++) {
		if (p == cmdline || p[-1] == ' ')
			found = p + strlen(name);
	}
	return found;
}
