/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. Output goes through one ring, filled by tty_write() and emptied by the
 * writer thread, the only one that may block on the outside. Guests write byte by byte, and a thread that
 * is woken for each costs more than all the rest of a small one: so it waits a moment for the end of the
 * line. Input is read on the loop into another
 * ring, which tty_read() empties.
 *
 * One lock guards all but what only the writer touches. It is a leaf: no callback is made and no
 * system call that can block is done with it held, so devices call in with their own locks held.
 *
 * When a person's input ring is full (the guest has stopped reading, and 64 KiB were typed or
 * pasted), the terminal isn't read any more: a paste must not lose bytes. Until the guest reads on,
 * Ctrl-a x isn't seen then; hanging up and signals still end us.
 */
#include "term/tty.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "host/input.h"
#include "term/ring.h"
#include "term/scan.h"
#include "term/terminal.h"
#include "util/file.h"
#include "util/clock.h"
#include "util/thread.h"
#include "util/util.h"

#define READ_AHEAD 4096	  /* of what isn't a terminal: the rest is left to who reads it after us */
#define CHUNK 4096	  /* what a pipe that polls writable takes without blocking */
#define GATHER_NS 2000000 /* how long part of a line may wait for the rest */
#define GATHER 1024	  /* what is written at once */
#define CTRL_A 1

static const char help[] = "\r\n"
			   "Ctrl-a x  end the virtual machine\r\n"
			   "Ctrl-a b  send a break (Linux: then a SysRq key)\r\n"
			   "Ctrl-a a  send Ctrl-a (also: Ctrl-a twice)\r\n"
			   "Ctrl-a h  this help\r\n";
static const char hint[] = "\r\n(Ctrl-a h for help)\r\n";

struct port {
	struct tty_client client;
	struct scan scan;
	bool used;
	bool refused;	   /* room() is owed */
	uint64_t wanted;   /* input, the later the greater; 0: not */
	unsigned int busy; /* callbacks running */
};

struct tty {
	struct tty_config config;
	struct loop *loop;
	const struct log *log;
	bool terminal; /* stdin is one */
	struct input in;
	int poke_fd;
	int job_fd; /* ticks while we are a background job of that terminal; -1: no terminal */

	pthread_mutex_t lock;
	pthread_cond_t work; /* for the writer, when it sleeps */
	pthread_cond_t idle; /* a callback has returned */
	struct port ports[TTY_PORTS];

	pthread_t writer;
	bool started, sleeping, stop;
	bool gathering;	    /* the writer waits for a line's end */
	bool urgent;	    /* there is one, or enough without */
	int out, log_fd;    /* -1: gone. Changed by the writer only */
	const char *notice; /* words of our own for the person, not for the log */
	struct ring output;

	loop_id in_id, poke_id, job_id;
	uint64_t wants;
	struct port *listener; /* gets the input, or NULL: who wanted it last */
	bool eof;
	bool escape;	       /* Ctrl-a was typed */
	struct winsize window; /* as the clients know it */
	struct ring input;
};

void tty_poke(struct tty *tty)
{
	int saved_errno = errno;
	uint64_t one = 1;
	/* Only a full counter can fail, and then the loop knows already. */
	ssize_t rc = write(tty->poke_fd, &one, sizeof(one));

	(void)rc;
	errno = saved_errno;
}

/* Calls a client; with the lock held, but not during the call. */
static void notify(struct tty *tty, struct port *p, void (*fn)(void *opaque))
{
	void *opaque = p->client.opaque;

	if (!p->used || !fn)
		return;
	p->busy++;
	pthread_mutex_unlock(&tty->lock);
	fn(opaque);
	pthread_mutex_lock(&tty->lock);
	p->busy--;
	pthread_cond_broadcast(&tty->idle);
}

static void offer_input(struct tty *tty)
{
	if (tty->listener && tty->input.len)
		notify(tty, tty->listener, tty->listener->client.input);
}

static void offer_room(struct tty *tty)
{
	for (unsigned int i = 0; i < TTY_PORTS; i++) {
		struct port *p = &tty->ports[i];

		if (p->refused) {
			p->refused = false;
			notify(tty, p, p->client.room);
		}
	}
}

