/* SPDX-License-Identifier: MIT */
/*
 * An ARM PL011 (PrimeCell UART, ARM DDI 0183, revision r1p4): both FIFOs of 16 characters with
 * their trigger levels, receive time-out, break, overrun, loopback, modem status. Its line is a
 * level. Speed, parity, DMA and infrared are kept and read back, and mean nothing.
 *
 * Programs that were written on QEMU never turn the UART on: UARTEN, TXE and RXE do not keep them
 * from printing, nor from input. Linux, though, unmasks its receive interrupts for a moment before
 * it turns the receiver on, and then throws away what came meanwhile. So, while the receiver is
 * off, input is only offered: the line is raised, and the guest's next access (of another register
 * than IMSC) takes it. Once the receiver is on, input is taken at once.
 *
 * Time runs differently here: the next character follows at once where a real line takes a
 * character's time, and the receive time-out (32 bits long) is over when it begins. A driver that
 * takes a character and then clears its interrupt would clear the next one's; see `fresh`.
 */
#include <string.h>

#include "term/serial.h"
#include "util/util.h"

enum reg {
	REG_DR = 0x00,
	REG_RSR = 0x04, /* written: ECR */
	REG_FR = 0x18,
	REG_ILPR = 0x20,
	REG_IBRD = 0x24,
	REG_FBRD = 0x28,
	REG_LCR_H = 0x2c,
	REG_CR = 0x30,
	REG_IFLS = 0x34,
	REG_IMSC = 0x38,
	REG_RIS = 0x3c,
	REG_MIS = 0x40,
	REG_ICR = 0x44,
	REG_DMACR = 0x48,
	REG_ID = 0xfe0, /* PeriphID and PCellID, a byte a register, to the end */
	RANGE = 0x1000,
};

/* Of DR when read; four of RSR are the same, 8 bits lower. */
#define DR_BE (1 << 10)
#define DR_OE (1 << 11)
#define RSR_OE (DR_OE >> 8)
#define RSR_ALL 0xf

#define FR_CTS (1 << 0)
#define FR_DSR (1 << 1)
#define FR_DCD (1 << 2)
#define FR_BUSY (1 << 3)
#define FR_RXFE (1 << 4)
#define FR_TXFF (1 << 5)
#define FR_RXFF (1 << 6)
#define FR_TXFE (1 << 7)
#define FR_RI (1 << 8)

#define LCR_H_FEN (1 << 4)

#define CR_UARTEN (1 << 0)
#define CR_LBE (1 << 7)
#define CR_TXE (1 << 8)
#define CR_RXE (1 << 9)
#define CR_DTR (1 << 10)
#define CR_RTS (1 << 11)
#define CR_OUT1 (1 << 12)
#define CR_OUT2 (1 << 13)
#define CR_ALL 0xff87

#define INT_RI (1 << 0)
#define INT_CTS (1 << 1)
#define INT_DCD (1 << 2)
#define INT_DSR (1 << 3)
#define INT_RX (1 << 4)
#define INT_TX (1 << 5)
#define INT_RT (1 << 6)
#define INT_BE (1 << 9)
#define INT_OE (1 << 10)
#define INT_ALL 0x7ff
#define INT_INPUT (INT_RX | INT_RT)

#define FBRD_ALL 0x3f
#define IFLS_ALL 0x3f
#define DMACR_ALL 0x7

/* All that the guest can see, saved as it is. */
struct pl011_state {
	struct serial_state io;
	uint16_t ibrd, cr, imsc, ris;
	uint8_t fbrd, lcr_h, ifls, ilpr, dmacr, rsr;
	uint8_t overrun; /* DR has not told */
	uint8_t fresh;	 /* INT_RX and INT_RT would rise again after an ICR, on a real line */
};
_Static_assert(sizeof(struct pl011_state) == sizeof(struct serial_state) + 16, "no padding");
_Static_assert(sizeof(struct pl011_state) <= SERIAL_STATE_MAX, "load() has room");

