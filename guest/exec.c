/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. The guest's output passes through a struct relay, which counts it; the control
 * port's stream is our own. EXEC_EXITED announces two counts, and the end is told when both are reached:
 * output and control come through different queues, so that the word of the end may come first. If it is
 * not all there after PATIENCE_S, but for what a reader outside took, the guest has lied.
 *
 * To the guest goes no queue of messages: a set of signals, the last window, an acknowledgement. Each waits
 * once, however often it was asked for.
 */
#include "guest/exec.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "guest/init/exec.h"
#include "host/iov.h"
#include "util/utf8.h"
#include "util/util.h"

#define PATIENCE_S 5

enum state {
	SILENT,
	GREETED,
	STARTED,
	EXITED, /* output is missing */
	OVER,
};

/* A stream of the command's output. */
struct relay {
	struct stream stream;
	struct exec *exec;
	struct stream *to;
	uint64_t bytes;	    /* received */
	uint64_t announced; /* once it has exited */
	bool ended;	    /* the guest has closed it */
	bool blocked;	    /* `to` did not take all: what is missing may wait behind that */
};

struct exec {
	struct exec_config config;
	struct loop *loop;

	pthread_mutex_t lock; /* a leaf, but for the loop's and the streams' */
	_Atomic int state;
	struct relay out, err;
	int status;
	char why[320];
	char release[65];
	int timer_fd;
	loop_id timer;

	/* Control. */
	struct stream control;
	uint32_t got; /* of the message that comes */
	_Alignas(uint64_t) uint8_t message[sizeof(struct exec_message) + EXEC_MESSAGE_MAX];
	_Atomic uint64_t signals; /* bit n: signal n is to be told */
	_Atomic uint32_t window;  /* rows << 16 | columns, to be told; 0: none */
	bool acknowledge;
	bool marked; /* the guest waits to hear that its mark was seen */
	atomic_bool seen;
	uint32_t to_send, sent; /* of `send`: a message that the guest has in part */
	uint8_t send[sizeof(struct exec_message) + 4];
	void (*_Atomic input)(void *opaque);
	void *_Atomic input_opaque;
};

/* What is to be told once the lock is free again. */
struct end {
	bool is;
	enum exec_end how;
	int value;
};

static void over(struct exec *e, enum exec_end how, int value, struct end *end)
{
	atomic_store(&e->state, OVER);
	*end = (struct end){ true, how, value };
}

static void lost(struct exec *e, const char *why, struct end *end)
{
	snprintf(e->why, sizeof(e->why), "the command's status is lost: %s", why);
	e->out.announced = e->err.announced = UINT64_MAX;
	over(e, EXEC_END_LOST, 0, end);
}

static void unlock_and_tell(struct exec *e, const struct end *end)
{
	pthread_mutex_unlock(&e->lock);
	if (end->is)
		e->config.ended(e->config.opaque, end->how, end->value);
}

/* The control port has something for the guest. Async-signal-safe. */
static void offer(struct exec *e)
{
	void (*input)(void *opaque) = atomic_load(&e->input);

	if (input)
		input(atomic_load(&e->input_opaque));
}

/* ---- Waiting for what the guest has promised ---- */

static void on_timer(void *opaque, uint32_t events)
{
	struct exec *e = opaque;
	struct itimerspec again = { .it_value.tv_sec = PATIENCE_S };
	struct end end = { 0 };
	uint64_t times;

	(void)events;
	pthread_mutex_lock(&e->lock);
	if (read(e->timer_fd, &times, sizeof(times)) != sizeof(times) ||
	    atomic_load(&e->state) == OVER)
		; /* set again meanwhile, or no more needed */
	else if (e->out.blocked || e->err.blocked)
		timerfd_settime(e->timer_fd, 0, &again, NULL);
	else if (atomic_load(&e->state) == EXITED)
		lost(e, "the guest did not send all the output that it announced", &end);
	else
		lost(e, "the guest's init has closed its control port", &end);
	unlock_and_tell(e, &end);
}

/* From now on, or again. */
static void start_timer(struct exec *e, struct end *end)
{
	struct itimerspec when = { .it_value.tv_sec = PATIENCE_S };
	int rc = 0;

	if (e->timer_fd < 0) {
		e->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		rc = e->timer_fd < 0
			     ? -errno
			     : loop_add(e->loop, e->timer_fd, EPOLLIN, on_timer, e, &e->timer);
	}
	if (rc || timerfd_settime(e->timer_fd, 0, &when, NULL))
		lost(e, "there is no timer to wait for its output", end);
}