/* A reader that went away is no news; anything else is said once. */
static void lost(struct tty *tty, int *fd, const char *what, int error)
{
	if (error != EPIPE)
		log_at(tty->log, LOG_WARNING, "%s: %s; what follows is dropped", what,
		       strerror(error));
	pthread_mutex_lock(&tty->lock);
	*fd = -1;
	pthread_mutex_unlock(&tty->lock);
}

static void write_out(struct tty *tty, const void *data, size_t len)
{
	int rc = tty->out >= 0 ? write_full(tty->out, data, len) : 0;

	if (rc)
		lost(tty, &tty->out, "standard output", -rc);
}

static void write_log(struct tty *tty, const void *data, size_t len)
{
	int rc = tty->log_fd >= 0 ? write_full(tty->log_fd, data, len) : 0;

	if (rc)
		lost(tty, &tty->log_fd, "the console's log", -rc);
}

/* With the lock held, which goes meanwhile. */
static void gather(struct tty *tty)
{
	struct timespec until = clock_after(GATHER_NS);

	tty->gathering = true;
	while (!tty->urgent && !tty->notice && !tty->stop &&
	       pthread_cond_timedwait(&tty->work, &tty->lock, &until) != ETIMEDOUT)
		;
	tty->gathering = false;
}

static void wait_for_work(struct tty *tty)
{
	while (!tty->output.len && !tty->notice && !tty->stop) {
		tty->sleeping = true;
		pthread_cond_wait(&tty->work, &tty->lock);
	}
	tty->sleeping = false;
	gather(tty);
}

static void *writer_main(void *arg)
{
	struct tty *tty = arg;

	pthread_setname_np(pthread_self(), "console");
	pthread_mutex_lock(&tty->lock);
	for (;;) {
		const char *notice;
		const uint8_t *data;
		size_t n;

		wait_for_work(tty);
		notice = tty->notice;
		tty->notice = NULL;
		n = MIN(ring_front(&tty->output, &data), (size_t)CHUNK);
		if (!n && !notice)
			break; /* to stop, and all is written */
		pthread_mutex_unlock(&tty->lock);
		if (notice)
			write_out(tty, notice, strlen(notice));
		write_log(tty, data, n);
		write_out(tty, data, n);
		pthread_mutex_lock(&tty->lock);
		ring_drop(&tty->output, n);
		tty->urgent &= tty->output.len > 0;
		offer_room(tty);
	}
	pthread_mutex_unlock(&tty->lock);
	return NULL;
}

/* With the lock held: there is work for the writer. False if there can be none. */
static bool wake_writer(struct tty *tty)
{
	int rc;

	if (tty->sleeping || (tty->gathering && (tty->urgent || tty->notice))) {
		tty->sleeping = tty->gathering = false;
		pthread_cond_signal(&tty->work);
	}
	if (tty->started)
		return true;
	rc = -ring_make(&tty->output);
	if (!rc)
		rc = thread_start(&tty->writer, writer_main, tty);
	if (rc) {
		log_at(tty->log, LOG_ERROR,
		       "no thread or memory for the console, its output is lost: %s", strerror(rc));
		tty->out = tty->log_fd = -1;
		return false;
	}
	tty->started = true;
	return true;
}

size_t tty_write(struct tty *tty, int port, const void *data, size_t len)
{
	struct port *p = &tty->ports[port];
	size_t n = len;

	pthread_mutex_lock(&tty->lock);
	if (len)
		tty->urgent |= memchr(data, '\n', len) || tty->output.len + len >= GATHER;
	if (len && (tty->out >= 0 || tty->log_fd >= 0) && wake_writer(tty)) {
		n = ring_put(&tty->output, data, len);
		p->refused |= n < len;
	}
	pthread_mutex_unlock(&tty->lock);
	scan_feed(&p->scan, data, n, tty->config.found, tty->config.opaque);
	if (n && tty->config.output)
		tty->config.output(tty->config.opaque, port, data, n);
	return n;
}

