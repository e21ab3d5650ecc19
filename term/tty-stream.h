/* SPDX-License-Identifier: MIT */
/*
 * A person's terminal (term/tty.h) as a stream (host/stream.h), for a command in the guest that has a
 * terminal of its own.
 */
#ifndef TERM_TTY_STREAM_H
#define TERM_TTY_STREAM_H

#include "host/stream.h"
#include "term/tty.h"

/* `resized` may be NULL; it is told on the loop. The tty outlives the stream. */
int tty_stream_open(struct tty *tty, void (*resized)(void *opaque), void *opaque,
		    struct stream **out, struct err *err);

/* Nobody is attached. NULL is fine. */
void tty_stream_close(struct stream *s);

#endif