/* `patience`: from now on, and not from when it was last granted. */
static void check_counts(struct exec *e, bool patience, struct end *end)
{
	if (e->out.bytes > e->out.announced || e->err.bytes > e->err.announced) {
		lost(e, "the guest has sent more output than it says", end);
	} else if (e->out.bytes == e->out.announced && e->err.bytes == e->err.announced) {
		e->acknowledge = true;
		offer(e);
		over(e, EXEC_END_STATUS, e->status, end);
	} else if (patience) {
		start_timer(e, end);
	}
}

/* ---- The command's output ---- */

static struct relay *relay_of(struct stream *s)
{
	return container_of(s, struct relay, stream);
}

static void relay_attach(struct stream *s, const struct stream_client *client)
{
	struct relay *r = relay_of(s);

	r->to->ops->attach(r->to, client);
}

static ssize_t relay_read(struct stream *s, const struct iovec *iov, unsigned int n)
{
	struct relay *r = relay_of(s);

	return r->to->ops->read(r->to, iov, n);
}

/* The first `most` bytes of a list: how many were taken. */
static size_t write_part(struct stream *to, const struct iovec *iov, unsigned int n, uint64_t most)
{
	size_t done = 0;

	for (unsigned int i = 0; i < n && done < most; i++) {
		struct iovec piece = iov[i];
		size_t taken;

		piece.iov_len = MIN(piece.iov_len, (size_t)(most - done));
		taken = to->ops->write(to, &piece, 1);
		done += taken;
		if (taken < piece.iov_len)
			break;
	}
	return done;
}

/* What goes beyond the announced is taken from the guest and dropped. */
static size_t relay_write(struct stream *s, const struct iovec *iov, unsigned int n)
{
	struct relay *r = relay_of(s);
	struct exec *e = r->exec;
	size_t total = iov_total(iov, n), taken;
	struct end end = { 0 };
	bool was_blocked;
	uint64_t most;

	pthread_mutex_lock(&e->lock);
	was_blocked = r->blocked;
	most = MIN(r->announced - r->bytes, (uint64_t)total);
	taken = most < total ? write_part(r->to, iov, n, most) : r->to->ops->write(r->to, iov, n);
	r->bytes += taken;
	r->blocked = taken < most;
	if (taken && e->config.printed)
		e->config.printed(e->config.opaque, r == &e->err, iov, taken);
	if (most && r->ended && atomic_load(&e->state) != OVER)
		lost(e, "the guest has sent output behind its end", &end);
	else if (atomic_load(&e->state) == EXITED)
		check_counts(e, was_blocked || r->blocked, &end);
	unlock_and_tell(e, &end);
	return taken == most ? total : taken;
}

static void relay_end(struct stream *s)
{
	struct relay *r = relay_of(s);

	pthread_mutex_lock(&r->exec->lock);
	r->ended = true;
	pthread_mutex_unlock(&r->exec->lock);
	r->to->ops->end(r->to);
}

static const struct stream_ops relay_ops = {
	.attach = relay_attach,
	.read = relay_read,
	.write = relay_write,
	.end = relay_end,
};

/* ---- Messages from the guest ---- */

/* How long a message of that type is; -1: there is no such. */
static int64_t length_of(uint32_t type)
{
	switch (type) {
	case EXEC_HELLO:
		return sizeof(struct exec_hello);
	case EXEC_STARTED:
	case EXEC_MARKED:
		return 0;
	case EXEC_EXITED:
		return sizeof(struct exec_exited);
	case EXEC_FAILED:
		return sizeof(struct exec_failed);
	}
	return -1;
}

static void hello(struct exec *e, const struct exec_hello *m, struct end *end)
{
	if (atomic_load(&e->state) != SILENT || m->version != EXEC_VERSION ||
	    !memchr(m->release, 0, sizeof(m->release))) {
		lost(e, "the guest's init greets in a strange way", end);
		return;
	}
	memcpy(e->release, m->release, sizeof(e->release));
	atomic_store(&e->state, GREETED);
}

static void started(struct exec *e, struct end *end)
{
	if (atomic_load(&e->state) == GREETED)
		atomic_store(&e->state, STARTED);
	else
		lost(e, "the guest's init starts the command out of turn", end);
}

static void marked(struct exec *e, struct end *end)
{
	if (atomic_load(&e->state) != STARTED) {
		lost(e, "the guest's init tells of a mark out of turn", end);
		return;
	}
	e->marked = true;
	offer(e);
}

