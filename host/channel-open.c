/* SPDX-License-Identifier: MIT */
/* How channels come to be: places by their names. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/channel.h"
#include "host/uds.h"
#include "util/clock.h"
#include "util/number.h"
#include "util/util.h"

#define SLICE 100 /* ms */
#define NAME 256
#define SPAWN_FDS (1 + CHANNEL_SPAWN)

extern char **environ;

/* Keeps what was set before. */
static void open_as(struct channel *c, int in, int out)
{
	struct channel before = *c;

	channel_of(c, in, out);
	c->stopped = before.stopped;
	c->opaque = before.opaque;
	c->child = before.child;
	c->words = before.words;
	if (before.patience)
		c->patience = before.patience;
}

/* Behind the word, if it is that: else NULL. */
static const char *behind(const char *where, const char *word)
{
	return strncmp(where, word, strlen(word)) ? NULL : where + strlen(word);
}

/* Until `fd` can do that; `ms` 0: for ever. */
static int wait_until(struct channel *c, int fd, short events, unsigned int ms)
{
	uint64_t end = clock_now() + ms * CLOCK_MS;
	struct pollfd p = { .fd = fd, .events = events };

	while (poll(&p, 1, SLICE) <= 0) {
		if (c->stopped && c->stopped(c->opaque))
			return -ECANCELED;
		if (ms && clock_now() >= end)
			return -ETIMEDOUT;
	}
	return 0;
}

/* ---- TCP ---- */

struct address {
	char host[NAME], port[8];
};

/* HOST:PORT, [HOST]:PORT. */
static int parse_address(const char *text, struct address *a, struct err *err)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;

	if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (!len || len >= NAME || !colon[1] || strlen(colon + 1) >= sizeof(a->port) ||
	    colon[1 + strspn(colon + 1, "0123456789")])
		return err_set(err, EINVAL,
			       "tcp:HOST:PORT is what a place is called: not tcp:%.64s", text);
	memcpy(a->host, text, len);
	a->host[len] = 0;
	strcpy(a->port, colon + 1);
	return 0;
}

static int look_up(const char *text, struct addrinfo **list, struct err *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct address a;
	int rc = parse_address(text, &a, err);

	if (rc)
		return rc;
	rc = getaddrinfo(a.host, a.port, &hints, list);
	return rc ? err_set(err, EHOSTUNREACH, "%.64s: %s", a.host, gai_strerror(rc)) : 0;
}

/* Answers are short, and waited for; a peer whose power went is to be found out. */
static void tune(int fd)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },   { SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, 5 }, /* s */
		{ IPPROTO_TCP, TCP_KEEPINTVL, 5 }, { IPPROTO_TCP, TCP_KEEPCNT, 3 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(options); i++)
		setsockopt(fd, options[i].level, options[i].name, &options[i].value,
			   sizeof(options[i].value));
}

static int connect_one(struct channel *c, const struct addrinfo *a)
{
	int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
			a->ai_protocol);
	int rc = fd < 0 ? -errno : 0, error = 0;
	socklen_t size = sizeof(error);

	if (!rc && connect(fd, a->ai_addr, a->ai_addrlen))
		rc = errno == EINPROGRESS ? wait_until(c, fd, POLLOUT, c->patience) : -errno;
	if (!rc && !getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size))
		rc = -error;
	if (rc && fd >= 0)
		close(fd);
	return rc ? rc : fd;
}

static int connect_tcp(struct channel *c, const char *text, struct err *err)
{
	struct addrinfo *list;
	int rc = look_up(text, &list, err), fd = -EHOSTUNREACH;

	if (rc)
		return rc;
	for (struct addrinfo *a = list; a && fd < 0 && fd != -ECANCELED; a = a->ai_next)
		fd = connect_one(c, a);
	freeaddrinfo(list);
	if (fd < 0)
		return err_set(err, -fd, "tcp:%.200s: %s", text, strerror(-fd));
	tune(fd);
	open_as(c, fd, fd);
	return 0;
}

static int listen_tcp(const char *text, struct err *err)
{
	struct addrinfo *list;
	int rc = look_up(text, &list, err), fd, on = 1;

	if (rc)
		return rc;
	fd = socket(list->ai_family, list->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
		    list->ai_protocol);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, list->ai_addr, list->ai_addrlen) || listen(fd, 1))
		rc = err_set(err, errno, "tcp:%.200s: %s", text, strerror(errno));
	freeaddrinfo(list);
	if (rc && fd >= 0)
		close(fd);
	return rc ? rc : fd;
}

