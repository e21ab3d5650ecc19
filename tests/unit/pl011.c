/* SPDX-License-Identifier: MIT */
/* The PL011 as a driver sees it, between a bus, a line that counts and a tty of our own. */
#include <linux/serial_reg.h>

#include "tests/unit/uart.h"

#define BASE 0x9000000
#define OTHER 0x1000000 /* a 16550A */
#define TX_END 36	/* in the saved state */
#define RIS_AT 42

enum {
	DR = 0x00,
	RSR = 0x04,
	FR = 0x18,
	ILPR = 0x20,
	IBRD = 0x24,
	FBRD = 0x28,
	LCR_H = 0x2c,
	CR = 0x30,
	IFLS = 0x34,
	IMSC = 0x38,
	RIS = 0x3c,
	MIS = 0x40,
	ICR = 0x44,
	DMACR = 0x48,
};

#define BREAK 0x400 /* in DR */
#define OVERRUN 0x800

#define MODEM 0x7 /* in FR: CTS, DSR, DCD */
#define BUSY 0x8
#define RXFE 0x10
#define TXFF 0x20
#define RXFF 0x40
#define TXFE 0x80
#define IDLE (MODEM | RXFE | TXFE)

#define FEN 0x10

#define UARTEN 0x1 /* in CR */
#define LBE 0x80
#define TXE 0x100
#define RXE 0x200
#define ON (UARTEN | TXE | RXE)

#define RX 0x10 /* interrupts */
#define TX 0x20
#define RT 0x40
#define BE 0x200
#define OE 0x400

static uint32_t in(struct fixture *f, unsigned int reg)
{
	uint8_t data[4];

	bus_access(&f->bus, BASE + reg, data, 4, false);
	return get_le32(data);
}

static void out(struct fixture *f, unsigned int reg, uint32_t v)
{
	uint8_t data[4];

	put_le32(data, v);
	bus_access(&f->bus, BASE + reg, data, 4, true);
}

static uint8_t other_in(struct fixture *f, unsigned int reg)
{
	uint8_t v;

	bus_access(&f->bus, OTHER + reg, &v, 1, false);
	return v;
}

static void other_out(struct fixture *f, unsigned int reg, uint8_t v)
{
	bus_access(&f->bus, OTHER + reg, &v, 1, true);
}

static void set_up(struct fixture *f)
{
	fixture_init(f);
	plug(f, &pl011_type, BASE, IRQ_LEVEL);
}

/* The UART as a driver sets it up: on, FIFOs, interrupts `imsc`. */
static void set_up_on(struct fixture *f, uint32_t imsc)
{
	set_up(f);
	out(f, CR, ON);
	out(f, LCR_H, FEN);
	out(f, IMSC, imsc);
}

static bool line_is_high(struct fixture *f)
{
	return f->irq.raised > f->irq.lowered;
}

/* As many characters as FR promises, as a driver reads them. */
static unsigned int read_all(struct fixture *f, char *text, unsigned int size)
{
	unsigned int n = 0;

	while (n < size - 1 && !(in(f, FR) & RXFE))
		text[n++] = (char)in(f, DR);
	text[n] = 0;
	return n;
}

static bool has_input(struct fixture *f, const char *text)
{
	char got[300];

	read_all(f, got, sizeof(got));
	return !strcmp(got, text);
}

