/* SPDX-License-Identifier: MIT */
/*
 * The target's side of a migration (state/migrate.h). The source is a peer like any other: what it sends is
 * bounded, and checked before it is believed; until it says GO nothing of it has run.
 */
#ifndef STATE_RECEIVE_H
#define STATE_RECEIVE_H

#include "state/migrate.h"

struct receive {
	struct wire wire;
	uint64_t ram; /* bytes of the source's */
	bool shared;  /* they are a file that is to be this machine's memory: */
	int memory; /* its fd, set between receive_begin() and the machine's making, which closes it; or -1 */
	struct buf hello; /* the stream that it begins with, and: */
	struct saved said;
	/* A frame of WIRE_MORE's, its body unread: 0 or -errno and a line. NULL: there may be none. */
	int (*more)(void *opaque, struct wire *wire, const struct frame *f, struct err *err);
	void *opaque;
	bool taken;	   /* receive_guest() has had it, and told the source what came of it */
	_Atomic bool runs; /* and that was: it runs here */
};

/* What the source says first. 0 or -errno and a line; receive_end() in both cases. The channel is borrowed. */
int receive_begin(struct receive *r, struct channel *channel, struct err *err);
void receive_end(struct receive *r);

/* Tells the source why it is not taken, as far as it listens. */
void receive_refuse(struct receive *r, const char *why);

/*
 * Into a machine like the source's that has not run: from vm_config.prepare. `claim`, which may be NULL, takes
 * the disks once the source has released them. 0: the VM must run now, as it does nowhere else. -errno and a
 * line, of which the source was told: it must not.
 */
int receive_guest(struct receive *r, struct vm *vm, struct device_list *devices,
		  int (*claim)(void *opaque, struct err *err), void *opaque, struct err *err);

#endif
