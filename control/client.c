/* SPDX-License-Identifier: MIT */
/*
 * One client. A command ends where its brackets are closed, or at the end of the line: QEMU's own library
 * sends no line ends. While a client does not read its answers it is not read either, so it can fill no more
 * than one buffer each way; events go on, and end it when they have filled theirs.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/parts.h"
#include "util/clock.h"
#include "util/util.h"

#define BACKLOG (256 * 1024)
#define TURN CLOCK_MS /* of one's commands, before others have theirs */

struct client {
	struct control *control;
	int fd;
	loop_id source;
	bool negotiated;
	bool ended;	   /* it sends no more, and may listen yet */
	bool gone;	   /* its handler shall destroy it */
	bool more;	   /* there may be another command in `in`: its turn was over */
	uint64_t heard;	   /* when it sent something, or came */
	char *in;	   /* CONTROL_LINE bytes */
	uint32_t from, to; /* what is in there: from the beginning of a command on */
	struct {
		uint32_t at; /* looked at so far */
		uint32_t depth;
		bool string, escape;
	} scan;
	struct buf out;
	size_t sent; /* of that */
};

struct control *client_control(struct client *client)
{
	return client->control;
}

bool client_negotiated(struct client *client)
{
	return client->negotiated;
}

void client_negotiate(struct client *client)
{
	client->negotiated = true;
}

void client_destroy(struct client *client)
{
	struct control *c = client->control;

	loop_remove(c->loop, client->source);
	for (unsigned int i = 0; i < CONTROL_CLIENTS; i++) {
		if (c->clients[i] == client)
			c->clients[i] = NULL;
	}
	close(client->fd);
	buf_free(&client->out);
	free(client->in);
	free(client);
}

/* ---- Output ---- */

static bool has_backlog(const struct client *client)
{
	return client->out.len > client->sent;
}

static void flush_out(struct client *client)
{
	struct buf *out = &client->out;
	ssize_t n = 1;

	while (has_backlog(client) && n > 0) {
		n = send(client->fd, out->data + client->sent, out->len - client->sent,
			 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0)
			client->sent += (size_t)n;
		else if (errno != EAGAIN && errno != EINTR)
			client->gone = true;
	}
	if (!has_backlog(client))
		out->len = client->sent = 0;
	/* (EPOLLERR and EPOLLHUP come anyhow, but not if there were none to wait for.) */
	loop_set_events(client->control->loop, client->source,
			has_backlog(client) || client->more ? EPOLLOUT
			: client->ended			    ? EPOLLERR
							    : EPOLLIN);
}

/* By its own handler, which this wakes: somebody may be in the middle of something with it. */
static void send_away(struct client *client)
{
	client->gone = true;
	shutdown(client->fd, SHUT_RDWR);
}

void client_send(struct client *client, const struct buf *line)
{
	if (client->gone)
		return;
	/* (One long answer may be longer than that: it is as long as the VM has CPUs.) */
	if (line->failed ||
	    (has_backlog(client) && client->out.len - client->sent + line->len > BACKLOG)) {
		send_away(client);
		return;
	}
	/* What was sent makes room only here: the buffer stays within its bound. */
	if (client->sent)
		memmove(client->out.data, client->out.data + client->sent,
			client->out.len - client->sent);
	client->out.len -= client->sent;
	client->sent = 0;
	buf_put(&client->out, line->data, line->len);
	if (client->out.failed)
		send_away(client);
	else
		flush_out(client);
}

static void say_too_long(struct client *client)
{
	static const char line[] =
		"{\"error\": {\"class\": \"GenericError\", \"desc\": \"a command is longer than 64 KiB\"}}\n";
	struct buf b = { 0 };

	buf_put(&b, line, sizeof(line) - 1);
	client_send(client, &b);
	buf_free(&b);
	client->gone = true;
}

/* ---- Input ---- */

/* Does the command end with this byte? */
static bool ends_with(struct client *client, char c)
{
	if (c == '\n')
		return true;
	if (client->scan.string) {
		if (client->scan.escape)
			client->scan.escape = false;
		else if (c == '\\')
			client->scan.escape = true;
		else if (c == '"')
			client->scan.string = false;
		return false;
	}
	if (c == '"')
		client->scan.string = true;
	else if (c == '{' || c == '[')
		client->scan.depth++;
	else if (c == '}' || c == ']')
		return client->scan.depth <= 1 || !client->scan.depth--;
	return false;
}