static void test_power_on(void)
{
	static const uint8_t id[] = { 0x11, 0x10, 0x14, 0, 0x0d, 0xf0, 0x05, 0xb1 };
	struct fixture f;
	int wrong = 0;

	set_up(&f);
	ok(f.dev->kind == DEVICE_PL011 && f.dev->base == BASE && f.dev->size == 0x1000,
	   "it says what and where it is");
	ok(!strcmp(pl011_type.name, "pl011"), "by its type's name too");
	for (unsigned int i = 0; i < 8; i++)
		wrong += in(&f, 0xfe0 + 4 * i) != id[i];
	ok(!wrong, "PeriphID and PCellID");
	ok(in(&f, CR) == 0x300 && in(&f, IFLS) == 0x12 && !in(&f, LCR_H) && !in(&f, IMSC) &&
		   !in(&f, RIS) && !in(&f, MIS) && !in(&f, RSR) && !in(&f, IBRD),
	   "registers at power-on");
	ok(in(&f, FR) == IDLE && in(&f, DR) == 0, "idle, and the other side is ready");
	out(&f, IBRD, 0x12345);
	out(&f, FBRD, 0xff);
	out(&f, ILPR, 0x1ff);
	out(&f, LCR_H, 0x1ff);
	out(&f, IFLS, 0xff);
	out(&f, DMACR, 0xff);
	ok(in(&f, IBRD) == 0x2345 && in(&f, FBRD) == 0x3f && in(&f, ILPR) == 0xff &&
		   in(&f, LCR_H) == 0xff && in(&f, IFLS) == 0x3f && in(&f, DMACR) == 7,
	   "registers have their width");
	out(&f, CR, 0xffffff7f);
	ok(in(&f, CR) == 0xff07, "so has CR");
	out(&f, FR, 0);
	out(&f, RIS, 0xffff);
	out(&f, 0xfe0, 0);
	ok(in(&f, FR) == IDLE && !in(&f, RIS) && in(&f, 0xfe0) == 0x11,
	   "what is to be read can't be written");
	ok(!in(&f, 0x08) && !in(&f, 0x4c) && !in(&f, 0xfdc) && !in(&f, ICR), "the rest is zero");
	ok(f.tty.wanted == 0, "nobody asked for input");
	tear_down(&f);
	ok(!f.tty.attached[0], "destroyed, it is detached");
}

static void test_output(void)
{
	struct fixture f;

	set_up(&f);
	for (const char *p = "hello"; *p; p++)
		out(&f, DR, (uint8_t)*p);
	ok(has_output(&f, "hello") && in(&f, FR) == IDLE, "output goes out at once, UARTEN or not");
	ok(raised(&f) == 0, "no interrupt that nobody asked for");
	out(&f, CR, 0);
	out(&f, DR, 'x');
	ok(has_output(&f, "x"), "nor does TXE hold it up");
	tear_down(&f);
}

static void test_tx_interrupt(void)
{
	struct fixture f;

	set_up_on(&f, TX);
	ok(!line_is_high(&f) && !in(&f, RIS), "no interrupt before a first character");
	out(&f, DR, 'x');
	ok(line_is_high(&f) && in(&f, MIS) == TX, "a character is gone: interrupt");
	out(&f, DR, 'y');
	ok(f.irq.raised == 1 && line_is_high(&f), "which stays while more go");
	out(&f, IMSC, 0);
	ok(!line_is_high(&f) && in(&f, RIS) == TX && !in(&f, MIS), "masked it is not told");
	out(&f, IMSC, TX);
	out(&f, ICR, TX);
	ok(f.irq.raised == 2 && !line_is_high(&f) && !in(&f, RIS), "cleared it is gone");
	out(&f, DR, 'z');
	ok(line_is_high(&f), "and there again with the next");
	tear_down(&f);
}

static void test_slow_outside(void)
{
	struct fixture f;

	set_up_on(&f, TX);
	f.tty.accepts = 1;
	out(&f, DR, 'a');
	ok(in(&f, FR) == IDLE && in(&f, RIS) == TX, "one goes");
	for (int i = 1; i < 9; i++)
		out(&f, DR, (uint8_t)('a' + i));
	ok(in(&f, FR) == (MODEM | RXFE | BUSY) && in(&f, RIS) == TX,
	   "refused characters wait in the FIFO: busy; at the level it may be filled");
	out(&f, DR, 'j');
	ok(in(&f, RIS) == 0 && !line_is_high(&f), "above the level it need not");
	for (int i = 10; i < 17; i++)
		out(&f, DR, (uint8_t)('a' + i));
	ok(in(&f, FR) == (MODEM | RXFE | BUSY | TXFF), "16 fill it");
	out(&f, DR, '-');
	f.tty.accepts = 7;
	tell_room(&f);
	ok(in(&f, FR) == (MODEM | RXFE | BUSY) && !line_is_high(&f), "some room: some go");
	f.tty.accepts = 1;
	tell_room(&f);
	ok(line_is_high(&f) && in(&f, MIS) == TX, "down to the level: interrupt");
	out(&f, ICR, TX);
	f.tty.accepts = 0;
	tell_room(&f);
	ok(!line_is_high(&f), "none when none went");
	f.tty.accepts = SIZE_MAX;
	tell_room(&f);
	ok(has_output(&f, "abcdefghijklmnopq") && in(&f, FR) == IDLE && line_is_high(&f),
	   "room: 16 were kept, what came to a full FIFO is lost");

	out(&f, LCR_H, 0);
	f.tty.accepts = 0;
	out(&f, DR, 'x');
	ok(in(&f, FR) == (MODEM | RXFE | BUSY | TXFF) && !in(&f, RIS),
	   "FIFOs off: one character fills it");
	f.tty.accepts = SIZE_MAX;
	tell_room(&f);
	ok(has_output(&f, "x") && in(&f, RIS) == TX, "and when it's gone there is room");

	f.tty.accepts = 0;
	out(&f, DR, 'y');
	out(&f, LCR_H, FEN);
	out(&f, LCR_H, 0);
	f.tty.accepts = SIZE_MAX;
	f.dev->ops->quiesce(f.dev);
	ok(has_output(&f, "y"), "quiesce sends what waits; the FIFO's switch takes none of it");
	f.dev->ops->resume(f.dev);
	tear_down(&f);
}

