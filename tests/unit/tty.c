/* SPDX-License-Identifier: MIT */
/*
 * term/tty between a device and pipes, files and a terminal. All of it runs in a child that leads a
 * session of its own, since a pseudo-terminal must be its controlling one.
 */
#include "term/terminal.h"
#include "term/tty.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "term/scan.h"
#include "tests/unit/tap.h"
#include "util/file.h"
#include "util/util.h"

/* Waits for what another thread does; a machine under load gets ten seconds. */
#define eventually(condition)                       \
	({                                          \
		int left_ = 10000;                  \
		while (!(condition) && left_-- > 0) \
			usleep(1000);               \
		left_ >= 0;                         \
	})

struct fixture {
	struct loop *loop;
	struct tty *tty;
	int log_pipe[2]; /* what log_at() says */
	struct log log;
	int port;
	_Atomic int inputs, rooms, breaks, resizes, left;
	_Atomic int inputs_before_break;
	_Atomic bool slow, returned; /* on_input() takes a while; it has come back */
	int found[8], n_found;
};

static void on_input(void *opaque)
{
	struct fixture *f = opaque;

	f->inputs++;
	if (f->slow)
		usleep(50000);
	f->returned = true;
}

static void on_room(void *opaque)
{
	((struct fixture *)opaque)->rooms++;
}

static void on_break(void *opaque)
{
	struct fixture *f = opaque;

	f->inputs_before_break = f->inputs;
	f->breaks++;
}

static void on_resized(void *opaque)
{
	((struct fixture *)opaque)->resizes++;
}

static void on_leave(void *opaque)
{
	((struct fixture *)opaque)->left++;
}

static void on_found(void *opaque, int what)
{
	struct fixture *f = opaque;

	if (f->n_found < 8)
		f->found[f->n_found++] = what;
}

static int attach(struct fixture *f)
{
	struct tty_client client = { on_input, on_room, on_break, on_resized, f };

	return tty_attach(f->tty, &client);
}

static void set_up(struct fixture *f, int in, int out, int log_fd)
{
	struct tty_config config = { in, out, log_fd, on_leave, on_found, f, NULL };

	memset(f, 0, sizeof(*f));
	if (pipe2(f->log_pipe, O_CLOEXEC | O_NONBLOCK))
		abort();
	f->log = (struct log){ .fd = f->log_pipe[1], .level = LOG_WARNING, .name = "test" };
	f->loop = loop_create("test");
	if (tty_create(&config, f->loop, &f->log, &f->tty, NULL))
		abort();
	f->port = attach(f);
}

static void tear_down(struct fixture *f)
{
	tty_destroy(f->tty);
	loop_destroy(f->loop);
	close(f->log_pipe[0]);
	close(f->log_pipe[1]);
}

static int warnings(struct fixture *f)
{
	char text[4096];
	ssize_t n = read(f->log_pipe[0], text, sizeof(text));
	int lines = 0;

	for (ssize_t i = 0; i < n; i++)
		lines += text[i] == '\n';
	return lines;
}

static void make_pipe(int fds[2])
{
	if (pipe2(fds, O_CLOEXEC))
		abort();
}

static int temp_file(void)
{
	char path[] = "/tmp/tty-test-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);

	if (fd < 0)
		abort();
	unlink(path);
	return fd;
}

/*
 * Threads of this process. One that was joined may show for a moment more, and a sanitizer may have
 * its own: compare with what there was, by eventually().
 */
static int threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	int n = -2; /* . and .. */

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

/* A loop that spins would use most of this time. */
static bool is_idle(void)
{
	struct timespec before, after;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	usleep(100000);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	return (after.tv_sec - before.tv_sec) * 1000000000l + after.tv_nsec - before.tv_nsec <
	       20000000;
}

/* Byte number i of an output that is long. */
static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 7 + (i >> 8));
}

/* As a device does: what is refused is offered again when there is room. */
static bool write_pattern(struct fixture *f, size_t len)
{
	size_t done = 0;

	while (done < len) {
		uint8_t chunk[1000];
		size_t n = MIN(len - done, sizeof(chunk)), taken;
		int rooms = f->rooms;

		for (size_t i = 0; i < n; i++)
			chunk[i] = pattern(done + i);
		taken = tty_write(f->tty, f->port, chunk, n);
		done += taken;
		if (taken < n && !eventually(f->rooms > rooms))
			return false;
	}
	return true;
}

