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
	/* Words for the command line of a process that goes on with this one's guest, each with its NUL. The same. */
	const struct buf *words;
	void *opaque;
	bool heir; /* this is one: it has the CONTROL_FDs, and what they are of, as soon as the guest has come */
};

/*
 * What lkvm migrate --local starts, as lkvm restore --name NAME CONTROL_HEIR, has beside its standard streams. Name and
 * socket go on as they are: at no time are they anybody else's.
 */
#define CONTROL_HEIR "local:"
#define CONTROL_HEIR_NETS \
	"local:nets" /* with networks, of which an lkvm that does not know of it shall have none */
enum {
	CONTROL_FD_LINK = 3, /* the channel that the guest comes by */
	CONTROL_FD_LOCK,     /* of the directory */
	CONTROL_FD_LISTENER, /* of the socket */
	CONTROL_FD_MEMORY,   /* the guest's, if it is shared */
	CONTROL_FD_NETS,     /* and those behind it: machine_net_fds(), for CONTROL_HEIR_NETS */
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

/* The guest of an heir has come. On machine_run()'s thread. */
void control_come(struct control *c);

/* Before control_ended(), after which this is all over: directory and socket are another process's now. */
void control_hand_on(struct control *c);

/* The process is about to exit without that: removes what would be left behind. Any thread. */
void control_leave(struct control *c);

#endif