static void test_wait_for_room(void)
{
	struct fixture f;
	pthread_t thread;

	set_up(&f);
	f.tty.accepts = 0;
	out(&f, DR, 'a');
	pthread_create(&thread, NULL, make_room, &f);
	f.dev->ops->quiesce(f.dev);
	ok(has_output(&f, "a"), "quiesce waits for room");
	pthread_join(thread, NULL);
	f.dev->ops->resume(f.dev);

	f.tty.accepts = 0;
	out(&f, DR, 'b');
	pthread_create(&thread, NULL, make_room, &f);
	f.dev->ops->destroy(f.dev);
	f.dev = NULL;
	ok(has_output(&f, "b"), "so does destroy");
	pthread_join(thread, NULL);
	tear_down(&f);
}

static void test_input(void)
{
	struct fixture f;

	set_up(&f);
	type(&f, "early");
	ok(f.tty.in_len == 5 && f.tty.wanted == 0, "no input is taken before the guest listens");
	out(&f, CR, ON);
	out(&f, LCR_H, FEN);
	ok(f.tty.in_len == 5 && in(&f, FR) == IDLE, "the receiver turned on is no listener");
	out(&f, IMSC, RX | RT);
	ok(f.tty.wanted == 1 && f.tty.in_len == 0 && line_is_high(&f),
	   "its interrupt unmasked is: what waited comes");
	ok(in(&f, MIS) == RT, "below the level: receive time-out");
	type(&f, "typed");
	ok(in(&f, MIS) == (RX | RT), "above the level: data");
	ok(f.irq.raised == 1 && f.irq.lowered == 0, "the line stays as it is");
	out(&f, IMSC, RT);
	ok(line_is_high(&f) && in(&f, MIS) == RT, "who knows the time-out alone hears it too");
	out(&f, IMSC, RX | RT);
	for (int i = 0; i < 3; i++)
		in(&f, DR);
	ok(in(&f, MIS) == RT, "read to below the level: time-out again");
	ok(has_input(&f, "lytyped") && !in(&f, RIS) && !line_is_high(&f), "all is read, in order");
	ok(f.tty.wanted == 1, "it asked once");

	type(&f, "0123456789abcdefghijklmnopqrstuvwxyz");
	ok(f.tty.in_len == 20 && in(&f, FR) == (MODEM | TXFE | RXFF), "no more than 16 are held");
	ok(has_input(&f, "0123456789abcdefghijklmnopqrstuvwxyz"), "the rest follows");
	ok(!(in(&f, RIS) & OE), "nothing is overrun");

	type(&f, "ab");
	out(&f, LCR_H, 0);
	ok(in(&f, FR) == IDLE && !line_is_high(&f), "the FIFO switched off forgets what it held");
	tear_down(&f);
}

static void test_levels(void)
{
	static const uint8_t levels[] = { 2, 4, 8, 12, 14 };
	struct fixture f;
	bool rx = true, tx = true;

	set_up_on(&f, RX);
	for (unsigned int i = 0; i < ARRAY_SIZE(levels); i++) {
		out(&f, IFLS, i << 3 | i);
		for (unsigned int n = 1; n <= levels[i]; n++) {
			type(&f, "x");
			rx &= line_is_high(&f) == (n == levels[i]);
		}
		in(&f, DR);
		rx &= !line_is_high(&f);
		while (!(in(&f, FR) & RXFE))
			in(&f, DR);

		f.tty.accepts = 0;
		for (unsigned int n = 1; n <= 16; n++) {
			out(&f, DR, 'x');
			tx &= (in(&f, RIS) & TX) == (n <= levels[i] ? TX : 0);
		}
		for (unsigned int n = 16; n--;) {
			f.tty.accepts = 1;
			tell_room(&f);
			tx &= (in(&f, RIS) & TX) == (n <= levels[i] ? TX : 0);
		}
		f.tty.accepts = SIZE_MAX;
	}
	out(&f, IFLS, 4 << 3);
	type(&f, "0123456789abcdef");
	for (int i = 0; i < 3; i++)
		in(&f, DR);
	rx &= !line_is_high(&f);
	ok(rx, "receive levels of 2, 4, 8, 12 and 14");
	ok(tx, "transmit levels likewise");
	tear_down(&f);
}

