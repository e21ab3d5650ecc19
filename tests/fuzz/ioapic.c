/* SPDX-License-Identifier: MIT */
/*
 * The IOAPIC in user space (x86/ioapic.c): its registers, its lines, EOIs, bound eventfds, and its
 * life. There is no KVM behind it: messages and routes are refused, which must change nothing.
 */
#include "x86/ioapic.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "x86/map.h"

#define STEPS 200

struct fuzz {
	struct irq irq;
	struct bus mmio;
	struct ioapic *io;
	int fd;
};

static void access_any(struct fuzz *f, struct input *in)
{
	static const uint64_t registers[] = { 0x00, 0x10, 0x40 };
	uint8_t how = take_u8(in), data[8];
	uint32_t len = how & 8 ? 1 + (how & 7) : 4;
	uint64_t offset = how & 0x10 ? take_u16(in) % X86_IOAPIC_SIZE
				     : registers[take_below(in, ARRAY_SIZE(registers))];

	put_le(data, take(in, how & 0x20 ? 1 : len), len);
	CHECK(bus_access(&f->mmio, X86_IOAPIC + offset, data, len, how & 0x40) ==
	      (offset + len <= X86_IOAPIC_SIZE));
}

static void signal_line(struct fuzz *f, struct input *in)
{
	uint8_t how = take_u8(in);
	struct irq_line line = {
		.chip = &f->io->chip,
		.gsi = take_u8(in),
		.trigger = how & 1 ? IRQ_LEVEL : IRQ_EDGE,
	};

	if (how & 2)
		irq_raise(&line);
	else
		irq_lower(&line);
}

static void bind_any(struct fuzz *f, struct input *in)
{
	struct irq_line line = { .chip = &f->io->chip, .gsi = take_u8(in) };
	int rc = line.chip->bind_fd(line.chip, &line, f->fd, take_u8(in) & 1);

	CHECK(!rc == (line.gsi < line.chip->lines));
}

static int load(struct device *d, const struct buf *b, size_t len)
{
	struct reader r = { .p = b->data, .left = len };

	return d->ops->load(d, &r);
}

static void check_saved(struct device *d, const struct buf *expected, bool same)
{
	struct buf b = { 0 };

	d->ops->save(d, &b);
	CHECK(b.len == expected->len);
	CHECK(!same || !memcmp(b.data, expected->data, b.len));
	buf_free(&b);
}

static void save_and_load(struct fuzz *f, struct input *in)
{
	struct device *d = &f->io->device;
	struct buf own = { 0 };

	d->ops->save(d, &own);
	if (take_u8(in) & 1)
		d->ops->reset(d);
	CHECK(!load(d, &own, own.len));
	check_saved(d, &own, true);
	CHECK(load(d, &own, own.len - 1));
	check_saved(d, &own, true);
	own.data[take_u16(in) % own.len] = take_u8(in);
	check_saved(d, &own, !load(d, &own, own.len));
	buf_free(&own);
}

/* What no guest can bring about: reserved bits, and state of pins that are not there. */
static void check_state(const struct ioapic *io)
{
	for (uint32_t pin = io->chip.lines; pin < IOAPIC_PINS; pin++)
		CHECK(io->st.redirection[pin] == 1u << 16 && !io->st.level[pin] &&
		      !io->st.latched[pin] && !io->attached[pin]);
	for (uint32_t pin = 0; pin < IOAPIC_PINS; pin++)
		CHECK(!(io->st.redirection[pin] & 0x00fffffffffe0000ull));
}

static void step(struct fuzz *f, struct input *in, bool *loaded)
{
	uint32_t what = take_below(in, 16);

	if (what < 9) {
		access_any(f, in);
	} else if (what < 12) {
		signal_line(f, in);
	} else if (what == 12) {
		ioapic_eoi(f->io, take_u8(in));
	} else if (what == 13) {
		bind_any(f, in);
	} else if (what == 14) {
		save_and_load(f, in);
		*loaded =
			true; /* a stream may tell of pins that are not there: nobody can reach them */
	} else {
		f->io->device.ops->reset(&f->io->device);
	}
	if (!*loaded)
		check_state(f->io);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct fuzz f = { .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	uint32_t pins = 1 + take_u8(&in) % IOAPIC_PINS;
	bool loaded = false;

	CHECK(f.fd >= 0 && !irq_init(&f.irq, -1, pins) && !bus_init(&f.mmio));
	CHECK(!ioapic_create(&f.irq, &f.mmio, pins, &f.io, NULL));
	for (int i = 0; i < STEPS && in.left; i++)
		step(&f, &in, &loaded);
	f.io->device.ops->destroy(&f.io->device);
	bus_destroy(&f.mmio);
	irq_destroy(&f.irq);
	close(f.fd);
	return 0;
}
