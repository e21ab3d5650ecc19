/* SPDX-License-Identifier: MIT */
#include "util/number.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int number_parse(const char *text, uint64_t *out, const char **end)
{
	char *stop;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	*out = strtoull(text, &stop, strncmp(text, "0x", 2) ? 10 : 16);
	if (errno || stop == text)
		return -EINVAL;
	*end = stop;
	return 0;
}