/* A program without FIFOs or UARTEN, that never looks at FR: it sleeps until the interrupt. */
static void test_simple_program(void)
{
	struct fixture f;

	set_up(&f);
	out(&f, IMSC, RX);
	ok(f.tty.wanted == 1 && !line_is_high(&f),
	   "the receiver is off: input is wanted nevertheless");
	type(&f, "abc");
	ok(line_is_high(&f), "and interrupts");
	ok(in(&f, DR) == 'a' && line_is_high(&f), "it takes one");
	out(&f, ICR, RX);
	ok(line_is_high(&f), "and clears its interrupt; the next one's stays");
	ok(in(&f, MIS) == RX && in(&f, DR) == 'b', "it takes another");
	out(&f, ICR, RX);
	ok(in(&f, DR) == 'c' && !line_is_high(&f) && in(&f, FR) == IDLE, "none left");
	out(&f, ICR, RX);
	type(&f, "d");
	ok(line_is_high(&f) && in(&f, DR) == 'd', "and so on");
	tear_down(&f);
}

/* A handler that only clears the interrupt, and leaves the reading to somebody else. */
static void test_clear(void)
{
	struct fixture f;

	set_up_on(&f, RX | RT | BE | OE);
	type(&f, "ab");
	ok(in(&f, MIS) == RT, "it sees the time-out");
	out(&f, ICR, 0x7ff);
	ok(!line_is_high(&f) && !in(&f, RIS), "and clears it: it does not come back");
	type(&f, "c");
	ok(line_is_high(&f), "before more comes");
	out(&f, ICR, 0x7ff);
	ok(line_is_high(&f), "what was not seen is not cleared");
	out(&f, ICR, 0x7ff);
	ok(!line_is_high(&f), "twice");
	ok(has_input(&f, "abc") && in(&f, FR) == IDLE, "nothing is lost");

	type(&f, "de");
	in(&f, MIS);
	in(&f, DR);
	out(&f, ICR, 0x7ff);
	ok(in(&f, MIS) == RT && line_is_high(&f), "one read, one left: the time-out begins anew");
	tear_down(&f);
}

static void test_polling(void)
{
	struct fixture f;

	set_up(&f);
	for (int i = 0; i < 100; i++) {
		while (in(&f, FR) & (TXFF | BUSY))
			;
		out(&f, DR, 'x');
		in(&f, FR);
		in(&f, FR);
	}
	in(&f, DR);
	ok(f.tty.wanted == 0, "who only prints doesn't ask for input");
	f.tty.accepts = 0;
	out(&f, DR, 'x');
	for (int i = 0; i < 100; i++)
		in(&f, FR);
	ok(f.tty.wanted == 0, "nor who waits for a slow outside");
	f.tty.accepts = SIZE_MAX;
	tell_room(&f);
	type(&f, "k");
	for (int i = 0; i < 100 && in(&f, FR) & RXFE; i++)
		;
	ok(f.tty.wanted == 1 && in(&f, DR) == 'k', "who polls for input does, once");
	type(&f, "l");
	ok(!(in(&f, FR) & RXFE) && in(&f, DR) == 'l', "and gets more, the receiver on or off");
	tear_down(&f);
}

/* Linux's amba-pl011: startup() and set_termios(), shutdown(). */

static void linux_opens(struct fixture *f)
{
	uint32_t cr;

	out(f, ICR, 0x7d0);
	in(f, IMSC);
	out(f, IMSC, RX | RT);
	offer_input(f); /* the tty's threads are as fast as can be */
	out(f, IMSC, 0);
	out(f, IFLS, 0x12);
	cr = in(f, CR) & 0xc00;
	out(f, CR, cr | ON);
	in(f, FR);
	out(f, ICR, RX | RT);
	for (int i = 0; i < 32 && !(in(f, FR) & RXFE); i++)
		in(f, DR);
	out(f, IMSC, RX | RT);
	cr = in(f, CR);
	out(f, CR, 0);
	offer_input(f);
	out(f, IBRD, 1);
	out(f, LCR_H, 0x70);
	out(f, CR, cr);
}

