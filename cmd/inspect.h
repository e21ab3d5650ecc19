/* SPDX-License-Identifier: MIT */
/* What lkvm inspect prints of an image; for it, and for the test that shows it ten thousand damaged ones. */
#ifndef CMD_INSPECT_H
#define CMD_INSPECT_H

#include <stdio.h>

#include "vm/arch.h"

/*
 * `name` for the first line. True: lkvm run would enter it, if there is RAM. What the file is and why it
 * would be refused goes to `out`, too; `image` is a path or bytes in memory.
 */
bool inspect_image(const struct vm_config *config, const struct arch_image *image, const char *name,
		   FILE *out);

#endif