struct pl011 {
	struct serial serial;
	struct pl011_state s;
};

static const struct pl011_state power_on = {
	.cr = CR_TXE | CR_RXE, .ifls = 0x12, /* both FIFOs at a half */
};

static struct pl011 *pl011_of(struct serial *serial)
{
	return container_of(serial, struct pl011, serial);
}

static uint8_t depth(const struct pl011_state *s)
{
	return s->lcr_h & LCR_H_FEN ? SERIAL_FIFO : 1;
}

static bool receiver_is_on(const struct pl011_state *s)
{
	return s->cr & CR_UARTEN && s->cr & CR_RXE;
}

/* An eighth, a quarter, a half, three quarters, seven eighths; the rest is reserved. */
static uint8_t trigger(unsigned int ifls)
{
	static const uint8_t levels[] = { 2, 4, 8, 12, 14, 14, 14, 14 };

	return levels[ifls & 7];
}

/* After characters came in or were read. Without the FIFO each is told. */
static void update_rx(struct pl011_state *s)
{
	uint8_t level = s->lcr_h & LCR_H_FEN ? trigger(s->ifls >> 3) : 1;

	s->ris &= ~INT_INPUT;
	if (s->io.rx.len)
		s->ris |= INT_RT;
	if (s->io.rx.len >= level)
		s->ris |= INT_RX;
}

/*
 * After characters were written or sent. On a real line INT_TX rises when the FIFO drains through
 * its level; here each character that is gone at once has done so (QEMU's way, too).
 */
static void update_tx(struct pl011_state *s)
{
	uint8_t level = s->lcr_h & LCR_H_FEN ? trigger(s->ifls) : 0;

	if (s->io.tx.len <= level)
		s->ris |= INT_TX;
	else
		s->ris &= ~INT_TX;
}

/* Outside loopback the other side is always there and ready. */
static uint16_t modem_lines(uint16_t cr)
{
	if (!(cr & CR_LBE))
		return FR_CTS | FR_DSR | FR_DCD;
	return (cr & CR_RTS ? FR_CTS : 0) | (cr & CR_DTR ? FR_DSR : 0) |
	       (cr & CR_OUT1 ? FR_DCD : 0) | (cr & CR_OUT2 ? FR_RI : 0);
}

static void write_dr(struct pl011 *p, uint8_t byte)
{
	if (p->s.cr & CR_LBE)
		serial_receive(&p->serial, byte, false);
	else
		serial_send(&p->serial, byte);
	update_tx(&p->s);
}

/* Switched on, the FIFO begins with what the holding register held. What is to be sent stays. */
static void write_lcr_h(struct pl011 *p, uint8_t v)
{
	struct pl011_state *s = &p->s;

	if (s->lcr_h & ~v & LCR_H_FEN)
		serial_clear_rx(&s->io);
	s->lcr_h = v;
	update_rx(s);
	if (receiver_is_on(s))
		serial_refill(&p->serial);
}

/*
 * Linux masks the receive interrupts alone when it can take no more, and turns the receiver alone
 * off to set a speed. When it closes the port it does both: only then it listens no longer.
 */
static void look_for_end(struct pl011 *p)
{
	if (!(p->s.imsc & INT_INPUT) && !(p->s.cr & CR_RXE))
		serial_leave(&p->serial);
}

static void write_cr(struct pl011 *p, uint16_t v)
{
	struct pl011_state *s = &p->s;
	uint16_t changed = modem_lines(s->cr) ^ modem_lines(v);

	s->ris |= (changed & FR_RI ? INT_RI : 0) | (changed & FR_CTS ? INT_CTS : 0) |
		  (changed & FR_DCD ? INT_DCD : 0) | (changed & FR_DSR ? INT_DSR : 0);
	s->cr = v & CR_ALL;
	look_for_end(p);
	if (receiver_is_on(s))
		serial_refill(&p->serial);
}