static void linux_closes(struct fixture *f)
{
	out(f, IMSC, 0);
	out(f, ICR, 0xffff);
	out(f, CR, (in(f, CR) & 0xc00) | UARTEN | TXE);
	out(f, LCR_H, in(f, LCR_H) & ~0x11u);
}

static void test_linux(void)
{
	struct fixture f;

	set_up(&f);
	f.tty.listener = 0;
	type(&f, "typed while it booted");
	linux_opens(&f);
	ok(line_is_high(&f) && in(&f, RIS) & RX, "Linux opens it: what waited is told");
	ok(has_input(&f, "typed while it booted"), "and comes, from its first character on");
	linux_closes(&f);
	type(&f, "typed while closed");
	ok(f.tty.in_len == 18 && !line_is_high(&f), "closed, it takes no input");
	linux_opens(&f);
	ok(has_input(&f, "typed while closed"), "opened again, it gets that too");
	tear_down(&f);
}

static void test_two(void)
{
	struct fixture f;
	int wanted;

	set_up(&f);
	plug_other(&f, &uart16550_type, OTHER);
	linux_opens(&f);
	type(&f, "a");
	ok(f.tty.listener == 0 && has_input(&f, "a"), "one listens");
	other_out(&f, UART_MCR, UART_MCR_OUT2);
	other_out(&f, UART_IER, UART_IER_RDI);
	type(&f, "b");
	ok(f.tty.listener == 1 && other_in(&f, UART_RX) == 'b' && in(&f, FR) == IDLE,
	   "a 16550A is opened: it gets the input");
	wanted = f.tty.wanted;
	out(&f, IMSC, RX | RT | TX);
	out(&f, DR, 'x');
	out(&f, IMSC, RX | RT);
	linux_closes(&f);
	type(&f, "c");
	ok(f.tty.wanted == wanted && other_in(&f, UART_RX) == 'c',
	   "the first prints, and is closed: nothing changes");
	linux_opens(&f);
	type(&f, "d");
	ok(f.tty.listener == 0 && has_input(&f, "d") && other_in(&f, UART_LSR) == 0x60,
	   "opened again, it gets the input");
	other_out(&f, UART_MCR, 0);
	other_out(&f, UART_MCR, UART_MCR_OUT2);
	type(&f, "e");
	ok(f.tty.listener == 1 && other_in(&f, UART_RX) == 'e', "and so does the other");
	other_out(&f, UART_MCR, 0);
	type(&f, "f");
	ok(f.tty.listener == 0 && has_input(&f, "f"), "that closed, the first gets it back");
	out(&f, DR, '1');
	other_out(&f, UART_TX, '2');
	out(&f, DR, '3');
	ok(has_output(&f, "x123"), "output is merged");
	tear_down(&f);
}

static void test_break(void)
{
	struct fixture f;

	set_up_on(&f, RX | RT | BE);
	type(&f, "a");
	type_break(&f);
	type(&f, "h");
	ok(in(&f, MIS) == (RT | BE), "a break interrupts");
	out(&f, ICR, BE);
	ok(in(&f, MIS) == RT, "once");
	ok(in(&f, DR) == 'a' && in(&f, RSR) == 0, "the character before it");
	ok(in(&f, DR) == BREAK && in(&f, RSR) == BREAK >> 8, "then the break, with a zero");
	ok(in(&f, DR) == 'h' && in(&f, RSR) == 0, "then the next");
	type_break(&f);
	in(&f, DR);
	out(&f, RSR, 0);
	ok(in(&f, RSR) == 0, "ECR clears");
	type_break(&f);
	out(&f, LCR_H, 0);
	out(&f, LCR_H, FEN);
	type(&f, "x");
	ok(in(&f, DR) == 'x', "a break that was cleared marks no other character");
	tear_down(&f);
}

static void test_overrun(void)
{
	struct fixture f;

	set_up_on(&f, RX | RT | OE);
	type(&f, "0123456789abcdef");
	type_break(&f);
	ok(in(&f, MIS) == (RX | RT | OE) && in(&f, RSR) == OVERRUN >> 8,
	   "a break finds the FIFO full: overrun");
	ok(in(&f, DR) == (OVERRUN | '0') && in(&f, DR) == '1', "DR tells it once");
	ok(in(&f, RSR) == OVERRUN >> 8, "RSR until it is cleared");
	out(&f, RSR, 0xff);
	out(&f, ICR, OE);
	ok(in(&f, RSR) == 0 && in(&f, MIS) == (RX | RT), "it is");
	tear_down(&f);
}

