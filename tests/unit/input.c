/* SPDX-License-Identifier: MIT */
/*
 * host/input on every kind of file: it reads what is there, says so where there is nothing, and never
 * waits, not even when another reader was faster; and it leaves the file as it was.
 */
#include "host/input.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "host/stream.h"
#include "tests/unit/tap.h"

#define BYTES 20000

static void must(bool fine)
{
	if (!fine) {
		printf("Bail out! the test can't be set up\n");
		exit(1);
	}
}

static ssize_t read_some(struct input *in, char *got, size_t size)
{
	struct iovec iov[2] = { { got, 2 }, { got + 2, size - 2 } };

	memset(got, 0, size);
	return input_read(in, iov, 2);
}

/* `to` is what to write to, -1: nothing comes. */
static void test_kind(const char *what, int fd, int to)
{
	int flags = fcntl(fd, F_GETFL);
	struct input in;
	char got[8];

	input_open(&in, fd);
	ok(read_some(&in, got, sizeof(got)) == -EAGAIN, "%s: nothing there", what);
	if (to >= 0) {
		must(write(to, "0123456789", 10) == 10);
		ok(read_some(&in, got, sizeof(got)) == 8 && !memcmp(got, "01234567", 8),
		   "%s: as much as fits", what);
		ok(read_some(&in, got, sizeof(got)) == 2 && !memcmp(got, "89", 2), "%s: the rest",
		   what);
		ok(read_some(&in, got, sizeof(got)) == -EAGAIN, "%s: nothing again", what);
		close(to);
		ok(read_some(&in, got, sizeof(got)) <= 0 && read_some(&in, got, 4) != -EAGAIN,
		   "%s: the end", what);
	}
	input_close(&in);
	input_close(&in);
	ok(fcntl(fd, F_GETFL) == flags, "%s: is as it was", what);
	close(fd);
}

