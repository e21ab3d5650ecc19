/* SPDX-License-Identifier: MIT */
/*
 * A two-way stream of bytes to a peer that may be slow, silent or dead: whoever reads or writes waits, but not
 * for ever. For one thread at a time.
 */
#ifndef HOST_CHANNEL_H
#define HOST_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "util/log.h"

#define CHANNEL_WORDS \
	((size_t)16384)	       /* bytes of what ssh prints that are kept: it can't print more */
#define CHANNEL_PATIENCE 15000 /* ms, where nobody says another */
#define CHANNEL_SPAWN 72u      /* fds that a program gets beside it, at most */

struct channel {
	int in, out; /* owned; one fd twice, if it is a socket */
	bool is_socket;
	pid_t child;	 /* that is at the other end; 0: none of ours */
	int words;	 /* what ssh has printed: a file of ours, or 0 */
	bool is_program; /* it itself is, by channel_spawn(), and nobody who might outlive it */
	unsigned int patience; /* ms without a byte, after which the peer counts as dead */
	/* Asked before each piece, and ten times a second: true is the end (-ECANCELED). May be NULL. */
	bool (*stopped)(void *opaque);
	void *opaque;
};

/* Of an open fd, or two: they are the channel's. What is no socket is never made non-blocking. */
void channel_of(struct channel *c, int in, int out);

/*
 * To who waits at tcp:HOST:PORT, at the Unix socket unix:PATH, as the command exec:COMMAND (by the shell, its
 * standard input and output), as `command` on ssh://[USER@]HOST[:PORT], or at the open socket fd:N. c->stopped and
 * c->patience may be set before, and are kept. 0, or -errno and a line.
 */
int channel_connect(struct channel *c, const char *where, const char *command, struct err *err);

/*
 * To that program, which is started with our standard streams, our process group, the channel as its fd 3, and
 * behind it these `n` of ours (-1: none there). As above; c->child says who it is.
 */
int channel_spawn(struct channel *c, char *const argv[], const int *fds, unsigned int n,
		  struct err *err);

/*
 * Ends that program, for good: what it said last can still be read, however `stopped` it is here. It is not reaped.
 * False: nothing was done, as it is no such channel.
 */
bool channel_end_program(struct channel *c);

/* What went wrong, if that is so, has the last line behind it that ssh printed, which may be why. */
void channel_explain(const struct channel *c, struct err *err);

/* Waits for one who connects, as long as it takes: there, or, with -, at our standard input and output. */
int channel_accept(struct channel *c, const char *where, struct err *err);

/* Is it a place that one of them understands? */
bool channel_is_place(const char *where);

/*
 * All of it. 0, or -errno and a line: -EPIPE, the peer has closed it; -ETIMEDOUT, it was silent; -ECANCELED.
 * channel_write() uses `iov` up.
 */
int channel_read(struct channel *c, void *to, size_t len, struct err *err);
int channel_write(struct channel *c, struct iovec *iov, unsigned int n, struct err *err);

/* -ECANCELED and a line: it is stopped. */
int channel_check(const struct channel *c, struct err *err);

/* Is there something to be read, an end or an error perhaps? Does not wait. */
bool channel_has_input(const struct channel *c);

/* The last was written: waits until the peer has closed his end, too, so that it reaches him; not for long. */
void channel_drain(struct channel *c);

/* A peer who waits for more hears now that there is none; only channel_close() makes sense after it. */
void channel_hang_up(struct channel *c);

/*
 * A command at the other end that does not go by itself then is ended, with all of its process group if it has one
 * of its own, which may take a second. A channel that was closed already, or never was one but zeros, is fine.
 */
void channel_close(struct channel *c);

/* The same, but at once, and a command at the other end goes on without us. */
void channel_leave(struct channel *c);

#endif
