/* SPDX-License-Identifier: MIT */
/* Ends, and nothing else: what starting and ending such a guest costs. */
#include "tests/payload/hvt/guest.h"

GUEST();

int guest_main(const struct hvt_boot_info *info)
{
	(void)info;
	return 0;
}
