/* SPDX-License-Identifier: MIT */
/* virtio/console on a tty whose outside are pipes, or a pseudo terminal. */
#include "virtio/console.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "term/scan.h"
#include "tests/unit/driver.h"

#define SIZE 8
#define RX 0
#define TX 1
#define RX_DATA DATA
#define TX_DATA (DATA + 1 * MIB)

struct outside {
	struct machine m;
	int in[2], out[2]; /* we write to in[1] and read from out[0] */
	_Atomic int found;
	struct tty *tty;
	struct virtio_dev *dev;
};

static void found(void *opaque, int what)
{
	atomic_store(&((struct outside *)opaque)->found, what);
}

static void leave(void *opaque)
{
	(void)opaque;
}

/* The console's own ends are in[0] and out[1]. */
static void plug(struct outside *o)
{
	struct tty_config config = { .in = o->in[0],
				     .out = o->out[1],
				     .log_fd = -1,
				     .leave = leave,
				     .found = found,
				     .opaque = o };
	struct console_config console = { .name = "console" };
	struct err err = { "" };

	machine_set_up(&o->m, -1);
	if (tty_create(&config, o->m.env.loop, &o->m.log, &o->tty, &err)) {
		printf("Bail out! %s\n", err.text);
		exit(1);
	}
	console.tty = o->tty;
	o->dev = machine_plug(&o->m, &virtio_console_type, &console);
}

static void unplug(struct outside *o)
{
	device_unplug(o->dev);
	tty_destroy(o->tty);
	machine_tear_down(&o->m);
}

static void open_pipes(struct outside *o)
{
	if (pipe(o->in) || pipe(o->out))
		exit(1);
}

static void close_pipes(struct outside *o)
{
	for (int i = 0; i < 2; i++) {
		close(o->in[i]);
		close(o->out[i]);
	}
}

/* Puts `len` bytes of `text` into the TX queue at slot `at`. */
static void say(struct outside *o, uint16_t at, const char *text, uint32_t len)
{
	uint64_t gpa = TX_DATA + at * 0x20000ull;

	memcpy(mem_at(&o->m.mem, gpa, len, MEM_W), text, len);
	driver_desc(&o->m, TX, at, gpa, len, false, false);
	driver_offer(&o->m, TX, SIZE, at);
}

/* Reads exactly `len` bytes from outside, or as many as come in time. */
static size_t hear(struct outside *o, char *text, size_t len)
{
	struct pollfd pfd = { .fd = o->out[0], .events = POLLIN };
	size_t n = 0;

	while (n < len && poll(&pfd, 1, WAIT_MS) == 1) {
		ssize_t part = read(o->out[0], text + n, len - n);

		if (part <= 0)
			break;
		n += (size_t)part;
	}
	return n;
}

static bool heard(struct outside *o, const char *text)
{
	char got[256] = "";

	return hear(o, got, strlen(text)) == strlen(text) && !strcmp(got, text);
}

static void type(struct outside *o, const char *text)
{
	if (write(o->in[1], text, strlen(text)) != (ssize_t)strlen(text))
		ok(false, "typed");
}

static void test_transmit(struct outside *o)
{
	struct machine *m = &o->m;

	ok(reg_read(m, VIRTIO_MMIO_DEVICE_ID) == VIRTIO_ID_CONSOLE, "its ID");
	ok(!(driver_offered(m) & FEATURE(VIRTIO_CONSOLE_F_MULTIPORT)), "one port");
	driver_start(m, 0, 2, SIZE);
	say(o, 0, "hello\n", 6);
	driver_kick(m, TX);
	ok(heard(o, "hello\n"), "output comes out");
	ok(driver_wait_used(m, TX, 1) && ring_used(m, TX)->ring[0].len == 0, "and is given back");
	memcpy(mem_at(&m->mem, TX_DATA, 8, MEM_W), "abcdefgh", 8);
	driver_desc(m, TX, 0, TX_DATA, 3, false, true);
	driver_desc(m, TX, 1, TX_DATA + 3, 1, false, true);
	driver_desc(m, TX, 2, TX_DATA + 4, 4, false, false);
	machine_dirty_pages(m, true);
	driver_offer(m, TX, SIZE, 0);
	driver_kick(m, TX);
	ok(heard(o, "abcdefgh"), "in pieces too");
	o->dev->device.ops->quiesce(&o->dev->device);
	ok(machine_dirty_pages(m, true) == 1, "output dirties the used ring only");
	o->dev->device.ops->resume(&o->dev->device);
}

