/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/lib/registers.h"

#include "tests/fuzz/lib/loop.h"

#define STEPS 200

static void raise_line(struct irq_chip *chip, const struct irq_line *line)
{
	struct registers *r = container_of(chip, struct registers, chip);

	/* A level is told when it changes, and only then. */
	CHECK(line->trigger == IRQ_EDGE || !r->sure || !r->up);
	r->sure = r->up = true;
}

static void lower_line(struct irq_chip *chip, const struct irq_line *line)
{
	struct registers *r = container_of(chip, struct registers, chip);

	CHECK(line->trigger == IRQ_LEVEL && (!r->sure || r->up));
	r->sure = true;
	r->up = false;
}

void registers_set_up(struct registers *r, enum irq_trigger trigger)
{
	*r = (struct registers){ 0 };
	r->chip = (struct irq_chip){ .lines = 8, .raise = raise_line, .lower = lower_line };
	r->irq = (struct irq_line){ .chip = &r->chip, .gsi = 4, .trigger = trigger };
	r->log = (struct log){ .fd = -1, .level = LOG_ERROR, .name = "fuzz" };
	r->env = (struct device_env){
		.mmio = &r->bus, .pio = &r->bus, .chip = &r->chip, .log = &r->log
	};
	r->env.loop = loop_create("loop");
	r->sure = true;
	tty_fresh(&r->tty);
	CHECK(!bus_init(&r->bus));
}

static void access_any(struct input *in, struct registers *r)
{
	uint8_t how = take_u8(in), data[8];
	uint32_t len = how & 8 ? 1 + (how & 7) : r->dev->size > 8 ? 4 : 1;
	uint64_t offset = (how & 0x20 ? take_u16(in) : take_below(in, 32) * len) % r->dev->size;
	bool is_write = how & 0x10;

	memset(data, 0xa5, sizeof(data));
	if (is_write)
		put_le(data, take(in, how & 0x40 ? 1 : len), len);
	CHECK(bus_access(&r->bus, r->dev->base + offset, data, len, is_write) ==
	      (offset + len <= r->dev->size));
}

static void happen_outside(struct input *in, struct registers *r)
{
	uint32_t what = take_below(in, 5);

	if (what == 4)
		timers_expire();
	else if (!r->tty.attached)
		return;
	else if (what == 0)
		tty_tell_input(&r->tty, take_u8(in));
	else if (what == 1)
		r->tty.accepts = take_below(in, 24);
	else if (what == 2)
		tty_tell_room(&r->tty, take_u8(in));
	else
		tty_tell_break(&r->tty);
	loops_run();
}

static int load(struct device *d, const struct buf *b, size_t len)
{
	struct reader r = { .p = b->data, .left = len };

	return d->ops->load(d, &r);
}

static void check_saved(struct device *d, const struct buf *expected)
{
	struct buf b = { 0 };

	d->ops->save(d, &b);
	CHECK(b.len == expected->len && !memcmp(b.data, expected->data, b.len));
	buf_free(&b);
}

/* Its own state comes back; a damaged one comes whole or not at all. */
static void save_and_load(struct input *in, struct registers *r)
{
	struct device *d = r->dev;
	struct buf own = { 0 }, other = { 0 };
	uint32_t n = take_below(in, 6);

	r->tty.accepts = SIZE_MAX; /* a slow outside would be waited for, by the clock */
	d->ops->quiesce(d);
	d->ops->save(d, &own);
	if (take_u8(in) & 1)
		d->ops->reset(d);
	CHECK(!load(d, &own, own.len));
	check_saved(d, &own);
	CHECK(load(d, &own, own.len - 1));
	check_saved(d, &own);
	buf_put(&other, own.data, own.len);
	for (uint32_t i = 0; i < n; i++)
		other.data[take_u8(in) % other.len] = take_u8(in);
	check_saved(d, load(d, &other, other.len) ? &own : &other);
	r->sure = false;
	if (take_u8(in) & 1)
		CHECK(!load(d, &own, own.len));
	buf_free(&own);
	buf_free(&other);
	d->ops->resume(d);
}

static void step(struct input *in, struct registers *r)
{
	uint32_t what = take_below(in, 16);

	if (what < 11) {
		access_any(in, r);
	} else if (what < 14) {
		happen_outside(in, r);
	} else if (what == 14) {
		save_and_load(in, r);
	} else {
		r->dev->ops->reset(r->dev);
	}
}

void registers_run(struct registers *r, struct input *in)
{
	for (int i = 0; i < STEPS && in->left; i++)
		step(in, r);
	r->tty.accepts = SIZE_MAX;
	r->dev->ops->quiesce(r->dev);
	r->dev->ops->destroy(r->dev);
	CHECK(!r->tty.attached);
	loop_destroy(r->env.loop);
	bus_destroy(&r->bus);
	loops_end();
}
