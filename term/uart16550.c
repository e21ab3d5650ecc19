/* SPDX-License-Identifier: MIT */
/*
 * A 16550A UART: 8 registers a byte apart, on the PIO or the MMIO bus. Both FIFOs of 16 bytes,
 * their trigger levels and character time-out, line status with break, modem status with loopback,
 * interrupt identification by priority. Its line is raised on edges only (ISA's way): one edge each
 * time that the interrupt condition becomes true; a byte that the guest moves ends it for a moment.
 * On a level-triggered line the condition itself is told.
 *
 * A character time-out, which on a real line comes four characters after the last, comes at once.
 * Speed, parity and stop bits are kept and read back, and mean nothing. (PC16550D data sheet.)
 */
#include <linux/serial_reg.h>

#include "term/serial.h"
#include "util/util.h"

#define RANGE 8
#define IER_ALL (UART_IER_RDI | UART_IER_THRI | UART_IER_RLSI | UART_IER_MSI)
#define IIR_FIFO 0xc0 /* "the FIFOs are on" */
#define FCR_KEPT (UART_FCR_ENABLE_FIFO | UART_FCR_DMA_SELECT | UART_FCR_TRIGGER_MASK)
#define MCR_ALL 0x1f
#define LSR_IDLE (UART_LSR_THRE | UART_LSR_TEMT)

/* All that the guest can see, saved as it is. */
struct uart_state {
	struct serial_state io;
	uint8_t ier, fcr, lcr, mcr, msr, scr, divisor[2];
	uint8_t overrun; /* UART_LSR_OE or 0 */
	uint8_t thre;	 /* THR became empty and IIR has not told */
};
_Static_assert(sizeof(struct uart_state) == sizeof(struct serial_state) + 10, "no padding");
_Static_assert(sizeof(struct uart_state) <= SERIAL_STATE_MAX, "load() has room");

struct uart {
	struct serial serial;
	struct uart_state s;
	bool asks; /* the receiver was opened, by IER or by MCR; is it for input? */
};

static const struct uart_state power_on = {
	.divisor = { 12, 0 }, /* 9600 baud */
	.msr = UART_MSR_CTS | UART_MSR_DSR | UART_MSR_DCD,
};

static struct uart *uart_of(struct serial *serial)
{
	return container_of(serial, struct uart, serial);
}

static uint8_t depth(const struct uart_state *s)
{
	return s->fcr & UART_FCR_ENABLE_FIFO ? SERIAL_FIFO : 1;
}

/* What IIR reads, its FIFO bits aside: the most urgent interrupt. */
static uint8_t pending(const struct uart_state *s)
{
	static const uint8_t triggers[] = { 1, 4, 8, 14 };
	uint8_t received = s->io.rx.len;

	if (s->ier & UART_IER_RLSI && (s->overrun || s->io.breaks & 1))
		return UART_IIR_RLSI;
	if (s->ier & UART_IER_RDI && received)
		return received >= triggers[s->fcr >> 6] ? UART_IIR_RDI : UART_IIR_RX_TIMEOUT;
	if (s->ier & UART_IER_THRI && s->thre)
		return UART_IIR_THRI;
	if (s->ier & UART_IER_MSI && s->msr & UART_MSR_ANY_DELTA)
		return UART_IIR_MSI;
	return UART_IIR_NO_INT;
}

/*
 * The guest answered an interrupt by moving a byte. On a real line the condition would fall for a
 * character's time at least; if it holds afterwards, that's another edge. A driver that moves one
 * byte an interrupt, without a look at IIR, waits for it.
 */
static void line_dips(struct uart *u)
{
	if (u->serial.dev.irq.trigger == IRQ_EDGE)
		u->serial.line = false;
}

/*
 * Does the guest wait for input? It enables the receiver's interrupt; but so does Linux's probe for
 * a moment, and takes it back at once. OUT2, a PC's interrupt gate, tells the two apart, and where
 * a guest knows of none, that it goes on to another register.
 */