static void test_receive(struct outside *o)
{
	struct machine *m = &o->m;
	char *data = mem_at(&m->mem, RX_DATA, 0x1000, MEM_W);

	driver_start(m, FEATURE(VIRTIO_RING_F_EVENT_IDX), 2, SIZE);
	type(o, "early");
	usleep(2000);
	machine_dirty_pages(m, true);
	driver_desc(m, RX, 0, RX_DATA, 2, true, true);
	driver_desc(m, RX, 1, RX_DATA + 2, 100, true, false);
	driver_offer(m, RX, SIZE, 0);
	driver_kick(m, RX);
	ok(driver_wait_used(m, RX, 1) && ring_used(m, RX)->ring[0].len == 5 &&
		   !memcmp(data, "early", 6),
	   "input that waited for the guest");
	o->dev->device.ops->quiesce(&o->dev->device);
	ok(mem_test_dirty(&m->mem, RX_DATA, false) && machine_dirty_pages(m, true) == 3,
	   "dirties data, and both used rings (by their avail_event)");
	o->dev->device.ops->resume(&o->dev->device);
	driver_desc(m, RX, 2, RX_DATA + 0x100, 4, true, false);
	driver_offer(m, RX, SIZE, 2);
	driver_offer(m, RX, SIZE, 0);
	driver_kick(m, RX);
	usleep(2000);
	ok(used_idx(m, RX) == 1, "a guest that waits for input");
	type(o, "123456");
	ok(driver_wait_used(m, RX, 3) && ring_used(m, RX)->ring[1].len == 4 &&
		   ring_used(m, RX)->ring[2].len == 2 && !memcmp(data + 0x100, "1234", 4) &&
		   !memcmp(data, "56", 2),
	   "gets it, over as many buffers as it takes");
}

static char pattern_at(size_t i)
{
	return (char)('!' + i % 89);
}

/* Far more than the tty and the pipe hold, with a reader who comes late. */
static void test_slow_reader(struct outside *o, bool event_idx)
{
	enum { CHUNK = 0x20000 };
	struct machine *m = &o->m;
	char *text = malloc(CHUNK * SIZE);
	size_t n, wrong = 0;

	driver_start(m, event_idx ? FEATURE(VIRTIO_RING_F_EVENT_IDX) : 0, 2, SIZE);
	for (size_t i = 0; i < CHUNK * SIZE; i++)
		text[i] = pattern_at(i);
	for (uint16_t i = 0; i < SIZE; i++) {
		say(o, i, text + i * CHUNK, CHUNK);
		driver_kick(m, TX);
	}
	usleep(20000);
	ok(used_idx(m, TX) < SIZE, "a slow reader holds the guest up");
	memset(text, 0, CHUNK * SIZE);
	n = hear(o, text, CHUNK * SIZE);
	for (size_t i = 0; i < n; i++)
		wrong += text[i] != pattern_at(i);
	ok(n == CHUNK * SIZE && !wrong, "and gets every byte once, in order (%zu, %zu wrong)", n,
	   wrong);
	ok(driver_wait_used(m, TX, SIZE), "then all is given back");
	free(text);
}

static void *read_late(void *opaque)
{
	struct outside *o = opaque;
	char *text = malloc(0x60000);

	usleep(100000);
	hear(o, text, 0x60000);
	free(text);
	return NULL;
}

