/* SPDX-License-Identifier: MIT */
/*
 * The target of a migration (state/receive.h, host/wire.h, state/state.h), and a source that says anything, in
 * frames whose sums are right: a guest's own state with bytes of it changed, pages and zeros for any address, in
 * any order; and pieces of a disk, small enough to be read again. RUNNING is said to a source that said GO behind a state that was taken, or not at all.
 */
#include "state/receive.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/disk-copy.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/lib/loop.h"
#include "tests/fuzz/lib/ram.h"
#include "tests/saved.h"
#include "vm/arch.h"
#include "virtio/mmio.h"
#include "virtio/rng.h"

#define STEPS 60
#define VIRTIO_BASE 0xd0000000ull
#define PIECE 512u     /* of the state, in a frame */
#define MARK 0x600dull /* what our vCPU's and our VM's state is */

/* ---- A port that has one number to save ---- */

const char *const arch_name = "fuzz";

static void save_mark(struct buf *out)
{
	buf_put_le64(out, MARK);
}

static int restore_mark(struct reader *in, struct err *err)
{
	uint64_t mark = reader_le64(in);

	return in->failed || in->left || mark != MARK ? err_set(err, EINVAL, "another's state") : 0;
}

int arch_vcpu_save(struct vcpu *vcpu, struct buf *out, struct err *err)
{
	(void)vcpu;
	(void)err;
	save_mark(out);
	return 0;
}

int arch_vcpu_restore(struct vcpu *vcpu, struct reader *in, struct err *err)
{
	(void)vcpu;
	return restore_mark(in, err);
}

int arch_save(struct vm *vm, struct buf *out, struct err *err)
{
	(void)vm;
	(void)err;
	save_mark(out);
	return 0;
}

int arch_restore(struct vm *vm, struct reader *in, struct err *err)
{
	(void)vm;
	return restore_mark(in, err);
}

/* ---- A machine that has not run ---- */

struct guest {
	struct vm vm;
	struct vcpu vcpu;
	struct bus mmio;
	struct irq_chip chip;
	struct log log;
	struct device_env env;
	struct device_list devices;
	unsigned int interrupts;
};

static void count(struct irq_chip *chip, const struct irq_line *line)
{
	CHECK(line->gsi == 5);
	container_of(chip, struct guest, chip)->interrupts++;
}

static void create(struct guest *g)
{
	static const struct rng_config config = { .name = "virtio-rng.0" };
	struct irq_line irq = { .chip = &g->chip, .gsi = 5, .trigger = IRQ_EDGE };
	struct device *device;

	g->vm = (struct vm){ .n_vcpus = 1, .vcpus = &g->vcpu };
	g->vm.mem = *ram_fresh();
	g->vm.config.mem = g->vm.mem.size;
	g->chip = (struct irq_chip){ .lines = 8, .raise = count };
	g->log = (struct log){ .fd = -1, .level = LOG_ERROR, .name = "fuzz" };
	g->env = (struct device_env){
		.mem = &g->vm.mem, .mmio = &g->mmio, .chip = &g->chip, .log = &g->log
	};
	g->env.loop = loop_create("loop");
	CHECK(!bus_init(&g->mmio));
	CHECK(!virtio_rng_type.create(&g->env, &config, &device, NULL));
	CHECK(!virtio_mmio_plug(virtio_from_device(device), VIRTIO_BASE, irq, NULL));
	device_list_add(&g->devices, device);
}

static void destroy(struct guest *g)
{
	device_list_quiesce(&g->devices);
	device_list_destroy(&g->devices);
	bus_destroy(&g->mmio);
	loop_destroy(g->env.loop);
	loops_end();
}

/* ---- The source ---- */

struct source {
	struct wire wire;
	struct buf state;
	bool changed; /* some of it */
	bool ended, went;
};

static bool always(void *opaque)
{
	(void)opaque;
	return true;
}

/* What no longer fits into the link is not said. */
static void say(struct source *s, uint32_t type, uint64_t at, uint64_t value, const void *body,
		size_t len)
{
	struct err ignored;

	wire_put(&s->wire, type, at, value, body, len, &ignored);
}

/* Its sums are right, so that the changed byte is looked at. */
static void change(struct input *in, struct source *s)
{
	s->state.data[take_u16(in) % s->state.len] = take_u8(in);
	s->changed = true;
	sections_seal(s->state.data, s->state.len);
}

static void say_hello(struct input *in, struct source *s, const struct guest *g)
{
	uint8_t how = take_u8(in);
	struct buf hello = { 0 };

	buf_put_le32(&hello, how & 1 ? take_u8(in) : MIGRATE_VERSION);
	buf_put_le32(&hello, how & 2 ? take_u8(in) : 0);
	buf_put_le64(&hello, how & 4 ? take_u32(in) : g->vm.mem.size);
	buf_put(&hello, s->state.data, s->state.len);
	say(s, how & 8 ? take_u32(in) : WIRE_HELLO, 0, 0, hello.data,
	    how & 16 ? take_u16(in) % hello.len : hello.len);
	buf_free(&hello);
}

static void say_state(struct source *s)
{
	for (size_t at = 0; at < s->state.len; at += PIECE)
		say(s, WIRE_STATE, at, 0, s->state.data + at, MIN(PIECE, s->state.len - at));
}

static void say_pages(struct input *in, struct source *s)
{
	static uint8_t body[4 * MEM_PAGE];
	uint8_t how = take_u8(in);
	uint64_t at = (how & 1 ? take_u64(in) : take_u8(in) * MEM_PAGE);

	memset(body, take_u8(in), sizeof(body));
	if (how & 2)
		say(s, WIRE_ZEROS, at, how & 4 ? take_u64(in) : take_u8(in), body,
		    how & 8 ? take_u8(in) : 0);
	else
		say(s, WIRE_PAGES, at, 0, body,
		    how & 4 ? take_u16(in) % sizeof(body) : (1 + (how >> 3 & 3)) * MEM_PAGE);
}