static void write_imsc(struct pl011 *p, uint16_t v)
{
	struct pl011_state *s = &p->s;
	bool listened = s->imsc & INT_INPUT;
	bool listens = v & INT_INPUT;

	s->imsc = v & INT_ALL;
	if (listens == listened)
		return;
	p->serial.listens = false;
	if (listens)
		serial_listen(&p->serial);
	look_for_end(p);
	if (receiver_is_on(s))
		serial_refill(&p->serial);
}

static void write_icr(struct pl011_state *s, uint16_t v)
{
	s->ris &= ~v;
	if (s->fresh)
		update_rx(s);
	s->fresh = 0;
}

static void write_reg(struct pl011 *p, uint64_t reg, uint32_t v)
{
	struct pl011_state *s = &p->s;

	switch (reg) {
	case REG_DR:
		write_dr(p, (uint8_t)v);
		break;
	case REG_RSR: /* ECR: any value clears */
		s->rsr = 0;
		break;
	case REG_ILPR:
		s->ilpr = (uint8_t)v;
		break;
	case REG_IBRD:
		s->ibrd = (uint16_t)v;
		break;
	case REG_FBRD:
		s->fbrd = v & FBRD_ALL;
		break;
	case REG_LCR_H:
		write_lcr_h(p, (uint8_t)v);
		break;
	case REG_CR:
		write_cr(p, (uint16_t)v);
		break;
	case REG_IFLS:
		s->ifls = v & IFLS_ALL;
		break;
	case REG_IMSC:
		write_imsc(p, (uint16_t)v);
		break;
	case REG_ICR:
		write_icr(s, (uint16_t)v);
		break;
	case REG_DMACR:
		s->dmacr = v & DMACR_ALL;
		break;
	}
}

static uint32_t read_dr(struct pl011 *p)
{
	struct pl011_state *s = &p->s;
	uint16_t errors = (s->io.breaks & 1 ? DR_BE : 0) | (s->overrun ? DR_OE : 0);
	uint8_t byte = serial_take(&p->serial);

	s->overrun = 0;
	s->rsr = errors >> 8 | (s->rsr & RSR_OE);
	if (!s->io.rx.len)
		serial_refill(&p->serial);
	update_rx(s);
	s->fresh = s->io.rx.len != 0;
	return errors | byte;
}

static uint32_t read_fr(struct pl011 *p)
{
	struct pl011_state *s = &p->s;
	uint8_t received = s->io.rx.len, unsent = s->io.tx.len;
	uint16_t fr = modem_lines(s->cr);

	fr |= received ? 0 : FR_RXFE;
	fr |= received >= depth(s) ? FR_RXFF : 0;
	fr |= unsent ? FR_BUSY : FR_TXFE;
	fr |= unsent >= depth(s) ? FR_TXFF : 0;
	s->fresh = 0;
	serial_polled(&p->serial, !received && !unsent);
	return fr;
}

/* RIS, or MIS with its mask: the guest sees what an ICR will clear. */
static uint32_t read_status(struct pl011_state *s, uint16_t mask)
{
	s->fresh = 0;
	return s->ris & mask;
}

static uint32_t read_id(uint64_t reg)
{
	static const uint8_t id[] = { 0x11, 0x10, 0x14, 0x00, 0x0d, 0xf0, 0x05, 0xb1 };

	return id[(reg - REG_ID) / 4];
}

static uint32_t read_reg(struct pl011 *p, uint64_t reg)
{
	struct pl011_state *s = &p->s;

	switch (reg) {
	case REG_DR:
		return read_dr(p);
	case REG_RSR:
		return s->rsr;
	case REG_FR:
		return read_fr(p);
	case REG_ILPR:
		return s->ilpr;
	case REG_IBRD:
		return s->ibrd;
	case REG_FBRD:
		return s->fbrd;
	case REG_LCR_H:
		return s->lcr_h;
	case REG_CR:
		return s->cr;
	case REG_IFLS:
		return s->ifls;
	case REG_IMSC:
		return s->imsc;
	case REG_RIS:
		return read_status(s, INT_ALL);
	case REG_MIS:
		return read_status(s, s->imsc);
	case REG_DMACR:
		return s->dmacr;
	}
	return reg >= REG_ID ? read_id(reg) : 0;
}

