/* SPDX-License-Identifier: MIT */
/* The VM's generation: another for who was copied, the same for who was not. */
#include <errno.h>
#include <string.h>

#include "platform/vmgenid.h"
#include "tests/unit/tap.h"
#include "util/util.h"

#define GPA 0xe0030
#define SIZE 16

struct fixture {
	struct mem mem;
	struct irq_chip chip;
	unsigned int raised, told;
	struct device *dev;
	uint8_t id[SIZE]; /* as last seen */
};

static void raise_line(struct irq_chip *chip, const struct irq_line *line)
{
	(void)line;
	container_of(chip, struct fixture, chip)->raised++;
}

static void tell(void *opaque)
{
	((struct fixture *)opaque)->told++;
}

static void set_up(struct fixture *f, bool by_another, bool same_vm)
{
	struct device_env env = { .mem = &f->mem, .chip = &f->chip };
	struct vmgenid_config config = {
		.name = "vmgenid",
		.gpa = GPA,
		.irq = { &f->chip, 11, IRQ_EDGE },
		.tell = by_another ? tell : NULL,
		.opaque = f,
		.same_vm = same_vm,
	};
	struct err err = { "" };

	memset(f, 0, sizeof(*f));
	f->chip = (struct irq_chip){ .lines = 24, .raise = raise_line };
	if (mem_create(&f->mem, MEM_ANON, -1, 2 * MIB, &err) ||
	    mem_add_slot(&f->mem, 0, 0, 2 * MIB))
		ok(false, "memory: %s", err.text);
	ok(!vmgenid_type.create(&env, &config, &f->dev, &err), "created: %s", err.text);
}

static void tear_down(struct fixture *f)
{
	f->dev->ops->destroy(f->dev);
	mem_destroy(&f->mem);
}

/* Since the last time. */
static bool is_another(struct fixture *f)
{
	uint8_t now[SIZE];
	bool is;

	mem_read(&f->mem, GPA, now, SIZE);
	is = memcmp(now, f->id, SIZE) != 0;
	memcpy(f->id, now, SIZE);
	return is;
}

static void load(struct fixture *f)
{
	struct buf a = { 0 }, b = { 0 };
	struct reader in;

	f->dev->ops->save(f->dev, &a);
	f->dev->ops->reset(f->dev);
	in = (struct reader){ .p = a.data, .left = a.len };
	ok(!f->dev->ops->load(f->dev, &in) && !in.left, "its state is loaded");
	f->dev->ops->save(f->dev, &b);
	ok(a.len == b.len, "and is what was saved");
	buf_free(&a);
	buf_free(&b);
}

static void one(bool by_another)
{
	struct fixture f;

	set_up(&f, by_another, false);
	ok(is_another(&f), "there is one from the start");
	f.dev->ops->resume(f.dev);
	ok(!is_another(&f) && !f.raised && !f.told, "who was paused keeps it");
	load(&f);
	ok(!is_another(&f) && !f.raised && !f.told, "it stays until all is restored");
	f.dev->ops->resume(f.dev);
	ok(is_another(&f), "who was restored has another");
	ok(f.raised == !by_another && f.told == by_another, "and is told, once: %u, %u", f.raised,
	   f.told);
	f.dev->ops->resume(f.dev);
	ok(!is_another(&f) && f.raised + f.told == 1, "until it is restored again");
	tear_down(&f);
}

static void moved(void)
{
	struct fixture f;

	set_up(&f, false, true);
	is_another(&f);
	load(&f);
	f.dev->ops->resume(f.dev);
	ok(!is_another(&f) && !f.raised, "who was moved keeps it");
	tear_down(&f);
}

static void elsewhere(void)
{
	struct fixture f;
	struct device_env env = { .mem = &f.mem };
	struct vmgenid_config config = { .name = "vmgenid", .gpa = 4 * MIB };
	struct device *dev = NULL;
	struct err err = { "" };

	set_up(&f, false, false);
	ok(vmgenid_type.create(&env, &config, &dev, &err) == -EFAULT, "no RAM there: %s", err.text);
	tear_down(&f);
}

int main(void)
{
	one(false);
	one(true);
	moved();
	elsewhere();
	return done_testing();
}
