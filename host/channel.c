/* SPDX-License-Identifier: MIT */
#include "host/channel.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/iov.h"
#include "util/clock.h"
#include "util/util.h"

#define SLICE 100 /* ms of waiting, between looks whether to stop */
#define CHILD_TRIES 50
#define CHILD_STEP 10000 /* us */
#define LINGER 1000	 /* ms */
#define PIPE_ROOM 4096	 /* bytes that a pipe takes without waiting, if it takes any */
#define SOCKET_ROOM (1024 * 1024)

/*
 * Who has filled a Unix socket is woken when three quarters of it are read. By Linux's default, not even one of the
 * wire's larger frames, two busy sides wait for each other for a third of the time. (TCP's grow by themselves, and would
 * not any more.) As much of it as the host allows.
 */
static void make_room(int fd)
{
	int domain = 0, room = SOCKET_ROOM;
	socklen_t size = sizeof(domain);

	if (!getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) && domain == AF_UNIX)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
}

void channel_of(struct channel *c, int in, int out)
{
	int type;
	socklen_t size = sizeof(type);

	*c = (struct channel){
		.in = in,
		.out = out,
		.is_socket = in == out && !getsockopt(in, SOL_SOCKET, SO_TYPE, &type, &size),
		.patience = CHANNEL_PATIENCE,
	};
	if (c->is_socket)
		make_room(out);
}

static int failed(struct err *err, int code)
{
	switch (code) {
	case 0:
	case EPIPE:
	case ECONNRESET:
		return err_set(err, EPIPE, "the other side has closed the link");
	case ECANCELED:
		return err_set(err, ECANCELED, "it was cancelled");
	default:
		return err_set(err, code, "the link: %s", strerror(code));
	}
}

int channel_check(const struct channel *c, struct err *err)
{
	return c->stopped && c->stopped(c->opaque) ? failed(err, ECANCELED) : 0;
}

/* Until `fd` is ready for that. */
static int wait_for(struct channel *c, int fd, short events, struct err *err)
{
	uint64_t end = clock_now() + c->patience * CLOCK_MS;
	struct pollfd p = { .fd = fd, .events = events };
	int rc = 0;

	do {
		rc = channel_check(c, err);
		if (rc)
			return rc;
		rc = poll(&p, 1, SLICE);
	} while ((!rc || (rc < 0 && errno == EINTR)) && clock_now() < end);
	if (rc > 0)
		return 0;
	if (rc < 0 && errno != EINTR)
		return failed(err, errno);
	return err_set(err, ETIMEDOUT, "nothing came or went on the link for %u s",
		       c->patience / 1000);
}

static bool is_passing(int code)
{
	return code == EAGAIN || code == EINTR;
}

/* A reader who is awaited mostly: tried before it is waited for. */
int channel_read(struct channel *c, void *to, size_t len, struct err *err)
{
	uint8_t *p = to;

	while (len) {
		ssize_t n = -1;
		int rc = channel_check(c, err);

		if (rc)
			return rc;
		errno = EAGAIN;
		if (c->is_socket)
			n = recv(c->in, p, len, MSG_DONTWAIT);
		if (n < 0 && is_passing(errno))
			rc = wait_for(c, c->in, POLLIN, err);
		if (rc)
			return rc;
		if (n < 0 && is_passing(errno))
			n = c->is_socket ? recv(c->in, p, len, MSG_DONTWAIT) : read(c->in, p, len);
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else if (!n || !is_passing(errno)) {
			return failed(err, n ? errno : 0);
		}
	}
	return 0;
}

static ssize_t write_some(struct channel *c, struct iovec *iov, unsigned int n)
{
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = n };

	if (c->is_socket)
		return sendmsg(c->out, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	return write(c->out, iov->iov_base, MIN(iov->iov_len, (size_t)PIPE_ROOM));
}

int channel_write(struct channel *c, struct iovec *iov, unsigned int n, struct err *err)
{
	ssize_t done;
	int rc = 0;

	n = iov_advance(&iov, n, 0);
	while (n) {
		/* Of a pipe only poll() tells that it has room. */
		rc = c->is_socket ? channel_check(c, err) : wait_for(c, c->out, POLLOUT, err);
		if (rc)
			return rc;
		done = write_some(c, iov, n);
		if (done >= 0)
			n = iov_advance(&iov, n, (size_t)done);
		else if (errno == EAGAIN)
			rc = wait_for(c, c->out, POLLOUT, err);
		else if (errno != EINTR)
			rc = failed(err, errno);
		if (rc)
			return rc;
	}
	return 0;
}

bool channel_end_program(struct channel *c)
{
	siginfo_t info;

	if (!c->is_program)
		return false;
	kill(c->child, SIGKILL);
	while (waitid(P_PID, (id_t)c->child, &info, WEXITED | WNOWAIT) && errno == EINTR)
		;
	c->stopped = NULL;
	c->patience = 1;
	return true;
}

bool channel_has_input(const struct channel *c)
{
	struct pollfd p = { .fd = c->in, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

void channel_drain(struct channel *c)
{
	uint64_t end = clock_now() + LINGER * CLOCK_MS;
	struct pollfd p = { .fd = c->in, .events = POLLIN };
	uint8_t bytes[4096];

	if (c->is_socket)
		shutdown(c->out, SHUT_WR);
	while (clock_now() < end && poll(&p, 1, SLICE) >= 0) {
		if (p.revents && read(c->in, bytes, sizeof(bytes)) <= 0)
			return;
	}
}

void channel_hang_up(struct channel *c)
{
	if (c->is_socket)
		shutdown(c->out, SHUT_RDWR);
}

static bool has_ended(pid_t child)
{
	for (unsigned int i = 0; i < CHILD_TRIES; i++) {
		if (waitpid(child, NULL, WNOHANG))
			return true;
		usleep(CHILD_STEP);
	}
	return false;
}

static void end_all(pid_t child, int sig)
{
	kill(-child, sig);
	kill(child, sig);
}

/* It has lost its end of the link, and mostly goes by itself. */
static void end_child(pid_t child)
{
	if (has_ended(child))
		return;
	end_all(child, SIGTERM);
	if (has_ended(child))
		return;
	end_all(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* Somebody else's words, on their way to a terminal. */
void channel_explain(const struct channel *c, struct err *err)
{
	char text[CHANNEL_WORDS + 1], why[sizeof(err->text)];
	ssize_t len = c->words > 0 ? pread(c->words, text, CHANNEL_WORDS, 0) : 0;
	char *line = text;

	if (len <= 0)
		return;
	/* (What was not written of it is zeros.) */
	text[len] = 0;
	len = (ssize_t)strlen(text);
	while (len && text[len - 1] <= ' ')
		text[--len] = 0;
	for (char *p = text; *p; p++) {
		if (*p == '\n')
			line = p + 1;
		else if (*p < ' ' || *p > '~')
			*p = *p == '\r' ? ' ' : '?';
	}
	snprintf(why, sizeof(why), "%s", err->text);
	if (*line)
		snprintf(err->text, sizeof(err->text), "%.200s (%.200s)", why, line);
}

void channel_leave(struct channel *c)
{
	if (c->words > 0)
		close(c->words);
	c->words = 0;
	if (!c->in && !c->out)
		return;
	close(c->in);
	if (c->out != c->in)
		close(c->out);
	*c = (struct channel){ 0 };
}

void channel_close(struct channel *c)
{
	pid_t child = c->child;

	channel_leave(c);
	if (child > 0)
		end_child(child);
}
