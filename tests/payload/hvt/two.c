/* SPDX-License-Identifier: MIT */
/* As empty.c, but it has two disks: what attaching them costs. */
#include "tests/payload/hvt/guest.h"

GUEST(DEVICE(SOLO5_BLOCK, "first"), DEVICE(SOLO5_BLOCK, "second"));

int guest_main(const struct hvt_boot_info *info)
{
	(void)info;
	return 0;
}