static void test_loopback(void)
{
	struct fixture f;

	set_up_on(&f, RX | RT | OE | 0xf);
	out(&f, CR, ON | LBE);
	ok(in(&f, FR) == (RXFE | TXFE) && in(&f, MIS) == 0xe, "modem lines fall, and interrupt");
	out(&f, ICR, 0xf);
	out(&f, CR, ON | LBE | 0x2000);
	ok(in(&f, FR) == (RXFE | TXFE | 0x100) && in(&f, MIS) == 1, "Out2 is RI");
	out(&f, CR, ON | LBE | 0x1c00);
	ok(in(&f, FR) == IDLE && in(&f, MIS) == 0xf, "DTR, RTS and Out1 are DSR, CTS and DCD");
	out(&f, ICR, 0xf);
	type(&f, "outside");
	ok(!line_is_high(&f), "the outside is cut off");
	for (int i = 0; i < 17; i++)
		out(&f, DR, (uint8_t)('a' + i));
	ok(has_output(&f, "") && line_is_high(&f) && in(&f, MIS) == (RX | RT | OE),
	   "characters sent don't leave; 17 overrun");
	in(&f, DR);
	ok(has_input(&f, "bcdefghijklmnop"), "16 come back");
	out(&f, CR, ON);
	ok(has_input(&f, "outside"), "the outside was kept waiting");
	out(&f, CR, LBE);
	type(&f, "more");
	out(&f, ICR, 0x7ff);
	ok(!line_is_high(&f), "also with the receiver off");
	out(&f, CR, RXE);
	ok(line_is_high(&f) && has_input(&f, "more"), "until loopback ends");
	tear_down(&f);
}

/* A state with something in every corner. */
static void make_interesting(struct fixture *f)
{
	out(f, CR, ON | 0xc00);
	out(f, LCR_H, 0x70);
	out(f, IFLS, 0x09);
	out(f, IBRD, 26);
	out(f, FBRD, 3);
	out(f, DMACR, 1);
	out(f, IMSC, RX | RT | TX | BE);
	type(f, "0123456789abcdef");
	type_break(f);
	in(f, DR);
	in(f, DR);
	type_break(f);
	f->tty.accepts = 0;
	out(f, DR, 'x');
	out(f, DR, 'y');
	f->tty.accepts = 1;
}

static void test_state(void)
{
	struct fixture f;
	struct buf fresh, before, after;
	char text[32];
	int rc;

	set_up(&f);
	save(&f, &fresh);
	make_interesting(&f);
	save(&f, &before);
	f.dev->ops->reset(f.dev);
	save(&f, &after);
	ok(equal(&fresh, &after) && !equal(&fresh, &before), "reset is as at power-on");
	ok(!line_is_high(&f), "with the line down");
	buf_free(&after);
	raised(&f);
	rc = load(&f, before.data, before.len);
	save(&f, &after);
	ok(!rc && equal(&before, &after), "save, reset, load, save: equal bytes");
	ok(raised(&f) == 0, "load raises nothing");
	tear_down(&f);

	set_up(&f);
	rc = load(&f, before.data, before.len);
	f.dev->ops->resume(f.dev);
	ok(!rc && f.tty.wanted == 1 && has_output(&f, "xy"), "elsewhere it goes on after resume");
	ok(raised(&f) == 0, "without telling what was told before");
	ok(read_all(&f, text, sizeof(text)) == 15 && !memcmp(text, "23456789abcdef\0", 15),
	   "with what was received");
	buf_free(&after);
	save(&f, &after);
	ok(!load(&f, after.data, after.len), "and may be saved again");
	tear_down(&f);

	set_up(&f);
	out(&f, IMSC, RX);
	type(&f, "z");
	f.dev->ops->quiesce(f.dev);
	buf_free(&after);
	save(&f, &after);
	ok(line_is_high(&f) && f.tty.in_len == 0, "input that was only offered is saved too");
	f.dev->ops->reset(f.dev);
	raised(&f);
	rc = load(&f, after.data, after.len);
	f.dev->ops->resume(f.dev);
	ok(!rc && !raised(&f) && in(&f, DR) == 'z', "and read after the load");
	ok(f.irq.lowered == 2, "which takes the line down");
	tear_down(&f);
	buf_free(&fresh);
	buf_free(&before);
	buf_free(&after);
}