/* What the writer has in its hands is in the ring, too. */
bool tty_written(struct tty *tty)
{
	bool written;

	pthread_mutex_lock(&tty->lock);
	written = !tty->output.len;
	pthread_mutex_unlock(&tty->lock);
	return written;
}

static void say(struct tty *tty, const char *notice)
{
	tty->notice = notice;
	if (tty->out < 0 || !wake_writer(tty))
		tty->notice = NULL;
}

/* The key after Ctrl-a. With the lock held, which goes during callbacks. */
static void escape_key(struct tty *tty, uint8_t c)
{
	const uint8_t ctrl_a = CTRL_A;

	switch (c) {
	case 'x':
		pthread_mutex_unlock(&tty->lock);
		tty->config.leave(tty->config.opaque);
		pthread_mutex_lock(&tty->lock);
		break;
	case 'b':
		offer_input(tty); /* what was typed before comes before it */
		if (tty->listener)
			notify(tty, tty->listener, tty->listener->client.interrupt);
		break;
	case 'a':
	case CTRL_A:
		ring_put(&tty->input, &ctrl_a, 1);
		break;
	case 'h':
	case '?':
		say(tty, help);
		break;
	default:
		say(tty, hint);
	}
}

bool tty_sysrq(struct tty *tty, char key)
{
	struct port *p;
	bool heard;

	pthread_mutex_lock(&tty->lock);
	p = tty->listener;
	heard = p && p->client.interrupt && !ring_make(&tty->input);
	if (heard) {
		ring_drop(&tty->input, tty->input.len);
		notify(tty, p, p->client.interrupt);
		ring_put(&tty->input, (const uint8_t *)&key, 1);
		offer_input(tty);
	}
	pthread_mutex_unlock(&tty->lock);
	return heard;
}

static void take_input(struct tty *tty, const uint8_t *keys, size_t n)
{
	if (!tty->terminal)
		ring_put(&tty->input, keys, n);
	for (size_t i = 0; tty->terminal && i < n; i++) {
		if (tty->escape) {
			tty->escape = false;
			escape_key(tty, keys[i]);
		} else if (keys[i] == CTRL_A) {
			tty->escape = true;
		} else {
			ring_put(&tty->input, keys + i, 1);
		}
	}
}

static size_t input_space(const struct tty *tty)
{
	size_t limit = tty->terminal ? RING_SIZE : READ_AHEAD;

	return limit - tty->input.len;
}

/* Whether `in` may be read now: of a terminal the foreground job only, others would be stopped. */
static bool may_read(const struct tty *tty)
{
	return !tty->eof && input_space(tty) &&
	       (!tty->terminal || terminal_in_foreground(tty->config.in));
}

/* With the lock held, after what may_read() looks at has changed. */
static void watch_input(struct tty *tty)
{
	loop_set_events(tty->loop, tty->in_id, may_read(tty) ? EPOLLIN : 0);
}

static void on_input(void *opaque, uint32_t events)
{
	struct tty *tty = opaque;
	uint8_t keys[4096];
	struct iovec iov = { keys, 0 };
	ssize_t n = -EAGAIN;

	(void)events;
	pthread_mutex_lock(&tty->lock);
	iov.iov_len = may_read(tty) ? MIN(input_space(tty), sizeof(keys)) : 0;
	pthread_mutex_unlock(&tty->lock);
	if (iov.iov_len)
		n = input_read(&tty->in, &iov, 1);
	pthread_mutex_lock(&tty->lock);
	if (n > 0)
		take_input(tty, keys, (size_t)n);
	else if (n != -EAGAIN &&
		 may_read(tty)) /* else the EIO of a job that went to the background */
		tty->eof = true;
	watch_input(tty);
	offer_input(tty);
	pthread_mutex_unlock(&tty->lock);
}

bool tty_size(struct tty *tty, unsigned int *columns, unsigned int *rows)
{
	struct winsize window;

	if (!terminal_size(tty->config.out, tty->config.in, &window))
		return false;
	*columns = window.ws_col;
	*rows = window.ws_row;
	return true;
}

