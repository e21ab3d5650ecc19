/* SPDX-License-Identifier: MIT */
#ifndef PAYLOAD_OPTION_H
#define PAYLOAD_OPTION_H

#include <stdint.h>

/* The number behind `name` ("rounds=") on a payload's command line. */
static inline uint32_t option(const char *line, const char *name, uint32_t otherwise)
{
	for (; *line; line++) {
		const char *a = line, *b = name;
		uint32_t v = 0;

		while (*b && *a == *b) {
			a++;
			b++;
		}
		if (*b)
			continue;
		for (; *a >= '0' && *a <= '9'; a++)
			v = v * 10 + (uint32_t)(*a - '0');
		return v;
	}
	return otherwise;
}

#endif