/* The last words were queued, not even notified, behind much that nobody reads yet. */
static void test_last_words(struct outside *o)
{
	static const char panic[] = "\nKernel panic - not syncing: test\n";
	struct machine *m = &o->m;
	char *text = malloc(0x20000);
	pthread_t reader;

	memset(text, '.', 0x20000);
	driver_start(m, 0, 2, SIZE);
	for (uint16_t i = 0; i < 3; i++)
		say(o, i, text, 0x20000);
	driver_kick(m, TX);
	say(o, 3, panic, sizeof(panic) - 1);
	atomic_store(&o->found, 0);
	pthread_create(&reader, NULL, read_late, o);
	o->dev->device.ops->quiesce(&o->dev->device);
	ok(atomic_load(&o->found) == SCAN_PANIC && used_idx(m, TX) == 4,
	   "quiesce takes the panic line from behind a slow reader");
	o->dev->device.ops->resume(&o->dev->device);
	pthread_join(reader, NULL);
	ok(heard(o, panic), "which is printed in the end");
	free(text);
}

static void test_reset_when_full(struct outside *o)
{
	struct machine *m = &o->m;
	char *text = malloc(0x20000);
	unsigned int rest = 0;
	char last = 0;

	memset(text, '.', 0x20000);
	for (unsigned int i = 0; i < 50; i++) {
		driver_start(m, 0, 2, SIZE);
		for (uint16_t k = 0; k < 4; k++)
			say(o, k, text, 0x20000);
		driver_kick(m, TX);
	}
	reg_write(m, VIRTIO_MMIO_STATUS, 0);
	driver_start(m, 0, 2, SIZE);
	say(o, 0, "!", 1);
	driver_kick(m, TX);
	while (last != '!' && hear(o, &last, 1) == 1)
		rest++;
	ok(last == '!' && driver_wait_used(m, TX, 1), "resets while the outside is full (%u bytes)",
	   rest);
	free(text);
}

/* A snapshot taken in the middle of a request: what was printed is not printed again. */
static void test_restore_partial(struct outside *o)
{
	struct device *d = &o->dev->device;
	struct buf buf = { 0 };
	struct reader in;

	driver_start(&o->m, 0, 2, SIZE);
	check_save_load(o->dev);
	d->ops->quiesce(d);
	say(o, 0, "0123456789\n", 11);
	d->ops->save(d, &buf);
	put_le32(buf.data + buf.len - 8, 4);
	in = (struct reader){ .p = buf.data, .left = buf.len };
	ok(!d->ops->load(d, &in), "a state with 4 bytes sent");
	d->ops->resume(d);
	ok(heard(o, "456789\n"), "goes on with the fifth");
	driver_wait_used(&o->m, TX, 1);
	d->ops->quiesce(d);
	put_le32(buf.data + buf.len - 8, 400);
	in = (struct reader){ .p = buf.data, .left = buf.len };
	d->ops->load(d, &in);
	d->ops->resume(d);
	ok(driver_wait_used(&o->m, TX, 1),
	   "more bytes sent than there are: nothing is left to send");
	say(o, 1, "next\n", 5);
	driver_kick(&o->m, TX);
	ok(heard(o, "next\n"), "and the next request is whole");
	d->ops->quiesce(d);
	in = (struct reader){ .p = buf.data, .left = buf.len };
	d->ops->load(d, &in);
	driver_start(&o->m, 0, 2, SIZE);
	say(o, 0, "again\n", 6);
	driver_kick(&o->m, TX);
	ok(heard(o, "again\n"), "after a reset nothing counts as sent");
	buf_free(&buf);
}

static void test_broken(struct outside *o)
{
	driver_start(&o->m, 0, 2, SIZE);
	driver_desc(&o->m, RX, 0, RX_DATA, 4, false, false);
	driver_offer(&o->m, RX, SIZE, 0);
	driver_kick(&o->m, RX);
	ok(driver_wait_status(&o->m, VIRTIO_CONFIG_S_NEEDS_RESET),
	   "a receive buffer that can't be written: needs reset");
}

