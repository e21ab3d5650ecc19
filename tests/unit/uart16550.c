/* SPDX-License-Identifier: MIT */
/* The 16550A as a driver sees it, between a bus, a line that counts and a tty of our own. */
#include <linux/serial_reg.h>

#include "tests/unit/uart.h"

#define BASE 0x3f8
#define OTHER 0x1000000
#define TX_END 36 /* of the saved state */

static void set_up(struct fixture *f, enum irq_trigger trigger)
{
	fixture_init(f);
	plug(f, &uart16550_type, BASE, trigger);
}

static uint8_t in(struct fixture *f, unsigned int reg)
{
	uint8_t v;

	bus_access(&f->bus, BASE + reg, &v, 1, false);
	return v;
}

static void out(struct fixture *f, unsigned int reg, uint8_t v)
{
	bus_access(&f->bus, BASE + reg, &v, 1, true);
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

/* As many bytes as LSR promises, as a driver reads them. */
static unsigned int read_all(struct fixture *f, char *text, unsigned int size)
{
	unsigned int n = 0;

	while (n < size - 1 && in(f, UART_LSR) & UART_LSR_DR)
		text[n++] = (char)in(f, UART_RX);
	text[n] = 0;
	return n;
}

static void test_power_on(void)
{
	struct fixture f;

	set_up(&f, IRQ_EDGE);
	ok(f.dev->kind == DEVICE_UART16550 && f.dev->base == BASE && f.dev->size == 8 &&
		   f.dev->is_pio,
	   "it says what and where it is");
	ok(in(&f, UART_IER) == 0 && in(&f, UART_IIR) == 1 && in(&f, UART_LCR) == 0 &&
		   in(&f, UART_MCR) == 0 && in(&f, UART_SCR) == 0,
	   "registers at power-on");
	ok(in(&f, UART_LSR) == 0x60 && in(&f, UART_MSR) == 0xb0,
	   "idle, and the other side is ready");
	ok(in(&f, UART_RX) == 0, "RBR is empty");
	out(&f, UART_SCR, 0x5a);
	ok(in(&f, UART_SCR) == 0x5a, "scratch register");
	out(&f, UART_LSR, 0xff);
	out(&f, UART_MSR, 0xff);
	ok(in(&f, UART_LSR) == 0x60 && in(&f, UART_MSR) == 0xb0, "LSR and MSR can't be written");
	out(&f, UART_IER, 0xff);
	ok(in(&f, UART_IER) == 0x0f, "IER has four bits");
	ok(f.tty.wanted == 0, "a probe of IER asks for no input");
	in(&f, UART_SCR);
	ok(f.tty.wanted == 1, "who goes on with it does");
	tear_down(&f);
	ok(!f.tty.attached[0], "destroyed, it is detached");
}

static void test_divisor(void)
{
	struct fixture f;

	set_up(&f, IRQ_EDGE);
	out(&f, UART_LCR, UART_LCR_DLAB | 3);
	ok(in(&f, UART_DLL) == 12 && in(&f, UART_DLM) == 0, "divisor of 9600 baud");
	out(&f, UART_DLL, 1);
	out(&f, UART_DLM, 2);
	ok(in(&f, UART_DLL) == 1 && in(&f, UART_DLM) == 2, "divisor reads back");
	out(&f, UART_LCR, 3);
	ok(in(&f, UART_LCR) == 3 && in(&f, UART_IER) == 0 && has_output(&f, ""),
	   "and is neither THR nor IER");
	tear_down(&f);
}

/* What Linux's autoconfig() asks to tell a 16550A from its kin. */
static void test_identity(void)
{
	struct fixture f;

	set_up(&f, IRQ_EDGE);
	ok(in(&f, UART_IIR) >> 6 == 0, "FIFOs off: an 8250 or 16450");
	out(&f, UART_FCR, UART_FCR_ENABLE_FIFO);
	ok(in(&f, UART_IIR) == 0xc1, "FIFOs on: a 16550A");
	out(&f, UART_FCR, UART_FCR_TRIGGER_14);
	ok(in(&f, UART_IIR) == 0x01, "without the enable bit FCR's others mean nothing");
	out(&f, UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2 | UART_MCR_RTS);
	ok((in(&f, UART_MSR) & 0xf0) == (UART_MSR_DCD | UART_MSR_CTS), "loopback shows in MSR");
	out(&f, UART_MCR, 0xff);
	ok(in(&f, UART_MCR) == 0x1f, "MCR has five bits");
	tear_down(&f);
}

static void test_output(void)
{
	struct fixture f;

	set_up(&f, IRQ_EDGE);
	for (const char *p = "hello"; *p; p++)
		out(&f, UART_TX, (uint8_t)*p);
	ok(has_output(&f, "hello") && in(&f, UART_LSR) == 0x60, "output goes out at once");
	ok(raised(&f) == 0, "no interrupt that nobody asked for");
	tear_down(&f);
}

static void test_thre_interrupt(void)
{
	struct fixture f;

	set_up(&f, IRQ_EDGE);
	out(&f, UART_IER, UART_IER_THRI);
	ok(raised(&f) == 1, "THRE interrupt as soon as it is enabled");
	ok(in(&f, UART_IIR) == UART_IIR_THRI, "IIR tells");
	ok(in(&f, UART_IIR) == UART_IIR_NO_INT, "once");
	out(&f, UART_IER, UART_IER_THRI);
	ok(raised(&f) == 0, "no other while it stays enabled");
	out(&f, UART_TX, 'x');
	ok(raised(&f) == 1 && in(&f, UART_IIR) == UART_IIR_THRI, "a byte sent: THR is empty again");
	out(&f, UART_IER, 0);
	out(&f, UART_IER, UART_IER_THRI);
	ok(raised(&f) == 1 && in(&f, UART_IIR) == UART_IIR_THRI, "enabled anew: asserted anew");
	out(&f, UART_TX, 'x');
	out(&f, UART_TX, 'y');
	ok(raised(&f) == 2, "a driver that never reads IIR gets an edge for each byte it sends");
	tear_down(&f);
}

static void test_slow_outside(void)
{
	struct fixture f;

	set_up(&f, IRQ_EDGE);
	out(&f, UART_FCR, UART_FCR_ENABLE_FIFO);
	out(&f, UART_IER, UART_IER_THRI);
	in(&f, UART_IIR);
	raised(&f);
	f.tty.accepts = 1;
	for (int i = 0; i < 19; i++)
		out(&f, UART_TX, (uint8_t)('a' + i));
	ok(f.tty.out_len == 1 && in(&f, UART_LSR) == 0,
	   "refused bytes wait in the FIFO: THRE is clear");
	raised(&f);
	f.tty.accepts = 10;
	tell_room(&f);
	ok(f.tty.out_len == 11 && in(&f, UART_LSR) == 0 && raised(&f) == 0, "some room: some go");
	f.tty.accepts = SIZE_MAX;
	tell_room(&f);
	ok(has_output(&f, "abcdefghijklmnopq"),
	   "room: 16 were kept, what came to a full FIFO is lost");
	ok(in(&f, UART_LSR) == 0x60 && raised(&f) == 1 && in(&f, UART_IIR) == 0xc2,
	   "then THRE rises");

	f.tty.accepts = 0;
	out(&f, UART_TX, 'x');
	out(&f, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_XMIT);
	ok(in(&f, UART_LSR) == 0x60 && has_output(&f, ""), "the guest may clear the FIFO");

	out(&f, UART_TX, 'y');
	f.tty.accepts = SIZE_MAX;
	f.dev->ops->quiesce(f.dev);
	ok(has_output(&f, "y"), "quiesce sends what waits");
	f.dev->ops->resume(f.dev);
	tear_down(&f);
}

static void test_wait_for_room(void)
{
	struct fixture f;
	pthread_t thread;

	set_up(&f, IRQ_EDGE);
	f.tty.accepts = 0;
	out(&f, UART_TX, 'a');
	pthread_create(&thread, NULL, make_room, &f);
	f.dev->ops->quiesce(f.dev);
	ok(has_output(&f, "a"), "quiesce waits for room");
	pthread_join(thread, NULL);
	f.dev->ops->resume(f.dev);

	f.tty.accepts = 0;
	out(&f, UART_TX, 'b');
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
	char text[64];

	set_up(&f, IRQ_EDGE);
	type(&f, "early");
	ok(f.tty.in_len == 5 && f.tty.wanted == 0, "no input is taken before the guest listens");
	out(&f, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_8);
	out(&f, UART_IER, UART_IER_RDI);
	in(&f, UART_SCR);
	ok(f.tty.wanted == 1 && f.tty.in_len == 0 && raised(&f) == 1,
	   "it listens: what waited comes");
	ok(in(&f, UART_IIR) == (0xc0 | UART_IIR_RX_TIMEOUT),
	   "below the trigger: character time-out");
	type(&f, "typed");
	ok(in(&f, UART_IIR) == (0xc0 | UART_IIR_RDI), "above the trigger: data");
	ok(raised(&f) == 0, "which is no new edge");
	read_all(&f, text, sizeof(text));
	ok(!strcmp(text, "earlytyped") && in(&f, UART_IIR) == 0xc1, "all is read, in order");

	type(&f, "0123456789abcdefghijklmnopqrstuvwxyz");
	ok(f.tty.in_len == 20, "no more than 16 are held");
	raised(&f);
	ok(read_all(&f, text, sizeof(text)) == 36 && !strcmp(text + 30, "uvwxyz"),
	   "the rest follows");
	ok(!(in(&f, UART_LSR) & UART_LSR_OE), "nothing is overrun");

	type(&f, "ab");
	raised(&f);
	in(&f, UART_RX);
	ok(raised(&f) == 1, "a driver that reads one byte an interrupt gets another");
	out(&f, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR);
	ok(in(&f, UART_LSR) == 0x60 && in(&f, UART_IIR) == 0xc1, "the guest may clear the FIFO");
	tear_down(&f);
}

static void test_no_fifo(void)
{
	struct fixture f;

	set_up(&f, IRQ_EDGE);
	out(&f, UART_IER, UART_IER_RDI);
	in(&f, UART_SCR);
	type(&f, "ab");
	ok(f.tty.in_len == 1 && raised(&f) == 1 && in(&f, UART_IIR) == UART_IIR_RDI,
	   "FIFOs off: one byte at a time");
	ok(in(&f, UART_RX) == 'a' && raised(&f) == 1 && in(&f, UART_RX) == 'b',
	   "and an edge for each");
	ok(in(&f, UART_LSR) == 0x60, "none left");
	tear_down(&f);
}

static void test_listening(void)
{
	struct fixture f;

	set_up(&f, IRQ_EDGE);
	for (int i = 0; i < 100; i++) {
		while (!(in(&f, UART_LSR) & UART_LSR_THRE))
			;
		out(&f, UART_TX, 'x');
		in(&f, UART_LSR);
		in(&f, UART_LSR);
	}
	in(&f, UART_RX);
	ok(f.tty.wanted == 0, "who only prints doesn't ask for input");
	type(&f, "k");
	for (int i = 0; i < 100 && !(in(&f, UART_LSR) & UART_LSR_DR); i++)
		;
	ok(f.tty.wanted == 1 && in(&f, UART_RX) == 'k', "who polls for input does, once");
	tear_down(&f);
}

/* Linux's serial8250: startup() and set_termios(), shutdown(), the console's write(). */

static void linux_opens(void (*to)(struct fixture *f, unsigned int reg, uint8_t v),
			struct fixture *f)
{
	to(f, UART_FCR, UART_FCR_ENABLE_FIFO);
	to(f, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR | UART_FCR_CLEAR_XMIT);
	to(f, UART_FCR, 0);
	to(f, UART_LCR, 3);
	to(f, UART_MCR, UART_MCR_OUT2);
	to(f, UART_IER, UART_IER_RLSI | UART_IER_RDI);
	to(f, UART_LCR, UART_LCR_DLAB | 3);
	to(f, UART_DLL, 1);
	to(f, UART_DLM, 0);
	to(f, UART_LCR, 3);
	to(f, UART_FCR, UART_FCR_ENABLE_FIFO);
	to(f, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_R_TRIG_10);
	to(f, UART_MCR, UART_MCR_OUT2 | UART_MCR_DTR | UART_MCR_RTS);
}

static void linux_closes(void (*to)(struct fixture *f, unsigned int reg, uint8_t v),
			 struct fixture *f)
{
	to(f, UART_MCR, UART_MCR_OUT2);
	to(f, UART_IER, 0);
	to(f, UART_MCR, 0);
	to(f, UART_LCR, 3);
	to(f, UART_FCR, UART_FCR_ENABLE_FIFO);
	to(f, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR | UART_FCR_CLEAR_XMIT);
	to(f, UART_FCR, 0);
}

static void linux_prints(struct fixture *f)
{
	uint8_t ier = in(f, UART_IER);

	out(f, UART_IER, 0);
	while (!(in(f, UART_LSR) & UART_LSR_THRE))
		;
	out(f, UART_TX, 'p');
	while (!(in(f, UART_LSR) & UART_LSR_TEMT))
		;
	out(f, UART_IER, ier);
	in(f, UART_MCR);
}

static void test_two(void)
{
	struct fixture f;
	char text[32];

	set_up(&f, IRQ_EDGE);
	plug_other(&f, &uart16550_type, OTHER);
	linux_opens(out, &f);
	type(&f, "a");
	ok(f.tty.listener == 0 && read_all(&f, text, sizeof(text)) == 1, "one listens");
	linux_opens(other_out, &f);
	type(&f, "b");
	ok(f.tty.listener == 1 && other_in(&f, UART_RX) == 'b', "another is opened: it listens");
	ok(in(&f, UART_LSR) == 0x60, "and nothing comes to the first");

	linux_prints(&f);
	type(&f, "c");
	ok(f.tty.listener == 1 && f.tty.wanted == 2 && other_in(&f, UART_RX) == 'c',
	   "a console message on the first doesn't bring the input back");
	out(&f, UART_MCR, UART_MCR_OUT2);
	in(&f, UART_LSR);
	ok(f.tty.wanted == 2, "nor do its modem lines");

	linux_closes(out, &f);
	linux_prints(&f);
	type(&f, "d");
	ok(f.tty.wanted == 2 && other_in(&f, UART_RX) == 'd', "nor is it closed");
	linux_opens(out, &f);
	type(&f, "e");
	ok(f.tty.wanted == 3 && in(&f, UART_RX) == 'e' && other_in(&f, UART_LSR) == 0x60,
	   "opened again, it gets the input");
	linux_opens(other_out, &f);
	ok(f.tty.wanted == 3, "the other one was not closed: nothing new there");
	linux_closes(other_out, &f);
	linux_opens(other_out, &f);
	type(&f, "f");
	ok(f.tty.wanted == 4 && other_in(&f, UART_RX) == 'f', "now it was");

	out(&f, UART_MCR, 0);
	in(&f, UART_LSR);
	out(&f, UART_IER, UART_IER_RDI);
	in(&f, UART_LSR);
	ok(f.tty.wanted == 4, "OUT2 closed before IER: nothing is asked for");
	out(&f, UART_MCR, UART_MCR_OUT2);
	ok(f.tty.wanted == 5 && f.tty.listener == 0, "OUT2 alone opens it again");
	out(&f, UART_MCR, 0);
	out(&f, UART_IER, 0);
	out(&f, UART_IER, UART_IER_RDI);
	in(&f, UART_LSR);
	ok(f.tty.wanted == 6 && f.tty.listener == 0, "or IER, without OUT2");
	f.other->ops->reset(f.other);
	other_out(&f, UART_IER, UART_IER_RDI);
	other_in(&f, UART_SCR);
	ok(f.tty.wanted == 7 && f.tty.listener == 1, "after a reset a guest asks anew");
	tear_down(&f);
}

static void test_reopen(void)
{
	struct fixture f;
	char text[32];

	set_up(&f, IRQ_EDGE);
	linux_opens(out, &f);
	linux_closes(out, &f);
	type(&f, "typed while closed");
	ok(f.tty.in_len == 18 && in(&f, UART_LSR) == 0x60, "closed, it takes no input");
	linux_opens(out, &f);
	ok(raised(&f) > 0 && read_all(&f, text, sizeof(text)) == 18 &&
		   !strcmp(text, "typed while closed"),
	   "opened again, it gets all that waited");
	tear_down(&f);
}

static void test_break(void)
{
	struct fixture f;

	set_up(&f, IRQ_EDGE);
	out(&f, UART_FCR, UART_FCR_ENABLE_FIFO);
	out(&f, UART_IER, UART_IER_RDI | UART_IER_RLSI);
	in(&f, UART_SCR);
	type(&f, "a");
	type_break(&f);
	type(&f, "h");
	ok(in(&f, UART_IIR) == (0xc0 | UART_IIR_RDI), "a break behind a byte waits for its turn");
	ok(in(&f, UART_LSR) == (0x60 | UART_LSR_DR | UART_LSR_FIFOE),
	   "LSR knows it is in the FIFO");
	ok(in(&f, UART_RX) == 'a', "the byte");
	ok(in(&f, UART_IIR) == (0xc0 | UART_IIR_RLSI), "then the line status interrupt");
	ok(in(&f, UART_LSR) == (0x60 | UART_LSR_DR | UART_LSR_BI | UART_LSR_FIFOE),
	   "which is a break");
	ok(in(&f, UART_LSR) == (0x60 | UART_LSR_DR), "told once");
	ok(in(&f, UART_RX) == 0 && in(&f, UART_RX) == 'h' && in(&f, UART_LSR) == 0x60,
	   "its zero byte, and the next");
	type_break(&f);
	out(&f, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR);
	type(&f, "x");
	ok(in(&f, UART_LSR) == (0x60 | UART_LSR_DR),
	   "a break that was cleared marks no other byte");
	tear_down(&f);
}

static void test_loopback(void)
{
	struct fixture f;
	char text[32];

	set_up(&f, IRQ_EDGE);
	out(&f, UART_FCR, UART_FCR_ENABLE_FIFO);
	in(&f, UART_MSR);
	out(&f, UART_IER, UART_IER_RDI | UART_IER_RLSI | UART_IER_MSI);
	in(&f, UART_SCR);
	out(&f, UART_MCR, UART_MCR_LOOP);
	ok(in(&f, UART_IIR) == 0xc0 &&
		   in(&f, UART_MSR) == (UART_MSR_DCTS | UART_MSR_DDSR | UART_MSR_DDCD),
	   "the modem's lines fall, and interrupt");
	ok(in(&f, UART_MSR) == 0, "deltas are told once");
	out(&f, UART_MCR, UART_MCR_LOOP | UART_MCR_OUT1);
	ok(in(&f, UART_MSR) == UART_MSR_RI, "RI rises without a delta");
	out(&f, UART_MCR, UART_MCR_LOOP | UART_MCR_DTR);
	ok(in(&f, UART_MSR) == (UART_MSR_DSR | UART_MSR_DDSR | UART_MSR_TERI),
	   "and falls with one");
	type(&f, "outside");
	raised(&f);
	for (int i = 0; i < 17; i++)
		out(&f, UART_TX, (uint8_t)('a' + i));
	ok(has_output(&f, "") && raised(&f) >= 1, "bytes sent don't leave");
	ok(in(&f, UART_IIR) == (0xc0 | UART_IIR_RLSI) && in(&f, UART_LSR) & UART_LSR_OE &&
		   !(in(&f, UART_LSR) & UART_LSR_OE),
	   "17 overrun, which is told once");
	ok(read_all(&f, text, sizeof(text)) == 16 && !strcmp(text, "abcdefghijklmnop"),
	   "16 come back");
	out(&f, UART_MCR, 0);
	read_all(&f, text, sizeof(text));
	ok(!strcmp(text, "outside"), "the outside was kept waiting");
	tear_down(&f);
}

static void test_level(void)
{
	struct fixture f;

	set_up(&f, IRQ_LEVEL);
	out(&f, UART_IER, UART_IER_THRI);
	ok(f.irq.raised == 1 && f.irq.lowered == 0, "a level goes up");
	in(&f, UART_IIR);
	ok(f.irq.raised == 1 && f.irq.lowered == 1, "and down");
	out(&f, UART_TX, 'x');
	out(&f, UART_TX, 'x');
	ok(f.irq.raised == 2 && f.irq.lowered == 1, "and stays up while the condition holds");
	f.dev->ops->reset(f.dev);
	ok(f.irq.lowered == 2, "reset takes it down");
	tear_down(&f);
}

/* A state with something in every corner. */
static void make_interesting(struct fixture *f)
{
	out(f, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_4);
	out(f, UART_LCR, UART_LCR_DLAB);
	out(f, UART_DLL, 1);
	out(f, UART_LCR, 3);
	out(f, UART_MCR, 0x0b);
	out(f, UART_SCR, 0x77);
	out(f, UART_IER, UART_IER_RDI | UART_IER_THRI);
	in(f, UART_SCR);
	type(f, "abc");
	type_break(f);
	type(f, "d");
	f->tty.accepts = 0;
	out(f, UART_TX, 'x');
	out(f, UART_TX, 'y');
	f->tty.accepts = 1;
}

static void test_state(void)
{
	struct fixture f;
	struct buf fresh, before, after;
	char text[32];
	int rc;

	set_up(&f, IRQ_EDGE);
	save(&f, &fresh);
	make_interesting(&f);
	save(&f, &before);
	f.dev->ops->reset(f.dev);
	save(&f, &after);
	ok(equal(&fresh, &after) && !equal(&fresh, &before), "reset is as at power-on");
	buf_free(&after);
	raised(&f);
	rc = load(&f, before.data, before.len);
	save(&f, &after);
	ok(!rc && equal(&before, &after), "save, reset, load, save: equal bytes");
	ok(raised(&f) == 0, "load raises nothing");
	tear_down(&f);

	set_up(&f, IRQ_EDGE);
	rc = load(&f, before.data, before.len);
	f.dev->ops->resume(f.dev);
	ok(!rc && f.tty.wanted == 1 && has_output(&f, "xy"), "elsewhere it goes on after resume");
	ok(raised(&f) == 0, "without an edge that was sent before");
	ok(read_all(&f, text, sizeof(text)) == 5 && !memcmp(text, "abc\0d", 5),
	   "with what was received");
	buf_free(&after);
	save(&f, &after);
	ok(!load(&f, after.data, after.len), "and may be saved again");
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

	set_up(&f, IRQ_EDGE);
	make_interesting(&f);
	save(&f, &good);
	for (size_t len = 0; len < good.len; len++)
		wrong += load(&f, good.data, len) != -EINVAL;
	ok(!wrong, "a state cut short is refused");
	memcpy(bad, good.data, good.len);
	bad[TX_END - 1] = 1;
	ok(load(&f, bad, good.len) == -EINVAL, "so is a byte behind the FIFO's last");
	bad[TX_END - 1] = 0;
	bad[1] = 0x80;
	ok(load(&f, bad, good.len) == -EINVAL, "and a break where no byte is");
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
			for (unsigned int reg = 0; reg < 8; reg++)
				out(&f, reg, in(&f, reg));
			f.tty.out_len = 0;
		}
	}
	ok(!wrong && refused > 1000, "any one byte changed is refused or loaded as it is (%d)",
	   refused);
	buf_free(&good);
	tear_down(&f);
}

