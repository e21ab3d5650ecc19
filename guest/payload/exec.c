/* SPDX-License-Identifier: MIT */
/*
 * Stands in for lkvm's init, or for what has become of it (guest/init/exec.h): drives the virtio console
 * with ports, and does what its command line says, word by word:
 *
 *	hello started exited=STATUS failed	messages; exited tells the true counts,
 *	more=N less=N				but for so many bytes (of stdout)
 *	out=N err=N echo			output; echo: what comes by stdin, up to its end, or with
 *						a terminal up to a q
 *	marked kmsg seen			that message; the kernel's line; waits for the answer
 *	ack signal				waits for that message; after signal: 128 + it is what
 *						"exited" tells without a status
 *	close=PORT open=PORT ring=PORT		closes or opens a port; kicks its queues for nothing
 *	raw=HEX giant junk			bytes to the control port; a long message; garbage to the
 *						device's own control queue
 *	late=N					so many bytes of stdout are not waited for
 *	poweroff reset triple panic hang spin bye	ends; bye: by the debug-exit register
 */
#include "guest/init/exec.h"
#include "guest/payload/driver.h"
#include "guest/payload/option.h"
#include "guest/payload/port.h"
#include "guest/payload/random.h"

#define PORTS 4
#define CONTROL 0 /* lkvm's ports, in its order */
#define STDIN 1
#define STDOUT 2
#define STDERR 3
#define TTY 1

#define QUEUES (2 * (PORTS + 1))
#define CONTROL_RX 2
#define CONTROL_TX 3
#define QUEUE_SIZE 8
#define BLOCK 0x8000u
#define SMALL 128u

#define FEATURE_MULTIPORT 2

#define DEVICE_READY 0
#define PORT_ADD 1
#define PORT_READY 3
#define PORT_OPEN 6

struct control {
	uint32_t id;
	uint16_t event, value;
};

static struct guest {
	struct device *d;
	uint16_t seen[QUEUES]; /* used.idx, as far as it was looked at */
	bool host_open[PORTS];
	unsigned int ports, added, stdout;
	uint64_t out, err; /* bytes sent */
	uint32_t blocks;
	uint32_t signal;
	bool acknowledged, answered;
} guest;

static uint8_t rings[QUEUES * 0x2000] __attribute__((aligned(4096)));
static uint32_t block[BLOCK / 4];
static uint8_t input[BLOCK], scratch[2048];
static uint8_t small[2][QUEUE_SIZE]
		    [SMALL]; /* to receive: the device's control, and the control port */

static unsigned int rx_queue(unsigned int port)
{
	return port ? 2 * port + 2 : 0;
}

/* ---- Queues ---- */

static void offer(unsigned int q, uint16_t i, const volatile void *at, uint32_t len, uint16_t flags)
{
	queue_desc(guest.d, q)[i] =
		(struct desc){ .addr = (uint64_t)(uintptr_t)at, .len = len, .flags = flags };
	device_offer(guest.d, q, i);
	device_write(guest.d, REG_QUEUE_NOTIFY, q);
}

/* The next used buffer, its length; false: there is none now. */
static bool used(unsigned int q, uint32_t *i, uint32_t *len)
{
	volatile uint16_t *ring = queue_used(guest.d, q);
	volatile uint32_t *element = (volatile uint32_t *)(ring + 2) +
				     2 * (guest.seen[q] % QUEUE_SIZE);

	if (ring[1] == guest.seen[q])
		return false;
	port_fence();
	guest.seen[q]++;
	*i = element[0];
	*len = element[1];
	return true;
}

/* Until the device has taken it; a slow reader outside may keep it waiting. */
static void transmit(unsigned int q, const volatile void *at, uint32_t len)
{
	offer(q, 0, at, len, 0);
	while (!device_wait(guest.d, q, guest.d->offered[q]))
		if (device_read(guest.d, REG_STATUS) & STATUS_NEEDS_RESET)
			return;
	guest.seen[q] = guest.d->offered[q];
}

static void device_control(uint32_t id, uint16_t event, uint16_t value)
{
	static volatile struct control m;

	m = (struct control){ id, event, value };
	transmit(CONTROL_TX, &m, sizeof(m));
}

/* ---- What comes by the two queues for control ---- */

static void poll_device(void)
{
	uint32_t i, len;

	while (used(CONTROL_RX, &i, &len)) {
		struct control *m = (struct control *)small[0][i];

		if (m->event == PORT_ADD)
			guest.added++;
		if (m->event == PORT_OPEN && m->id < PORTS)
			guest.host_open[m->id] = m->value;
		offer(CONTROL_RX, (uint16_t)i, m, SMALL, DESC_WRITE);
	}
}