struct reader_thread {
	pthread_t thread;
	int fd;
	bool slow;
	size_t len, wrong;
};

static void *read_pattern(void *opaque)
{
	struct reader_thread *r = opaque;
	uint8_t chunk[5000];
	ssize_t n;

	while ((n = read(r->fd, chunk, sizeof(chunk))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			r->wrong += chunk[i] != pattern(r->len++);
		if (r->slow)
			usleep(500);
	}
	return NULL;
}

/* 1 MiB through a pipe to a reader. What is accepted must be there after tty_destroy(). */
static void test_pipe(bool slow, int flags, const char *name)
{
	enum { LEN = 1024 * 1024 };
	struct reader_thread r = { .slow = slow };
	struct fixture f;
	int fds[2];
	bool all;

	make_pipe(fds);
	fcntl(fds[1], F_SETFL, flags);
	r.fd = fds[0];
	set_up(&f, -1, fds[1], -1);
	pthread_create(&r.thread, NULL, read_pattern, &r);
	all = write_pattern(&f, LEN);
	tear_down(&f);
	close(fds[1]);
	pthread_join(r.thread, NULL);
	ok(all && r.len == LEN && !r.wrong, "%s gets all bytes", name);
	close(fds[0]);
}

static bool file_has_pattern(int fd, size_t len)
{
	struct reader_thread r = { .fd = fd };

	lseek(fd, 0, SEEK_SET);
	read_pattern(&r);
	return r.len == len && !r.wrong;
}

static void test_file_and_log(void)
{
	struct fixture f;
	int out = temp_file(), log_fd = temp_file(), log_copy = dup(log_fd);
	bool all;

	set_up(&f, -1, out, log_fd);
	all = write_pattern(&f, 300000);
	tear_down(&f);
	ok(all && file_has_pattern(out, 300000), "a file gets all bytes");
	ok(file_has_pattern(log_copy, 300000), "so does the log");
	ok(fcntl(out, F_GETFD) >= 0 && fcntl(log_fd, F_GETFD) < 0,
	   "the log is closed, stdout is not");
	close(out);
	close(log_copy);
}

static void test_nowhere(void)
{
	struct fixture f;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), log_fd = temp_file(),
	    log_copy = dup(log_fd);
	int before = threads();
	char c;

	set_up(&f, -1, -1, -1);
	ok(write_pattern(&f, 300000) && eventually(threads() <= before),
	   "without stdout and log no thread is needed");
	ok(tty_read(f.tty, f.port, &c, 1) == 0, "there is no input");
	tty_want_input(f.tty, f.port);
	ok(tty_read(f.tty, f.port, &c, 1) == 0 && eventually(threads() <= before),
	   "nor, when it is wanted");
	tear_down(&f);

	set_up(&f, -1, -1, log_fd);
	write_pattern(&f, 300000);
	tear_down(&f);
	ok(file_has_pattern(log_copy, 300000), "without stdout the log gets all");
	close(log_copy);

	set_up(&f, null, null, -1);
	tty_want_input(f.tty, f.port);
	ok(write_pattern(&f, 300000) && tty_read(f.tty, f.port, &c, 1) == 0,
	   "/dev/null on both sides");
	tear_down(&f);
	close(null);
}

static void test_bounded(void)
{
	struct fixture f;
	struct reader_thread r = { 0 };
	uint8_t chunk[4096];
	size_t done = 0, n;
	int fds[2];

	make_pipe(fds);
	set_up(&f, -1, fds[1], -1);
	for (int quiet = 0; quiet < 100; quiet = n ? 0 : quiet + 1) {
		for (size_t i = 0; i < sizeof(chunk); i++)
			chunk[i] = pattern(done + i);
		n = tty_write(f.tty, f.port, chunk, sizeof(chunk));
		done += n;
		usleep(n ? 0 : 1000);
	}
	ok(done >= 64 * 1024 && done <= 256 * 1024, "a stuck reader: %zu bytes are taken, no more",
	   done);
	f.rooms = 0;
	usleep(20000);
	ok(f.rooms == 0 && tty_write(f.tty, f.port, chunk, 1) == 0, "refused, without blocking");
	n = (size_t)read(fds[0], chunk, sizeof(chunk));
	for (size_t i = 0; i < n; i++)
		r.wrong += chunk[i] != pattern(i);
	ok(n == sizeof(chunk) && eventually(f.rooms > 0), "it reads on: there is room");
	r.fd = fds[0];
	r.len = n;
	pthread_create(&r.thread, NULL, read_pattern, &r);
	tear_down(&f);
	close(fds[1]);
	pthread_join(r.thread, NULL);
	ok(r.len == done && !r.wrong, "all that was taken has been written");
	close(fds[0]);
}

