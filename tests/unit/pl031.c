/* SPDX-License-Identifier: MIT */
/* The PL031 as a driver sees it: the time, and an alarm a second ahead. */
#include "platform/pl031.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/tap.h"
#include "util/util.h"

#define BASE 0x9010000

enum { DR = 0, MR = 4, LR = 8, CR = 0xc, IMSC = 0x10, RIS = 0x14, MIS = 0x18, ICR = 0x1c };

struct fixture {
	struct bus bus;
	struct log log;
	struct device_env env;
	struct irq_chip chip;
	_Atomic int level; /* of the line */
	_Atomic int raised;
	struct device *dev;
};

static void line_up(struct irq_chip *chip, const struct irq_line *line)
{
	struct fixture *f = container_of(chip, struct fixture, chip);

	(void)line;
	f->level++;
	f->raised++;
}

static void line_down(struct irq_chip *chip, const struct irq_line *line)
{
	(void)line;
	container_of(chip, struct fixture, chip)->level--;
}

static void set_up(struct fixture *f)
{
	struct pl031_config config = {
		.name = "rtc0",
		.base = BASE,
		.irq = { &f->chip, 2, IRQ_LEVEL },
	};

	memset(f, 0, sizeof(*f));
	f->chip = (struct irq_chip){ .lines = 24, .raise = line_up, .lower = line_down };
	f->log = (struct log){ .fd = STDERR_FILENO, .level = LOG_WARNING, .name = "test" };
	bus_init(&f->bus);
	f->env = (struct device_env){
		.mmio = &f->bus,
		.pio = &f->bus,
		.chip = &f->chip,
		.loop = loop_create("test"),
		.log = &f->log,
	};
	if (pl031_type.create(&f->env, &config, &f->dev, NULL))
		ok(false, "pl031 is created");
}

static void tear_down(struct fixture *f)
{
	f->dev->ops->destroy(f->dev);
	loop_destroy(f->env.loop);
	bus_destroy(&f->bus);
}

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

/* Is it `v`, or a second later? The test may be slow, by `more` seconds. */
static bool about(uint32_t got, uint32_t v, uint32_t more)
{
	return got - v <= more;
}

static uint32_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint32_t)ts.tv_sec;
}

static void sleep_ms(unsigned int ms)
{
	usleep(ms * 1000);
}

/* What follows is not to be overtaken by the next second. */
static void second_begins(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (ts.tv_nsec > 300000000)
		sleep_ms(1001 - (unsigned int)(ts.tv_nsec / 1000000));
}

/* Until the line is up; false after ten seconds. */
static bool interrupted(struct fixture *f)
{
	for (int i = 0; i < 1000 && !f->level; i++)
		sleep_ms(10);
	return f->level == 1;
}

static int threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	int n = -2; /* . and .. */

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

static void test_time(void)
{
	static const uint8_t id[] = { 0x31, 0x10, 0x14, 0, 0x0d, 0xf0, 0x05, 0xb1 };
	struct fixture f;
	int wrong = 0;
	uint32_t t;

	set_up(&f);
	ok(f.dev->kind == DEVICE_PL031 && f.dev->base == BASE && f.dev->size == 0x1000 &&
		   !strcmp(pl031_type.name, "pl031"),
	   "it says what and where it is");
	for (unsigned int i = 0; i < 8; i++)
		wrong += in(&f, 0xfe0 + 4 * i) != id[i];
	ok(!wrong, "PeriphID and PCellID");
	t = now();
	ok(about(in(&f, DR), t, 5), "the host's time");
	ok(in(&f, CR) == 1 && !in(&f, MR) && !in(&f, LR) && !in(&f, IMSC) && !in(&f, RIS) &&
		   !in(&f, MIS),
	   "registers at power-on");
	out(&f, LR, 1000);
	ok(about(in(&f, DR), 1000, 5) && in(&f, LR) == 1000, "it can be set");
	out(&f, CR, 0);
	out(&f, DR, 0);
	out(&f, RIS, 1);
	ok(in(&f, CR) == 1 && about(in(&f, DR), 1000, 5) && !in(&f, RIS),
	   "it can't be stopped, nor written elsewhere");
	out(&f, IMSC, 0xfffffffe);
	ok(!in(&f, IMSC) && !in(&f, ICR) && !in(&f, 0x20) && !in(&f, 0xfdc), "the rest is zero");
	f.dev->ops->reset(f.dev);
	ok(about(in(&f, DR), t, 10) && !in(&f, LR), "reset is the host's time again");
	tear_down(&f);
}

