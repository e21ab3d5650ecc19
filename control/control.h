/* SPDX-License-Identifier: MIT */
/*
 * The control socket of a VM that has a name: QMP's form, one JSON object a line, at `control` in its
 * directory (host/rundir.h), for this user and root. Until somebody connects it costs a descriptor that the
 * machine's loop watches; then a thread of its own serves up to CONTROL_CLIENTS at once, and no client that is
 * silent, slow or malicious holds up another, or the VM. One more, and who has never said
 * qmp_capabilities goes, or who has been silent for longest.
 *
 * All functions on the thread that has the machine.
 */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include "machine.h"
#include "util/buf.h"

#define CONTROL_CLIENTS 16
#define CONTROL_LINE (64 * 1024) /* bytes of a command at most */

struct control;

struct control_config {
	const char *name;    /* of the VM; all borrowed */
	const char *version; /* "0.1-gabcdef" */
	struct machine *machine;
	/*
	 * What its snapshots carry for who restores them (state/state.h); NULL: nothing. 0 or -errno and a line. On a
	 * thread of control's, until control_ended().
	 */
	int (*options)(void *opaque, struct buf *out, struct err *err);
	void *opaque;
};

/* Before machine_run(). -EBUSY: a VM of that name is running. -errno and a line. */
int control_create(const struct control_config *config, struct control **out, struct err *err);

/* machine_run() has returned: clients are told how it ended, as far as they take it at once, and sent away. */
void control_ended(struct control *c);

/*
 * Also of NULL, and without control_ended(). The name is free then. If the machine has run it is destroyed
 * before: its threads tell of what happens, as long as there are any.
 */
void control_destroy(struct control *c);

/* The process is about to exit without that: removes what would be left behind. Any thread. */
void control_leave(struct control *c);

#endif