static void test_gone_reader(void)
{
	struct fixture f;
	int log_fd = temp_file(), log_copy = dup(log_fd), fds[2];
	bool all;

	make_pipe(fds);
	set_up(&f, -1, fds[1], log_fd);
	close(fds[0]);
	all = write_pattern(&f, 500000); /* SIGPIPE would kill us here */
	tty_write(f.tty, f.port, "\nreboot: Power down", 19);
	ok(all, "a reader that is gone holds up nothing");
	ok(f.n_found == 1 && f.found[0] == SCAN_POWEROFF, "what follows is scanned");
	ok(warnings(&f) == 0, "it is no news");
	tear_down(&f);
	ok(lseek(log_copy, 0, SEEK_END) == 500019, "and logged");
	close(fds[1]);
	close(log_copy);
}

/* A reader that goes while the writer waits for it. */
static void test_reader_goes(void)
{
	struct fixture f;
	uint8_t chunk[4096] = { 0 };
	int fds[2], quiet = 0;

	make_pipe(fds);
	set_up(&f, -1, fds[1], -1);
	while (quiet < 50) {
		quiet = tty_write(f.tty, f.port, chunk, sizeof(chunk)) ? 0 : quiet + 1;
		usleep(1000);
	}
	f.rooms = 0;
	close(fds[0]);
	ok(eventually(f.rooms > 0) && write_pattern(&f, 500000),
	   "a stuck reader that dies lets go");
	tear_down(&f);
	close(fds[1]);
}

static void test_full_log(void)
{
	struct fixture f;
	int out = temp_file(), full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	bool all;

	set_up(&f, -1, out, full);
	all = write_pattern(&f, 300000);
	ok(all && eventually(warnings(&f) == 1), "a full disk under the log is told");
	write_pattern(&f, 0);
	ok(warnings(&f) == 0, "once");
	tear_down(&f);
	ok(file_has_pattern(out, 300000), "and the console lives on");

	full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	set_up(&f, -1, full, -1);
	all = write_pattern(&f, 300000);
	ok(all && eventually(warnings(&f) == 1), "a full disk under stdout is told");
	tear_down(&f);
	close(out);
	close(full);
}

static void test_ports(void)
{
	struct fixture f;
	int ports[4], extra;

	set_up(&f, -1, -1, -1);
	ports[0] = f.port;
	for (int i = 1; i < 4; i++)
		ports[i] = attach(&f);
	extra = attach(&f);
	ok(ports[0] == 0 && ports[3] == 3 && extra == -ENOSPC, "four ports");
	tty_write(f.tty, 0, "[    1.000000] reboot: Po", 25);
	tty_write(f.tty, 1, "noise\n", 6);
	ok(f.n_found == 0, "nothing is found yet");
	tty_write(f.tty, 0, "wer down", 8);
	ok(f.n_found == 1 && f.found[0] == SCAN_POWEROFF, "lines of two ports don't mix");
	tty_detach(f.tty, 2);
	ok(attach(&f) == 2, "a port is free after its detach");
	tear_down(&f);
}

static void test_lazy(void)
{
	struct fixture f;
	int in[2], out[2], waiting = 0, before = threads();

	make_pipe(in);
	make_pipe(out);
	write_full(in[1], "text", 4);
	set_up(&f, in[0], out[1], -1);
	usleep(10000);
	ioctl(in[0], FIONREAD, &waiting);
	ok(eventually(threads() <= before) && waiting == 4,
	   "no thread and no byte is taken before it is needed");
	tty_write(f.tty, f.port, "x", 1);
	ok(eventually(threads() == before + 1), "the first byte of output makes the writer");
	tty_want_input(f.tty, f.port);
	ok(eventually(threads() == before + 2 && f.inputs > 0),
	   "the first wish for input makes the loop");
	tear_down(&f);
	for (int i = 0; i < 2; i++) {
		close(in[i]);
		close(out[i]);
	}
}

