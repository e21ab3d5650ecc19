/* SPDX-License-Identifier: MIT */
/* rate=, iops= and burst=, of --disk and --network. */
#include <errno.h>
#include <string.h>

#include "cmd/options.h"
#include "util/number.h"
#include "util/util.h"

/* K, M or G behind it, or nothing. */
static int parse(const char *value, uint64_t *out)
{
	static const char units[] = "kmg";
	const char *unit, *at;
	uint64_t n;
	int shift;

	if (number_parse(value, &n, &unit))
		return -EINVAL;
	at = *unit ? strchr(units, *unit | 0x20) : NULL;
	if (*unit && (!at || unit[1]))
		return -EINVAL;
	shift = at ? 10 * (int)(at - units + 1) : 0;
	if (!n || n > LIMIT_MOST >> shift)
		return -ERANGE;
	*out = n << shift;
	return 0;
}

int option_set_limit(struct limit_config *limit, const char *option, const char *given,
		     const char *key, const char *value, struct err *err)
{
	uint64_t *number = !strcmp(key, "rate")	  ? &limit->bytes
			   : !strcmp(key, "iops") ? &limit->ops
						  : &limit->burst;

	if (parse(value, number))
		return err_set(err, EINVAL,
			       "%s %s: %s is a number from 1 to 4G; rate and burst count bytes",
			       option, given, key);
	return 0;
}