static void exited(struct exec *e, const struct exec_exited *m, struct end *end)
{
	if (atomic_load(&e->state) == EXITED)
		return; /* the first counts */
	if (atomic_load(&e->state) != STARTED || m->status > UINT8_MAX || m->zero) {
		lost(e, "the guest's init tells of an end that can't be", end);
		return;
	}
	e->status = (int)m->status;
	e->out.announced = m->out;
	e->err.announced = m->err;
	atomic_store(&e->state, EXITED);
	check_counts(e, true, end);
}

/* For a person's terminal, from who knows whom: letters of any language, but no control character. */
static void copy_text(char *to, const char *text, size_t len)
{
	while (len) {
		uint32_t code = 0;
		size_t n = utf8_next((const uint8_t *)text, len, &code);

		if (n && code >= ' ' && (code < 0x7f || code >= 0xa0)) {
			memcpy(to, text, n);
			to += n;
		} else {
			*to++ = '?';
		}
		n = MAX(n, (size_t)1);
		text += n;
		len -= n;
	}
	*to = 0;
}

static void failed(struct exec *e, const struct exec_failed *m, struct end *end)
{
	size_t len = strnlen(m->text, sizeof(m->text));

	if (atomic_load(&e->state) == EXITED)
		return;
	copy_text(e->why, m->text, len);
	len = strlen(e->why);
	if (m->error)
		snprintf(e->why + len, sizeof(e->why) - len, ": %.60s", strerror((int)m->error));
	/* What it lies on was there, and died: of the command that says nothing. */
	over(e, m->error == EIO ? EXEC_END_LOST : EXEC_END_FAILED, 0, end);
}

static void handle(struct exec *e, const struct exec_message *m, struct end *end)
{
	const void *body = e->message + sizeof(*m);

	if (e->config.told)
		e->config.told(e->config.opaque, m->type);
	if (m->type == EXEC_HELLO)
		hello(e, body, end);
	else if (m->type == EXEC_STARTED)
		started(e, end);
	else if (m->type == EXEC_MARKED)
		marked(e, end);
	else if (m->type == EXEC_EXITED)
		exited(e, body, end);
	else
		failed(e, body, end);
}

/* Bytes of a message, up to its end: how many. */
static size_t take(struct exec *e, const uint8_t *p, size_t len, struct end *end)
{
	struct exec_message m;
	size_t want = sizeof(m);

	memcpy(&m, e->message, sizeof(m));
	if (e->got >= sizeof(m))
		want += m.len;
	len = MIN(len, want - e->got);
	memcpy(e->message + e->got, p, len);
	e->got += (uint32_t)len;
	if (e->got < sizeof(m))
		return len;
	memcpy(&m, e->message, sizeof(m));
	if (length_of(m.type) != m.len) {
		lost(e, "the guest's init sends what is no message", end);
	} else if (e->got == sizeof(m) + m.len) {
		e->got = 0;
		handle(e, &m, end);
	}
	return len;
}

static struct exec *exec_of(struct stream *control)
{
	return container_of(control, struct exec, control);
}

static size_t control_write(struct stream *s, const struct iovec *iov, unsigned int n)
{
	struct exec *e = exec_of(s);
	struct end end = { 0 };

	pthread_mutex_lock(&e->lock);
	for (unsigned int i = 0; i < n; i++) {
		const uint8_t *p = iov[i].iov_base;
		size_t left = iov[i].iov_len;

		while (left && atomic_load(&e->state) != OVER) {
			size_t part = take(e, p, left, &end);

			p += part;
			left -= part;
		}
	}
	unlock_and_tell(e, &end);
	return iov_total(iov, n);
}

/* A kernel that has lost its init panics, and shall have the time to say so. */
static void control_end(struct stream *s)
{
	struct exec *e = exec_of(s);
	struct end end = { 0 };

	pthread_mutex_lock(&e->lock);
	if (atomic_load(&e->state) < EXITED)
		start_timer(e, &end);
	unlock_and_tell(e, &end);
}

/* ---- Messages to the guest ---- */

static void put_message(struct exec *e, uint32_t type, const void *body, uint32_t len)
{
	struct exec_message m = { type, len };

	memcpy(e->send, &m, sizeof(m));
	if (len)
		memcpy(e->send + sizeof(m), body, len);
	e->to_send = (uint32_t)sizeof(m) + len;
	e->sent = 0;
}

static bool next_signal(struct exec *e)
{
	uint64_t signals = atomic_load(&e->signals);
	uint32_t signal;

	if (!signals)
		return false;
	signal = (uint32_t)__builtin_ctzll(signals);
	atomic_fetch_and(&e->signals, ~(1ull << signal));
	put_message(e, EXEC_SIGNAL, &signal, sizeof(signal));
	return true;
}

