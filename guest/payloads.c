/* SPDX-License-Identifier: MIT */
#include "guest/payloads.h"

#include <string.h>

const struct payload *payload_find(const char *name)
{
	for (const struct payload *p = payloads; p->name; p++) {
		if (!strcmp(p->name, name))
			return p;
	}
	return NULL;
}