/* Whatever load() takes must save again as it came, and be safe to use. */
static void test_hostile_state(void)
{
	struct fixture f;
	struct buf good, again;
	uint8_t bad[256];
	int wrong = 0, refused = 0;

	set_up(&f);
	make_interesting(&f);
	save(&f, &good);
	for (size_t len = 0; len < good.len; len++)
		wrong += load(&f, good.data, len) != -EINVAL;
	ok(!wrong, "a state cut short is refused");
	memset(bad, 0, good.len);
	ok(!load(&f, bad, good.len), "one of zeros is not");
	bad[RIS_AT] = RX;
	ok(load(&f, bad, good.len) == -EINVAL, "but with an interrupt for no character it is");
	load(&f, good.data, good.len);
	memcpy(bad, good.data, good.len);
	bad[TX_END - 1] = 1;
	ok(load(&f, bad, good.len) == -EINVAL, "so is a character behind the FIFO's last");
	bad[TX_END - 1] = 0;
	bad[1] = 0x80;
	ok(load(&f, bad, good.len) == -EINVAL, "and a break where no character is");
	save(&f, &again);
	ok(equal(&good, &again), "none of them changes anything");
	buf_free(&again);

	wrong = 0;
	for (size_t at = 0; at < good.len; at++) {
		for (unsigned int v = 0; v < 256; v++) {
			struct buf loaded;
			char text[32];

			memcpy(bad, good.data, good.len);
			bad[at] = (uint8_t)v;
			if (load(&f, bad, good.len)) {
				refused++;
				continue;
			}
			save(&f, &loaded);
			wrong += loaded.len != good.len || memcmp(loaded.data, bad, good.len);
			buf_free(&loaded);
			f.dev->ops->resume(f.dev);
			read_all(&f, text, sizeof(text));
			for (unsigned int reg = 0; reg < 0x50; reg += 4)
				out(&f, reg, in(&f, reg));
			f.tty.out_len = 0;
		}
	}
	ok(!wrong && refused > 1000, "any one byte changed is refused or loaded as it is (%d)",
	   refused);
	buf_free(&good);
	tear_down(&f);
}

/* Linux reads and writes 16 bits, others 8 or 32. */
static void test_widths(void)
{
	struct fixture f;
	uint8_t data[8] = "hijklmno", zeros[8] = { 0 };

	set_up(&f);
	bus_access(&f.bus, BASE + DR, data, 8, true);
	ok(has_output(&f, "h"), "a wide write is one of the register that it begins with");
	put_le16(data, 0x301);
	bus_access(&f.bus, BASE + CR, data, 2, true);
	memset(data, 0xee, sizeof(data));
	bus_access(&f.bus, BASE + CR, data, 8, false);
	ok(get_le64(data) == 0x301, "so is a wide read");
	bus_access(&f.bus, BASE + CR, data, 1, false);
	ok(data[0] == 1, "a narrow one tells what fits");
	memset(data, 0xff, sizeof(data));
	bus_access(&f.bus, BASE + CR + 1, data, 1, true);
	ok(in(&f, CR) == 0x301, "a write between registers is ignored");
	bus_access(&f.bus, BASE + CR + 1, data, 8, false);
	ok(!memcmp(data, zeros, 8), "a read there gives zeros");
	tear_down(&f);
}

static void test_hostile_access(void)
{
	struct fixture f;
	struct buf state;
	uint64_t before;
	uint8_t data[8];
	int wrong = 0;

	set_up(&f);
	before = atomic_load(&f.bus.unclaimed);
	for (unsigned int at = 0; at < 0x1000; at++) {
		for (uint32_t len = 1; len <= 8; len++) {
			for (unsigned int fill = 0; fill < 256; fill += 51) {
				memset(data, (int)fill, sizeof(data));
				bus_access(&f.bus, BASE + at, data, len, true);
				bus_access(&f.bus, BASE + at, data, len, false);
			}
			type_break(&f);
			save(&f, &state);
			wrong += load(&f, state.data, state.len) != 0;
			f.dev->ops->resume(f.dev);
			buf_free(&state);
			f.tty.out_len = 0;
		}
	}
	ok(atomic_load(&f.bus.unclaimed) - before == 2 * 6 * 28, "all widths at all offsets");
	ok(!wrong, "never a state that can't be");
	tear_down(&f);
}

