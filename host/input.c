/* SPDX-License-Identifier: MIT */
/*
 * Each kind of file has its own way of being read without waiting, which older kernels have, too:
 *
 *	pipe, FIFO	splice() into a pipe of our own takes a flag for that. (Nobody else reads ours.)
 *	socket		so does recvmsg().
 *	terminal	is opened once more: that is another open file, with an O_NONBLOCK of its own.
 *	regular file	can't be asked: most never wait long, but see input_may_last().
 *	what is left	is asked by poll() just before: devices and eventfds, which hardly anybody shares,
 *			and terminals that may not be opened, of another user and not our controlling one.
 *
 * preadv2() with RWF_NOWAIT would be one way for many: but not for terminals, and for pipes only since
 * Linux 6.4. A thread that may block would do for all: but it reads ahead of who asks, and has to be torn
 * from its read() at the end.
 */
#include "host/input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/iov.h"
#include "util/util.h"

/* The terminal itself, which /dev/tty and the like only stand for. */
static unsigned int terminal_number(int fd)
{
	unsigned int number;

	return ioctl(fd, TIOCGDEV, &number) ? 0 : number;
}

static int open_same(const char *path, unsigned int number)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd >= 0 && terminal_number(fd) == number)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* -1: it is none, or can't be. To open a pty's master would make another pty. */
static int open_again(int fd)
{
	unsigned int number = terminal_number(fd), pty;
	char path[32];
	int again;

	if (!number || !ioctl(fd, TIOCGPTN, &pty))
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open_same(path, number);
	return again < 0 ? open_same("/dev/tty", number) : again;
}

bool input_may_last(int fd)
{
	struct stat st;

	return fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode);
}

void input_open(struct input *in, int fd)
{
	struct stat st;

	*in = (struct input){ fd, -1, INPUT_POLLED, { -1, -1 } };
	if (fd < 0 || fstat(fd, &st))
		return;
	if (S_ISFIFO(st.st_mode))
		in->kind = INPUT_PIPE;
	else if (S_ISSOCK(st.st_mode))
		in->kind = INPUT_SOCKET;
	else if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode))
		in->kind = INPUT_PLAIN;
	else if (S_ISCHR(st.st_mode))
		in->opened = open_again(fd);
	if (in->opened >= 0)
		in->fd = in->opened;
}

static ssize_t read_pipe(struct input *in, const struct iovec *iov, unsigned int n)
{
	ssize_t moved, got;
	int error;

	if (in->aside[0] < 0 && pipe2(in->aside, O_CLOEXEC | O_NONBLOCK))
		return -1;
	moved = splice(in->fd, NULL, in->aside[1], NULL, iov_total(iov, n), SPLICE_F_NONBLOCK);
	error = errno;
	/* In any case: what was written with O_DIRECT comes in pieces. */
	got = readv(in->aside[0], iov, (int)n);
	errno = error;
	return got > 0 ? got : moved;
}

static ssize_t read_socket(struct input *in, const struct iovec *iov, unsigned int n)
{
	struct msghdr m = { .msg_iov = (struct iovec *)iov, .msg_iovlen = n };

	return recvmsg(in->fd, &m, MSG_DONTWAIT);
}

/* What poll() finds wrong read() will tell. */
static ssize_t read_polled(struct input *in, const struct iovec *iov, unsigned int n)
{
	struct pollfd readable = { .fd = in->fd, .events = POLLIN };

	if (poll(&readable, 1, 0) == 1)
		return readv(in->fd, iov, (int)n);
	errno = EAGAIN;
	return -1;
}

ssize_t input_read(struct input *in, const struct iovec *iov, unsigned int n)
{
	ssize_t got;

	switch (in->kind) {
	case INPUT_PIPE:
		got = read_pipe(in, iov, n);
		break;
	case INPUT_SOCKET:
		got = read_socket(in, iov, n);
		break;
	case INPUT_POLLED:
		got = read_polled(in, iov, n);
		break;
	default:
		got = readv(in->fd, iov, (int)n);
	}
	if (got >= 0)
		return got;
	return errno == EINTR ? -EAGAIN : -errno;
}

void input_close(struct input *in)
{
	const int fds[] = { in->opened, in->aside[0], in->aside[1] };

	for (unsigned int i = 0; i < ARRAY_SIZE(fds); i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	in->opened = in->aside[0] = in->aside[1] = -1;
}
