/* SPDX-License-Identifier: MIT */
/*
 * What a guest's kernel prints that decides the verdict: its panic line and its `reboot:` lines,
 * found across any split into writes. It counts at the start of a line (levels "<N>", printk's time
 * stamp and caller, and escape sequences aside), and after a time stamp wherever that stands: a
 * program's prompt may have left the cursor in mid-line. One scan per console: lines of two
 * consoles never mix.
 */
#ifndef TERM_SCAN_H
#define TERM_SCAN_H

#include <stddef.h>
#include <stdint.h>

enum scan_event {
	SCAN_PANIC = 1, /* "Kernel panic - not syncing" */
	SCAN_REBOOT,	/* "reboot: Restarting system", "reboot: machine restart" */
	SCAN_POWEROFF,	/* "reboot: Power down" */
	SCAN_HALT,	/* "reboot: System halted" */
	SCAN_ENDED,	/* "lkvm-init: the command has ended": guest/init/exec.h */
};

/* Plain state, all zero at first. */
struct scan {
	uint32_t state; /* what the next byte can be part of; scan.c */
	uint32_t alive; /* bit n: pattern n fits so far */
	uint32_t pos;	/* bytes of it seen */
};

/* Feeds bytes; calls found() for each event as soon as its last character arrives. */
void scan_feed(struct scan *scan, const void *data, size_t len,
	       void (*found)(void *opaque, int event), void *opaque);

#endif