static void look_for_listener(struct uart *u, uint64_t reg)
{
	if (!u->asks || !(u->s.ier & UART_IER_RDI))
		return;
	if (u->s.mcr & UART_MCR_OUT2 || reg != UART_IER) {
		u->asks = false;
		serial_listen(&u->serial);
		serial_refill(&u->serial);
		serial_update(&u->serial);
	}
}

static void write_thr(struct uart *u, uint8_t byte)
{
	struct uart_state *s = &u->s;

	line_dips(u);
	if (s->mcr & UART_MCR_LOOP) {
		serial_receive(&u->serial, byte, false);
		s->thre = !s->io.tx.len;
		return;
	}
	s->thre = 0;
	serial_send(&u->serial, byte);
}

/* Linux masks all for each console message: who listens goes on, and takes no input from others. */
static void write_ier(struct uart *u, uint8_t v)
{
	struct uart_state *s = &u->s;

	if (v & ~s->ier & UART_IER_THRI)
		s->thre = !s->io.tx.len;
	if (v & ~s->ier & UART_IER_RDI)
		u->asks = true;
	s->ier = v & IER_ALL;
}

/*
 * Switched on, the FIFO begins with what RBR held; a PC16550D would clear it. But Linux opens the
 * receiver before it switches the FIFO on, and our outside does not wait for a start bit: a first
 * byte that came between the two must not be lost.
 */
static void write_fcr(struct uart *u, uint8_t v)
{
	struct uart_state *s = &u->s;
	bool on = v & UART_FCR_ENABLE_FIFO;
	bool was_on = s->fcr & UART_FCR_ENABLE_FIFO;

	if ((was_on && !on) || v & UART_FCR_CLEAR_RCVR)
		serial_clear_rx(&s->io);
	if ((was_on != on || v & UART_FCR_CLEAR_XMIT) && s->io.tx.len) {
		serial_clear_tx(&s->io);
		s->thre = 1;
	}
	s->fcr = on ? v & FCR_KEPT : 0;
	serial_refill(&u->serial);
}

/* Outside loopback the other side is always there and ready. */
static uint8_t modem_lines(uint8_t mcr)
{
	if (!(mcr & UART_MCR_LOOP))
		return UART_MSR_CTS | UART_MSR_DSR | UART_MSR_DCD;
	return (mcr & UART_MCR_RTS ? UART_MSR_CTS : 0) | (mcr & UART_MCR_DTR ? UART_MSR_DSR : 0) |
	       (mcr & UART_MCR_OUT1 ? UART_MSR_RI : 0) | (mcr & UART_MCR_OUT2 ? UART_MSR_DCD : 0);
}

/*
 * A line that changed leaves its delta, four bits lower; RI does so only when it ends. Linux's
 * driver opens OUT2 with the port and closes it with the port: it listens no longer then.
 */
static void write_mcr(struct uart *u, uint8_t v)
{
	struct uart_state *s = &u->s;
	uint8_t lines = modem_lines(v);
	uint8_t changed = lines ^ (s->msr & ~UART_MSR_ANY_DELTA);

	if (lines & UART_MSR_RI)
		changed &= ~UART_MSR_RI;
	if ((v ^ s->mcr) & UART_MCR_OUT2)
		u->asks = v & UART_MCR_OUT2;
	if (s->mcr & ~v & UART_MCR_OUT2)
		serial_leave(&u->serial);
	s->mcr = v & MCR_ALL;
	s->msr = lines | (s->msr & UART_MSR_ANY_DELTA) | changed >> 4;
	serial_refill(&u->serial);
}

static void write_reg(struct uart *u, uint64_t reg, uint8_t v)
{
	struct uart_state *s = &u->s;

	u->serial.polls = 0;
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
	serial_update(&u->serial);
}

static uint8_t read_rbr(struct uart *u)
{
	uint8_t byte = serial_take(&u->serial);

	line_dips(u);
	if (!u->s.io.rx.len)
		serial_refill(&u->serial);
	return byte;
}

