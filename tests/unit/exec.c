/* SPDX-License-Identifier: MIT */
/* guest/exec with streams of the test's own; and host/stream on pipes. */
#include "guest/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest/init/exec.h"
#include "tests/unit/tap.h"
#include "util/util.h"

enum { CONTROL, STDIN, STDOUT, STDERR };

struct sink {
	struct stream stream;
	size_t takes, taken;
};

struct fixture {
	struct loop *loop;
	struct exec *exec;
	struct sink sinks[3];
	struct named_stream ports[EXEC_PORTS];
	unsigned int n_ports;
	_Atomic unsigned int ends;
	enum exec_end how;
	int value;
	_Atomic unsigned int inputs;
};

static void attach(struct stream *s, const struct stream_client *client)
{
	(void)s, (void)client;
}

static ssize_t read_nothing(struct stream *s, const struct iovec *iov, unsigned int n)
{
	(void)s, (void)iov, (void)n;
	return STREAM_LATER;
}

static size_t sink_write(struct stream *s, const struct iovec *iov, unsigned int n)
{
	struct sink *sink = container_of(s, struct sink, stream);
	size_t done = 0;

	for (unsigned int i = 0; i < n; i++) {
		size_t part = MIN(iov[i].iov_len, sink->takes - done);

		done += part;
	}
	sink->taken += done;
	sink->takes -= done;
	return done;
}

static void no_end(struct stream *s)
{
	(void)s;
}

static const struct stream_ops sink_ops = { attach, read_nothing, sink_write, no_end };

static void ended(void *opaque, enum exec_end how, int value)
{
	struct fixture *f = opaque;

	f->ends++;
	f->how = how;
	f->value = value;
}

static void count_input(void *opaque)
{
	atomic_fetch_add((_Atomic unsigned int *)opaque, 1);
}

static void set_up(struct fixture *f)
{
	struct exec_config config = { .ended = ended, .opaque = f };
	struct stream_client client = { .input = count_input, .opaque = &f->inputs };

	memset(f, 0, sizeof(*f));
	f->loop = loop_create("loop");
	for (int i = 0; i < 3; i++)
		f->sinks[i] = (struct sink){ { &sink_ops }, SIZE_MAX, 0 };
	config.in = &f->sinks[0].stream;
	config.out = &f->sinks[1].stream;
	config.err = &f->sinks[2].stream;
	if (exec_create(&config, f->loop, &f->exec, NULL))
		exit(1);
	f->n_ports = exec_ports(f->exec, f->ports);
	f->ports[CONTROL].stream->ops->attach(f->ports[CONTROL].stream, &client);
}

static void tear_down(struct fixture *f)
{
	exec_destroy(f->exec);
	loop_destroy(f->loop);
}

static size_t write_to(struct fixture *f, int port, const void *data, size_t len)
{
	struct stream *s = f->ports[port].stream;
	struct iovec iov = { (void *)data, len };

	return s->ops->write(s, &iov, 1);
}

static void message(struct fixture *f, uint32_t type, const void *body, uint32_t len)
{
	struct exec_message m = { type, len };
	struct iovec iov[2] = { { &m, sizeof(m) }, { (void *)body, len } };
	struct stream *s = f->ports[CONTROL].stream;

	s->ops->write(s, iov, 2);
}

static void begin(struct fixture *f)
{
	struct exec_hello hello = { EXEC_VERSION, "6.1.0-test", "" };

	set_up(f);
	message(f, EXEC_HELLO, &hello, sizeof(hello));
	message(f, EXEC_STARTED, NULL, 0);
}

static void exited(struct fixture *f, uint32_t status, uint64_t out, uint64_t err)
{
	struct exec_exited m = { status, 0, out, err };

	message(f, EXEC_EXITED, &m, sizeof(m));
}

static bool lost(const struct fixture *f)
{
	return f->ends == 1 && f->how == EXEC_END_LOST && exec_why(f->exec)[0];
}

static bool status_is(const struct fixture *f, int status)
{
	return f->ends == 1 && f->how == EXEC_END_STATUS && f->value == status;
}

