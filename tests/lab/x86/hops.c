/* SPDX-License-Identifier: MIT */
#include "tests/lab/hops.h"
#include "tests/payload/x86/still.h"

static const struct port port = { .still = still_all, .keeps_time = true };

int main(int argc, char **argv)
{
	return hops_main(argc, argv, &port);
}
