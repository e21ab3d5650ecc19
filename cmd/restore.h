/* SPDX-License-Identifier: MIT */
#ifndef CMD_RESTORE_H
#define CMD_RESTORE_H

#include "machine.h"

/* Names are the configuration's. */
struct made_disks {
	unsigned int n;
	const char *paths[MACHINE_DISKS];
};

/*
 * For disks that come along, and have no file here: empty ones, as long as they have to be, this user's alone. -errno
 * and a line; some may have been made then, too.
 */
int restore_make_disks(const struct machine_config *c, struct made_disks *made, struct err *err);

/* The guest has not come: nor have they. Async-signal-safe. */
void restore_unmake_disks(const struct made_disks *made);

/*
 * Before there is any thread: a guest that comes by ssh, of which this is the server's side, is its own process's, and
 * this function returns there: with what to give to restore_let_ssh_go() once the guest has come. -1: it is no such one.
 */
int restore_part_from_ssh(const char *from);
void restore_let_ssh_go(int fd);

#endif