static void test_status(struct fixture *f)
{
	uint8_t got[64];
	struct iovec iov = { got, sizeof(got) };
	struct exec_message ack;
	struct stream *s;

	begin(f);
	ok(f->n_ports == EXEC_PORTS && !strcmp(f->ports[STDERR].name, EXEC_PORT_STDERR) &&
		   !strcmp(exec_release(f->exec), "6.1.0-test"),
	   "ports, and the kernel's version");
	write_to(f, STDOUT, "hello", 5);
	write_to(f, STDERR, "!", 1);
	exited(f, 42, 5, 1);
	ok(status_is(f, 42) && f->sinks[1].taken == 5 && f->sinks[2].taken == 1, "a status");
	s = f->ports[CONTROL].stream;
	ok(s->ops->read(s, &iov, 1) == sizeof(ack) && (memcpy(&ack, got, sizeof(ack)), 1) &&
		   ack.type == EXEC_ACK && !ack.len && s->ops->read(s, &iov, 1) == STREAM_LATER,
	   "is acknowledged");
	ok(write_to(f, STDOUT, "more", 4) == 4 && f->sinks[1].taken == 5,
	   "and nothing goes out behind it");
	exited(f, 1, 0, 0);
	exec_stopped(f->exec);
	ok(status_is(f, 42), "nor does it change");
	tear_down(f);
}

/* It would not end before all bytes are there that it cares to announce. */
static void test_dribble(struct fixture *f)
{
	unsigned int i;

	begin(f);
	exited(f, 0, 1000, 0);
	for (i = 0; i < 80 && !f->ends; i++) {
		write_to(f, STDOUT, "x", i % 2);
		usleep(100000);
	}
	ok(lost(f), "a guest that goes on and on gets no more patience: %u", i);
	tear_down(f);

	begin(f);
	f->sinks[1].takes = 0;
	exited(f, 7, 30, 0);
	for (i = 0; i < 30; i++) {
		usleep(200000);
		write_to(f, STDOUT, "0123456789", 10);
		f->sinks[1].takes = 1;
		write_to(f, STDOUT, "0123456789", 10);
	}
	ok(status_is(f, 7), "a reader that does gets it: %u", (unsigned int)f->ends);
	tear_down(f);
}

static void test_counts(struct fixture *f)
{
	begin(f);
	exited(f, 7, 10, 0);
	ok(!f->ends, "output that is missing is waited for");
	write_to(f, STDOUT, "12345", 5);
	ok(!f->ends && write_to(f, STDOUT, "6789abc", 7) == 7 && status_is(f, 7) &&
		   f->sinks[1].taken == 10,
	   "up to the count, and no further");
	tear_down(f);

	begin(f);
	f->sinks[1].takes = 3;
	exited(f, 7, 10, 0);
	ok(write_to(f, STDOUT, "0123456789", 10) == 3 && !f->ends, "a reader holds it up");
	f->sinks[1].takes = 100;
	ok(write_to(f, STDOUT, "3456789", 7) == 7 && status_is(f, 7), "and lets it go");
	tear_down(f);

	begin(f);
	write_to(f, STDOUT, "0123456789", 10);
	exited(f, 0, 9, 0);
	ok(lost(f), "more output than there is said to be");
	tear_down(f);

	begin(f);
	exited(f, 0, 0, UINT64_MAX);
	exec_stopped(f->exec);
	ok(lost(f), "less, when the guest has ended");
	tear_down(f);
}

