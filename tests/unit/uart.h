/* SPDX-License-Identifier: MIT */
/*
 * What the UARTs' tests share: a bus, lines that count, and a tty of our own, which is to the
 * devices what term/tty.c is, with the brakes in our hand. For one test program each.
 */
#ifndef TESTS_UNIT_UART_H
#define TESTS_UNIT_UART_H

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "term/uart.h"
#include "tests/unit/tap.h"
#include "util/util.h"

#define PORTS 2

struct tty {
	struct tty_client clients[PORTS];
	bool attached[PORTS];
	int listener;		/* gets the input; -1: none */
	int wanted;		/* calls of tty_want_input() */
	int order[PORTS];	/* who wanted it when; 0: not */
	bool full;		/* no port is left */
	_Atomic size_t accepts; /* bytes it takes before it refuses */
	char out[4096];
	size_t out_len;
	pthread_mutex_t lock; /* of the input */
	char in[256];
	size_t in_len;
};

int tty_attach(struct tty *tty, const struct tty_client *client)
{
	for (int i = 0; i < PORTS && !tty->full; i++) {
		if (!tty->attached[i]) {
			tty->clients[i] = *client;
			tty->attached[i] = true;
			return i;
		}
	}
	return -ENOSPC;
}

void tty_detach(struct tty *tty, int port)
{
	tty->attached[port] = false;
}

void tty_want_input(struct tty *tty, int port)
{
	tty->listener = port;
	tty->order[port] = ++tty->wanted;
}

void tty_leave_input(struct tty *tty, int port)
{
	tty->order[port] = 0;
	tty->listener = -1;
	for (int i = 0, last = 0; i < PORTS; i++) {
		if (tty->order[i] > last) {
			last = tty->order[i];
			tty->listener = i;
		}
	}
}

size_t tty_read(struct tty *tty, int port, void *data, size_t len)
{
	size_t n;

	if (port != tty->listener)
		return 0;
	pthread_mutex_lock(&tty->lock);
	n = MIN(len, tty->in_len);
	memcpy(data, tty->in, n);
	memmove(tty->in, tty->in + n, tty->in_len - n);
	tty->in_len -= n;
	pthread_mutex_unlock(&tty->lock);
	return n;
}

size_t tty_write(struct tty *tty, int port, const void *data, size_t len)
{
	size_t n = MIN(len, (size_t)tty->accepts);

	(void)port;
	n = MIN(n, sizeof(tty->out) - tty->out_len);
	memcpy(tty->out + tty->out_len, data, n);
	tty->out_len += n;
	tty->accepts -= n;
	return n;
}

struct counting_chip {
	struct irq_chip chip;
	_Atomic int raised, lowered;
};

static inline void count_raise(struct irq_chip *chip, const struct irq_line *line)
{
	(void)line;
	container_of(chip, struct counting_chip, chip)->raised++;
}

static inline void count_lower(struct irq_chip *chip, const struct irq_line *line)
{
	(void)line;
	container_of(chip, struct counting_chip, chip)->lowered++;
}

/* The device that is tested, and the other one where there are two. */
struct fixture {
	struct bus bus;
	struct device_env env;
	struct tty tty;
	struct counting_chip irq, other_irq;
	struct device *dev, *other;
};

static inline void counting_chip_init(struct counting_chip *c)
{
	c->chip = (struct irq_chip){ .lines = 24, .raise = count_raise, .lower = count_lower };
}

static inline void fixture_init(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	counting_chip_init(&f->irq);
	counting_chip_init(&f->other_irq);
	f->tty.accepts = SIZE_MAX;
	f->tty.listener = -1;
	pthread_mutex_init(&f->tty.lock, NULL);
	bus_init(&f->bus);
	f->env = (struct device_env){ .mmio = &f->bus, .pio = &f->bus, .chip = &f->irq.chip };
}

static inline void plug(struct fixture *f, const struct device_type *type, uint64_t base,
			enum irq_trigger trigger)
{
	struct uart_config config = {
		.name = "uart0",
		.is_pio = true,
		.base = base,
		.tty = &f->tty,
		.irq = { &f->irq.chip, 4, trigger },
	};

	if (type->create(&f->env, &config, &f->dev, NULL))
		ok(false, "%s is created", type->name);
}

static inline void plug_other(struct fixture *f, const struct device_type *type, uint64_t base)
{
	struct uart_config config = {
		.name = "uart1",
		.base = base,
		.tty = &f->tty,
		.irq = { &f->other_irq.chip, 5, IRQ_LEVEL },
	};

	if (type->create(&f->env, &config, &f->other, NULL))
		ok(false, "another %s is created", type->name);
}

static inline void tear_down(struct fixture *f)
{
	f->tty.accepts = SIZE_MAX;
	if (f->dev)
		f->dev->ops->destroy(f->dev);
	if (f->other)
		f->other->ops->destroy(f->other);
	bus_destroy(&f->bus);
	pthread_mutex_destroy(&f->tty.lock);
}

/* What the tty's threads do. */

static inline void offer_input(struct fixture *f)
{
	const struct tty_client *c = &f->tty.clients[MAX(f->tty.listener, 0)];

	c->input(c->opaque);
}

static inline void type(struct fixture *f, const char *text)
{
	size_t n = strlen(text);

	pthread_mutex_lock(&f->tty.lock);
	memcpy(f->tty.in + f->tty.in_len, text, n);
	f->tty.in_len += n;
	pthread_mutex_unlock(&f->tty.lock);
	offer_input(f);
}

static inline void type_break(struct fixture *f)
{
	const struct tty_client *c = &f->tty.clients[MAX(f->tty.listener, 0)];

	c->interrupt(c->opaque);
}

static inline void tell_room(struct fixture *f)
{
	f->tty.clients[0].room(f->tty.clients[0].opaque);
}

static inline void *make_room(void *opaque)
{
	struct fixture *f = opaque;

	usleep(50000);
	f->tty.accepts = SIZE_MAX;
	tell_room(f);
	return NULL;
}

/* Interrupts since the last call. */
static inline int raised(struct fixture *f)
{
	int n = f->irq.raised;

	f->irq.raised = 0;
	return n;
}

static inline bool has_output(struct fixture *f, const char *text)
{
	bool same = f->tty.out_len == strlen(text) && !memcmp(f->tty.out, text, f->tty.out_len);

	f->tty.out_len = 0;
	return same;
}

static inline void save(struct fixture *f, struct buf *b)
{
	*b = (struct buf){ 0 };
	f->dev->ops->save(f->dev, b);
}

static inline int load(struct fixture *f, const uint8_t *data, size_t len)
{
	struct reader r = { .p = data, .left = len };

	return f->dev->ops->load(f->dev, &r);
}

static inline bool equal(const struct buf *a, const struct buf *b)
{
	return a->len == b->len && a->len && !memcmp(a->data, b->data, a->len);
}

#endif
