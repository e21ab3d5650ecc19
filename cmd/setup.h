/* SPDX-License-Identifier: MIT */
/* Root file systems that `lkvm setup` made: folders in $LKVM_HOME or ~/.lkvm, that share the host's programs. */
#ifndef CMD_SETUP_H
#define CMD_SETUP_H

#include <stdbool.h>

#define SETUP_INIT "/virt/init" /* in each of them, in kvmtool's, too */

/* The folder of that bare name, to be freed; NULL: there is none. */
char *setup_find(const char *name);

/* Is `dir` such a folder? Its programs are at /host then. */
bool setup_is_made(const char *dir);

#endif
