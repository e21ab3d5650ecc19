/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. The line is infinitely fast: a byte written to THR is gone at once unless
 * the tty refuses it, so the transmit FIFO holds something only while the outside is slow. The
 * receive FIFO is filled from the tty whenever the guest has emptied it; a character time-out,
 * which on a real line comes four characters after the last, comes at once.
 *
 * One lock guards it all and is held while tty_*() and irq_*() are called. The tty's callbacks take
 * it, so the tty calls them without a lock of its own.
 */
#include "term/uart16550.h"

#include <errno.h>
#include <linux/serial_reg.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "util/util.h"

#define IER_ALL (UART_IER_RDI | UART_IER_THRI | UART_IER_RLSI | UART_IER_MSI)
#define IIR_FIFO 0xc0 /* "the FIFOs are on" */
#define FCR_KEPT (UART_FCR_ENABLE_FIFO | UART_FCR_DMA_SELECT | UART_FCR_TRIGGER_MASK)
#define MCR_ALL 0x1f
#define LSR_IDLE (UART_LSR_THRE | UART_LSR_TEMT)

#define FIFO 16

/*
 * Reads of LSR in a row, all showing an idle transmitter, that make a guest one that waits for
 * input. A guest that prints writes THR after one such read; Linux does a few between two messages.
 */
#define POLLS 16

/* How long quiesce() waits for a slow outside before it leaves bytes in the transmit FIFO. */
#define QUIESCE_SECONDS 5

/* The oldest byte first, zeros after the last: equal contents are equal bytes. */
struct fifo {
	uint8_t len, data[FIFO];
};

/* All that the guest can see, saved as it is. */
struct uart_state {
	uint16_t breaks; /* bit n: rx.data[n] is a break that LSR has not told */
	uint8_t ier, fcr, lcr, mcr, msr, scr, divisor[2];
	uint8_t overrun; /* UART_LSR_OE or 0 */
	uint8_t thre;	 /* THR became empty and IIR has not told */
	struct fifo rx, tx;
};
_Static_assert(sizeof(struct uart_state) == 12 + 2 * (1 + FIFO), "no padding");

struct uart {
	struct device dev;
	struct bus *bus;
	struct tty *tty;
	int port;
	pthread_mutex_t lock;
	pthread_cond_t room; /* the tty took something of s.tx */
	struct uart_state s;
	bool line; /* the interrupt condition, as last told */
	bool output_only;
	bool listens;	    /* tty_want_input() was called */
	bool quiet;	    /* between quiesce and resume */
	unsigned int polls; /* of LSR, in a row */
};

static const struct uart_state power_on = {
	.divisor = { 12, 0 }, /* 9600 baud */
	.msr = UART_MSR_CTS | UART_MSR_DSR | UART_MSR_DCD,
};

static void fifo_put(struct fifo *f, uint8_t byte)
{
	f->data[f->len++] = byte;
}

static void fifo_drop(struct fifo *f, size_t n)
{
	f->len -= n;
	memmove(f->data, f->data + n, f->len);
	memset(f->data + f->len, 0, n);
}

/* What IIR reads, its FIFO bits aside: the most urgent interrupt. */
static uint8_t pending(const struct uart_state *s)
{
	static const uint8_t triggers[] = { 1, 4, 8, 14 };

	if (s->ier & UART_IER_RLSI && (s->overrun || s->breaks & 1))
		return UART_IIR_RLSI;
	if (s->ier & UART_IER_RDI && s->rx.len)
		return s->rx.len >= triggers[s->fcr >> 6] ? UART_IIR_RDI : UART_IIR_RX_TIMEOUT;
	if (s->ier & UART_IER_THRI && s->thre)
		return UART_IIR_THRI;
	if (s->ier & UART_IER_MSI && s->msr & UART_MSR_ANY_DELTA)
		return UART_IIR_MSI;
	return UART_IIR_NO_INT;
}

