/* SPDX-License-Identifier: MIT */
#include "term/log-tail.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "term/escape.h"
#include "util/util.h"

#define LINE 512 /* what is longer is shown as several */

void log_tail_init(struct log_tail *tail)
{
	*tail = (struct log_tail){ 0 };
	pthread_mutex_init(&tail->lock, NULL);
}

void log_tail_destroy(struct log_tail *tail)
{
	pthread_mutex_destroy(&tail->lock);
	free(tail->data);
}

void log_tail_feed(struct log_tail *tail, const void *data, size_t len)
{
	const char *p = data;

	pthread_mutex_lock(&tail->lock);
	if (!tail->data)
		tail->data = malloc(LOG_TAIL_SIZE);
	while (tail->data && len) {
		size_t at = tail->end % LOG_TAIL_SIZE;
		size_t n = MIN(len, LOG_TAIL_SIZE - at);

		memcpy(tail->data + at, p, n);
		tail->end += n;
		p += n;
		len -= n;
	}
	pthread_mutex_unlock(&tail->lock);
}

uint64_t log_tail_end(struct log_tail *tail)
{
	uint64_t end;

	pthread_mutex_lock(&tail->lock);
	end = tail->end;
	pthread_mutex_unlock(&tail->lock);
	return end;
}

static char byte_at(const struct log_tail *tail, uint64_t at)
{
	return tail->data[at % LOG_TAIL_SIZE];
}

/* Where the last `lines` lines that are not empty begin. */
static uint64_t begin_of(const struct log_tail *tail, unsigned int lines)
{
	uint64_t oldest = tail->end > LOG_TAIL_SIZE ? tail->end - LOG_TAIL_SIZE : 0;
	uint64_t at = tail->end;
	bool empty = true;

	for (; at > oldest; at--) {
		char c = byte_at(tail, at - 1);

		if (c != '\n') {
			empty &= c == '\r';
			continue;
		}
		if (!empty && !--lines)
			break;
		empty = true;
	}
	return at;
}

/* A copy: who is told of lines may take his time, and consoles go on. NULL: no memory. */
static char *copy_lines(struct log_tail *tail, unsigned int lines, size_t *len)
{
	char *copy = malloc(LOG_TAIL_SIZE);
	uint64_t begin;

	if (!copy)
		return NULL;
	pthread_mutex_lock(&tail->lock);
	begin = begin_of(tail, lines);
	*len = (size_t)(tail->end - begin);
	for (size_t i = 0; i < *len; i++)
		copy[i] = byte_at(tail, begin + i);
	pthread_mutex_unlock(&tail->lock);
	return copy;
}

struct cleaner {
	void (*line)(void *opaque, const char *text);
	void *opaque;
	enum escape escape;
	size_t len;
	char text[LINE];
};

static void flush(struct cleaner *c)
{
	c->text[c->len] = 0;
	if (c->len)
		c->line(c->opaque, c->text);
	c->len = 0;
}

static void put(struct cleaner *c, char byte)
{
	if (c->len == LINE - 1)
		flush(c);
	c->text[c->len++] = byte;
}

static void clean(struct cleaner *c, uint8_t byte)
{
	if (byte == '\n') {
		c->escape = ESCAPE_NONE;
		flush(c);
	} else if (!escape_takes(&c->escape, byte) && byte != '\r') {
		put(c, byte == '\t' || (byte >= 0x20 && byte < 0x7f) ? (char)byte : '?');
	}
}

void log_tail_lines(struct log_tail *tail, unsigned int lines,
		    void (*line)(void *opaque, const char *text), void *opaque)
{
	struct cleaner c = { .line = line, .opaque = opaque };
	size_t len;
	char *copy = lines ? copy_lines(tail, lines, &len) : NULL;

	for (size_t i = 0; copy && i < len; i++)
		clean(&c, (uint8_t)copy[i]);
	flush(&c);
	free(copy);
}