static size_t read_for(struct fixture *f, char *text, size_t len)
{
	size_t done = 0;

	(void)eventually((done += tty_read(f->tty, f->port, text + done, len - done)) == len);
	return done;
}

static void test_input(void)
{
	struct fixture f;
	static char data[60000], back[60000];
	int fds[2], waiting = 0, file, inputs;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)pattern(i);
	make_pipe(fds);
	write_full(fds[1], data, sizeof(data));
	set_up(&f, fds[0], -1, -1);
	tty_want_input(f.tty, f.port);
	ok(eventually(f.inputs > 0), "input is told");
	ok(is_idle() && f.inputs < 5, "once, and waited for");
	ioctl(fds[0], FIONREAD, &waiting);
	ok(waiting >= 50000, "and read no faster than the guest takes it (%d wait)", waiting);
	ok(read_for(&f, back, sizeof(back)) == sizeof(back) && !memcmp(data, back, sizeof(back)),
	   "a pipe's bytes come unchanged, Ctrl-a too");
	close(fds[1]);
	usleep(20000);
	inputs = f.inputs;
	ok(is_idle() && f.inputs == inputs && tty_read(f.tty, f.port, back, 1) == 0,
	   "at its end there's silence");
	tear_down(&f);
	close(fds[0]);

	file = temp_file();
	write_full(file, data, sizeof(data));
	lseek(file, 0, SEEK_SET);
	set_up(&f, file, -1, -1);
	tty_want_input(f.tty, f.port);
	memset(back, 0, sizeof(back));
	ok(read_for(&f, back, sizeof(back)) == sizeof(back) && !memcmp(data, back, sizeof(back)),
	   "a file's bytes come");
	tear_down(&f);
	close(file);
}

/* Bytes from no fd, as who embeds a VM has them. */
static void test_fed(void)
{
	struct fixture f;
	static uint8_t much[70000];
	char text[8] = "";
	int before = threads();

	set_up(&f, -1, -1, -1);
	ok(tty_feed(f.tty, "early", 5) == 5 && threads() == before,
	   "bytes that are fed before anybody listens are kept, by no thread");
	tty_want_input(f.tty, f.port);
	ok(eventually(f.inputs > 0) && tty_read(f.tty, f.port, text, 8) == 5 &&
		   !memcmp(text, "early", 5),
	   "and told to who does");
	f.inputs = 0;
	ok(tty_feed(f.tty, "\1x", 2) == 2 && eventually(f.inputs > 0) && f.left == 0 &&
		   tty_read(f.tty, f.port, text, 8) == 2 && text[0] == 1,
	   "later ones too, Ctrl-a being no key there");
	ok(tty_feed(f.tty, much, sizeof(much)) == 65536 && tty_feed(f.tty, much, 1) == 0,
	   "64 KiB at most");
	ok(tty_feed(f.tty, much, 0) == 0, "nothing is nothing");
	tear_down(&f);
}

static void test_input_moves(void)
{
	struct fixture f;
	char text[8] = "";
	int fds[2], second, inputs;

	make_pipe(fds);
	set_up(&f, fds[0], -1, -1);
	second = attach(&f);
	tty_want_input(f.tty, f.port);
	write_full(fds[1], "abcd", 4);
	ok(eventually(f.inputs > 0) && tty_read(f.tty, second, text, 4) == 0,
	   "input comes to one port");
	f.inputs = 0;
	tty_want_input(f.tty, second);
	ok(eventually(f.inputs > 0), "the port that wants it now is told what waits");
	ok(tty_read(f.tty, f.port, text, 4) == 0 && tty_read(f.tty, second, text, 4) == 4,
	   "and gets it");
	tty_leave_input(f.tty, second);
	inputs = f.inputs;
	ok(write(fds[1], "back", 4) == 4 && eventually(f.inputs > inputs) &&
		   tty_read(f.tty, second, text, 4) == 0 && tty_read(f.tty, f.port, text, 4) == 4 &&
		   !memcmp(text, "back", 4),
	   "who listens no longer leaves it to who did before");
	tty_leave_input(f.tty, f.port);
	ok(write(fds[1], "kept", 4) == 4 && tty_read(f.tty, f.port, text, 4) == 0,
	   "nobody listens");
	tty_want_input(f.tty, second);
	ok(eventually(tty_read(f.tty, second, text, 4) == 4) && !memcmp(text, "kept", 4),
	   "what came then is for the next");
	tear_down(&f);
	close(fds[0]);
	close(fds[1]);
}