/* A pseudo terminal as both ends; master in in[1] and out[0]. */
static void open_terminal(struct outside *o)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY);

	if (master < 0 || grantpt(master) || unlockpt(master))
		exit(1);
	o->in[1] = o->out[0] = master;
	o->in[0] = open(ptsname(master), O_RDWR | O_NOCTTY);
	o->out[1] = o->in[0];
}

static void set_window(struct outside *o, uint16_t columns, uint16_t rows)
{
	struct winsize window = { .ws_col = columns, .ws_row = rows };

	ioctl(o->out[0], TIOCSWINSZ, &window);
}

static bool config_changed(struct machine *m, uint32_t arg)
{
	(void)arg;
	return reg_read(m, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_CONFIG;
}

static void test_window(void)
{
	struct outside o = { 0 };
	uint32_t generation;

	open_terminal(&o);
	set_window(&o, 80, 25);
	plug(&o);
	ok(driver_offered(&o.m) & FEATURE(VIRTIO_CONSOLE_F_SIZE), "it has a size");
	ok(bus_read(&o.m, 0x100, 2) == 80 && bus_read(&o.m, 0x102, 2) == 25,
	   "which is the window's");
	ok(bus_read(&o.m, 0x104, 4) == 1, "one port at most");
	driver_start(&o.m, FEATURE(VIRTIO_CONSOLE_F_SIZE), 2, SIZE);
	generation = reg_read(&o.m, VIRTIO_MMIO_CONFIG_GENERATION);
	set_window(&o, 132, 50);
	tty_poke(o.tty);
	ok(wait_until(config_changed, &o.m, 0) && bus_read(&o.m, 0x100, 2) == 132 &&
		   bus_read(&o.m, 0x102, 2) == 50 &&
		   reg_read(&o.m, VIRTIO_MMIO_CONFIG_GENERATION) != generation,
	   "the guest is told when it changes");
	reg_write(&o.m, VIRTIO_MMIO_INTERRUPT_ACK, 3);
	o.dev->device.ops->quiesce(&o.dev->device);
	set_window(&o, 40, 10);
	tty_poke(o.tty);
	usleep(2000);
	ok(!config_changed(&o.m, 0), "not while it is paused");
	o.dev->device.ops->resume(&o.dev->device);
	ok(wait_until(config_changed, &o.m, 0) && bus_read(&o.m, 0x100, 2) == 40,
	   "but when it goes on");
	unplug(&o);
	close(o.in[0]);
	close(o.in[1]);
}

/* Ctrl-a b, which only means something on our controlling terminal: in a session of our own. */
static int press_break(void)
{
	struct outside o = { 0 };
	char *data;
	bool told;

	setsid();
	open_terminal(&o);
	ioctl(o.in[0], TIOCSCTTY, 0);
	plug(&o);
	data = mem_at(&o.m.mem, RX_DATA, 2, MEM_W);
	driver_start(&o.m, 0, 2, SIZE);
	for (uint16_t i = 0; i < 2; i++) {
		driver_desc(&o.m, RX, i, RX_DATA + i, 1, true, false);
		driver_offer(&o.m, RX, SIZE, i);
	}
	driver_kick(&o.m, RX);
	type(&o, "\1b");
	told = driver_wait_used(&o.m, RX, 1);
	type(&o, "h");
	told &= driver_wait_used(&o.m, RX, 2) && data[0] == 0x0f && data[1] == 'h';
	unplug(&o);
	return told ? 0 : 1;
}

static void test_break(void)
{
	pid_t pid = fork();
	int status = -1;

	if (!pid)
		_exit(press_break());
	waitpid(pid, &status, 0);
	ok(status == 0, "Ctrl-a b arrives as Linux's SysRq key of virtual consoles (%x)", status);
}

int main(void)
{
	struct outside o = { 0 };

	test_break();
	open_pipes(&o);
	plug(&o);
	test_transmit(&o);
	test_receive(&o);
	test_slow_reader(&o, false);
	test_slow_reader(&o, true);
	test_last_words(&o);
	test_reset_when_full(&o);
	test_restore_partial(&o);
	test_broken(&o);
	unplug(&o);
	close_pipes(&o);
	test_window();
	return done_testing();
}
