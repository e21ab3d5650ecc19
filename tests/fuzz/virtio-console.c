/* SPDX-License-Identifier: MIT */
/* virtio/console.h behind a transport of the test's own: see lib/virtio.h. */
#include "virtio/console.h"

#include "tests/fuzz/lib/loop.h"
#include "tests/fuzz/lib/tty.h"
#include "tests/fuzz/lib/virtio.h"

/* What happens outside. */
static void step(struct input *in, void *opaque)
{
	struct tty *tty = opaque;

	switch (take_below(in, 6)) {
	case 0:
		tty_tell_input(tty, take_u16(in));
		break;
	case 1: /* it becomes slow */
		tty->accepts = take_u8(in);
		break;
	case 2:
		tty_tell_room(tty, take_u16(in));
		break;
	case 3:
		tty_tell_break(tty);
		break;
	case 4:
		tty_tell_size(tty, take_u32(in));
		break;
	case 5:
		timers_expire();
		break;
	}
	loops_run();
}

/* A reader that is too slow would be waited for, by the clock. */
static void before_quiesce(void *opaque)
{
	((struct tty *)opaque)->drains = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tty tty;
	struct console_config config = { .name = "virtio-console.0", .tty = &tty };
	struct virtio_fuzz fuzz = {
		.type = &virtio_console_type,
		.config = &config,
		.step = step,
		.before_quiesce = before_quiesce,
		.opaque = &tty,
	};
	struct input in = { data, size };

	tty_fresh(&tty);
	if (take_u8(&in) & 1)
		tty.size = 80 | 24 << 16;
	virtio_fuzz_run(&in, &fuzz);
	CHECK(!tty.attached);
	return 0;
}
