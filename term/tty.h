/* SPDX-License-Identifier: MIT */
/*
 * The one front between a VM's console devices and the person, pipe or file outside.
 *
 * Output: tty_write() never blocks. It scans (term/scan), logs (--console-log) and buffers; a
 * thread of its own writes to the outside, so a slow reader slows the console and nothing else. A
 * reader that is gone (EPIPE) is dropped: what comes after is scanned and logged only.
 *
 * Input: read on the event loop into a bounded buffer, pulled by the device when the guest has
 * room; the outside is read no faster than that. Input is not touched before tty_want_input().
 *
 * Raw mode: only where stdin is a terminal and we are its foreground job. tty_restore() undoes it
 * and is async-signal-safe; it acts on the terminal that this process set raw, of which there is
 * one (the only mutable static of the program).
 */
#ifndef TERM_TTY_H
#define TERM_TTY_H

#include <stdbool.h>
#include <stddef.h>

#include "util/log.h"
#include "util/loop.h"

struct tty;

/* What a console device is told. Called on the loop or the writer thread, never from within tty_*(). */
struct tty_client {
	void (*input)(void *opaque);	 /* there is something for tty_read() */
	void (*room)(void *opaque);	 /* tty_write() accepts again, after it had refused */
	void (*interrupt)(void *opaque); /* Ctrl-a b: a break (sysrq); may be NULL */
	void (*resized)(void *opaque);	 /* the window's size changed; may be NULL */
	void *opaque;
};

struct tty_config {
	int in, out; /* fds, -1 for none; never made non-blocking, not closed by the tty */
	int log_fd;  /* --console-log, or -1; owned by the tty */
	/* A person left with Ctrl-a x; any thread. */
	void (*leave)(void *opaque);
	/* The scan's findings (SCAN_* of term/scan.h), on the thread of tty_write(). */
	void (*found)(void *opaque, int what);
	void *opaque;
};

/* Host resources are taken when first used. `loop` is borrowed. */
int tty_create(const struct tty_config *config, struct loop *loop, const struct log *log,
	       struct tty **out, struct err *err);

/* Waits until what was accepted is written out (or its reader is gone); then frees. */
void tty_destroy(struct tty *tty);

/*
 * Another console device on this tty; output of all is merged by chunks of tty_write(). Input goes to the one that called
 * tty_want_input() last. Returns its port (0, 1, ...) or -errno. `client` is copied.
 */
int tty_attach(struct tty *tty, const struct tty_client *client);
/* After it returns no callback of that port runs. Must not be called with a lock that callbacks take. */
void tty_detach(struct tty *tty, int port);

/* The guest's driver listens on this port: from now on input is read and comes here. Cheap to repeat. */
void tty_want_input(struct tty *tty, int port);

/* Bytes taken, at most `len`; 0: nothing now, input() will tell. */
size_t tty_read(struct tty *tty, int port, void *data, size_t len);

/* Bytes accepted, fewer than `len` when the buffer is full: room() will tell. */
size_t tty_write(struct tty *tty, int port, const void *data, size_t len);

/* Window size of the outside, where it is a terminal; else false. */
bool tty_size(struct tty *tty, unsigned int *columns, unsigned int *rows);

/* The window changed (SIGWINCH), and: we were stopped and continue (SIGCONT): raw mode again, as far as we are in the
 * foreground. Async-signal-safe. */
void tty_poke(struct tty *tty);

/* The terminal as it was. Async-signal-safe, idempotent; needs no struct tty. */
void tty_restore(void);

#endif