static void test_alarm(void)
{
	struct fixture f;
	int alone;

	set_up(&f);
	alone = threads();
	second_begins();
	out(&f, LR, 5000);
	out(&f, MR, 5001);
	ok(!in(&f, RIS) && threads() == alone, "a masked alarm needs no thread");
	sleep_ms(1100);
	ok(in(&f, RIS) == 1 && !in(&f, MIS) && f.raised == 0, "it is told by RIS alone");
	out(&f, IMSC, 1);
	ok(f.level == 1 && in(&f, MIS) == 1, "unmasked it interrupts");
	out(&f, ICR, 0);
	ok(f.level == 1, "until it is cleared");
	out(&f, ICR, 1);
	ok(f.level == 0 && !in(&f, RIS), "it is");

	second_begins();
	out(&f, LR, UINT32_MAX);
	out(&f, MR, 0);
	ok(f.level == 0, "a second ahead, over the end of 32 bits");
	ok(interrupted(&f) && about(in(&f, DR), 0, 5) && in(&f, MIS) == 1, "the alarm comes");
	out(&f, IMSC, 0);
	ok(f.level == 0 && in(&f, RIS) == 1, "masked the line goes down");
	out(&f, ICR, 1);
	out(&f, IMSC, 1);
	ok(f.level == 0, "it comes once");

	out(&f, LR, 7000);
	out(&f, MR, 3);
	ok(f.level == 0 && !in(&f, RIS), "a match in the past is far in the future");
	out(&f, LR, 3);
	ok(f.level == 1, "the count set to the match is an alarm");
	out(&f, ICR, 1);
	second_begins();
	out(&f, MR, in(&f, DR) + 1);
	out(&f, MR, 2);
	sleep_ms(1100);
	ok(f.level == 0, "an alarm taken back does not come");
	second_begins();
	out(&f, MR, in(&f, DR) + 1);
	f.dev->ops->reset(f.dev);
	sleep_ms(1100);
	ok(f.level == 0 && !in(&f, RIS), "nor does one from before a reset");
	tear_down(&f);
}

static void save(struct fixture *f, struct buf *b)
{
	*b = (struct buf){ 0 };
	f->dev->ops->save(f->dev, b);
}

static int load(struct fixture *f, const uint8_t *data, size_t len)
{
	struct reader r = { .p = data, .left = len };

	return f->dev->ops->load(f->dev, &r);
}

static bool equal(const struct buf *a, const struct buf *b)
{
	return a->len == b->len && a->len && !memcmp(a->data, b->data, a->len);
}

