/* SPDX-License-Identifier: MIT */
/* Power buttons as drivers see them: ACPI's events (platform/ged.c), and a key at a PL061. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "platform/ged.h"
#include "platform/pl061.h"
#include "tests/unit/tap.h"

#define BASE 0x9030000
#define BUTTON (1u << PL061_POWER_BUTTON)

enum {
	DIR = 0x400,
	IS = 0x404,
	IBE = 0x408,
	IEV = 0x40c,
	IE = 0x410,
	RIS = 0x414,
	MIS = 0x418,
	IC = 0x41c
};

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

static void set_up(struct fixture *f, const struct device_type *type, enum irq_trigger trigger)
{
	struct power_button_config config = {
		.name = "button",
		.base = BASE,
		.irq = { &f->chip, 7, trigger },
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
	if (type->create(&f->env, &config, &f->dev, NULL))
		ok(false, "%s is created", type->name);
}

static void tear_down(struct fixture *f)
{
	f->dev->ops->destroy(f->dev);
	ok(!bus_access(&f->bus, BASE, &f->log, 1, false), "and it is gone");
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

/* save, reset, load, save: the same bytes; and what is cut short or impossible is refused. */
static void saved(struct fixture *f, uint8_t impossible)
{
	struct buf a = { 0 }, b = { 0 }, none = { 0 };
	struct reader r;

	f->dev->ops->save(f->dev, &a);
	f->dev->ops->reset(f->dev);
	f->dev->ops->save(f->dev, &none);
	r = (struct reader){ .p = a.data, .left = a.len };
	ok(!f->dev->ops->load(f->dev, &r), "its state is loaded");
	f->dev->ops->save(f->dev, &b);
	ok(a.len == b.len && !memcmp(a.data, b.data, a.len) && memcmp(a.data, none.data, a.len),
	   "and is what was saved");
	r = (struct reader){ .p = a.data, .left = a.len - 1 };
	ok(f->dev->ops->load(f->dev, &r) == -EINVAL, "one cut short is refused");
	a.data[0] = impossible;
	r = (struct reader){ .p = a.data, .left = a.len };
	ok(f->dev->ops->load(f->dev, &r) == -EINVAL, "one that can't be, too");
	a.len = 0;
	f->dev->ops->save(f->dev, &a);
	ok(a.len == b.len && !memcmp(a.data, b.data, a.len), "and nothing of it is taken");
	buf_free(&a);
	buf_free(&b);
	buf_free(&none);
}

static uint8_t events(struct fixture *f)
{
	uint8_t byte = 0xaa;

	bus_access(&f->bus, BASE, &byte, 1, false);
	return byte;
}

static void ged(void)
{
	struct fixture f;
	uint8_t zero = 0;

	set_up(&f, &ged_type, IRQ_EDGE);
	ok(!events(&f) && !f.raised, "no event");
	ok(power_button_press(f.dev) && f.raised == 1, "the button is pressed: an interrupt");
	saved(&f, 0x80);
	bus_access(&f.bus, BASE, &zero, 1, true);
	ok(events(&f) == GED_POWER_BUTTON && !events(&f), "the guest reads which, once");
	power_button_press(f.dev);
	power_button_press(f.dev);
	ok(events(&f) == GED_POWER_BUTTON && !events(&f) && f.raised == 3,
	   "twice before it looks is once");
	power_button_press(f.dev);
	f.dev->ops->reset(f.dev);
	ok(!events(&f), "a reset forgets it");
	tear_down(&f);
}

/* Until it is so, for 2 s. */
static bool comes_to(struct fixture *f, unsigned int reg, uint32_t v)
{
	for (int i = 0; i < 200 && in(f, reg) != v; i++)
		usleep(10000);
	return in(f, reg) == v;
}

static void drive(struct fixture *f)
{
	out(f, DIR, 0);
	out(f, IS, 0);
	out(f, IBE, BUTTON);
	out(f, IC, 0xff);
	out(f, IE, BUTTON);
}

static void pl061(void)
{
	struct fixture f;

	set_up(&f, &pl061_type, IRQ_LEVEL);
	ok(in(&f, 0xfe0) == 0x61 && in(&f, 0xfe4) == 0x10 && in(&f, 0xffc) == 0xb1,
	   "a PL061 says what it is");
	ok(!power_button_press(f.dev) && !in(&f, 0x3fc) && !f.raised,
	   "nobody listens: nothing is pressed");
	drive(&f);
	ok(power_button_press(f.dev) && f.level == 1, "a driver does: an interrupt");
	ok(in(&f, 0x3fc) == BUTTON && in(&f, BUTTON << 2) == BUTTON &&
		   !in(&f, 0x3fc & ~(BUTTON << 2)),
	   "the line is high, where the address asks for it");
	ok(in(&f, RIS) == BUTTON && in(&f, MIS) == BUTTON, "and it was that line");
	usleep(300000);
	ok(in(&f, 0x3fc) == BUTTON && f.level == 1, "as long as nobody has seen it");
	saved(&f, 1);
	f.raised = 0;
	f.level = 1;
	out(&f, IC, BUTTON);
	ok(!in(&f, RIS) && in(&f, 0x3fc) == BUTTON && !f.level, "seen, it is down for a while yet");
	f.dev->ops->quiesce(f.dev);
	usleep(300000);
	ok(in(&f, 0x3fc) == BUTTON, "while the machine stands it is");
	saved(&f, 1);
	f.dev->ops->resume(f.dev);
	ok(comes_to(&f, 0x3fc, 0) && in(&f, MIS) == BUTTON && f.level == 1,
	   "then it comes up, which is another edge");
	out(&f, IC, BUTTON);
	ok(!f.level && power_button_press(f.dev) && f.level == 1, "and once more");
	f.dev->ops->reset(f.dev);
	ok(!f.level && !in(&f, 0x3fc) && !in(&f, IE), "a reset");

	out(&f, IS, BUTTON);
	out(&f, IEV, BUTTON);
	out(&f, IE, BUTTON);
	power_button_press(f.dev);
	out(&f, IC, BUTTON);
	ok(f.level == 1 && comes_to(&f, MIS, 0) && !f.level, "by level");
	out(&f, DIR, 1);
	out(&f, 0x3fc, 3);
	ok(in(&f, 0x3fc) == 1 && !in(&f, RIS), "an output is what is written, and no edge");
	out(&f, 2 << 2, 0);
	ok(in(&f, 0x3fc) == 1, "by the address's mask, too");
	tear_down(&f);
}

int main(void)
{
	ged();
	pl061();
	return done_testing();
}