static int accept_tcp(struct channel *c, const char *text, struct err *err)
{
	int listener = listen_tcp(text, err), rc, fd = -1;

	if (listener < 0)
		return listener;
	do {
		rc = wait_until(c, listener, POLLIN, 0);
		if (!rc)
			fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	} while (!rc && fd < 0 && (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR));
	rc = rc ? rc : fd < 0 ? -errno : 0;
	close(listener);
	if (rc)
		return err_set(err, -rc, "tcp:%.200s: %s", text, strerror(-rc));
	tune(fd);
	open_as(c, fd, fd);
	return 0;
}

/* ---- Unix sockets ---- */

static int connect_unix(struct channel *c, const char *path, struct err *err)
{
	int fd = uds_connect(path);

	if (fd < 0)
		return err_set(err, -fd, "unix:%.200s: %s", path, strerror(-fd));
	open_as(c, fd, fd);
	return 0;
}

static int accept_unix(struct channel *c, const char *path, struct err *err)
{
	struct uds_listener l;
	int rc = uds_listen(&l, path, err), fd = -EAGAIN;

	if (rc)
		return rc;
	while (!rc && fd == -EAGAIN) {
		rc = wait_until(c, l.fd, POLLIN, 0);
		if (!rc)
			fd = uds_accept(&l);
	}
	uds_close(&l);
	rc = rc ? rc : fd < 0 ? fd : 0;
	if (rc)
		return err_set(err, -rc, "unix:%.200s: %s", path, strerror(-rc));
	open_as(c, fd, fd);
	return 0;
}

/* ---- Commands ---- */

/* What a program has for ends of ours: its `first`, and those behind it, are these `n`; -1: none there. */
struct program {
	char *const *argv;
	int first;
	unsigned int n;
	int fds[SPAWN_FDS];
	/* A command: a group of its own, so that all it starts can be ended with it, and all signals at their defaults. */
	bool apart;
};

/* Copies have numbers above all that it shall have, so that none is overwritten before it has been copied. */
static int set_fds(posix_spawn_file_actions_t *actions, const struct program *p, int *copies)
{
	for (unsigned int i = 0; i < p->n; i++) {
		if (p->fds[i] < 0)
			continue;
		copies[i] = fcntl(p->fds[i], F_DUPFD_CLOEXEC, p->first + (int)p->n);
		if (copies[i] < 0)
			return -errno;
		posix_spawn_file_actions_adddup2(actions, copies[i], p->first + (int)i);
	}
	return 0;
}

static int spawn(pid_t *pid, const struct program *p)
{
	short flags = POSIX_SPAWN_SETSIGMASK;
	int copies[SPAWN_FDS];
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int rc;

	memset(copies, -1, sizeof(copies));
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	if (p->apart)
		flags |= POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP;
	posix_spawnattr_setflags(&attr, flags);
	rc = set_fds(&actions, p, copies);
	if (!rc)
		rc = -posix_spawnp(pid, p->argv[0], &actions, &attr, p->argv, environ);
	for (unsigned int i = 0; i < p->n; i++) {
		if (copies[i] >= 0)
			close(copies[i]);
	}
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return rc;
}

/* The other end of a socket takes the place of the first `n` of p->fds. */
static int connect_program(struct channel *c, struct program *p, unsigned int n, struct err *err)
{
	int ends[2], rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return err_set(err, errno, "no socket for %s: %s", p->argv[0], strerror(errno));
	for (unsigned int i = 0; i < n; i++)
		p->fds[i] = ends[1];
	rc = spawn(&c->child, p);
	close(ends[1]);
	if (rc) {
		c->child = 0;
		close(ends[0]);
		return err_set(err, -rc, "%s: %s", p->argv[0], strerror(-rc));
	}
	open_as(c, ends[0], ends[0]);
	return 0;
}

static int connect_exec(struct channel *c, const char *command, struct err *err)
{
	char *argv[] = { "/bin/sh", "-c", (char *)(uintptr_t)command, NULL };
	struct program p = { .argv = argv, .n = 2, .apart = true };

	return connect_program(c, &p, 2, err);
}