static void check_size(struct tty *tty)
{
	struct winsize now;

	if (!terminal_size(tty->config.out, tty->config.in, &now) ||
	    (now.ws_col == tty->window.ws_col && now.ws_row == tty->window.ws_row))
		return;
	tty->window = now;
	for (unsigned int i = 0; i < TTY_PORTS; i++)
		notify(tty, &tty->ports[i], tty->ports[i].client.resized);
}

/*
 * In the foreground the terminal is ours. In the background it is looked at each second: a shell's
 * fg sends no signal to a job that was not stopped.
 */
static void follow_job(struct tty *tty)
{
	bool front = terminal_in_foreground(tty->config.in);
	struct itimerspec tick = { .it_interval.tv_sec = !front, .it_value.tv_sec = !front };

	if (front)
		terminal_make_raw(tty->config.in);
	timerfd_settime(tty->job_fd, 0, &tick, NULL);
}

/* Also the job's tick: it asks the same questions. */
static void on_poke(void *opaque, uint32_t events)
{
	struct tty *tty = opaque;
	uint64_t count;
	ssize_t rc = read(tty->poke_fd, &count, sizeof(count));

	(void)events;
	if (tty->terminal) {
		rc = read(tty->job_fd, &count, sizeof(count));
		follow_job(tty);
	}
	(void)rc;
	pthread_mutex_lock(&tty->lock);
	watch_input(tty);
	offer_input(tty);
	check_size(tty);
	pthread_mutex_unlock(&tty->lock);
}

int tty_attach(struct tty *tty, const struct tty_client *client)
{
	int port = -ENOSPC;

	pthread_mutex_lock(&tty->lock);
	for (int i = 0; i < TTY_PORTS && port < 0; i++) {
		struct port *p = &tty->ports[i];

		if (!p->used && !p->busy) {
			*p = (struct port){ .client = *client, .used = true };
			port = i;
		}
	}
	pthread_mutex_unlock(&tty->lock);
	return port;
}

void tty_detach(struct tty *tty, int port)
{
	struct port *p = &tty->ports[port];

	pthread_mutex_lock(&tty->lock);
	p->used = false;
	p->wanted = 0;
	if (tty->listener == p)
		tty->listener = NULL;
	while (p->busy)
		pthread_cond_wait(&tty->idle, &tty->lock);
	pthread_mutex_unlock(&tty->lock);
}

/* With the lock held. A source that is there already stays as it is. */
static int watch(struct tty *tty, int fd, loop_fn fn, loop_id *id)
{
	return *id == LOOP_NONE ? loop_add(tty->loop, fd, EPOLLIN, fn, tty, id) : 0;
}

static int watch_keys(struct tty *tty)
{
	int rc = ring_make(&tty->input);

	return rc ? rc : watch(tty, tty->in.fd, on_input, &tty->in_id);
}

/* With the lock held. */
static struct port *last_to_want(struct tty *tty)
{
	struct port *last = NULL;

	for (unsigned int i = 0; i < TTY_PORTS; i++) {
		if (tty->ports[i].wanted > (last ? last->wanted : 0))
			last = &tty->ports[i];
	}
	return last;
}

/* With the lock held: the loop offers what is there to whom it goes. */
static int offer_soon(struct tty *tty)
{
	int rc = watch(tty, tty->poke_fd, on_poke, &tty->poke_id);

	tty_poke(tty);
	return rc;
}

static void set_wanted(struct tty *tty, int port, bool wanted)
{
	struct port *now;
	int rc = 0;

	pthread_mutex_lock(&tty->lock);
	tty->ports[port].wanted = wanted ? ++tty->wants : 0;
	now = last_to_want(tty);
	if (now && now != tty->listener) {
		if (tty->config.in >= 0)
			rc = watch_keys(tty);
		if (!rc && tty->input.len) /* typed before, or for another port */
			rc = offer_soon(tty);
	}
	tty->listener = now;
	pthread_mutex_unlock(&tty->lock);
	if (rc)
		log_at(tty->log, LOG_WARNING, "standard input can't be watched: %s", strerror(-rc));
}