static void update_line(struct uart *u)
{
	bool now = pending(&u->s) != UART_IIR_NO_INT;

	if (now && !u->line)
		irq_raise(&u->dev.irq);
	else if (!now && u->line && u->dev.irq.trigger == IRQ_LEVEL)
		irq_lower(&u->dev.irq);
	u->line = now;
}

/*
 * The guest answered an interrupt by moving a byte. On a real line the condition would fall for a
 * character's time at least; if it holds afterwards, that's another edge. A driver that moves one
 * byte an interrupt, without a look at IIR, waits for it.
 */
static void line_dips(struct uart *u)
{
	if (u->dev.irq.trigger == IRQ_EDGE)
		u->line = false;
}

static uint8_t rx_room(const struct uart_state *s)
{
	return (s->fcr & UART_FCR_ENABLE_FIFO ? FIFO : 1) - s->rx.len;
}

static void rx_put(struct uart_state *s, uint8_t byte, bool is_break)
{
	if (!rx_room(s)) {
		s->overrun = UART_LSR_OE;
		return;
	}
	s->breaks |= (uint16_t)(is_break << s->rx.len);
	fifo_put(&s->rx, byte);
}

/* From outside, as far as there is room. In loopback the outside is cut off. */
static void rx_refill(struct uart *u)
{
	struct fifo *rx = &u->s.rx;

	if (u->listens && !u->quiet && !(u->s.mcr & UART_MCR_LOOP) && rx_room(&u->s))
		rx->len += tty_read(u->tty, u->port, rx->data + rx->len, rx_room(&u->s));
}

/* The guest shows that it would take input: only now is standard input touched. */
static void start_listening(struct uart *u)
{
	if (!u->tty || u->output_only || u->listens)
		return;
	u->listens = true;
	tty_want_input(u->tty, u->port);
	rx_refill(u);
}

/* Hands tx to the tty, as far as it takes it. */
static void tx_pump(struct uart *u)
{
	struct fifo *tx = &u->s.tx;

	if (!tx->len)
		return;
	fifo_drop(tx, u->tty ? tty_write(u->tty, u->port, tx->data, tx->len) : tx->len);
	u->s.thre = !tx->len;
}

static void write_thr(struct uart *u, uint8_t byte)
{
	struct uart_state *s = &u->s;

	line_dips(u);
	if (s->mcr & UART_MCR_LOOP) {
		rx_put(s, byte, false);
		s->thre = !s->tx.len;
		return;
	}
	s->thre = 0;
	if (s->tx.len == FIFO)
		return; /* lost: LSR had said that there is no room */
	fifo_put(&s->tx, byte);
	if (s->tx.len == 1)
		tx_pump(u);
}

static void write_ier(struct uart *u, uint8_t v)
{
	struct uart_state *s = &u->s;

	if (v & ~s->ier & UART_IER_THRI)
		s->thre = !s->tx.len;
	s->ier = v & IER_ALL;
}

/*
 * Does the guest wait for input? It enables the receiver's interrupt; but so does Linux's probe for
 * a moment, and takes it back at once. OUT2, a PC's interrupt gate, tells the two apart, and where
 * a guest knows of none, that it goes on to another register.
 */
static void look_for_listener(struct uart *u, uint64_t reg)
{
	if (u->listens || !(u->s.ier & UART_IER_RDI))
		return;
	if (u->s.mcr & UART_MCR_OUT2 || reg != UART_IER) {
		start_listening(u);
		update_line(u);
	}
}

static void write_fcr(struct uart *u, uint8_t v)
{
	struct uart_state *s = &u->s;
	bool switched = (v ^ s->fcr) & UART_FCR_ENABLE_FIFO;

	if (switched || v & UART_FCR_CLEAR_RCVR) {
		fifo_drop(&s->rx, s->rx.len);
		s->breaks = 0;
	}
	if ((switched || v & UART_FCR_CLEAR_XMIT) && s->tx.len) {
		fifo_drop(&s->tx, s->tx.len);
		s->thre = 1;
	}
	s->fcr = v & UART_FCR_ENABLE_FIFO ? v & FCR_KEPT : 0;
	rx_refill(u);
}