static bool next_window(struct exec *e)
{
	uint32_t window = atomic_exchange(&e->window, 0);
	uint16_t size[2] = { (uint16_t)(window >> 16), (uint16_t)window };

	if (!window)
		return false;
	put_message(e, EXEC_WINDOW, size, sizeof(size));
	return true;
}

static bool next_message(struct exec *e)
{
	if (e->sent < e->to_send)
		return true;
	if (e->acknowledge) {
		e->acknowledge = false;
		put_message(e, EXEC_ACK, NULL, 0);
		return true;
	}
	if (e->marked && atomic_load(&e->seen)) {
		e->marked = false;
		put_message(e, EXEC_SEEN, NULL, 0);
		return true;
	}
	return next_signal(e) || next_window(e);
}

static ssize_t control_read(struct stream *s, const struct iovec *iov, unsigned int n)
{
	struct exec *e = exec_of(s);
	ssize_t done = 0;

	pthread_mutex_lock(&e->lock);
	for (unsigned int i = 0; i < n && next_message(e); i++) {
		size_t part = MIN(iov[i].iov_len, (size_t)(e->to_send - e->sent));

		memcpy(iov[i].iov_base, e->send + e->sent, part);
		e->sent += (uint32_t)part;
		done += (ssize_t)part;
	}
	pthread_mutex_unlock(&e->lock);
	return done ? done : STREAM_LATER;
}

static void control_attach(struct stream *s, const struct stream_client *client)
{
	struct exec *e = exec_of(s);

	atomic_store(&e->input_opaque, client ? client->opaque : NULL);
	atomic_store(&e->input, client ? client->input : NULL);
}

static const struct stream_ops control_ops = {
	.attach = control_attach,
	.read = control_read,
	.write = control_write,
	.end = control_end,
};

bool exec_signal(struct exec *e, int signal)
{
	if (atomic_load(&e->state) != STARTED)
		return false;
	atomic_fetch_or(&e->signals, 1ull << signal);
	offer(e);
	return true;
}

void exec_window(struct exec *e, unsigned int rows, unsigned int columns)
{
	atomic_store(&e->window, MIN(rows, 0xffffu) << 16 | MIN(columns, 0xffffu));
	offer(e);
}

/* ---- Life ---- */

unsigned int exec_ports(struct exec *e, struct named_stream ports[EXEC_PORTS])
{
	unsigned int n = 0;

	ports[n++] = (struct named_stream){ EXEC_PORT_CONTROL, &e->control };
	if (e->config.tty) {
		ports[n++] = (struct named_stream){ EXEC_PORT_TTY, &e->out.stream };
		return n;
	}
	ports[n++] = (struct named_stream){ EXEC_PORT_STDIN, e->config.in };
	ports[n++] = (struct named_stream){ EXEC_PORT_STDOUT, &e->out.stream };
	ports[n++] = (struct named_stream){ EXEC_PORT_STDERR, &e->err.stream };
	return n;
}

void exec_seen(struct exec *e)
{
	atomic_store(&e->seen, true);
	offer(e);
}

void exec_stopped(struct exec *e)
{
	struct end end = { 0 };
	int state;

	pthread_mutex_lock(&e->lock);
	state = atomic_load(&e->state);
	if (state == EXITED)
		lost(e, "the guest ended before it had sent all the output that it announced",
		     &end);
	else if (state != OVER)
		lost(e, "the guest ended without telling it", &end);
	unlock_and_tell(e, &end);
}

const char *exec_why(const struct exec *e)
{
	return e->why;
}

const char *exec_release(const struct exec *e)
{
	return e->release;
}

static void init_relay(struct exec *e, struct relay *r, struct stream *to)
{
	r->stream.ops = &relay_ops;
	r->exec = e;
	r->to = to;
	r->announced = UINT64_MAX;
}

int exec_create(const struct exec_config *config, struct loop *loop, struct exec **out,
		struct err *err)
{
	struct exec *e = calloc(1, sizeof(*e));

	if (!e)
		return err_set(err, ENOMEM, "no memory for a command in the guest");
	e->config = *config;
	e->loop = loop;
	e->timer_fd = -1;
	e->control.ops = &control_ops;
	pthread_mutex_init(&e->lock, NULL);
	init_relay(e, &e->out, config->tty ? config->tty : config->out);
	init_relay(e, &e->err, config->err);
	*out = e;
	return 0;
}

void exec_destroy(struct exec *e)
{
	if (!e)
		return;
	loop_remove(e->loop, e->timer);
	if (e->timer_fd >= 0)
		close(e->timer_fd);
	pthread_mutex_destroy(&e->lock);
	free(e);
}