size_t tty_feed(struct tty *tty, const void *data, size_t len)
{
	size_t n = 0;

	pthread_mutex_lock(&tty->lock);
	if (len && !ring_make(&tty->input) && (!tty->listener || !offer_soon(tty)))
		n = ring_put(&tty->input, data, len);
	pthread_mutex_unlock(&tty->lock);
	return n;
}

void tty_want_input(struct tty *tty, int port)
{
	set_wanted(tty, port, true);
}

void tty_leave_input(struct tty *tty, int port)
{
	set_wanted(tty, port, false);
}

size_t tty_read(struct tty *tty, int port, void *data, size_t len)
{
	uint8_t *p = data;
	bool was_full;
	size_t done = 0;

	pthread_mutex_lock(&tty->lock);
	was_full = !input_space(tty);
	while (tty->listener == &tty->ports[port] && done < len && tty->input.len) {
		const uint8_t *front;
		size_t n = MIN(ring_front(&tty->input, &front), len - done);

		memcpy(p + done, front, n);
		ring_drop(&tty->input, n);
		done += n;
	}
	if (was_full && done)
		watch_input(tty);
	pthread_mutex_unlock(&tty->lock);
	return done;
}

/* A person's keys are ours from the start: Ctrl-a must work before the guest listens. */
static int take_terminal(struct tty *tty)
{
	int rc = 0;

	if (tty->terminal || isatty(tty->config.out))
		rc = watch(tty, tty->poke_fd, on_poke, &tty->poke_id);
	if (tty->terminal && !rc)
		rc = watch_keys(tty);
	if (!tty->terminal || rc)
		return rc;
	tty->job_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (tty->job_fd < 0)
		return -errno;
	follow_job(tty);
	return watch(tty, tty->job_fd, on_poke, &tty->job_id);
}

int tty_create(const struct tty_config *config, struct loop *loop, const struct log *log,
	       struct tty **out, struct err *err)
{
	struct tty *tty = calloc(1, sizeof(*tty));
	int rc;

	if (!tty)
		return err_set(err, ENOMEM, "no memory for the console");
	tty->config = *config;
	tty->loop = loop;
	tty->log = log;
	tty->terminal = isatty(config->in);
	input_open(&tty->in, config->in);
	tty->job_fd = -1;
	tty->out = config->out;
	tty->log_fd = config->log_fd;
	pthread_mutex_init(&tty->lock, NULL);
	clock_cond_init(&tty->work);
	pthread_cond_init(&tty->idle, NULL);
	terminal_size(tty->config.out, tty->config.in, &tty->window);
	tty->poke_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = tty->poke_fd < 0 ? -errno : take_terminal(tty);
	if (rc) {
		tty->config.log_fd = -1; /* stays the caller's */
		tty_destroy(tty);
		return err_set(err, -rc, "the terminal can't be watched: %s", strerror(-rc));
	}
	*out = tty;
	return 0;
}

/* The terminal first: who waits for a reader that is stuck can then end us with Ctrl-C. */
void tty_destroy(struct tty *tty)
{
	loop_remove(tty->loop, tty->in_id);
	loop_remove(tty->loop, tty->poke_id);
	loop_remove(tty->loop, tty->job_id);
	input_close(&tty->in);
	if (tty->terminal)
		terminal_restore();
	pthread_mutex_lock(&tty->lock);
	tty->stop = true;
	pthread_cond_signal(&tty->work);
	pthread_mutex_unlock(&tty->lock);
	if (tty->started)
		pthread_join(tty->writer, NULL);
	if (tty->config.log_fd >= 0)
		close(tty->config.log_fd);
	if (tty->poke_fd >= 0)
		close(tty->poke_fd);
	if (tty->job_fd >= 0)
		close(tty->job_fd);
	pthread_mutex_destroy(&tty->lock);
	pthread_cond_destroy(&tty->work);
	pthread_cond_destroy(&tty->idle);
	ring_free(&tty->output);
	ring_free(&tty->input);
	free(tty);
}
