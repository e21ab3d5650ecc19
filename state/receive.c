/* SPDX-License-Identifier: MIT */
#include "state/receive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "state/state.h"
#include "util/util.h"
#include "vm/pages.h"

#define HELLO 16       /* bytes before the stream */
#define LAST_WORD 1000 /* ms */
/*
 * The source is silent while its host writes to its disks, and that may take its time; nothing here waits for it.
 * One that is gone is found out by the link itself.
 */
#define PATIENCE (10 * 60 * 1000) /* ms */

int receive_begin(struct receive *r, struct channel *channel, struct err *err)
{
	struct reader in;
	struct frame f;
	uint32_t version, shared;
	int rc;

	*r = (struct receive){ .wire = { .channel = channel }, .memory = -1 };
	rc = wire_get(&r->wire, &f, err);
	if (rc)
		return rc;
	if (f.type != WIRE_HELLO || f.len < HELLO)
		return err_set(err, EBADMSG, "what comes does not begin as a migration does");
	buf_put_zeros(&r->hello, f.len);
	if (r->hello.failed)
		return err_set(err, ENOMEM, "no memory to be migrated to");
	rc = wire_body(&r->wire, &f, r->hello.data, err);
	if (rc)
		return rc;
	in = (struct reader){ .p = r->hello.data, .left = HELLO };
	version = reader_le32(&in);
	shared = reader_le32(&in);
	if (version != MIGRATE_VERSION || shared > 1)
		return err_set(err, EINVAL,
			       "the migration is of version %u, and this lkvm knows %u", version,
			       MIGRATE_VERSION);
	r->shared = shared;
	r->ram = reader_le64(&in);
	return saved_open(&r->said, r->hello.data + HELLO, r->hello.len - HELLO, err);
}

void receive_end(struct receive *r)
{
	buf_free(&r->hello);
}

/* The last word is said, whoever wants an end by now; but a peer who does not read it is not waited for. */
static void begin_last_word(struct receive *r)
{
	r->wire.channel->stopped = NULL;
	r->wire.channel->patience = LAST_WORD;
}

void receive_refuse(struct receive *r, const char *why)
{
	struct err ignored;

	begin_last_word(r);
	if (!wire_put(&r->wire, WIRE_FAILED, 0, 0, why, MIN(strlen(why), (size_t)400), &ignored))
		channel_drain(r->wire.channel);
}

/* ---- Memory ---- */

/* NULL, unless these are whole pages of one slot of RAM. */
static void *pages_at(const struct mem *mem, uint64_t at, uint64_t len, uint64_t *gpa)
{
	for (unsigned int i = 0; !((at | len) % MEM_PAGE) && i < mem->n_slots; i++) {
		uint64_t begin = (uint64_t)(mem->slots[i].hva - mem->ram);

		if (at < begin || !range_in(at - begin, len, mem->slots[i].size))
			continue;
		*gpa = mem->slots[i].gpa + (at - begin);
		return mem_at(mem, *gpa, len, MEM_W);
	}
	return NULL;
}

static int outside(const struct frame *f, struct err *err)
{
	return err_set(err, EBADMSG, "what comes is for memory that is not there (0x%llx)",
		       (unsigned long long)f->at);
}

/* Where it belongs, at once: if it is damaged none of it will run. */
static int take_pages(struct receive *r, struct mem *mem, const struct frame *f, struct err *err)
{
	uint64_t gpa;
	void *to = pages_at(mem, f->at, f->len, &gpa);

	if (!to)
		return outside(f, err);
	mem_dirty(mem, gpa, f->len);
	pages_bring(to, f->len);
	return wire_body(&r->wire, f, to, err);
}

/* What was never written to is zero as it is. */
static int take_zeros(struct mem *mem, const struct frame *f, struct err *err)
{
	uint64_t gpa;
	uint8_t *to = f->len || f->value > mem->size / MEM_PAGE
			      ? NULL
			      : pages_at(mem, f->at, f->value * MEM_PAGE, &gpa);

	if (!to)
		return outside(f, err);
	for (uint64_t at = 0; at < f->value * MEM_PAGE; at += MEM_PAGE) {
		if (mem_test_dirty(mem, gpa + at, false))
			memset(to + at, 0, MEM_PAGE);
	}
	return 0;
}