static void test_detach(void)
{
	struct fixture f;
	int fds[2];

	make_pipe(fds);
	set_up(&f, fds[0], -1, -1);
	f.slow = true;
	tty_want_input(f.tty, f.port);
	write_full(fds[1], "x", 1);
	ok(eventually(f.inputs == 1), "a callback runs");
	tty_detach(f.tty, f.port);
	ok(f.returned, "detach waits for it");
	write_full(fds[1], "x", 1);
	usleep(20000);
	ok(f.inputs == 1, "and no other comes");
	tear_down(&f);
	close(fds[0]);
	close(fds[1]);
}

/* A pseudo-terminal: we hold both ends. */
struct pty {
	int master, slave;
	struct termios before;
};

static void open_pty(struct pty *pty)
{
	struct winsize size = { .ws_col = 80, .ws_row = 25 };

	pty->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (pty->master < 0 || grantpt(pty->master) || unlockpt(pty->master))
		abort();
	pty->slave = open(ptsname(pty->master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (pty->slave < 0 || ioctl(pty->slave, TIOCSCTTY, 1))
		abort();
	ioctl(pty->slave, TIOCSWINSZ, &size);
	tcgetattr(pty->slave, &pty->before);
	fcntl(pty->master, F_SETFL, O_NONBLOCK);
}

static void close_pty(struct pty *pty)
{
	ioctl(pty->slave, TIOCNOTTY);
	close(pty->slave);
	close(pty->master);
}

static bool is_raw(const struct pty *pty)
{
	struct termios now;

	tcgetattr(pty->slave, &now);
	return !(now.c_lflag & (ICANON | ECHO | ISIG)) && !(now.c_iflag & (ICRNL | IXON));
}

static bool is_as_before(const struct pty *pty)
{
	struct termios now;

	tcgetattr(pty->slave, &now);
	return now.c_lflag == pty->before.c_lflag && now.c_iflag == pty->before.c_iflag &&
	       now.c_oflag == pty->before.c_oflag && now.c_cflag == pty->before.c_cflag;
}

/* What the person sees within ten seconds, until it has `text`. */
static bool sees(const struct pty *pty, const char *text)
{
	char screen[4096] = "";
	size_t len = 0;

	return eventually(({
		ssize_t n = read(pty->master, screen + len, sizeof(screen) - 1 - len);

		len += n > 0 ? (size_t)n : 0;
		strstr(screen, text);
	}));
}

static void keys(const struct pty *pty, const char *text)
{
	write_full(pty->master, text, strlen(text));
}

static void test_terminal(void)
{
	struct fixture f;
	struct pty pty;
	struct termios raw;
	char text[16] = "";
	int log_fd = temp_file(), log_copy = dup(log_fd);

	open_pty(&pty);
	set_up(&f, pty.slave, pty.slave, log_fd);
	tcgetattr(pty.slave, &raw);
	ok(is_raw(&pty) && raw.c_oflag == pty.before.c_oflag,
	   "raw from the start, output as it was");
	keys(&pty, "early\003");
	keys(&pty, "\001h");
	ok(sees(&pty, "Ctrl-a x"), "Ctrl-a h helps, before the guest listens");
	keys(&pty, "\001z");
	ok(sees(&pty, "Ctrl-a h"), "Ctrl-a with any other key hints at it");
	tty_want_input(f.tty, f.port);
	ok(eventually(f.inputs > 0), "what was typed early is told");
	ok(read_for(&f, text, 6) == 6 && !strcmp(text, "early\003"), "and comes, Ctrl-C too");

	keys(&pty, "\001a");
	keys(&pty, "\001\001x");
	ok(read_for(&f, text, 3) == 3 && !memcmp(text, "\001\001x", 3) && f.left == 0,
	   "Ctrl-a a and Ctrl-a Ctrl-a send Ctrl-a");
	f.inputs = 0;
	keys(&pty, "k\001b");
	ok(eventually(f.breaks == 1), "Ctrl-a b breaks");
	ok(f.inputs_before_break > 0 && tty_read(f.tty, f.port, text, 1) == 1,
	   "after what was typed before");
	keys(&pty, "\001");
	usleep(5000);
	keys(&pty, "x");
	ok(eventually(f.left == 1), "Ctrl-a x leaves");
	tty_write(f.tty, f.port, "line\n", 5);
	ok(sees(&pty, "line\r\n"), "output is processed");
	ok(tty_read(f.tty, f.port, text, 1) == 0, "nothing else came");
	tear_down(&f);
	ok(is_as_before(&pty), "the terminal is restored");
	ok(lseek(log_copy, 0, SEEK_END) == 5, "the log has the guest's words only");
	close(log_copy);
	close_pty(&pty);
}

/* Types on, with letters from a to z; as many as the terminal takes now. */
static size_t type_letters(const struct pty *pty, size_t from, size_t to)
{
	char letters[512];
	size_t n = MIN(to - from, sizeof(letters));
	ssize_t rc;

	for (size_t i = 0; i < n; i++)
		letters[i] = (char)('a' + (from + i) % 26);
	rc = write(pty->master, letters, n);
	return rc > 0 ? (size_t)rc : 0;
}

static void test_paste(void)
{
	enum { LEN = 200000 };
	struct fixture f;
	struct pty pty;
	size_t sent = 0, got = 0, wrong = 0, n;

	open_pty(&pty);
	set_up(&f, pty.slave, pty.slave, -1);
	for (int idle = 0; idle < 100; idle = n ? 0 : idle + 1) {
		n = type_letters(&pty, sent, LEN);
		sent += n;
		usleep(n ? 0 : 1000);
	}
	ok(sent >= 64 * 1024 && sent < LEN, "a paste that nobody reads: %zu are held", sent);
	tty_want_input(f.tty, f.port);
	for (int idle = 0; got < LEN && idle < 10000; idle = n ? 0 : idle + 1) {
		char back[100];

		n = tty_read(f.tty, f.port, back, sizeof(back));
		for (size_t i = 0; i < n; i++)
			wrong += back[i] != (char)('a' + got++ % 26);
		sent += type_letters(&pty, sent, LEN);
		usleep(n ? 0 : 1000);
	}
	ok(got == LEN && !wrong, "when it is read all %zu come", got);
	tear_down(&f);
	close_pty(&pty);
}

/* A terminal takes a part of what is written. */
static void test_slow_terminal(void)
{
	enum { LEN = 300000 };
	struct reader_thread r = { .slow = true };
	struct termios raw;
	struct fixture f;
	struct pty pty;
	bool all;

	open_pty(&pty);
	fcntl(pty.master, F_SETFL, 0);
	raw = pty.before;
	cfmakeraw(&raw);
	tcsetattr(pty.slave, TCSANOW, &raw);
	fcntl(pty.slave, F_SETFL, O_NONBLOCK);
	set_up(&f, -1, pty.slave, -1);
	r.fd = pty.master;
	pthread_create(&r.thread, NULL, read_pattern, &r);
	all = write_pattern(&f, LEN);
	tear_down(&f);
	ioctl(pty.slave, TIOCNOTTY);
	close(pty.slave); /* the reader's end of file */
	pthread_join(r.thread, NULL);
	ok(all && r.len == LEN && !r.wrong, "a slow terminal gets all bytes");
	close(pty.master);
}

static void test_resize(void)
{
	struct fixture f;
	struct pty pty;
	struct winsize size = { .ws_col = 132, .ws_row = 50 };
	unsigned int columns = 0, rows = 0;

	open_pty(&pty);
	set_up(&f, -1, pty.slave, -1);
	ok(!is_raw(&pty), "stdout alone isn't made raw");
	ok(tty_size(f.tty, &columns, &rows) && columns == 80 && rows == 25, "the window's size");
	tty_poke(f.tty);
	usleep(20000);
	ok(f.resizes == 0, "unchanged: nothing is told");
	ioctl(pty.slave, TIOCSWINSZ, &size);
	tty_poke(f.tty);
	ok(eventually(f.resizes == 1), "changed: told");
	ok(tty_size(f.tty, &columns, &rows) && columns == 132 && rows == 50, "the new size");
	tear_down(&f);
	set_up(&f, -1, -1, -1);
	ok(!tty_size(f.tty, &columns, &rows), "no terminal, no size");
	tear_down(&f);
	close_pty(&pty);
}

static void test_stopped_and_continued(void)
{
	struct fixture f;
	struct pty pty;

	open_pty(&pty);
	set_up(&f, pty.slave, pty.slave, -1);
	errno = 1234;
	terminal_restore();
	ok(errno == 1234 && is_as_before(&pty), "terminal_restore(), as before a stop");
	terminal_restore();
	ok(is_as_before(&pty), "twice");
	tty_poke(f.tty);
	ok(errno == 1234 && eventually(is_raw(&pty)), "tty_poke(), as after SIGCONT: raw again");
	tear_down(&f);
	ok(is_as_before(&pty), "restored");
	close_pty(&pty);
}

/* Another job of this session, to be in the foreground in our place. */
static pid_t other_job(void)
{
	pid_t pid = fork();

	if (!pid) {
		setpgid(0, 0);
		pause();
		_exit(0);
	}
	setpgid(pid, pid);
	return pid;
}

static void test_background(void)
{
	struct fixture f;
	struct pty pty;
	pid_t other;
	int waiting = 0;
	char text[8];

	signal(SIGTTOU, SIG_IGN); /* tcsetpgrp() from the background */
	open_pty(&pty);
	other = other_job();
	tcsetpgrp(pty.slave, other);
	set_up(&f, pty.slave, pty.slave, -1);
	tty_want_input(f.tty, f.port);
	keys(&pty, "x\n");
	usleep(20000);
	ioctl(pty.slave, FIONREAD, &waiting);
	ok(is_as_before(&pty) && waiting == 2 && f.inputs == 0,
	   "in the background nothing is touched");
	tty_poke(f.tty);
	usleep(20000);
	ok(is_as_before(&pty) && f.inputs == 0, "nor when we continue there");
	tcsetpgrp(pty.slave, getpgrp());
	tty_poke(f.tty);
	ok(eventually(is_raw(&pty)), "brought to the foreground: raw");
	ok(read_for(&f, text, 2) == 2, "and read");

	tcsetpgrp(pty.slave, other);
	terminal_restore();
	ok(is_raw(&pty), "terminal_restore() in the background touches nothing");
	keys(&pty, "y");
	usleep(20000);
	tcsetpgrp(pty.slave, getpgrp());
	tty_poke(f.tty);
	ok(read_for(&f, text, 1) == 1 && text[0] == 'y', "back again, nothing is lost");
	tear_down(&f);
	ok(is_as_before(&pty), "restored");
	close_pty(&pty);
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	signal(SIGTTOU, SIG_DFL);
}

static void test_hangup(void)
{
	struct fixture f;
	struct pty pty;

	open_pty(&pty);
	set_up(&f, pty.slave, pty.slave, -1);
	tty_want_input(f.tty, f.port);
	close(pty.master);
	pty.master = -1;
	ok(write_pattern(&f, 300000), "a terminal that vanished holds up nothing");
	ok(is_idle(), "and keeps nobody busy");
	errno = 1234;
	terminal_restore();
	ok(errno == 1234, "nor does what failed show in errno");
	tear_down(&f);
	close_pty(&pty);
}

static int run(void)
{
	signal(SIGHUP, SIG_IGN); /* it comes with each terminal that we let go */
	test_pipe(false, 0, "a pipe");
	test_pipe(true, 0, "a slow reader");
	test_pipe(true, O_NONBLOCK, "a pipe that is non-blocking already");
	test_file_and_log();
	test_nowhere();
	test_bounded();
	test_gone_reader();
	test_reader_goes();
	test_full_log();
	test_ports();
	test_lazy();
	test_input();
	test_fed();
	test_input_moves();
	test_detach();
	test_terminal();
	test_slow_terminal();
	test_paste();
	test_resize();
	test_stopped_and_continued();
	test_background();
	test_hangup();
	return done_testing();
}

int main(void)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		setsid();
		exit(run());
	}
	if (waitpid(pid, &status, 0) != pid)
		return 1;
	if (WIFSIGNALED(status))
		printf("Bail out! signal %d\n", WTERMSIG(status));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