static void test_rules(struct fixture *f)
{
	struct exec_hello hello = { EXEC_VERSION, "x", "" };
	struct exec_failed failed = { ENOENT, "no \033[1mway" };
	uint8_t huge[EXEC_MESSAGE_MAX + 64] = { 0 };

	set_up(f);
	exec_stopped(f->exec);
	ok(lost(f), "a guest that says nothing");
	tear_down(f);
	set_up(f);
	exited(f, 0, 0, 0);
	ok(lost(f), "an end before the beginning");
	tear_down(f);
	set_up(f);
	hello.version++;
	message(f, EXEC_HELLO, &hello, sizeof(hello));
	ok(lost(f), "another version");
	tear_down(f);
	set_up(f);
	hello.version--;
	memset(hello.release, 'x', sizeof(hello.release));
	message(f, EXEC_HELLO, &hello, sizeof(hello));
	ok(lost(f), "a text without an end");
	tear_down(f);
	begin(f);
	exited(f, 256, 0, 0);
	ok(lost(f), "a status beyond 255");
	tear_down(f);
	for (uint32_t type = 0; type < 8; type++) {
		begin(f);
		message(f, type, huge, sizeof(huge));
		ok(lost(f), "a long message of type %u", type);
		tear_down(f);
	}
	set_up(f);
	for (size_t i = 0; i < sizeof(failed) + 8; i++) {
		struct exec_message m = { EXEC_FAILED, sizeof(failed) };
		uint8_t all[sizeof(m) + sizeof(failed)];

		memcpy(all, &m, sizeof(m));
		memcpy(all + sizeof(m), &failed, sizeof(failed));
		write_to(f, CONTROL, all + i, 1);
	}
	ok(f->ends == 1 && f->how == EXEC_END_FAILED &&
		   !strcmp(exec_why(f->exec), "no ?[1mway: No such file or directory"),
	   "a failure, byte by byte");
	tear_down(f);
	set_up(f);
	failed = (struct exec_failed){ 0, "t\xc3\xa4 \x9b"
					  "31m \xc2\x9b"
					  "31m \xff\xe2\x82\xac \xe2\x82" };
	message(f, EXEC_FAILED, &failed, sizeof(failed));
	ok(!strcmp(exec_why(f->exec), "t\xc3\xa4 ?31m ?31m ?\xe2\x82\xac ??"),
	   "letters pass, and what is none does not");
	tear_down(f);
	begin(f);
	failed.error = EIO;
	message(f, EXEC_FAILED, &failed, sizeof(failed));
	ok(f->ends == 1 && f->how == EXEC_END_LOST && strstr(exec_why(f->exec), "output error"),
	   "a root that can't be read: it was there, and nothing is known of the command");
	tear_down(f);
}

static void test_messages(struct fixture *f)
{
	uint32_t got[8] = { 0 };
	struct iovec iov[2] = { { got, 5 }, { (uint8_t *)got + 5, 27 } };
	struct stream *s;

	set_up(f);
	ok(!exec_signal(f->exec, 2), "a signal has nobody to go to before the command");
	tear_down(f);
	begin(f);
	s = f->ports[CONTROL].stream;
	ok(exec_signal(f->exec, 2) && exec_signal(f->exec, 2) && atomic_load(&f->inputs) == 2,
	   "then it has");
	ok(s->ops->read(s, iov, 2) == 12 && got[0] == EXEC_SIGNAL && got[1] == 4 && got[2] == 2,
	   "which gets it once, in pieces");
	exec_window(f->exec, 24, 80);
	exec_window(f->exec, 50, 132);
	ok(s->ops->read(s, iov, 1) == 5 && s->ops->read(s, iov + 1, 1) == 7 &&
		   got[0] == EXEC_WINDOW && got[1] == 4 && got[2] == (132 << 16 | 50),
	   "the last of two windows, in two reads");
	ok(s->ops->read(s, iov, 2) == STREAM_LATER, "and no more");
	message(f, EXEC_MARKED, NULL, 0);
	ok(s->ops->read(s, iov, 2) == STREAM_LATER, "a mark is no answer");
	exec_seen(f->exec);
	ok(s->ops->read(s, iov, 2) == 8 && got[0] == EXEC_SEEN && !got[1],
	   "but to have seen it is");
	ok(s->ops->read(s, iov, 2) == STREAM_LATER, "once");
	tear_down(f);
	begin(f);
	s = f->ports[CONTROL].stream;
	exec_seen(f->exec);
	ok(s->ops->read(s, iov, 2) == STREAM_LATER, "seen before it is told");
	message(f, EXEC_MARKED, NULL, 0);
	ok(s->ops->read(s, iov, 2) == 8 && got[0] == EXEC_SEEN, "is seen, too");
	tear_down(f);
	set_up(f);
	message(f, EXEC_MARKED, NULL, 0);
	ok(lost(f), "a mark before the command");
	tear_down(f);
}

/* ---- host/stream ---- */

struct told {
	_Atomic unsigned int input, room, failed;
};

static void on_input(void *opaque)
{
	atomic_fetch_add(&((struct told *)opaque)->input, 1);
}

static void on_room(void *opaque)
{
	atomic_fetch_add(&((struct told *)opaque)->room, 1);
}

static void on_failed(void *opaque)
{
	atomic_fetch_add(&((struct told *)opaque)->failed, 1);
}

static struct stream *open_stream(int fd, bool is_output, struct loop *loop, struct told *told)
{
	static const struct log quiet = { .fd = -1, .level = LOG_ERROR, .name = "test" };
	struct stream_config config = { fd, is_output, "a stream", on_failed, told };
	struct stream_client client = { on_input, on_room, told };
	struct stream *s;

