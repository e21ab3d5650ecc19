/* SPDX-License-Identifier: MIT */
/*
 * The lock is held while tty_*() and irq_*() are called. The tty's callbacks take it, so the tty
 * calls them without a lock of its own.
 */
#include "term/serial.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "util/clock.h"
#include "util/util.h"

/*
 * Polls in a row, all showing an idle line, that make a guest one that waits for input. A guest
 * that prints sends after one such poll; Linux does a few between two messages.
 */
#define POLLS 16

/* How long quiesce() waits for a slow outside before it leaves bytes in the transmit FIFO. */
#define QUIESCE_SECONDS 5

/* ---- FIFOs ---- */

static void fifo_put(struct serial_fifo *f, uint8_t byte)
{
	f->data[f->len++] = byte;
}

static void fifo_drop(struct serial_fifo *f, size_t n)
{
	f->len -= n;
	memmove(f->data, f->data + n, f->len);
	memset(f->data + f->len, 0, n);
}

void serial_clear_rx(struct serial_state *s)
{
	fifo_drop(&s->rx, s->rx.len);
	s->breaks = 0;
}

void serial_clear_tx(struct serial_state *s)
{
	fifo_drop(&s->tx, s->tx.len);
}

static bool fifo_is_possible(const struct serial_fifo *f, uint8_t size)
{
	static const uint8_t zeros[SERIAL_FIFO];

	return f->len <= size && !memcmp(f->data + f->len, zeros, SERIAL_FIFO - f->len);
}

bool serial_is_possible(const struct serial_state *s, uint8_t depth)
{
	return fifo_is_possible(&s->rx, depth) && fifo_is_possible(&s->tx, SERIAL_FIFO) &&
	       s->breaks >> s->rx.len == 0;
}

/* ---- For the models ---- */

void serial_update(struct serial *u)
{
	bool now = u->model->interrupts(u);

	if (now && !u->line)
		irq_raise(&u->dev.irq);
	else if (!now && u->line && u->dev.irq.trigger == IRQ_LEVEL)
		irq_lower(&u->dev.irq);
	u->line = now;
}

uint8_t serial_room(struct serial *u)
{
	if (!u->listens || u->quiet || u->model->loops(u))
		return 0;
	return u->model->depth(u) - u->state->rx.len;
}

void serial_refill(struct serial *u)
{
	struct serial_fifo *rx = &u->state->rx;
	uint8_t room = serial_room(u);
	size_t n;

	if (!room)
		return;
	n = tty_read(u->tty, u->port, rx->data + rx->len, room);
	rx->len += n;
	u->offered = n == room;
	if (n)
		u->model->event(u, SERIAL_RECEIVED);
}

void serial_receive(struct serial *u, uint8_t byte, bool is_break)
{
	struct serial_state *s = u->state;

	if (s->rx.len == u->model->depth(u)) {
		u->model->event(u, SERIAL_OVERRUN);
		return;
	}
	s->breaks |= (uint16_t)(is_break << s->rx.len);
	fifo_put(&s->rx, byte);
	u->model->event(u, is_break ? SERIAL_BREAK : SERIAL_RECEIVED);
}

uint8_t serial_take(struct serial *u)
{
	struct serial_state *s = u->state;
	uint8_t byte = s->rx.data[0];

	if (s->rx.len) {
		fifo_drop(&s->rx, 1);
		s->breaks >>= 1;
	}
	return byte;
}

void serial_listen(struct serial *u)
{
	if (!u->tty || u->output_only || u->listens)
		return;
	u->listens = true;
	tty_want_input(u->tty, u->port);
}

void serial_leave(struct serial *u)
{
	u->listens = false;
	if (u->tty)
		tty_leave_input(u->tty, u->port);
}

void serial_polled(struct serial *u, bool idle)
{
	u->polls = idle ? u->polls + 1 : 0;
	if (u->polls == POLLS) {
		serial_listen(u);
		serial_refill(u);
	}
}

/* Hands tx to the tty, as far as it takes it. */
static void tx_pump(struct serial *u)
{
	struct serial_fifo *tx = &u->state->tx;
	size_t n = tx->len;

	if (n && u->tty)
		n = tty_write(u->tty, u->port, tx->data, n);
	if (!n)
		return;
	fifo_drop(tx, n);
	u->model->event(u, SERIAL_SENT);
}

void serial_send(struct serial *u, uint8_t byte)
{
	struct serial_fifo *tx = &u->state->tx;

	if (tx->len == SERIAL_FIFO)
		return;
	fifo_put(tx, byte);
	if (tx->len == 1)
		tx_pump(u);
}

/* ---- What calls in ---- */

static void on_access(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	struct serial *u = opaque;

	pthread_mutex_lock(&u->lock);
	u->model->access(u, offset, data, len, is_write);
	pthread_mutex_unlock(&u->lock);
}

static void on_input(void *opaque)
{
	struct serial *u = opaque;

	pthread_mutex_lock(&u->lock);
	u->offered = true;
	if (!u->quiet) {
		u->model->event(u, SERIAL_INPUT);
		serial_update(u);
	}
	pthread_mutex_unlock(&u->lock);
}

static void on_room(void *opaque)
{
	struct serial *u = opaque;

	pthread_mutex_lock(&u->lock);
	if (!u->quiet) {
		tx_pump(u);
		serial_update(u);
	}
	pthread_cond_broadcast(&u->room);
	pthread_mutex_unlock(&u->lock);
}