static void test_pipes(void)
{
	char path[] = "/tmp/input-test-XXXXXX", fifo[64];
	int fds[2], fd;
	struct input in;
	char got[8];

	must(!pipe(fds));
	test_kind("a pipe", fds[0], fds[1]);
	must(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	test_kind("a socket", fds[0], fds[1]);
	must(mkdtemp(path) && snprintf(fifo, sizeof(fifo), "%s/fifo", path) > 0 &&
	     !mkfifo(fifo, 0600));
	fd = open(fifo, O_RDWR);
	must(fd >= 0);
	fds[0] = open(fifo, O_RDONLY);
	fds[1] = open(fifo, O_WRONLY);
	close(fd);
	test_kind("a FIFO", fds[0], fds[1]);
	unlink(fifo);
	rmdir(path);

	must(!pipe2(fds, O_DIRECT) && write(fds[1], "abc", 3) == 3 && write(fds[1], "de", 2) == 2);
	input_open(&in, fds[0]);
	ok(read_some(&in, got, sizeof(got)) == 3 && read_some(&in, got, sizeof(got)) == 2 &&
		   !memcmp(got, "de", 2) && read_some(&in, got, sizeof(got)) == -EAGAIN,
	   "a pipe of packets");
	input_close(&in);
	close(fds[0]);
	close(fds[1]);
}

static void test_terminal(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave;
	struct termios raw;

	must(master >= 0 && !grantpt(master) && !unlockpt(master));
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
	must(slave >= 0 && !tcgetattr(slave, &raw));
	cfmakeraw(&raw);
	must(!tcsetattr(slave, TCSANOW, &raw));
	test_kind("a pty's other side", master, -1);
	master = posix_openpt(O_RDWR | O_NOCTTY);
	must(master >= 0 && !unlockpt(master));
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
	must(slave >= 0 && !tcsetattr(slave, TCSANOW, &raw));
	test_kind("a terminal", slave, master);
}

static void test_files(void)
{
	char path[] = "/tmp/input-test-XXXXXX", got[8];
	int fd = mkstemp(path);
	struct input in;

	must(fd >= 0 && write(fd, "0123", 4) == 4 && lseek(fd, 1, SEEK_SET) == 1);
	unlink(path);
	input_open(&in, fd);
	ok(read_some(&in, got, sizeof(got)) == 3 && !memcmp(got, "123", 3) &&
		   read_some(&in, got, sizeof(got)) == 0,
	   "a file: from where it stands to its end");
	input_close(&in);
	close(fd);
	fd = open("/dev/null", O_RDONLY);
	input_open(&in, fd);
	ok(read_some(&in, got, sizeof(got)) == 0, "/dev/null: the end");
	close(fd);
	fd = open("/dev/zero", O_RDONLY);
	input_open(&in, fd);
	ok(read_some(&in, got, sizeof(got)) == 8, "/dev/zero: as much as fits");
	close(fd);
	fd = open("/", O_RDONLY);
	input_open(&in, fd);
	ok(read_some(&in, got, sizeof(got)) == -EISDIR, "a directory: an error");
	close(fd);
	test_kind("an eventfd", eventfd(0, 0), -1);
	input_open(&in, -1);
	ok(read_some(&in, got, sizeof(got)) < 0, "none: an error");
	input_close(&in);
}

/* ---- Another reader ---- */

struct thief {
	int fd;
	_Atomic unsigned int taken;
};

/* Zero is its end. */
static void *thief_main(void *arg)
{
	struct thief *t = arg;
	char c = 1;

	while (read(t->fd, &c, 1) == 1 && c)
		t->taken++;
	return NULL;
}

static void nothing(void *opaque)
{
	(void)opaque;
}

/* By a stream, as for a command in the guest. If it ever waits for a byte, it waits for good: the alarm ends us. */
static void race(const char *what, int fd, int to)
{
	static const struct log quiet = { .fd = -1, .level = LOG_ERROR, .name = "test" };
	struct stream_config config = { dup(fd), false, what, nothing, NULL };
	struct thief thief = { .fd = fd };
	struct loop *loop = loop_create("test");
	unsigned int ours = 0;
	struct stream *s;
	pthread_t thread;
	char c = 1;
	struct iovec iov = { &c, 1 };

	must(loop && !stream_open(&config, loop, &quiet, &s, NULL) &&
	     !pthread_create(&thread, NULL, thief_main, &thief));
	alarm(60);
	for (unsigned int i = 0; i < BYTES; i++) {
		c = 1;
		must(write(to, &c, 1) == 1);
		ours += s->ops->read(s, &iov, 1) == 1;
	}
	while (ours + thief.taken < BYTES)
		ours += s->ops->read(s, &iov, 1) == 1;
	ok(ours + thief.taken == BYTES, "%s that another reads, too: %u bytes of %u are ours", what,
	   ours, BYTES);
	alarm(0);
	c = 0;
	must(write(to, &c, 1) == 1);
	stream_close(s);
	pthread_join(thread, NULL);
	loop_destroy(loop);
	close(fd);
	close(to);
}

static void test_races(void)
{
	unsigned int number;
	struct termios raw;
	int fds[2];

	must(!pipe(fds));
	race("a pipe", fds[0], fds[1]);
	must(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	race("a socket", fds[0], fds[1]);
	fds[1] = posix_openpt(O_RDWR | O_NOCTTY);
	must(fds[1] >= 0 && !unlockpt(fds[1]));
	fds[0] = ioctl(fds[1], TIOCGPTPEER, O_RDWR | O_NOCTTY);
	must(fds[0] >= 0 && !tcgetattr(fds[0], &raw));
	cfmakeraw(&raw);
	must(!tcsetattr(fds[0], TCSANOW, &raw));
	if (ioctl(fds[0], TIOCGDEV, &number)) {
		ok(true,
		   "a terminal that another reads, too # SKIP no TIOCGDEV (QEMU's emulation lacks it)");
		return;
	}
	race("a terminal", fds[0], fds[1]);
}

int main(void)
{
	signal(SIGTTIN, SIG_IGN);
	test_pipes();
	test_terminal();
	test_files();
	test_races();
	return done_testing();
}