	memset(told, 0, sizeof(*told));
	if (stream_open(&config, loop, &quiet, &s, NULL))
		exit(1);
	s->ops->attach(s, &client);
	return s;
}

static bool wait_for(_Atomic unsigned int *count)
{
	for (int i = 0; i < 10000 && !atomic_load(count); i++)
		usleep(1000);
	return atomic_load(count);
}

static void test_input(struct loop *loop)
{
	char got[8];
	struct iovec iov = { got, sizeof(got) };
	struct told told;
	struct stream *s;
	int fds[2];

	if (pipe(fds))
		exit(1);
	s = open_stream(fds[0], false, loop, &told);
	ok(s->ops->read(s, &iov, 1) == STREAM_LATER, "nothing to read yet");
	if (write(fds[1], "0123456789", 10) != 10)
		exit(1);
	ok(wait_for(&told.input) && s->ops->read(s, &iov, 1) == 8 && !memcmp(got, "01234567", 8),
	   "then there is, and it is told");
	ok(s->ops->read(s, &iov, 1) == 2, "the rest");
	close(fds[1]);
	ok(s->ops->read(s, &iov, 1) == STREAM_END && s->ops->read(s, &iov, 1) == STREAM_END,
	   "and the end");
	s->ops->attach(s, NULL);
	stream_close(s);
	s = open_stream(open("/", O_RDONLY), false, loop, &told);
	ok(s->ops->read(s, &iov, 1) == STREAM_END && atomic_load(&told.failed) == 1,
	   "what can't be read is a failure");
	stream_close(s);
	s = open_stream(-1, false, loop, &told);
	ok(s->ops->read(s, &iov, 1) == STREAM_END && !atomic_load(&told.failed), "none, an end");
	stream_close(s);
}

static void test_output(struct loop *loop)
{
	size_t size = 1 << 20, done, n = 0;
	uint8_t *data = malloc(size), *got = malloc(size);
	struct iovec iov = { data, size };
	struct told told;
	struct stream *s;
	ssize_t part = 0;
	int fds[2];

	for (size_t i = 0; i < size; i++)
		data[i] = (uint8_t)(i * 7 + (i >> 12));
	if (pipe(fds))
		exit(1);
	s = open_stream(fds[1], true, loop, &told);
	done = s->ops->write(s, &iov, 1);
	ok(done && done < size, "a slow reader: %zu KiB are taken", done / 1024);
	for (; n < size && part >= 0; n += (size_t)part) {
		struct iovec rest = { data + done, size - done };

		part = read(fds[0], got + n, size - n);
		done += s->ops->write(s, &rest, 1);
	}
	ok(n == size && done == size && !memcmp(data, got, size) && wait_for(&told.room),
	   "all of it, in order");
	iov.iov_len = 5;
	s->ops->write(s, &iov, 1);
	s->ops->end(s);
	ok(read(fds[0], got, size) == 5 && read(fds[0], got, size) == 0,
	   "the guest's end is one for the reader, behind the last bytes");
	stream_close(s);
	close(fds[0]);

	if (pipe(fds))
		exit(1);
	s = open_stream(fds[1], true, loop, &told);
	ok(s->ops->read(s, &iov, 1) == STREAM_LATER, "a reader is there");
	close(fds[0]);
	s->ops->write(s, &iov, 1);
	ok(wait_for(&told.input) && s->ops->read(s, &iov, 1) == STREAM_END, "and gone: an end");
	iov.iov_len = size;
	ok(s->ops->write(s, &iov, 1) == size && !atomic_load(&told.failed),
	   "what follows is dropped");
	stream_close(s);

	s = open_stream(open("/dev/full", O_WRONLY), true, loop, &told);
	s->ops->write(s, &iov, 1);
	ok(wait_for(&told.failed), "a full disk is a failure");
	stream_close(s);
	free(data);
	free(got);
}

int main(void)
{
	struct loop *loop = loop_create("loop");
	struct fixture f;

	signal(SIGPIPE, SIG_IGN);
	test_status(&f);
	test_counts(&f);
	test_dribble(&f);
	test_rules(&f);
	test_messages(&f);
	test_input(loop);
	test_output(loop);
	loop_destroy(loop);
	return done_testing();
}
