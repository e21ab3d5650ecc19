/* SPDX-License-Identifier: MIT */
/*
 * The one front between a VM's console devices and the person, pipe or file outside.
 *
 * Output: tty_write() never blocks. It scans (term/scan), logs (--console-log) and buffers; a
 * thread of its own writes to the outside, so a slow reader slows the console and nothing else. A
 * reader that is gone (EPIPE) is dropped: what comes after is scanned and logged only.
 *
 * Input: read on the event loop into a bounded buffer, pulled by the device when the guest has
 * room; the outside is read no faster than that. A pipe or a file is not touched before
 * tty_want_input(); of a terminal Ctrl-a is ours: x leaves, h helps, b sends a break.
 *
 * Raw mode: only where stdin is a terminal and we are its foreground job. term/terminal.h has the
 * way back, for every way out.
 */
#ifndef TERM_TTY_H
#define TERM_TTY_H

#include <stdbool.h>
#include <stddef.h>

#include "util/log.h"
#include "util/loop.h"

#define TTY_PORTS 4

struct tty;

/*
 * What a console device is told, on the loop or the writer thread. The tty holds no lock of its own
 * meanwhile, so these may take the device's lock and call back. tty_*() never calls them itself.
 */
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
	/* A person left with Ctrl-a x; on the loop. */
	void (*leave)(void *opaque);
	/* The scan's findings (SCAN_* of term/scan.h), from within tty_write(). */
	void (*found)(void *opaque, int what);
	void *opaque;
	/* All that a console prints, from within tty_write(), for one port one call at a time. May be
	 * NULL. */
	void (*output)(void *opaque, int port, const void *data, size_t len);
};

/*
 * Where stdin is a terminal it is ours from here on: raw, and read, for Ctrl-a to work before the
 * guest listens. Other host resources are taken when first used. `loop` and `log` are borrowed. On
 * failure log_fd stays the caller's.
 */
int tty_create(const struct tty_config *config, struct loop *loop, const struct log *log,
	       struct tty **out, struct err *err);

/*
 * Restores the terminal, waits until what was accepted is written out (or its reader is gone), then
 * frees. No port is used any more.
 */
void tty_destroy(struct tty *tty);

/*
 * Another console device on this tty; output of all is merged by chunks of tty_write(). Returns its
 * port (0, 1, ...) or -ENOSPC. `client` is copied.
 */
int tty_attach(struct tty *tty, const struct tty_client *client);
/* After it returns no callback of that port runs. Must not be called with a lock that they take. */
void tty_detach(struct tty *tty, int port);

/*
 * The guest's driver listens on this port: from now on input is read, and comes here, until another
 * port wants it. And: it listens no longer, and the input goes to who listened before it.
 */
void tty_want_input(struct tty *tty, int port);
void tty_leave_input(struct tty *tty, int port);

/* Bytes taken, at most `len`; 0: nothing now, input() will tell. */
size_t tty_read(struct tty *tty, int port, void *data, size_t len);

/*
 * Bytes accepted, fewer than `len` when the buffer is full: room() will tell. For one port, one
 * call at a time.
 */
size_t tty_write(struct tty *tty, int port, const void *data, size_t len);

/*
 * Bytes that come from no fd, as if they had been typed: how many are taken, fewer than `len` when 64 KiB
 * are waiting for the guest. They reach the guest by the loop: any thread, also from within
 * tty_config.output.
 */
size_t tty_feed(struct tty *tty, const void *data, size_t len);

/*
 * A break and then `key`, to whom the input goes: Linux's SysRq. What was typed and not taken is
 * dropped. False: nobody listens who understands a break.
 */
bool tty_sysrq(struct tty *tty, char key);

/* Has all that was accepted gone out (or its reader)? */
bool tty_written(struct tty *tty);

/* Window size of the outside, where it is a terminal; else false. */
bool tty_size(struct tty *tty, unsigned int *columns, unsigned int *rows);

/*
 * The window may have changed (SIGWINCH), or we were stopped and continue (SIGCONT): raw mode
 * again, if we are the foreground job, and input. Async-signal-safe.
 */
void tty_poke(struct tty *tty);

#endif