/* ---- State ---- */

static int take_state(struct receive *r, struct buf *state, const struct frame *f, struct err *err)
{
	size_t before = state->len;

	if (f->at != before || !f->len || f->len > SAVED_MOST - before)
		return err_set(err, EBADMSG,
			       "the machine's state comes in no order, or is too long");
	buf_put_zeros(state, f->len);
	if (state->failed)
		return err_set(err, ENOMEM, "no memory for the machine's state");
	return wire_body(&r->wire, f, state->data + before, err);
}

static int take_all(struct receive *r, struct mem *mem, struct buf *state, struct err *err)
{
	struct frame f = { 0 };
	int rc;

	do {
		rc = wire_get(&r->wire, &f, err);
		if (rc)
			return rc;
		if (r->shared && (f.type == WIRE_PAGES || f.type == WIRE_ZEROS))
			rc = outside(&f, err);
		else if (f.type == WIRE_PAGES)
			rc = take_pages(r, mem, &f, err);
		else if (f.type == WIRE_ZEROS)
			rc = take_zeros(mem, &f, err);
		else if (f.type == WIRE_STATE)
			rc = take_state(r, state, &f, err);
		else if (f.type >= WIRE_MORE && f.type < WIRE_BACK && r->more)
			rc = r->more(r->opaque, &r->wire, &f, err);
		else if (f.len || (f.type != WIRE_ROUND && f.type != WIRE_END))
			rc = err_set(err, EBADMSG, "what comes is no part of a migration");
		else if (f.type == WIRE_ROUND)
			rc = wire_put(&r->wire, WIRE_SEEN, 0, 0, NULL, 0, err);
	} while (!rc && f.type != WIRE_END);
	return rc;
}

static int restore(struct vm *vm, struct device_list *devices, const struct buf *state,
		   struct err *err)
{
	struct saved *s = malloc(sizeof(*s));
	int rc;

	if (!s)
		return err_set(err, ENOMEM, "no memory for the machine's state");
	rc = saved_open(s, state->data, state->len, err);
	if (!rc)
		rc = state_restore(vm, devices, s, err);
	free(s);
	return rc;
}

static int take_guest(struct receive *r, struct vm *vm, struct device_list *devices,
		      struct err *err)
{
	struct buf state = { 0 };
	int rc = 0;

	if (r->ram != vm->mem.size)
		return err_set(err, EINVAL,
			       "the guest has %llu KiB of memory, and this machine %llu",
			       (unsigned long long)(r->ram / KIB),
			       (unsigned long long)(vm->mem.size / KIB));
	rc = wire_put(&r->wire, WIRE_SEEN, 0, 0, NULL, 0, err);
	if (!rc)
		rc = take_all(r, &vm->mem, &state, err);
	if (!rc)
		rc = restore(vm, devices, &state, err);
	buf_free(&state);
	return rc;
}

int receive_guest(struct receive *r, struct vm *vm, struct device_list *devices,
		  int (*claim)(void *opaque, struct err *err), void *opaque, struct err *err)
{
	struct err why = { "" };
	int rc;

	r->taken = true;
	r->wire.channel->patience = PATIENCE;
	rc = take_guest(r, vm, devices, &why);
	if (!rc && claim)
		rc = claim(opaque, &why);
	if (!rc)
		rc = wire_put(&r->wire, WIRE_READY, 0, 0, NULL, 0, &why);
	if (!rc)
		rc = wire_expect(&r->wire, WIRE_GO, &why);
	/* Who is to end at once would lose the guest: the source believes this answer. */
	if (!rc)
		rc = channel_check(r->wire.channel, &why);
	if (rc) {
		receive_refuse(r, why.text);
		return err_set(err, -rc, "%s", why.text);
	}
	/* Whether the source hears it or not. */
	r->runs = true;
	begin_last_word(r);
	wire_put(&r->wire, WIRE_RUNNING, 0, 0, NULL, 0, &why);
	return 0;
}