static void on_break(void *opaque)
{
	struct serial *u = opaque;

	pthread_mutex_lock(&u->lock);
	if (!u->quiet && !u->model->loops(u)) {
		serial_receive(u, 0, true);
		serial_update(u);
	}
	pthread_mutex_unlock(&u->lock);
}

/* ---- A device's life ---- */

static struct serial *serial_of(struct device *dev)
{
	return container_of(dev, struct serial, dev);
}

/* Who listened must show anew that it does. */
static void replace_state(struct serial *u, const void *state)
{
	memcpy(u->state, state, u->model->state_size);
	serial_leave(u);
	u->polls = 0;
	u->model->event(u, SERIAL_REPLACED);
}

static void serial_reset(struct device *dev)
{
	struct serial *u = serial_of(dev);

	pthread_mutex_lock(&u->lock);
	replace_state(u, u->model->power_on);
	serial_update(u);
	pthread_mutex_unlock(&u->lock);
}

/*
 * The verdict and the last line of output want tx to be empty. A reader outside that takes nothing
 * for seconds must not hold up a pause for ever, though: what is left then is saved with the rest
 * and goes out after resume(), or in destroy().
 */
static void serial_quiesce(struct device *dev)
{
	struct serial *u = serial_of(dev);
	struct timespec until = clock_after(QUIESCE_SECONDS * CLOCK_SECOND);
	int rc = 0;

	pthread_mutex_lock(&u->lock);
	tx_pump(u);
	while (u->state->tx.len && !rc)
		rc = pthread_cond_timedwait(&u->room, &u->lock, &until);
	serial_refill(u); /* an offer may be what the line tells of, and it is not saved */
	u->quiet = true;
	serial_update(u);
	pthread_mutex_unlock(&u->lock);
}

static void serial_resume(struct device *dev)
{
	struct serial *u = serial_of(dev);

	pthread_mutex_lock(&u->lock);
	u->quiet = false;
	if (u->model->wants_input(u)) /* it may have been loaded */
		serial_listen(u);
	tx_pump(u);
	serial_refill(u);
	serial_update(u);
	pthread_mutex_unlock(&u->lock);
}

static void serial_save(struct device *dev, struct buf *out)
{
	struct serial *u = serial_of(dev);

	buf_put(out, u->state, u->model->state_size);
}

/* Raises nothing: what was told before the save is in the interrupt controller's state. */
static int serial_load(struct device *dev, struct reader *in)
{
	struct serial *u = serial_of(dev);
	_Alignas(max_align_t) uint8_t state[SERIAL_STATE_MAX];

	reader_get(in, state, u->model->state_size);
	if (in->failed || !u->model->is_possible(state))
		return -EINVAL;
	pthread_mutex_lock(&u->lock);
	replace_state(u, state);
	u->line = u->model->interrupts(u);
	pthread_mutex_unlock(&u->lock);
	return 0;
}

static void serial_free(struct serial *u)
{
	if (u->tty)
		tty_detach(u->tty, u->port);
	pthread_cond_destroy(&u->room);
	pthread_mutex_destroy(&u->lock);
	free(u);
}

/* Output that was taken from the guest is never lost, however long its reader takes. */
static void serial_destroy(struct device *dev)
{
	struct serial *u = serial_of(dev);

	bus_release(u->bus, dev->base);
	pthread_mutex_lock(&u->lock);
	tx_pump(u);
	while (u->state->tx.len) {
		pthread_cond_wait(&u->room, &u->lock);
		tx_pump(u);
	}
	pthread_mutex_unlock(&u->lock);
	serial_free(u);
}

static const struct device_ops serial_ops = {
	.reset = serial_reset,
	.quiesce = serial_quiesce,
	.resume = serial_resume,
	.save = serial_save,
	.load = serial_load,
	.destroy = serial_destroy,
};

static void init_sync(struct serial *u)
{
	clock_cond_init(&u->room);
	pthread_mutex_init(&u->lock, NULL);
}

static int attach(struct serial *u, struct tty *tty, struct err *err)
{
	struct tty_client client = {
		.input = on_input, .room = on_room, .interrupt = on_break, .opaque = u
	};

	if (!tty)
		return 0;
	u->port = tty_attach(tty, &client);
	if (u->port < 0)
		return err_set(err, -u->port, "%s: too many consoles", u->dev.name);
	u->tty = tty;
	return 0;
}

int serial_create(const struct serial_model *model, const struct device_env *env,
		  const struct uart_config *config, struct device **out, struct err *err)
{
	struct serial *u = calloc(1, model->size);
	int rc;

	if (!u)
		return err_set(err, ENOMEM, "no memory for %s", config->name);
	u->dev = (struct device){
		.ops = &serial_ops,
		.name = config->name,
		.kind = model->kind,
		.is_pio = config->is_pio,
		.base = config->base,
		.size = model->range,
		.irq = config->irq,
	};
	u->model = model;
	u->state = (void *)((char *)u + model->state_at);
	memcpy(u->state, model->power_on, model->state_size);
	u->bus = config->is_pio ? env->pio : env->mmio;
	u->output_only = config->output_only;
	init_sync(u);
	rc = attach(u, config->tty, err);
	if (!rc)
		rc = bus_claim(u->bus, config->base, model->range, on_access, u, config->name, err);
	if (rc)
		serial_free(u);
	else
		*out = &u->dev;
	return rc;
}