/* (No message of lkvm's is split where each has a buffer.) */
static void poll_messages(void)
{
	uint32_t i, len;

	while (used(rx_queue(CONTROL), &i, &len)) {
		uint32_t *m = (uint32_t *)small[1][i];

		if (m[0] == EXEC_ACK)
			guest.acknowledged = true;
		if (m[0] == EXEC_SEEN)
			guest.answered = true;
		if (m[0] == EXEC_SIGNAL)
			guest.signal = m[2];
		offer(rx_queue(CONTROL), (uint16_t)i, m, SMALL, DESC_WRITE);
	}
}

static bool start(void)
{
	guest.d = device_find(ID_CONSOLE);
	if (!guest.d)
		return false;
	guest.d->arena = rings;
	/* With a terminal there are but two. */
	guest.ports = device_read(guest.d, REG_CONFIG + 4) & (PORTS | 2);
	guest.stdout = guest.ports == PORTS ? STDOUT : TTY;
	guest.d->n_queues = 2 * (guest.ports + 1);
	if (!device_start(guest.d, FEATURE_MULTIPORT, QUEUE_SIZE))
		return false;
	for (uint16_t i = 0; i < QUEUE_SIZE; i++) {
		offer(CONTROL_RX, i, small[0][i], SMALL, DESC_WRITE);
		offer(rx_queue(CONTROL), i, small[1][i], SMALL, DESC_WRITE);
	}
	/* Nothing will come there; but lkvm looks for buffers, and then for an end. */
	for (unsigned int port = STDOUT; port < guest.ports; port++)
		offer(rx_queue(port), 0, scratch, sizeof(scratch), DESC_WRITE);
	device_control(~0u, DEVICE_READY, 1);
	while (guest.added < guest.ports)
		poll_device();
	for (unsigned int port = 0; port < guest.ports; port++) {
		device_control(port, PORT_READY, 1);
		device_control(port, PORT_OPEN, 1);
	}
	while (!guest.host_open[CONTROL] || !guest.host_open[guest.ports - 1])
		poll_device();
	return true;
}

/* ---- Messages and output ---- */

static void message(uint32_t type, const void *body, uint32_t len)
{
	uint32_t *m = (uint32_t *)scratch;

	m[0] = type;
	m[1] = len;
	for (uint32_t i = 0; i < len; i++)
		scratch[8 + i] = ((const uint8_t *)body)[i];
	transmit(rx_queue(CONTROL) + 1, scratch, 8 + len);
}

/* Blocks of numbers, each with its own in front. */
static void output(unsigned int port, uint32_t len)
{
	for (uint32_t i = block[1] ? BLOCK / 4 : 0; i < BLOCK / 4; i++)
		block[i] = i * 2654435761u;
	*(port == guest.stdout ? &guest.out : &guest.err) += len;
	while (len) {
		uint32_t part = len < BLOCK ? len : BLOCK;

		block[0] = guest.blocks++;
		transmit(rx_queue(port) + 1, block, part);
		len -= part;
	}
}

static void echo(void)
{
	unsigned int q = rx_queue(STDIN);
	uint32_t i, len;

	offer(q, 0, input, sizeof(input), DESC_WRITE);
	for (;;) {
		bool open = guest.host_open[STDIN];

		if (used(q, &i, &len)) {
			transmit(rx_queue(guest.stdout) + 1, input, len);
			guest.out += len;
			if (guest.stdout == TTY && input[0] == 'q')
				return;
			offer(q, 0, input, sizeof(input), DESC_WRITE);
		} else if (!open) { /* and was not, before there was nothing */
			return;
		}
		poll_device();
	}
}

static void hello(void)
{
	static const struct exec_hello m = { EXEC_VERSION, "payload", "" };

	message(EXEC_HELLO, &m, sizeof(m));
}

static void exited(uint32_t status, uint32_t more, uint32_t less)
{
	struct exec_exited m = { status, 0, guest.out + more - less, guest.err };

	message(EXEC_EXITED, &m, sizeof(m));
}

static void failed(void)
{
	static const struct exec_failed m = { 2, "the payload \x1b[31mfails" };

	message(EXEC_FAILED, &m, sizeof(m));
}