/* Outside loopback the other side is always there and ready. */
static uint8_t modem_lines(uint8_t mcr)
{
	if (!(mcr & UART_MCR_LOOP))
		return UART_MSR_CTS | UART_MSR_DSR | UART_MSR_DCD;
	return (mcr & UART_MCR_RTS ? UART_MSR_CTS : 0) | (mcr & UART_MCR_DTR ? UART_MSR_DSR : 0) |
	       (mcr & UART_MCR_OUT1 ? UART_MSR_RI : 0) | (mcr & UART_MCR_OUT2 ? UART_MSR_DCD : 0);
}

/* A line that changed leaves its delta, four bits lower; RI does so only when it ends. */
static void write_mcr(struct uart *u, uint8_t v)
{
	struct uart_state *s = &u->s;
	uint8_t lines = modem_lines(v);
	uint8_t changed = lines ^ (s->msr & ~UART_MSR_ANY_DELTA);

	if (lines & UART_MSR_RI)
		changed &= ~UART_MSR_RI;
	s->mcr = v & MCR_ALL;
	s->msr = lines | (s->msr & UART_MSR_ANY_DELTA) | changed >> 4;
	rx_refill(u);
}

static void write_reg(struct uart *u, uint64_t reg, uint8_t v)
{
	struct uart_state *s = &u->s;

	u->polls = 0;
	if (reg <= UART_DLM && s->lcr & UART_LCR_DLAB) {
		s->divisor[reg] = v;
		return;
	}
	switch (reg) {
	case UART_TX:
		write_thr(u, v);
		break;
	case UART_IER:
		write_ier(u, v);
		break;
	case UART_FCR:
		write_fcr(u, v);
		break;
	case UART_LCR:
		s->lcr = v;
		break;
	case UART_MCR:
		write_mcr(u, v);
		break;
	case UART_SCR:
		s->scr = v;
		break;
	}
	update_line(u);
}

static uint8_t read_rbr(struct uart *u)
{
	struct uart_state *s = &u->s;
	uint8_t byte = s->rx.data[0];

	line_dips(u);
	if (s->rx.len) {
		fifo_drop(&s->rx, 1);
		s->breaks >>= 1;
	}
	if (!s->rx.len)
		rx_refill(u);
	return byte;
}

static uint8_t read_iir(struct uart_state *s)
{
	uint8_t iir = pending(s);

	if (iir == UART_IIR_THRI)
		s->thre = 0;
	return iir | (s->fcr & UART_FCR_ENABLE_FIFO ? IIR_FIFO : 0);
}

/* Telling errors clears them. Who asks on and on, with nothing to send, waits for input. */
static uint8_t read_lsr(struct uart *u)
{
	struct uart_state *s = &u->s;
	uint8_t lsr = s->overrun | (s->tx.len ? 0 : LSR_IDLE) | (s->rx.len ? UART_LSR_DR : 0);

	if (s->breaks & 1)
		lsr |= UART_LSR_BI;
	if (s->breaks && s->fcr & UART_FCR_ENABLE_FIFO)
		lsr |= UART_LSR_FIFOE;
	s->overrun = 0;
	s->breaks &= ~1;

	u->polls = lsr == LSR_IDLE ? u->polls + 1 : 0;
	if (u->polls == POLLS)
		start_listening(u);
	return lsr;
}

static uint8_t read_msr(struct uart_state *s)
{
	uint8_t msr = s->msr;

	s->msr &= ~UART_MSR_ANY_DELTA;
	return msr;
}