static bool is_empty(const char *text, uint32_t len)
{
	while (len && memchr(" \t\r\n", text[len - 1], 4))
		len--;
	return !len;
}

/* Takes the next command, if it is all there. */
static bool next(struct client *client)
{
	const char *text = client->in + client->from;
	uint32_t len;

	while (client->scan.at < client->to) {
		if (!ends_with(client, client->in[client->scan.at++]))
			continue;
		len = client->scan.at - client->from;
		client->from = client->scan.at;
		client->scan.depth = 0;
		client->scan.string = client->scan.escape = false;
		if (!is_empty(text, len))
			control_command(client, text, len);
		return true;
	}
	return false;
}

static void take_commands(struct client *client)
{
	uint64_t until = clock_now() + TURN;
	bool more = true;

	while (!client->gone && !has_backlog(client) && more && clock_now() < until)
		more = next(client);
	client->more = more;
	memmove(client->in, client->in + client->from, client->to - client->from);
	client->to -= client->from;
	client->scan.at -= client->from;
	client->from = 0;
	if (client->to == CONTROL_LINE && client->scan.at == client->to)
		say_too_long(client);
}

static void take_input(struct client *client)
{
	ssize_t n = recv(client->fd, client->in + client->to, CONTROL_LINE - client->to,
			 MSG_DONTWAIT);

	if (n > 0) {
		client->to += (uint32_t)n;
		client->heard = clock_now();
	} else if (!n)
		client->ended = true;
	else if (errno != EAGAIN && errno != EINTR)
		client->gone = true;
}

static void client_ready(void *opaque, uint32_t events)
{
	struct client *client = opaque;

	flush_out(client);
	if (!client->gone && !client->ended && !has_backlog(client) && client->to < CONTROL_LINE)
		take_input(client);
	if (!client->gone)
		take_commands(client);
	/* It has closed: what it had sent before that counts. */
	if (events & (EPOLLHUP | EPOLLERR) &&
	    (has_backlog(client) || (client->ended && !client->more)))
		client->gone = true;
	if (!client->gone)
		flush_out(client);
	if (client->gone)
		client_destroy(client);
}

/* ---- Life ---- */

/* Is `a` to go before `b`? Who has never been a client, and then who has been silent for longer. */
static bool goes_before(const struct client *a, const struct client *b)
{
	return a->negotiated != b->negotiated ? b->negotiated : a->heard < b->heard;
}

void client_make_room(struct control *c)
{
	static const char line[] =
		"{\"error\": {\"class\": \"GenericError\", \"desc\": \"16 clients are connected, and this one was silent\"}}\n";
	struct client *last = c->clients[0];
	struct buf b = { 0 };

	for (unsigned int i = 0; i < CONTROL_CLIENTS; i++) {
		if (!c->clients[i])
			return;
		if (goes_before(c->clients[i], last))
			last = c->clients[i];
	}
	buf_put(&b, line, sizeof(line) - 1);
	client_send(last, &b);
	buf_free(&b);
	client_destroy(last);
}

static void greet(struct client *client)
{
	struct buf b = { 0 };
	struct json j = { .out = &b, .line = true };

	json_object(&j, NULL);
	json_object(&j, "QMP");
	control_version(client->control, &j, "version");
	json_array(&j, "capabilities");
	json_end_array(&j);
	json_end_object(&j);
	json_end_object(&j);
	client_send(client, &b);
	buf_free(&b);
}

struct client *client_create(struct control *c, int fd)
{
	struct client *client = calloc(1, sizeof(*client));

	if (client)
		client->in = malloc(CONTROL_LINE);
	if (!client || !client->in ||
	    loop_add(c->loop, fd, EPOLLIN, client_ready, client, &client->source)) {
		close(fd);
		free(client ? client->in : NULL);
		free(client);
		return NULL;
	}
	client->control = c;
	client->fd = fd;
	client->heard = clock_now();
	greet(client);
	return client;
}