static void test_create(void)
{
	struct fixture f;
	struct uart_config config = { .name = "uart1", .base = BASE + 0xfff };
	struct device *dev = NULL;
	struct err err;
	uint8_t v = 'x';

	set_up(&f);
	ok(pl011_type.create(&f.env, &config, &dev, &err) == -EEXIST && strstr(err.text, "uart0"),
	   "an overlap is refused by name");
	config.base = BASE + 0x1000;
	config.tty = &f.tty;
	f.tty.full = true;
	ok(pl011_type.create(&f.env, &config, &dev, &err) == -ENOSPC && strstr(err.text, "uart1"),
	   "so is one console too many");
	config.tty = NULL;
	ok(!pl011_type.create(&f.env, &config, &dev, &err), "it works without a console");
	bus_access(&f.bus, config.base + DR, &v, 1, true);
	bus_access(&f.bus, config.base + FR, &v, 1, false);
	ok(v == IDLE && has_output(&f, ""), "and drops what is sent");
	v = RX | RT;
	bus_access(&f.bus, config.base + IMSC, &v, 1, true);
	ok(f.tty.wanted == 0, "and wants nothing");
	dev->ops->quiesce(dev);
	dev->ops->destroy(dev);
	ok(!bus_access(&f.bus, config.base, &v, 1, false), "destroyed, it leaves its place");

	config.tty = &f.tty;
	config.output_only = true;
	f.tty.full = false;
	ok(!pl011_type.create(&f.env, &config, &dev, &err), "it may be for output only");
	v = RX | RT;
	bus_access(&f.bus, config.base + IMSC, &v, 1, true);
	for (int i = 0; i < 100; i++)
		bus_access(&f.bus, config.base + FR, &v, 1, false);
	v = 'y';
	bus_access(&f.bus, config.base + DR, &v, 1, true);
	ok(f.tty.wanted == 0 && has_output(&f, "y"), "then it never wants input");
	dev->ops->destroy(dev);
	tear_down(&f);
}

static void test_quiet(void)
{
	struct fixture f;

	set_up_on(&f, RX | RT | BE);
	f.dev->ops->quiesce(f.dev);
	type(&f, "x");
	type_break(&f);
	ok(raised(&f) == 0 && f.tty.in_len == 1, "quiesced, it takes no input and raises nothing");
	f.dev->ops->resume(f.dev);
	ok(raised(&f) == 1 && in(&f, DR) == 'x', "resumed, it does");
	tear_down(&f);
}

/* The tty's threads beside a vCPU's: for TSan, and no character may get lost. */
#define MANY 4000 /* all fit what the tty keeps of the output */

static void *types_many(void *opaque)
{
	struct fixture *f = opaque;

	for (unsigned int i = 0; i < MANY;) {
		bool room;

		pthread_mutex_lock(&f->tty.lock);
		room = f->tty.in_len < sizeof(f->tty.in);
		if (room)
			f->tty.in[f->tty.in_len++] = (char)(i++ & 0x7f);
		pthread_mutex_unlock(&f->tty.lock);
		offer_input(f);
		tell_room(f);
		if (!room)
			sched_yield();
	}
	return NULL;
}

static void test_threads(void)
{
	struct fixture f;
	pthread_t thread;
	unsigned int got = 0, wrong = 0;

	set_up_on(&f, RX | RT);
	pthread_create(&thread, NULL, types_many, &f);
	while (got < MANY) {
		if (!line_is_high(&f)) {
			sched_yield();
			continue;
		}
		wrong += in(&f, DR) != (got++ & 0x7f);
		out(&f, ICR, RX | RT);
		out(&f, DR, 'x');
	}
	pthread_join(thread, NULL);
	ok(!wrong && in(&f, FR) == IDLE, "one character an interrupt, each in its place");
	tear_down(&f);
}

int main(void)
{
	test_power_on();
	test_output();
	test_tx_interrupt();
	test_slow_outside();
	test_wait_for_room();
	test_input();
	test_levels();
	test_simple_program();
	test_clear();
	test_polling();
	test_linux();
	test_two();
	test_break();
	test_overrun();
	test_loopback();
	test_state();
	test_hostile_state();
	test_widths();
	test_hostile_access();
	test_create();
	test_quiet();
	test_threads();
	return done_testing();
}