#define DISK_SIZE (64 * DISK_SECTOR)

static void say_disk(struct input *in, struct source *s)
{
	static uint8_t body[8 * DISK_SECTOR];
	uint8_t how = take_u8(in);
	uint64_t at = how & 1 ? take_u64(in) : take_below(in, 70) * DISK_SECTOR;
	uint64_t len = how & 2 ? take_u64(in) : take_below(in, 9) * DISK_SECTOR;

	if (how & 4)
		say(s, WIRE_DISK_ZEROS, at, len, body, how & 8 ? take_u8(in) : 0);
	else
		say(s, WIRE_DISK, at, 0, body, len % (sizeof(body) + 1));
}

static void say_any(struct input *in, struct source *s)
{
	uint32_t type = take_u16(in);
	uint64_t at = take_u64(in), value = take_u64(in);
	size_t len = MIN((size_t)take_u8(in), in->left);

	s->went |= type == WIRE_GO;
	say(s, type, at, value, in->p, len);
	in->p += len;
	in->left -= len;
}

/* Bytes that no frame begins with. */
static void babble(struct input *in, struct source *s)
{
	size_t len = MIN((size_t)take_u8(in), in->left);
	ssize_t rc = send(s->wire.channel->out, in->p, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	(void)rc;
	in->p += len;
	in->left -= len;
}

static void step(struct input *in, struct source *s)
{
	switch (take_below(in, 10)) {
	case 0:
	case 1:
		say_pages(in, s);
		break;
	case 2:
		say(s, WIRE_ROUND, 0, 0, NULL, 0);
		break;
	case 3:
		change(in, s);
		break;
	case 4:
		say_state(s);
		break;
	case 5:
		say(s, WIRE_END, 0, 0, NULL, 0);
		s->ended = true;
		break;
	case 6:
		say(s, WIRE_GO, 0, 0, NULL, 0);
		s->went = true;
		break;
	case 7:
		say_any(in, s);
		break;
	case 8:
		babble(in, s);
		break;
	case 9:
		say_disk(in, s);
		break;
	}
}

/* ---- The target ---- */

/* The last word of `fd`'s other side. */
static uint32_t last_word(struct source *s)
{
	struct frame f = { 0 };
	struct err ignored;
	uint8_t reason[400];
	uint32_t last = 0;

	while (!wire_get(&s->wire, &f, &ignored)) {
		last = f.type;
		CHECK(f.type & WIRE_BACK && f.len <= sizeof(reason));
		CHECK(!wire_body(&s->wire, &f, reason, &ignored));
	}
	return last;
}

/* What was taken is what the machine has. */
static void check_state(struct guest *g, const struct source *s)
{
	struct buf now = { 0 };
	struct err err;

	CHECK(!state_save(&g->vm, &g->devices, NULL, &now, &err));
	CHECK(s->changed || (now.len == s->state.len && !memcmp(now.data, s->state.data, now.len)));
	buf_free(&now);
}

static struct disk *open_disk(void)
{
	char path[64];
	struct disk_config config = { .path = path, .format = "raw" };
	struct disk *disk;
	struct err err;
	int fd = memfd_create("disk", MFD_CLOEXEC);

	CHECK(fd >= 0 && !ftruncate(fd, DISK_SIZE));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK(!disk_open(&config, &disk, &err));
	close(fd);
	return disk;
}

/* It has the size that it had. */
static int take_more(void *opaque, struct wire *wire, const struct frame *f, struct err *err)
{
	struct disk *disk = opaque;
	int rc = f->type == WIRE_DISK || f->type == WIRE_DISK_ZEROS
			 ? disk_take(disk, wire, f, err)
			 : err_set(err, EBADMSG, "no frame of a disk's");

	CHECK(lseek(disk_fd(disk), 0, SEEK_END) == DISK_SIZE);
	return rc;
}

static int take_in(struct guest *g, struct channel *channel)
{
	struct receive *r = calloc(1, sizeof(*r));
	struct err err = { "" };
	int rc;

	CHECK(r);
	rc = receive_begin(r, channel, &err);
	if (rc) {
		CHECK(rc < 0 && err.text[0]);
		receive_refuse(r, err.text);
	} else {
		r->more = take_more;
		r->opaque = open_disk();
		rc = receive_guest(r, &g->vm, &g->devices, NULL, NULL, &err);
		CHECK(rc <= 0 && !rc == !err.text[0]);
	}
	disk_close(r->opaque);
	receive_end(r);
	free(r);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct source s = { 0 };
	struct guest g = { 0 };
	struct channel here, there;
	struct err err;
	int fds[2], rc;

	create(&g);
	CHECK(!state_save(&g.vm, &g.devices, NULL, &s.state, &err));
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	channel_of(&there, fds[0], fds[0]);
	channel_of(&here, fds[1], fds[1]);
	there.stopped = always;
	s.wire.channel = &there;
	say_hello(&in, &s, &g);
	for (int i = 0; i < STEPS && in.left; i++)
		step(&in, &s);
	shutdown(fds[0], SHUT_WR);

	rc = take_in(&g, &here);
	channel_close(&here);
	ram_check_dirty();
	CHECK((last_word(&s) == WIRE_RUNNING) == !rc);
	CHECK(rc || (s.ended && s.went));
	if (!rc)
		check_state(&g, &s);
	channel_close(&there);
	buf_free(&s.state);
	destroy(&g);
	return 0;
}
