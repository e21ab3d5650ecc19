/* SPDX-License-Identifier: MIT */
#include "term/tty-stream.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "util/util.h"

struct tty_stream {
	struct stream stream;
	struct tty *tty;
	int port;
	void (*resized)(void *opaque);
	void *opaque;
	pthread_mutex_t lock;
	struct stream_client client;
};

static struct tty_stream *tty_stream(struct stream *s)
{
	return container_of(s, struct tty_stream, stream);
}

static void on_input(void *opaque)
{
	struct tty_stream *t = opaque;

	pthread_mutex_lock(&t->lock);
	if (t->client.input)
		t->client.input(t->client.opaque);
	pthread_mutex_unlock(&t->lock);
}

static void on_room(void *opaque)
{
	struct tty_stream *t = opaque;

	pthread_mutex_lock(&t->lock);
	if (t->client.room)
		t->client.room(t->client.opaque);
	pthread_mutex_unlock(&t->lock);
}

static void on_resized(void *opaque)
{
	struct tty_stream *t = opaque;

	if (t->resized)
		t->resized(t->opaque);
}

static void attach(struct stream *s, const struct stream_client *client)
{
	struct tty_stream *t = tty_stream(s);

	pthread_mutex_lock(&t->lock);
	t->client = client ? *client : (struct stream_client){ 0 };
	pthread_mutex_unlock(&t->lock);
	if (client)
		tty_want_input(t->tty, t->port);
	else
		tty_leave_input(t->tty, t->port);
}

/* A terminal that hangs up sends a signal: there is no end here. */
static ssize_t read_keys(struct stream *s, const struct iovec *iov, unsigned int n)
{
	struct tty_stream *t = tty_stream(s);
	ssize_t done = 0;

	for (unsigned int i = 0; i < n; i++) {
		size_t part = tty_read(t->tty, t->port, iov[i].iov_base, iov[i].iov_len);

		done += (ssize_t)part;
		if (part < iov[i].iov_len)
			break;
	}
	return done ? done : STREAM_LATER;
}

static size_t write_text(struct stream *s, const struct iovec *iov, unsigned int n)
{
	struct tty_stream *t = tty_stream(s);
	size_t done = 0;

	for (unsigned int i = 0; i < n; i++) {
		size_t part = tty_write(t->tty, t->port, iov[i].iov_base, iov[i].iov_len);

		done += part;
		if (part < iov[i].iov_len)
			break;
	}
	return done;
}

static void end(struct stream *s)
{
	(void)s;
}

static const struct stream_ops ops = {
	.attach = attach,
	.read = read_keys,
	.write = write_text,
	.end = end,
};

int tty_stream_open(struct tty *tty, void (*resized)(void *opaque), void *opaque,
		    struct stream **out, struct err *err)
{
	struct tty_stream *t = calloc(1, sizeof(*t));
	struct tty_client client = {
		.input = on_input,
		.room = on_room,
		.resized = on_resized,
		.opaque = t,
	};

	if (!t)
		return err_set(err, ENOMEM, "no memory for the command's terminal");
	t->stream.ops = &ops;
	t->tty = tty;
	t->resized = resized;
	t->opaque = opaque;
	pthread_mutex_init(&t->lock, NULL);
	t->port = tty_attach(tty, &client);
	if (t->port < 0) {
		free(t);
		return err_set(err, ENOSPC, "the command's terminal is taken");
	}
	*out = &t->stream;
	return 0;
}

void tty_stream_close(struct stream *s)
{
	struct tty_stream *t;

	if (!s)
		return;
	t = tty_stream(s);
	tty_detach(t->tty, t->port);
	pthread_mutex_destroy(&t->lock);
	free(t);
}
