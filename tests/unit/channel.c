/* SPDX-License-Identifier: MIT */
/* host/channel: who waits is told to stop, whatever flows; and what becomes of a command at the other end. */
#include "host/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/tap.h"
#include "util/clock.h"

#define LOTS (64u << 20)  /* bytes */
#define PIECE (64u << 10) /* of those, in one go: the kernel asks nobody while it moves them */

static bool after_ten(void *opaque)
{
	unsigned int *asked = opaque;

	return ++*asked > 10;
}

static void *flood(void *opaque)
{
	static const char bytes[65536];
	const int *fd = opaque;

	while (send(*fd, bytes, sizeof(bytes), MSG_NOSIGNAL) > 0)
		;
	return NULL;
}

static void *swallow(void *opaque)
{
	static char bytes[65536];
	const int *fd = opaque;

	while (recv(*fd, bytes, sizeof(bytes), 0) > 0)
		;
	return NULL;
}

static int move_lots(struct channel *c, char *bytes, bool writes, struct err *err)
{
	int rc = 0;

	for (size_t at = 0; !rc && at < LOTS; at += PIECE) {
		struct iovec part = { bytes, PIECE };

		rc = writes ? channel_write(c, &part, 1, err) : channel_read(c, bytes, PIECE, err);
	}
	return rc;
}

/* The link is never idle: nobody waits for it, and it is asked all the same. */
static void test_stopped(void)
{
	for (unsigned int writes = 0; writes < 2; writes++) {
		unsigned int asked = 0;
		struct channel c;
		struct err err = { "" };
		char *bytes = calloc(1, PIECE);
		pthread_t t;
		int ends[2], rc;

		if (!bytes || socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
			abort();
		channel_of(&c, ends[0], ends[0]);
		c.stopped = after_ten;
		c.opaque = &asked;
		pthread_create(&t, NULL, writes ? swallow : flood, &ends[1]);
		rc = move_lots(&c, bytes, writes, &err);
		ok(rc == -ECANCELED, "%s that is never kept waiting stops: %s",
		   writes ? "who writes" : "who reads", err.text);
		channel_close(&c);
		pthread_join(t, NULL);
		close(ends[1]);
		free(bytes);
	}
}

static void test_silent(void)
{
	struct channel c;
	struct err err = { "" };
	int ends[2];
	char byte;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		abort();
	channel_of(&c, ends[0], ends[0]);
	c.patience = 300;
	ok(channel_read(&c, &byte, 1, &err) == -ETIMEDOUT, "who is silent counts as dead: %s",
	   err.text);
	close(ends[1]);
	ok(channel_read(&c, &byte, 1, &err) == -EPIPE, "who has gone has: %s", err.text);
	channel_close(&c);
	channel_close(&c);
}

/* ---- Commands ---- */

/* The command says the number of a process that it has started, which ends by itself not before long. */
static pid_t start(struct channel *c, const char *command)
{
	char text[16] = "";
	struct err err = { "" };
	int rc = channel_connect(c, command, NULL, &err);

	for (unsigned int i = 0; !rc && i < sizeof(text) - 1; i++) {
		rc = channel_read(c, text + i, 1, &err);
		if (text[i] == '\n')
			break;
	}
	if (rc)
		printf("# %s\n", err.text);
	return rc ? 0 : (pid_t)atoi(text);
}

/* (Its parent is gone: whoever has inherited it may take a moment to bury it.) */
static bool is_alive(pid_t pid)
{
	char path[64], state = 0;
	FILE *f;
	bool is;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	is = f && fscanf(f, "%*d (%*[^)]) %c", &state) == 1 && state != 'Z';
	if (f)
		fclose(f);
	return is;
}

static bool dies(pid_t pid)
{
	for (unsigned int i = 0; i < 1000 && is_alive(pid); i++)
		usleep(10000);
	return !is_alive(pid);
}

static void test_close(const char *what, const char *command)
{
	struct channel c = { 0 };
	pid_t pid = start(&c, command), child = c.child;

	ok(pid > 0 && is_alive(pid), "%s is at the other end", what);
	channel_close(&c);
	ok(waitpid(child, NULL, WNOHANG) < 0 && errno == ECHILD, "it has been waited for");
	ok(dies(pid), "and so is what it has started");
}

static void test_leave(void)
{
	struct channel c = { 0 };
	pid_t pid = start(&c, "exec:echo $$; exec sleep 1000"), child = c.child;

	channel_leave(&c);
	usleep(100000);
	ok(pid > 0 && pid == child && is_alive(pid), "who is left lives on");
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static void test_polite(void)
{
	struct channel c = { 0 };
	uint64_t begin;

	start(&c, "exec:echo 1; read line");
	begin = clock_now();
	channel_close(&c);
	ok(clock_now() - begin < 400 * CLOCK_MS, "one that goes by itself is not waited for");
}

/* Its own standard streams are the link's then: so it is another process. */
static void test_standard_io(void)
{
	int ends[2];
	pid_t pid;
	char byte;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		abort();
	pid = fork();
	if (!pid) {
		struct channel c = { 0 };
		struct err err;

		dup2(ends[1], 0);
		dup2(ends[1], 1);
		close(ends[0]);
		close(ends[1]);
		if (channel_accept(&c, "-", &err))
			_exit(1);
		if (write(1, "x", 1) != 1)
			_exit(2);
		channel_close(&c);
		usleep(20000000);
		_exit(3);
	}
	close(ends[1]);
	ok(read(ends[0], &byte, 1) == 0,
	   "what is printed goes not over the link, which ends when the channel does");
	close(ends[0]);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int main(void)
{
	test_stopped();
	test_silent();
	test_polite();
	test_close("a process", "exec:echo $$; exec sleep 1000");
	test_close("a pipeline", "exec:sleep 1000 & echo $!; wait");
	test_close("one that wants to stay", "exec:trap '' TERM; sleep 1000 & echo $!; wait");
	test_leave();
	test_standard_io();
	return done_testing();
}
