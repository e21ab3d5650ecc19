/* SPDX-License-Identifier: MIT */
/*
 * A guest moves to another lkvm while it runs.
 *
 * Theory of operation. The source sends all of RAM, then, round by round, what was written to meanwhile, until
 * so little is left that the guest may stand still for it (`downtime`). It stops the guest, sends the rest and
 * the machine's state, and asks the target whether all of it is good (WIRE_END). The target has restored it when
 * it answers WIRE_READY, and waits. The source says WIRE_GO, and the target WIRE_RUNNING before its first
 * instruction. When the link or a side dies
 *
 *	before READY was read		the source goes on; the target has no GO, and ends
 *	before GO was handed over	the same: less than all of GO is no GO
 *	before RUNNING was read		nobody can know who has heard what. The source stands still and keeps
 *					all it has (MIGRATE_UNKNOWN) for a person to decide: no guest that runs
 *					is mended in a moment, and none is that has run twice.
 *					A target that is a program of ours is ended, and what it said counts
 *	after that			the target runs; the source is over
 *
 * So at no time two run, and nothing but the loss of that one answer stops both; a target that gives up while it
 * can still say so (WIRE_FAILED) is believed. Disks change hands while neither runs: released by the source before
 * it asks, claimed by the target before it answers.
 *
 * What converges: a guest that writes faster than the link takes is slowed down, by ever longer pauses, up to
 * `throttle`. If that does not help either it is not moved, and the reason has both rates.
 */
#ifndef STATE_MIGRATE_H
#define STATE_MIGRATE_H

#include <stdatomic.h>

#include "host/wire.h"
#include "state/state.h"

/*
 * A quarter of the 200 ms after which Linux's TCP begins to send again, and six times a frame of a game: what
 * nobody notices. A link of 1 Gbit/s takes 6 MiB in it, more than a guest with little to do writes in a round.
 */
#define MIGRATE_DOWNTIME 50 /* ms */
#define MIGRATE_THROTTLE 99 /* per cent */

struct migrate_config {
	uint64_t downtime;	 /* ms that sending the rest may take */
	uint64_t bandwidth;	 /* bytes a second while the guest runs; 0: what the link takes */
	uint64_t timeout;	 /* ms for all rounds; 0: for ever */
	unsigned int throttle;	 /* per cent of their time that vCPUs may be kept from running */
	bool shared;		 /* the target has this VM's memory itself: no page of it is sent */
	const struct buf *disks; /* HELLO's word of those that come along (STATE_DISKS), or NULL */
	/*
	 * What takes its time is done while the guest runs: when it is about to be stopped, and where disks come along
	 * at first, too. 1: that took a while, in which the guest went on; 0: nothing was to be done; or -errno and a
	 * line.
	 */
	int (*settle)(void *opaque, struct wire *wire, struct err *err);
	/* It stands. The target may write to disks now, and: they are ours again. 0 or -errno and a line. */
	int (*release)(void *opaque, struct wire *wire, struct err *err);
	void (*reclaim)(void *opaque);
	void *opaque;
};

/* Read by any thread. */
struct migrate_progress {
	_Atomic uint64_t total, remaining; /* bytes of RAM: all; to be sent yet */
	_Atomic uint64_t sent;		   /* bytes on the link */
	_Atomic uint64_t pages, zeros;	   /* sent with what is in them, or as zeros */
	_Atomic uint64_t rounds, rate;	   /* rate: bytes a second, the last that was measured */
	_Atomic uint64_t dirtied;	   /* bytes a second that the guest writes to anew */
	_Atomic uint64_t expected;	   /* us of standing still */
	_Atomic uint64_t downtime;	   /* us, when it is over */
	_Atomic unsigned int throttle;
	_Atomic bool stopped;	/* the guest stands still */
	_Atomic bool committed; /* GO is on its way: there is no way back */
};

#define MIGRATE_UNKNOWN 1

#define MIGRATE_VERSION 1u

enum migrate_frame {
	/* The source says: */
	WIRE_HELLO =
		1, /* body: MIGRATE_VERSION, is RAM shared (32 bits each), bytes of RAM (64), and a stream
			   (state/stream.h) with the section STATE_OPTIONS, or none */
	WIRE_PAGES,	  /* at: byte of RAM, as it lies in struct mem; body: whole pages */
	WIRE_ZEROS,	  /* at: the same; value: how many pages are zeros */
	WIRE_ROUND,	  /* a round is over: answered by WIRE_SEEN */
	WIRE_STATE,	  /* body: more of the machine's state */
	WIRE_END,	  /* that was all: answered by WIRE_READY, if it is good */
	WIRE_GO,	  /* run: answered by WIRE_RUNNING */
	WIRE_MORE = 0x3f, /* up to 0xff: what settle() and release() send */
	/* The target: */
	WIRE_SEEN = WIRE_BACK, /* also HELLO's answer */
	WIRE_READY,
	WIRE_RUNNING, /* instead of any of these: WIRE_FAILED. It has not run and will not */
};

/*
 * `options` are for who makes the target's machine (state/state.h); NULL: he knows. 0: the target runs it,
 * and this VM, which stands still, must never go on. MIGRATE_UNKNOWN and a line: see above; migrate_take_back()
 * if one knows that the target does not run. -errno and a line: it goes on here. Not from a vCPU's thread, nor
 * the loop's; the channel stays the caller's.
 */
int migrate_send(struct vm *vm, struct device_list *devices, struct channel *channel,
		 const struct migrate_config *config, const struct buf *options,
		 struct migrate_progress *progress, struct err *err);

void migrate_take_back(struct vm *vm, struct device_list *devices,
		       const struct migrate_config *config);

#endif
