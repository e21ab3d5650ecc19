/* SPDX-License-Identifier: MIT */
/* As empty.c, but it has one disk, as the examples of options have it. */
#include "tests/payload/hvt/guest.h"

GUEST(DEVICE(SOLO5_BLOCK, "storage"));

int guest_main(const struct hvt_boot_info *info)
{
	(void)info;
	return 0;
}