/* The tty has input that was not taken, the receiver being off. */
static bool has_offer(struct pl011 *p)
{
	return p->serial.offered && !receiver_is_on(&p->s) && serial_room(&p->serial);
}

/* An access of whatever width is one of the register that it begins with. */
static void pl011_access(struct serial *serial, uint64_t offset, void *data, uint32_t len,
			 bool is_write)
{
	struct pl011 *p = pl011_of(serial);

	if (is_write || offset != REG_FR)
		serial->polls = 0;
	if (offset != REG_IMSC && has_offer(p))
		serial_refill(serial);
	if (offset & 3) {
		if (!is_write)
			memset(data, 0, len);
	} else if (is_write) {
		write_reg(p, offset, (uint32_t)get_le(data, len));
	} else {
		put_le(data, read_reg(p, offset), len);
	}
	serial_update(serial);
}

static void pl011_event(struct serial *serial, enum serial_event what)
{
	struct pl011_state *s = &pl011_of(serial)->s;

	switch (what) {
	case SERIAL_INPUT:
		if (receiver_is_on(s))
			serial_refill(serial);
		break;
	case SERIAL_BREAK:
		s->ris |= INT_BE;
		/* fall through */
	case SERIAL_RECEIVED:
		update_rx(s);
		s->fresh = 1;
		break;
	case SERIAL_OVERRUN:
		s->overrun = 1;
		s->rsr |= RSR_OE;
		s->ris |= INT_OE;
		break;
	case SERIAL_SENT:
		update_tx(s);
		break;
	case SERIAL_REPLACED:
		break;
	}
}

static bool pl011_interrupts(struct serial *serial)
{
	struct pl011 *p = pl011_of(serial);

	return (p->s.ris | (has_offer(p) ? INT_INPUT : 0)) & p->s.imsc;
}

static uint8_t pl011_depth(struct serial *serial)
{
	return depth(&pl011_of(serial)->s);
}

static bool pl011_loops(struct serial *serial)
{
	return pl011_of(serial)->s.cr & CR_LBE;
}

static bool pl011_wants_input(struct serial *serial)
{
	return pl011_of(serial)->s.imsc & INT_INPUT;
}

static bool pl011_is_possible(const void *state)
{
	const struct pl011_state *s = state;

	return !(s->cr & ~CR_ALL) && !(s->imsc & ~INT_ALL) && !(s->ris & ~INT_ALL) &&
	       !(s->fbrd & ~FBRD_ALL) && !(s->ifls & ~IFLS_ALL) && !(s->dmacr & ~DMACR_ALL) &&
	       !(s->rsr & ~RSR_ALL) && s->overrun <= 1 && s->fresh <= 1 &&
	       serial_is_possible(&s->io, depth(s)) && (s->io.rx.len || !(s->ris & INT_INPUT));
}

static const struct serial_model model = {
	.kind = DEVICE_PL011,
	.range = RANGE,
	.size = sizeof(struct pl011),
	.state_at = offsetof(struct pl011, s),
	.state_size = sizeof(struct pl011_state),
	.power_on = &power_on,
	.is_possible = pl011_is_possible,
	.access = pl011_access,
	.event = pl011_event,
	.interrupts = pl011_interrupts,
	.depth = pl011_depth,
	.loops = pl011_loops,
	.wants_input = pl011_wants_input,
};

static int pl011_create(const struct device_env *env, const void *config, struct device **out,
			struct err *err)
{
	return serial_create(&model, env, config, out, err);
}

const struct device_type pl011_type = { "pl011", pl011_create };