/* What it prints is kept, so that it can be told to who has asked; but not more than has room. */
static int open_words(void)
{
	int fd = memfd_create("ssh", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int kept = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (fd >= 0)
		close(fd);
	if (kept >= 0 &&
	    (ftruncate(kept, CHANNEL_WORDS) || fcntl(kept, F_ADD_SEALS, F_SEAL_GROW))) {
		close(kept);
		return -1;
	}
	return kept;
}

static int start_ssh(struct channel *c, char *const argv[], struct err *err)
{
	struct program p = { .argv = argv, .n = 3, .apart = true };
	int rc;

	p.fds[2] = open_words();
	c->words = MAX(p.fds[2], 0);
	rc = connect_program(c, &p, 2, err);
	if (rc && c->words)
		close(c->words);
	if (rc)
		c->words = 0;
	return rc;
}

/* (Behind "--" a host is no option, whatever it begins with.) */
static int connect_ssh(struct channel *c, const char *text, const char *command, struct err *err)
{
	char host[NAME], *port;
	/* It may ask nothing: the terminal is the guest's. */
	char *argv[] = { "ssh",
			 "-T",
			 "-oBatchMode=yes",
			 "-oServerAliveInterval=5",
			 "-p",
			 "22",
			 "--",
			 host,
			 (char *)(uintptr_t)command,
			 NULL };

	if (!*text || strlen(text) >= sizeof(host) || *text == '-' || strpbrk(text, "/ "))
		return err_set(
			err, EINVAL,
			"ssh://[USER@]HOST[:PORT] is what a place is called: not ssh://%.64s",
			text);
	strcpy(host, text);
	port = strrchr(host, ':');
	if (port && port[1] && !port[1 + strspn(port + 1, "0123456789")]) {
		*port = 0;
		argv[5] = port + 1;
		return start_ssh(c, argv, err);
	}
	/* The port is ssh's own affair, or its configuration's. */
	memmove(argv + 4, argv + 6, 4 * sizeof(argv[0]));
	return start_ssh(c, argv, err);
}

int channel_spawn(struct channel *c, char *const argv[], const int *fds, unsigned int n,
		  struct err *err)
{
	struct program p = { .argv = argv, .first = 3, .n = n + 1 };
	int rc;

	if (n > CHANNEL_SPAWN)
		return err_set(err, EINVAL, "%u descriptors to hand on", n);
	for (unsigned int i = 0; i < n; i++)
		p.fds[i + 1] = fds[i];
	rc = connect_program(c, &p, 1, err);
	c->is_program = !rc;
	return rc;
}

/* ---- Places ---- */

static int connect_fd(struct channel *c, const char *text, struct err *err)
{
	const char *end;
	uint64_t fd;

	if (number_parse(text, &fd, &end) || *end || fd < 3 || fd > INT32_MAX ||
	    fcntl((int)fd, F_SETFD, FD_CLOEXEC))
		return err_set(err, EBADF, "fd:%.64s: no open socket", text);
	open_as(c, (int)fd, (int)fd);
	return 0;
}

/* They are the channel's from now on: nobody else writes to it by mistake, and when it is closed it is. */
static int at_standard_io(struct channel *c, struct err *err)
{
	int in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	int out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	bool good = in >= 0 && out >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
		    dup2(null, STDOUT_FILENO) >= 0;

	if (null >= 0)
		close(null);
	if (!good)
		return err_set(err, errno, "standard input and output: %s", strerror(errno));
	open_as(c, in, out);
	return 0;
}

static int unknown(const char *where, struct err *err)
{
	return err_set(err, EINVAL,
		       "%.64s is no place: tcp:HOST:PORT, unix:PATH, exec:COMMAND, "
		       "ssh://[USER@]HOST or fd:N",
		       where);
}

bool channel_is_place(const char *where)
{
	return !strcmp(where, "-") || behind(where, "tcp:") || behind(where, "unix:") ||
	       behind(where, "exec:") || behind(where, "ssh://") || behind(where, "fd:");
}

int channel_connect(struct channel *c, const char *where, const char *command, struct err *err)
{
	const char *rest;

	if (!c->patience)
		c->patience = CHANNEL_PATIENCE;
	if ((rest = behind(where, "tcp:")))
		return connect_tcp(c, rest, err);
	if ((rest = behind(where, "unix:")))
		return connect_unix(c, rest, err);
	if ((rest = behind(where, "exec:")))
		return connect_exec(c, rest, err);
	if ((rest = behind(where, "ssh://")))
		return connect_ssh(c, rest, command, err);
	if ((rest = behind(where, "fd:")))
		return connect_fd(c, rest, err);
	return unknown(where, err);
}

int channel_accept(struct channel *c, const char *where, struct err *err)
{
	const char *rest;

	if ((rest = behind(where, "tcp:")))
		return accept_tcp(c, rest, err);
	if ((rest = behind(where, "unix:")))
		return accept_unix(c, rest, err);
	if ((rest = behind(where, "exec:")))
		return connect_exec(c, rest, err);
	if ((rest = behind(where, "fd:")))
		return connect_fd(c, rest, err);
	if (!strcmp(where, "-"))
		return at_standard_io(c, err);
	return unknown(where, err);
}
