/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/lib/tty.h"

#include "tests/fuzz/fuzz.h"

void tty_fresh(struct tty *tty)
{
	*tty = (struct tty){ .accepts = SIZE_MAX };
}

int tty_attach(struct tty *tty, const struct tty_client *client)
{
	CHECK(!tty->attached);
	tty->client = *client;
	tty->attached = true;
	return 0;
}

void tty_detach(struct tty *tty, int port)
{
	CHECK(!port && tty->attached);
	tty->attached = false;
}

void tty_want_input(struct tty *tty, int port)
{
	CHECK(!port && tty->attached);
	tty->wanted = true;
}

void tty_leave_input(struct tty *tty, int port)
{
	CHECK(!port && tty->attached);
	tty->wanted = false;
}

size_t tty_read(struct tty *tty, int port, void *data, size_t len)
{
	size_t n = tty->wanted ? MIN(len, tty->has) : 0;

	CHECK(!port && tty->attached);
	memset(data, 'i', len ? n : 0);
	tty->has -= n;
	return n;
}

/* Each byte can be read. */
static uint64_t get_sum(const uint8_t *p, size_t n)
{
	uint64_t sum = 0;

	while (n--)
		sum += *p++;
	return sum;
}

size_t tty_write(struct tty *tty, int port, const void *data, size_t len)
{
	size_t n = MIN(len, tty->accepts);

	CHECK(!port && tty->attached);
	tty->sum += get_sum(data, n);
	tty->accepts -= n;
	if (n < len && tty->drains)
		tty_tell_room(tty, 1000);
	return n;
}

bool tty_size(struct tty *tty, unsigned int *columns, unsigned int *rows)
{
	*columns = tty->size & 0xffff;
	*rows = tty->size >> 16;
	return tty->size;
}

void tty_tell_input(struct tty *tty, size_t more)
{
	tty->has += more;
	if (tty->wanted)
		tty->client.input(tty->client.opaque);
}

void tty_tell_room(struct tty *tty, size_t more)
{
	tty->accepts = more > SIZE_MAX - tty->accepts ? SIZE_MAX : tty->accepts + more;
	tty->client.room(tty->client.opaque);
}

void tty_tell_break(struct tty *tty)
{
	tty->client.interrupt(tty->client.opaque);
}

void tty_tell_size(struct tty *tty, uint32_t size)
{
	tty->size = size;
	if (tty->client.resized)
		tty->client.resized(tty->client.opaque);
}

bool tty_written(struct tty *tty)
{
	(void)tty;
	return true;
}
