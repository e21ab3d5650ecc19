/* SPDX-License-Identifier: MIT */
/*
 * Output. Two buffers: write() fills one, while a thread writes out the other, as it may block, and
 * takes the full one when it is done. So a slow reader is met with large writes and a fast one is not
 * waited for.
 *
 * Input needs no thread and no buffer. It is read into the guest's memory, on the loop, which must not
 * wait (host/input.h); only while the guest waits for it is the descriptor watched.
 */
#include "host/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "host/input.h"
#include "host/iov.h"
#include "util/file.h"
#include "util/thread.h"
#include "util/util.h"

#define BUFFER ((size_t)256 * 1024)

struct fd_stream {
	struct stream stream;
	struct stream_config config;
	struct loop *loop;
	const struct log *log;

	pthread_mutex_t lock;
	struct stream_client client;
	bool over; /* nobody outside any more, or the guest has closed */

	struct input input;
	loop_id source;

	/* Output. */
	pthread_t writer;
	pthread_cond_t work;
	bool started, stop, done;
	bool refused;	/* room() is owed */
	uint8_t *fill;	/* NULL: no writer yet */
	uint8_t *drain; /* the writer's */
	size_t filled;
};

static struct fd_stream *fd_stream(struct stream *s)
{
	return container_of(s, struct fd_stream, stream);
}

/* With the lock held. */
static void tell(struct fd_stream *f, void (*fn)(void *opaque))
{
	if (fn)
		fn(f->client.opaque);
}

static void fd_attach(struct stream *s, const struct stream_client *client)
{
	struct fd_stream *f = fd_stream(s);

	pthread_mutex_lock(&f->lock);
	f->client = client ? *client : (struct stream_client){ 0 };
	pthread_mutex_unlock(&f->lock);
}

/* Without the lock. */
static void failed(struct fd_stream *f, int error)
{
	log_at(f->log, LOG_ERROR, "%s: %s", f->config.what, strerror(error));
	f->config.failed(f->config.opaque);
}

/* ---- Input ---- */

static void on_readable(void *opaque, uint32_t events)
{
	struct fd_stream *f = opaque;

	(void)events;
	loop_set_events(f->loop, f->source, 0);
	pthread_mutex_lock(&f->lock);
	tell(f, f->client.input);
	pthread_mutex_unlock(&f->lock);
}

static ssize_t wait_input(struct fd_stream *f)
{
	int rc = 0;

	if (f->source == LOOP_NONE) /* `source` must be there before the handler can run */
		rc = loop_add(f->loop, f->input.fd, 0, on_readable, f, &f->source);
	if (!rc) {
		loop_set_events(f->loop, f->source, EPOLLIN);
		return STREAM_LATER;
	}
	failed(f, -rc);
	return STREAM_END;
}

static ssize_t read_input(struct fd_stream *f, const struct iovec *iov, unsigned int n)
{
	ssize_t got = input_read(&f->input, iov, n);

	if (got > 0)
		return got;
	if (got == -EAGAIN)
		return wait_input(f);
	/* EIO: a terminal that hung up, or whose foreground we are not. */
	if (got && !(got == -EIO && isatty(f->config.fd)))
		failed(f, (int)-got);
	return STREAM_END;
}

static ssize_t fd_read(struct stream *s, const struct iovec *iov, unsigned int n)
{
	struct fd_stream *f = fd_stream(s);
	ssize_t got;
	bool over;

	pthread_mutex_lock(&f->lock);
	over = f->over;
	pthread_mutex_unlock(&f->lock);
	if (over)
		return STREAM_END;
	got = f->config.is_output ? STREAM_LATER : read_input(f, iov, n);
	if (got == STREAM_END) {
		pthread_mutex_lock(&f->lock);
		f->over = true;
		pthread_mutex_unlock(&f->lock);
	}
	return got;
}

/* ---- Output ---- */

/* With the lock held: nothing is written any more. */
static void give_up(struct fd_stream *f, int error)
{
	f->over = true;
	f->filled = 0;
	tell(f, f->client.input);
	if (f->refused)
		tell(f, f->client.room);
	f->refused = false;
	if (error == EPIPE)
		return;
	pthread_mutex_unlock(&f->lock);
	failed(f, error);
	pthread_mutex_lock(&f->lock);
}

/* With the lock held, which goes while it writes. */
static void write_filled(struct fd_stream *f)
{
	uint8_t *full = f->fill;
	size_t len = f->filled;
	int error;

	f->fill = f->drain;
	f->drain = full;
	f->filled = 0;
	if (f->refused)
		tell(f, f->client.room);
	f->refused = false;
	pthread_mutex_unlock(&f->lock);
	error = -write_full(f->config.fd, full, len);
	pthread_mutex_lock(&f->lock);
	if (error)
		give_up(f, error);
}

