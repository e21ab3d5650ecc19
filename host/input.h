/* SPDX-License-Identifier: MIT */
/*
 * A descriptor that is read on an event loop, which must never wait for it, though it was inherited: other
 * processes may read it, too, and be faster between poll() and read(). It is never made non-blocking, as
 * that would be theirs as well.
 */
#ifndef HOST_INPUT_H
#define HOST_INPUT_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

enum input_kind { INPUT_PLAIN, INPUT_PIPE, INPUT_SOCKET, INPUT_POLLED };

struct input {
	int fd;	    /* to be watched by poll() and epoll */
	int opened; /* the same, if it is not the caller's: a terminal that was opened again; or -1 */
	enum input_kind kind;
	int aside[2]; /* a pipe of our own, for what a pipe gives; -1 before */
};

/* To read it may take as long as somebody else likes: a file, which a server has, or the kernel makes. */
bool input_may_last(int fd);

/* `fd` stays the caller's, and open until input_close(). */
void input_open(struct input *in, int fd);

/* Bytes; 0: the end; -EAGAIN: nothing now, watch in->fd; or another -errno. `iov` has room. */
ssize_t input_read(struct input *in, const struct iovec *iov, unsigned int n);

/* Also twice. */
void input_close(struct input *in);

#endif