static uint8_t read_iir(struct uart_state *s)
{
	uint8_t iir = pending(s);

	if (iir == UART_IIR_THRI)
		s->thre = 0;
	return iir | (s->fcr & UART_FCR_ENABLE_FIFO ? IIR_FIFO : 0);
}

/* Telling errors clears them. */
static uint8_t read_lsr(struct uart *u)
{
	struct uart_state *s = &u->s;
	struct serial_state *io = &s->io;
	uint8_t lsr = s->overrun | (io->tx.len ? 0 : LSR_IDLE) | (io->rx.len ? UART_LSR_DR : 0);

	if (io->breaks & 1)
		lsr |= UART_LSR_BI;
	if (io->breaks && s->fcr & UART_FCR_ENABLE_FIFO)
		lsr |= UART_LSR_FIFOE;
	s->overrun = 0;
	io->breaks &= ~1;
	serial_polled(&u->serial, lsr == LSR_IDLE);
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
		u->serial.polls = 0;
	if (reg <= UART_DLM && u->s.lcr & UART_LCR_DLAB)
		return u->s.divisor[reg];
	v = read_special(u, reg);
	serial_update(&u->serial);
	return v;
}

/* A wide access is so many single ones, as on a bus of 8 bits. */
static void uart_access(struct serial *serial, uint64_t offset, void *data, uint32_t len,
			bool is_write)
{
	struct uart *u = uart_of(serial);
	uint8_t *bytes = data;

	for (uint32_t i = 0; i < len; i++) {
		if (is_write)
			write_reg(u, offset + i, bytes[i]);
		else
			bytes[i] = read_reg(u, offset + i);
		look_for_listener(u, offset + i);
	}
}

static void uart_event(struct serial *serial, enum serial_event what)
{
	struct uart *u = uart_of(serial);

	switch (what) {
	case SERIAL_INPUT:
		serial_refill(serial);
		break;
	case SERIAL_OVERRUN:
		u->s.overrun = UART_LSR_OE;
		break;
	case SERIAL_SENT:
		u->s.thre = !u->s.io.tx.len;
		break;
	case SERIAL_REPLACED:
		u->asks = false;
		break;
	case SERIAL_RECEIVED:
	case SERIAL_BREAK:
		break;
	}
}

static bool uart_interrupts(struct serial *serial)
{
	return pending(&uart_of(serial)->s) != UART_IIR_NO_INT;
}

static uint8_t uart_depth(struct serial *serial)
{
	return depth(&uart_of(serial)->s);
}

static bool uart_loops(struct serial *serial)
{
	return uart_of(serial)->s.mcr & UART_MCR_LOOP;
}

static bool uart_wants_input(struct serial *serial)
{
	return uart_of(serial)->s.ier & UART_IER_RDI;
}

static bool uart_is_possible(const void *state)
{
	const struct uart_state *s = state;

	return !(s->ier & ~IER_ALL) && !(s->mcr & ~MCR_ALL) && !(s->fcr & ~FCR_KEPT) &&
	       (s->fcr & UART_FCR_ENABLE_FIFO || !s->fcr) &&
	       (s->msr & ~UART_MSR_ANY_DELTA) == modem_lines(s->mcr) &&
	       !(s->overrun & ~UART_LSR_OE) && serial_is_possible(&s->io, depth(s)) &&
	       s->thre <= !s->io.tx.len;
}

static const struct serial_model model = {
	.kind = DEVICE_UART16550,
	.range = RANGE,
	.size = sizeof(struct uart),
	.state_at = offsetof(struct uart, s),
	.state_size = sizeof(struct uart_state),
	.power_on = &power_on,
	.is_possible = uart_is_possible,
	.access = uart_access,
	.event = uart_event,
	.interrupts = uart_interrupts,
	.depth = uart_depth,
	.loops = uart_loops,
	.wants_input = uart_wants_input,
};

static int uart16550_create(const struct device_env *env, const void *config, struct device **out,
			    struct err *err)
{
	return serial_create(&model, env, config, out, err);
}

const struct device_type uart16550_type = { "uart16550", uart16550_create };