static uint8_t read_special(struct uart *u, uint64_t reg)
{
	switch (reg) {
	case UART_RX:
		return read_rbr(u);
	case UART_IER:
		return u->s.ier;
	case UART_IIR:
		return read_iir(&u->s);
	case UART_LCR:
		return u->s.lcr;
	case UART_MCR:
		return u->s.mcr;
	case UART_LSR:
		return read_lsr(u);
	case UART_MSR:
		return read_msr(&u->s);
	case UART_SCR:
		return u->s.scr;
	}
	return 0xff;
}

static uint8_t read_reg(struct uart *u, uint64_t reg)
{
	uint8_t v;

	if (reg != UART_LSR)
		u->polls = 0;
	if (reg <= UART_DLM && u->s.lcr & UART_LCR_DLAB)
		return u->s.divisor[reg];
	v = read_special(u, reg);
	update_line(u);
	return v;
}

/* A wide access is so many single ones, as on a bus of 8 bits. */
static void uart_access(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	struct uart *u = opaque;
	uint8_t *bytes = data;

	pthread_mutex_lock(&u->lock);
	for (uint32_t i = 0; i < len; i++) {
		if (is_write)
			write_reg(u, offset + i, bytes[i]);
		else
			bytes[i] = read_reg(u, offset + i);
		look_for_listener(u, offset + i);
	}
	pthread_mutex_unlock(&u->lock);
}

static void on_input(void *opaque)
{
	struct uart *u = opaque;

	pthread_mutex_lock(&u->lock);
	rx_refill(u);
	update_line(u);
	pthread_mutex_unlock(&u->lock);
}

static void on_room(void *opaque)
{
	struct uart *u = opaque;

	pthread_mutex_lock(&u->lock);
	if (!u->quiet) {
		tx_pump(u);
		update_line(u);
	}
	pthread_cond_broadcast(&u->room);
	pthread_mutex_unlock(&u->lock);
}

static void on_break(void *opaque)
{
	struct uart *u = opaque;

	pthread_mutex_lock(&u->lock);
	if (!u->quiet && !(u->s.mcr & UART_MCR_LOOP)) {
		rx_put(&u->s, 0, true);
		update_line(u);
	}
	pthread_mutex_unlock(&u->lock);
}

static void uart_reset(struct device *dev)
{
	struct uart *u = container_of(dev, struct uart, dev);

	pthread_mutex_lock(&u->lock);
	u->s = power_on;
	u->polls = 0;
	update_line(u);
	pthread_mutex_unlock(&u->lock);
}

/*
 * The verdict and the last line of output want tx to be empty. A reader outside that takes nothing
 * for seconds must not hold up a pause for ever, though: what is left then is saved with the rest
 * and goes out after resume(), or in destroy().
 */
static void uart_quiesce(struct device *dev)
{
	struct uart *u = container_of(dev, struct uart, dev);
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += QUIESCE_SECONDS;
	pthread_mutex_lock(&u->lock);
	tx_pump(u);
	while (u->s.tx.len && !rc)
		rc = pthread_cond_timedwait(&u->room, &u->lock, &until);
	update_line(u);
	u->quiet = true;
	pthread_mutex_unlock(&u->lock);
}

static void uart_resume(struct device *dev)
{
	struct uart *u = container_of(dev, struct uart, dev);

	pthread_mutex_lock(&u->lock);
	u->quiet = false;
	if (u->s.ier & UART_IER_RDI) /* it may have been loaded */
		start_listening(u);
	tx_pump(u);
	rx_refill(u);
	update_line(u);
	pthread_mutex_unlock(&u->lock);
}

static void uart_save(struct device *dev, struct buf *out)
{
	struct uart *u = container_of(dev, struct uart, dev);

	buf_put(out, &u->s, sizeof(u->s));
}

static bool fifo_is_possible(const struct fifo *f, uint8_t size)
{
	static const uint8_t zeros[FIFO];

	return f->len <= size && !memcmp(f->data + f->len, zeros, FIFO - f->len);
}