/* A length that is longer than any, and as many bytes as fit. */
static void giant(void)
{
	static const uint8_t nothing[1024];

	message(EXEC_FAILED, nothing, sizeof(nothing));
}

static uint8_t hex(char c)
{
	return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void raw(const char *text)
{
	uint32_t n = 0;

	for (; text[0] > ' ' && text[1] > ' '; text += 2)
		scratch[n++] = (uint8_t)(hex(text[0]) << 4 | hex(text[1]));
	transmit(rx_queue(CONTROL) + 1, scratch, n);
}

/* Right in size, wrong in all else; lkvm answers within bounds and goes on. */
static void junk(void)
{
	struct random r;

	random_seed(&r, 1);
	for (unsigned int i = 0; i < 200; i++) {
		uint16_t event = (uint16_t)random_below(&r, 16);

		/* but not what would be heard */
		if (event == PORT_OPEN)
			event = DEVICE_READY;
		device_control(random_once(&r, 2) ? random_below(&r, PORTS) : ~0u - i, event,
			       (uint16_t)random_below(&r, 3));
		poll_device();
	}
}

static void wait_for(const bool *flag, const uint32_t *number)
{
	while (!*flag && !(number && *number))
		poll_messages();
}

/* ---- Words ---- */

static bool word_is(const char *at, const char *word)
{
	while (*word && *at == *word) {
		at++;
		word++;
	}
	return !*word && (word[-1] == '=' || *at <= ' ');
}

static _Noreturn void spin(void)
{
	for (;;)
		;
}

static void end(const char *at)
{
	if (word_is(at, "poweroff"))
		payload_poweroff();
	if (word_is(at, "reset"))
		payload_reset();
	if (word_is(at, "panic")) {
		put_str("[    1.000000] Kernel panic - not syncing: Attempted to kill init!\r\n");
		payload_reset();
	}
	if (word_is(at, "announced")) {
		put_str("[    1.000000] reboot: Restarting system\r\n");
		payload_reset();
	}
	if (word_is(at, "bye"))
		payload_exit(0);
	if (word_is(at, "spin"))
		spin();
}

static void say(const char *at, uint32_t n)
{
	static const bool never;

	if (word_is(at, "hello"))
		hello();
	else if (word_is(at, "started"))
		message(EXEC_STARTED, 0, 0);
	else if (word_is(at, "exited="))
		exited(n, option(at, "more=", 0), option(at, "less=", 0));
	else if (word_is(at, "exited"))
		exited(128 + guest.signal, 0, 0);
	else if (word_is(at, "failed"))
		failed();
	else if (word_is(at, "ack"))
		wait_for(&guest.acknowledged, 0);
	else if (word_is(at, "marked"))
		message(EXEC_MARKED, 0, 0);
	else if (word_is(at, "kmsg"))
		put_str("[    1.000000] " EXEC_MARK "\r\n");
	else if (word_is(at, "seen"))
		wait_for(&guest.answered, 0);
	else if (word_is(at, "signal"))
		wait_for(&never, &guest.signal);
	else if (word_is(at, "raw="))
		raw(at + 4);
	else if (word_is(at, "giant"))
		giant();
}

static void act(const char *at, uint32_t n)
{
	if (word_is(at, "out="))
		output(guest.stdout, n);
	else if (word_is(at, "err="))
		output(STDERR, n);
	else if (word_is(at, "echo"))
		echo();
	else if (word_is(at, "close="))
		device_control(n, PORT_OPEN, 0);
	else if (word_is(at, "open="))
		device_control(n, PORT_OPEN, 1);
	else if (word_is(at, "ring="))
		for (unsigned int i = 0; i < 100; i++)
			device_write(guest.d, REG_QUEUE_NOTIFY, n + i);
	else if (word_is(at, "junk"))
		junk();
	else if (word_is(at, "await="))
		while (guest.host_open[n])
			poll_device();
	else if (word_is(at, "late=")) {
		offer(rx_queue(guest.stdout) + 1, 0, block, n, 0);
		guest.out += n;
	}
}

/* The number behind a word's '='. */
static uint32_t number_of(const char *at)
{
	while (*at > ' ' && *at != '=')
		at++;
	return *at == '=' ? option(at, "=", 0) : 0;
}

int payload_main(const void *boot)
{
	const char *at = payload_cmdline(boot);

	port_init();
	if (!start())
		return 99;
	while (*at) {
		say(at, number_of(at));
		act(at, number_of(at));
		end(at);
		while (*at > ' ')
			at++;
		while (*at == ' ')
			at++;
	}
	spin();
}