static void close_fd(struct fd_stream *f)
{
	input_close(&f->input);
	if (f->config.fd >= 0)
		close(f->config.fd);
	f->config.fd = -1;
}

/* Some file systems tell only now what they could not write. */
static void close_output(struct fd_stream *f)
{
	int rc = f->config.fd >= 0 && close(f->config.fd) && errno != EINTR ? errno : 0;

	f->config.fd = -1;
	if (rc)
		failed(f, rc);
}

static void *writer_main(void *arg)
{
	struct fd_stream *f = arg;

	pthread_mutex_lock(&f->lock);
	for (;;) {
		while (!f->filled && !f->stop)
			pthread_cond_wait(&f->work, &f->lock);
		if (!f->filled)
			break;
		write_filled(f);
	}
	pthread_mutex_unlock(&f->lock);
	close_output(f);
	pthread_mutex_lock(&f->lock);
	f->done = true;
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

/* With the lock held. */
static int start_writer(struct fd_stream *f)
{
	int rc;

	f->fill = malloc(2 * BUFFER);
	if (!f->fill)
		return ENOMEM;
	f->drain = f->fill + BUFFER;
	rc = thread_start(&f->writer, writer_main, f);
	f->started = !rc;
	if (f->started)
		pthread_setname_np(f->writer, "stream");
	return rc;
}

/* With the lock held. */
static size_t buffer(struct fd_stream *f, const struct iovec *iov, unsigned int n)
{
	size_t before = f->filled;

	for (unsigned int i = 0; i < n; i++) {
		size_t part = MIN(iov[i].iov_len, BUFFER - f->filled);

		memcpy(f->fill + f->filled, iov[i].iov_base, part);
		f->filled += part;
	}
	if (!before && f->filled)
		pthread_cond_signal(&f->work);
	return f->filled - before;
}

static size_t fd_write(struct stream *s, const struct iovec *iov, unsigned int n)
{
	struct fd_stream *f = fd_stream(s);
	size_t total = iov_total(iov, n), taken = total;
	int error = 0;

	pthread_mutex_lock(&f->lock);
	if (!f->over && !f->started)
		error = start_writer(f);
	if (error)
		give_up(f, error);
	if (!f->over) {
		taken = buffer(f, iov, n);
		f->refused = taken < total;
	}
	pthread_mutex_unlock(&f->lock);
	return taken;
}

/* ---- The end ---- */

/* The writer closes it when it has written all. */
static void fd_end(struct stream *s)
{
	struct fd_stream *f = fd_stream(s);
	bool started;

	pthread_mutex_lock(&f->lock);
	f->over = true;
	f->stop = true;
	started = f->started;
	pthread_cond_signal(&f->work);
	pthread_mutex_unlock(&f->lock);
	loop_remove(f->loop, f->source);
	f->source = LOOP_NONE;
	if (!started)
		close_fd(f);
}

bool stream_written(struct stream *s)
{
	struct fd_stream *f = fd_stream(s);
	bool written;

	pthread_mutex_lock(&f->lock);
	written = !f->started || f->done;
	pthread_mutex_unlock(&f->lock);
	return written;
}

void stream_finish(struct stream *s)
{
	struct fd_stream *f = fd_stream(s);

	fd_end(s);
	if (f->started)
		pthread_join(f->writer, NULL);
	f->started = false;
}

void stream_close(struct stream *s)
{
	struct fd_stream *f;

	if (!s)
		return;
	f = fd_stream(s);
	stream_finish(s);
	free(MIN(f->fill, f->drain)); /* the two change places */
	pthread_cond_destroy(&f->work);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

static const struct stream_ops fd_ops = {
	.attach = fd_attach,
	.read = fd_read,
	.write = fd_write,
	.end = fd_end,
};

static bool can_read(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || (flags & O_ACCMODE) != O_WRONLY;
}

int stream_open(const struct stream_config *config, struct loop *loop, const struct log *log,
		struct stream **out, struct err *err)
{
	struct fd_stream *f = calloc(1, sizeof(*f));

	if (!f)
		return err_set(err, ENOMEM, "no memory for %s", config->what);
	f->stream.ops = &fd_ops;
	f->config = *config;
	f->loop = loop;
	f->log = log;
	/* nohup makes standard input one that can't be read: there is nothing in it, and that is no fault. */
	f->over = config->fd < 0 || (!config->is_output && !can_read(config->fd));
	input_open(&f->input, config->is_output ? -1 : config->fd);
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->work, NULL);
	*out = &f->stream;
	return 0;
}
