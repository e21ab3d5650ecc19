/* SPDX-License-Identifier: MIT */
#ifndef CMD_RESTORE_H
#define CMD_RESTORE_H

#include "machine.h"
#include "state/receive.h"

/* Names are the configuration's. */
struct made_disks {
	unsigned int n;
	const char *paths[MACHINE_DISKS];
};

/*
 * For disks that come along, and have no file here: empty ones, as long as they have to be, this user's alone. -errno
 * and a line; some may have been made then, too.
 */
int restore_make_disks(const struct machine_config *c, const struct receive *r,
		       struct made_disks *made, struct err *err);

/* The guest has not come: nor have they. */
void restore_unmake_disks(const struct made_disks *made);

#endif