static void test_state(void)
{
	struct fixture f;
	struct buf fresh, before, after;
	int rc;

	set_up(&f);
	save(&f, &fresh);
	second_begins();
	out(&f, LR, 9000);
	out(&f, MR, 9001);
	out(&f, IMSC, 1);
	f.dev->ops->quiesce(f.dev);
	save(&f, &before);
	f.dev->ops->reset(f.dev);
	save(&f, &after);
	ok(equal(&fresh, &after) && !equal(&fresh, &before), "reset is as at power-on");
	buf_free(&after);
	rc = load(&f, before.data, before.len);
	save(&f, &after);
	ok(!rc && equal(&before, &after), "save, reset, load, save: equal bytes");
	sleep_ms(1100);
	ok(f.raised == 0, "quiesced, it raises nothing");
	f.dev->ops->resume(f.dev);
	ok(f.level == 1 && in(&f, MIS) == 1, "resumed, it tells the alarm that was due meanwhile");
	tear_down(&f);

	set_up(&f);
	second_begins();
	out(&f, LR, 20000);
	out(&f, MR, 20001);
	out(&f, IMSC, 1);
	buf_free(&after);
	save(&f, &after);
	tear_down(&f);
	set_up(&f);
	rc = load(&f, after.data, after.len);
	ok(!rc && about(in(&f, DR), 20000, 1) && in(&f, LR) == 20000 && in(&f, MR) == 20001,
	   "elsewhere it goes on");
	f.dev->ops->resume(f.dev);
	ok(interrupted(&f), "with its alarm");
	buf_free(&after);
	save(&f, &after);
	rc = load(&f, after.data, after.len);
	f.dev->ops->resume(f.dev);
	ok(!rc && f.raised == 1, "which is not told again by a load");
	out(&f, ICR, 1);
	ok(f.level == 0, "and can be cleared");
	tear_down(&f);
	buf_free(&fresh);
	buf_free(&before);
	buf_free(&after);
}

static void test_hostile_state(void)
{
	struct fixture f;
	struct buf good, again;
	uint8_t bad[64];
	int wrong = 0, refused = 0;

	set_up(&f);
	out(&f, LR, 30000);
	out(&f, MR, 40000);
	out(&f, IMSC, 1);
	save(&f, &good);
	for (size_t len = 0; len < good.len; len++)
		wrong += load(&f, good.data, len) != -EINVAL;
	ok(!wrong, "a state cut short is refused");
	memcpy(bad, good.data, good.len);
	bad[0]++;
	ok(load(&f, bad, good.len) == -EINVAL, "so is an alarm due when there is no match");
	for (size_t at = 0; at < good.len; at++) {
		for (unsigned int v = 0; v < 256; v++) {
			memcpy(bad, good.data, good.len);
			bad[at] = (uint8_t)v;
			if (load(&f, bad, good.len)) {
				refused++;
				continue;
			}
			save(&f, &again);
			wrong += memcmp(again.data, bad, good.len) != 0;
			buf_free(&again);
			f.dev->ops->resume(f.dev);
			in(&f, DR);
			out(&f, MR, in(&f, RIS));
		}
	}
	ok(!wrong && refused > 1000, "any one byte changed is refused or loaded as it is (%d)",
	   refused);
	buf_free(&good);
	tear_down(&f);
}

static void test_hostile_access(void)
{
	struct fixture f;
	struct pl031_config config = { .name = "rtc1", .base = BASE + 0xfff };
	struct device *dev = NULL;
	struct err err;
	struct buf state;
	uint64_t before;
	uint8_t data[8] = { 0 }, zeros[8] = { 0 };
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
			save(&f, &state);
			wrong += load(&f, state.data, state.len) != 0;
			buf_free(&state);
		}
	}
	ok(atomic_load(&f.bus.unclaimed) - before == 2 * 6 * 28, "all widths at all offsets");
	ok(!wrong, "never a state that can't be");
	memset(data, 0xee, sizeof(data));
	bus_access(&f.bus, BASE + CR, data, 8, false);
	ok(get_le64(data) == 1, "a wide read is one register");
	bus_access(&f.bus, BASE + CR + 1, data, 8, false);
	ok(!memcmp(data, zeros, 8), "between registers there are zeros");
	ok(pl031_type.create(&f.env, &config, &dev, &err) == -EEXIST && strstr(err.text, "rtc0"),
	   "an overlap is refused by name");
	tear_down(&f);
}

int main(void)
{
	test_time();
	test_alarm();
	test_state();
	test_hostile_state();
	test_hostile_access();
	return done_testing();
}
