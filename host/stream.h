/* SPDX-License-Identifier: MIT */
/*
 * A stream of bytes between a guest and somebody outside: an interface, and its most common form, a
 * file descriptor. The guest's device reads what comes from outside, and writes what goes there.
 * Neither ever blocks: who can't go on says so, and tells the client when to ask again.
 *
 * Threads: read(), write() and end() are the device's, one call at a time. The client is told from any
 * thread, with the stream's lock held: it may do no more than to notify somebody.
 */
#ifndef HOST_STREAM_H
#define HOST_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "util/log.h"
#include "util/loop.h"

struct stream;

struct stream_client {
	void (*input)(void *opaque); /* read() has something, or the end */
	void (*room)(void *opaque);  /* write() takes again, after it had not taken all */
	void *opaque;
};

/* What read() returns instead of a number of bytes, which is never 0. */
#define STREAM_LATER (-1) /* nothing now: input() will tell */
#define STREAM_END (-2)	  /* nothing any more: nobody outside writes, or reads, from now on */

struct stream_ops {
	/* Who is to be told from now on (copied); NULL: nobody, once this has returned. */
	void (*attach)(struct stream *s, const struct stream_client *client);
	ssize_t (*read)(struct stream *s, const struct iovec *iov, unsigned int n);
	/*
	 * How many bytes were taken. What nobody reads any more counts as taken: the guest learns of
	 * that by read().
	 */
	size_t (*write)(struct stream *s, const struct iovec *iov, unsigned int n);
	/* The guest has closed its end, and neither reads nor writes any more. */
	void (*end)(struct stream *s);
};

struct stream {
	const struct stream_ops *ops;
};

struct named_stream {
	const char *name; /* borrowed, as the stream is */
	struct stream *stream;
};

/*
 * A file descriptor that is read (is_output: written), whatever it is; it is never made non-blocking,
 * as it may be shared with others. It is the stream's from then on; -1: there is none, an end at once. Nothing is read before read() asks, and no thread is made before there is something to write.
 * When the guest has closed its end it is closed, after all was written.
 *
 * A reader that went away (EPIPE) is the end. Any other error is told once, by failed() and in the log
 * as `what`'s; the stream is at its end then, too. `loop` and `log` are borrowed.
 */
struct stream_config {
	int fd;
	bool is_output;
	const char *what; /* "standard output" */
	void (*failed)(void *opaque);
	void *opaque;
};

int stream_open(const struct stream_config *config, struct loop *loop, const struct log *log,
		struct stream **out, struct err *err);

/* Is all written out that was taken? After end(), for good. */
bool stream_written(struct stream *s);

/*
 * Waits until what was taken is written: as long as its reader takes. Nothing is written to it any more.
 */
void stream_finish(struct stream *s);

/* Nobody is attached. NULL is fine. */
void stream_close(struct stream *s);

#endif
