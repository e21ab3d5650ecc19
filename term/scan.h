/* SPDX-License-Identifier: MIT */
/*
 * What a guest prints that decides the verdict: a kernel's panic line and its `reboot:` lines, and the
 * line by which a test image without a debug-exit port tells its status; found across any split into
 * writes. It counts at the start of a line (levels "<N>", printk's time stamp and caller, and escape
 * sequences aside), and after a time stamp wherever that stands: a program's prompt may have left the
 * cursor in mid-line. One scan per console: lines of two consoles never mix.
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
	SCAN_EXIT, /* "EXIT: STATUS=" and a number, which ends the line: never told as it is, ... */
	SCAN_STATUS =
		0x10000, /* ... but as this plus the number: 0 to SCAN_STATUS_MAX, as any larger or
				  negative one is */
};

#define SCAN_STATUS_MAX 0xffffu

/* Plain state, all zero at first. */
struct scan {
	uint32_t state; /* what the next byte can be part of; scan.c */
	uint32_t alive; /* bit n: pattern n fits so far */
	uint32_t pos;	/* bytes of it seen; the number so far, plus one when it has a digit */
};

/* Feeds bytes; calls found() for each event as soon as its last character arrives (SCAN_STATUS: the line's end). */
void scan_feed(struct scan *scan, const void *data, size_t len,
	       void (*found)(void *opaque, int event), void *opaque);

#endif