static void test_wide_access(void)
{
	struct fixture f;
	uint8_t data[8] = "hijklmno";
	uint64_t before;

	set_up(&f, IRQ_EDGE);
	data[1] = 0; /* IER */
	data[2] = 1; /* FCR */
	data[3] = 3; /* LCR */
	data[4] = 0; /* MCR */
	bus_access(&f.bus, BASE, data, 8, true);
	ok(has_output(&f, "h"), "a wide write is eight narrow ones");
	memset(data, 0xee, sizeof(data));
	bus_access(&f.bus, BASE, data, 8, false);
	ok(!memcmp(data, "\0\0\xc1\3\0\x60\xb0o", 8), "so is a wide read");

	before = atomic_load(&f.bus.unclaimed);
	for (unsigned int at = 0; at < 9; at++) {
		for (uint32_t len = 1; len <= 8; len++) {
			memset(data, 0x80 + (int)len, sizeof(data));
			bus_access(&f.bus, BASE + at, data, len, true);
			bus_access(&f.bus, BASE + at, data, len, false);
		}
	}
	ok(atomic_load(&f.bus.unclaimed) - before == 2 * (8 * 9 - 36), "all widths at all offsets");
	tear_down(&f);
}

static void test_create(void)
{
	struct fixture f;
	struct uart_config config = { .name = "uart1", .base = BASE + 4 };
	struct device *dev = NULL;
	struct err err;
	uint8_t v = 'x';

	set_up(&f, IRQ_EDGE);
	ok(uart16550_type.create(&f.env, &config, &dev, &err) == -EEXIST &&
		   strstr(err.text, "uart0"),
	   "an overlap is refused by name");
	config.base = 0x9000000;
	config.tty = &f.tty;
	f.tty.full = true;
	ok(uart16550_type.create(&f.env, &config, &dev, &err) == -ENOSPC &&
		   strstr(err.text, "uart1"),
	   "so is one console too many");
	config.tty = NULL;
	ok(!uart16550_type.create(&f.env, &config, &dev, &err), "it works without a console");
	bus_access(&f.bus, config.base, &v, 1, true);
	bus_access(&f.bus, config.base + UART_LSR, &v, 1, false);
	ok(v == 0x60 && has_output(&f, ""), "and drops what is sent");
	v = 0x0f;
	bus_access(&f.bus, config.base + UART_IER, &v, 1, true);
	ok(f.tty.wanted == 0, "and wants nothing");
	dev->ops->quiesce(dev);
	dev->ops->destroy(dev);
	ok(!bus_access(&f.bus, config.base, &v, 1, false), "destroyed, it leaves its place");
	tear_down(&f);
}

static void test_quiet(void)
{
	struct fixture f;

	set_up(&f, IRQ_EDGE);
	out(&f, UART_IER, UART_IER_RDI | UART_IER_RLSI);
	in(&f, UART_SCR);
	f.dev->ops->quiesce(f.dev);
	type(&f, "x");
	type_break(&f);
	ok(raised(&f) == 0 && f.tty.in_len == 1, "quiesced, it takes no input and raises nothing");
	f.dev->ops->resume(f.dev);
	ok(raised(&f) == 1 && in(&f, UART_RX) == 'x', "resumed, it does");
	tear_down(&f);
}

int main(void)
{
	test_power_on();
	test_divisor();
	test_identity();
	test_output();
	test_thre_interrupt();
	test_slow_outside();
	test_wait_for_room();
	test_input();
	test_no_fifo();
	test_listening();
	test_two();
	test_reopen();
	test_break();
	test_loopback();
	test_level();
	test_state();
	test_hostile_state();
	test_wide_access();
	test_create();
	test_quiet();
	return done_testing();
}