static bool state_is_possible(const struct uart_state *s)
{
	bool fifo = s->fcr & UART_FCR_ENABLE_FIFO;

	return !(s->ier & ~IER_ALL) && !(s->mcr & ~MCR_ALL) && !(s->fcr & ~FCR_KEPT) &&
	       (fifo || !s->fcr) && (s->msr & ~UART_MSR_ANY_DELTA) == modem_lines(s->mcr) &&
	       !(s->overrun & ~UART_LSR_OE) && fifo_is_possible(&s->rx, fifo ? FIFO : 1) &&
	       fifo_is_possible(&s->tx, FIFO) && s->breaks >> s->rx.len == 0 &&
	       s->thre <= !s->tx.len;
}

/* Raises nothing: an edge that was sent before the save is in the interrupt controller's state. */
static int uart_load(struct device *dev, struct reader *in)
{
	struct uart *u = container_of(dev, struct uart, dev);
	struct uart_state s;

	reader_get(in, &s, sizeof(s));
	if (in->failed || !state_is_possible(&s))
		return -EINVAL;
	pthread_mutex_lock(&u->lock);
	u->s = s;
	u->line = pending(&s) != UART_IIR_NO_INT;
	pthread_mutex_unlock(&u->lock);
	return 0;
}

static void uart_free(struct uart *u)
{
	if (u->tty)
		tty_detach(u->tty, u->port);
	pthread_cond_destroy(&u->room);
	pthread_mutex_destroy(&u->lock);
	free(u);
}

/* Output that was taken from the guest is never lost, however long its reader takes. */
static void uart_destroy(struct device *dev)
{
	struct uart *u = container_of(dev, struct uart, dev);

	bus_release(u->bus, dev->base);
	pthread_mutex_lock(&u->lock);
	tx_pump(u);
	while (u->s.tx.len) {
		pthread_cond_wait(&u->room, &u->lock);
		tx_pump(u);
	}
	pthread_mutex_unlock(&u->lock);
	uart_free(u);
}

static const struct device_ops uart_ops = {
	.reset = uart_reset,
	.quiesce = uart_quiesce,
	.resume = uart_resume,
	.save = uart_save,
	.load = uart_load,
	.destroy = uart_destroy,
};

static void init_sync(struct uart *u)
{
	pthread_condattr_t monotonic;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&u->room, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pthread_mutex_init(&u->lock, NULL);
}

static int attach(struct uart *u, struct err *err)
{
	struct tty_client client = {
		.input = on_input, .room = on_room, .interrupt = on_break, .opaque = u
	};

	if (!u->tty)
		return 0;
	u->port = tty_attach(u->tty, &client);
	return u->port >= 0 ? 0 : err_set(err, -u->port, "%s: too many consoles", u->dev.name);
}

int uart16550_create(const struct device_env *env, const struct uart16550_config *config,
		     struct device **out, struct err *err)
{
	struct uart *u = calloc(1, sizeof(*u));
	int rc;

	if (!u)
		return err_set(err, ENOMEM, "no memory for %s", config->name);
	u->dev = (struct device){
		.ops = &uart_ops,
		.name = config->name,
		.kind = DEVICE_UART16550,
		.is_pio = config->is_pio,
		.base = config->base,
		.size = UART16550_SIZE,
		.irq = config->irq,
	};
	u->bus = config->is_pio ? env->pio : env->mmio;
	u->tty = config->tty;
	u->output_only = config->output_only;
	u->s = power_on;
	init_sync(u);
	rc = attach(u, err);
	if (rc) {
		u->tty = NULL;
		uart_free(u);
		return rc;
	}
	rc = bus_claim(u->bus, config->base, UART16550_SIZE, uart_access, u, config->name, err);
	if (rc) {
		uart_free(u);
		return rc;
	}
	*out = &u->dev;
	return 0;
}
