/* SPDX-License-Identifier: MIT */
/* The source's side. */
#include "state/migrate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "state/dirty.h"
#include "state/state.h"
#include "util/clock.h"
#include "util/limit.h"
#include "util/util.h"
#include "vm/pace.h"
#include "vm/pages.h"

#define RUN (WIRE_BODY / MEM_PAGE) /* pages in one frame */
#define STEP 20			   /* per cent that a guest is slowed down by at a time */
#define PATIENCE 5		   /* rounds without progress, at the slowest */
#define MOST_ROUNDS 1000
#define ENOUGH MIB /* bytes, of which a rate can be told */

_Static_assert(PAGES_MOST >= DIRTY_WINDOW, "what is looked at is looked at in one go");

struct sender {
	struct vm *vm;
	struct device_list *devices;
	const struct migrate_config *config;
	struct migrate_progress *progress;
	struct wire wire;
	struct dirty dirty;
	struct limit limit;
	struct pace pace;
	unsigned int slow, stuck; /* per cent; rounds in which that did not help */
	uint64_t begun, rate;	  /* when, ns; bytes a second */
	uint64_t looking;	  /* ns of this round, in which nothing was found to be sent */
	bool first;		  /* the first round: the target's RAM is all zeros yet */
	int pagemap;
	uint8_t copy[WIRE_BODY];
};

/* ---- Pages ---- */

/* A copy, as the guest may write there at any moment, and the sum must be of what goes. */
static int send_data(struct sender *s, uint64_t at, unsigned int n, struct err *err)
{
	struct limit *limit = s->progress->stopped ? NULL : &s->limit;
	size_t len = n * MEM_PAGE;
	int rc;

	memcpy(s->copy, s->vm->mem.ram + at, len);
	rc = wire_put_bulk(&s->wire, limit, WIRE_PAGES, at, s->copy, len, err);
	s->progress->pages += n;
	s->progress->sent = s->wire.bytes;
	return rc;
}

enum kind { NOTHING, ZEROS, DATA };

struct run {
	enum kind kind;
	uint64_t at;
	unsigned int n;
};

static int send_run(struct sender *s, const struct run *r, struct err *err)
{
	if (r->kind == DATA)
		return send_data(s, r->at, r->n, err);
	if (r->kind == ZEROS)
		s->progress->zeros += r->n;
	return r->kind == NOTHING || s->first
		       ? 0
		       : wire_put(&s->wire, WIRE_ZEROS, r->at, r->n, NULL, 0, err);
}

/* Where it ends, the run goes; a page that goes with it makes it longer. */
static int add_page(struct sender *s, struct run *r, enum kind kind, uint64_t at, struct err *err)
{
	int rc = 0;

	if (kind != r->kind || (kind == DATA && r->n == RUN)) {
		rc = send_run(s, r, err);
		*r = (struct run){ .kind = kind, .at = at };
	}
	r->n++;
	return rc;
}

static int send_window(struct sender *s, unsigned int slot, uint64_t first, struct err *err)
{
	uint64_t begin = clock_now(), before = s->wire.bytes;
	const struct mem *mem = &s->vm->mem;
	uint64_t at = (uint64_t)(mem->slots[slot].hva - mem->ram) + first * MEM_PAGE;
	struct run run = { NOTHING, 0, 0 };
	uint64_t bits[DIRTY_WORDS];
	bool absent[PAGES_MOST] = { false };
	unsigned int n;
	int rc = dirty_take(&s->dirty, slot, first, bits, &n, err);

	/* (What is marked later was written to.) */
	if (!rc && s->first)
		pages_absent(mem, s->pagemap, at,
			     (unsigned int)(align_up(n * MEM_PAGE, mem->page) / mem->page), absent);
	for (unsigned int i = 0; !rc && i < n; i++) {
		uint64_t page = at + i * MEM_PAGE;
		enum kind kind = !(bits[i / 64] >> i % 64 & 1) ? NOTHING
				 : absent[i * MEM_PAGE / mem->page] ||
						 bytes_are_zero(mem->ram + page, MEM_PAGE)
					 ? ZEROS
					 : DATA;

		rc = add_page(s, &run, kind, page, err);
	}
	s->progress->remaining = s->dirty.count * MEM_PAGE;
	if (!rc)
		rc = send_run(s, &run, err);
	if (s->wire.bytes == before)
		s->looking += clock_now() - begin;
	return rc;
}

/* All that is marked; and the target has got it. */
static int send_marked(struct sender *s, struct err *err)
{
	const struct mem *mem = &s->vm->mem;
	int rc = 0;

	for (unsigned int i = 0; !rc && i < mem->n_slots; i++) {
		uint64_t pages = mem->slots[i].size / MEM_PAGE;

		for (uint64_t first = 0; !rc && s->dirty.count && first < pages;
		     first += DIRTY_WINDOW)
			rc = send_window(s, i, first, err);
	}
	s->first = false;
	if (!rc)
		rc = wire_put(&s->wire, WIRE_ROUND, 0, 0, NULL, 0, err);
	if (!rc)
		rc = wire_expect(&s->wire, WIRE_SEEN, err);
	s->progress->sent = s->wire.bytes;
	return rc;
}

/* ---- Rounds ---- */

static uint64_t per_second(uint64_t bytes, uint64_t ns)
{
	return (uint64_t)((double)bytes * CLOCK_SECOND / (double)MAX(ns, (uint64_t)1));
}

/* How long the rest would take, in ns. */
static uint64_t expect(const struct sender *s)
{
	return (uint64_t)((double)(s->dirty.count * MEM_PAGE) * CLOCK_SECOND /
			  (double)MAX(s->rate, (uint64_t)1));
}

static int never_ends(const struct sender *s, struct err *err)
{
	unsigned long long writes = s->progress->dirtied / MIB, takes = s->rate / MIB;
	unsigned long long would = expect(s) / CLOCK_MS, may = s->config->downtime;

	return err_set(err, ETIME,
		       "the guest writes to %llu MiB a second, kept from running for %u%% of the "
		       "time, and the link takes %llu MiB/s: it would stand still for %llu ms, and "
		       "may for %llu; give it more (--downtime)",
		       writes, s->slow, takes, would, may);
}

/* Too much was left by this round, in which so much was sent. */
static int press_on(struct sender *s, uint64_t bytes, struct err *err)
{
	uint64_t left = s->dirty.count * MEM_PAGE, timeout = s->config->timeout;

	if (s->progress->rounds >= MOST_ROUNDS)
		return never_ends(s, err);
	if (timeout && clock_now() - s->begun > timeout * CLOCK_MS)
		return err_set(err, ETIMEDOUT, "%llu MiB are left after %llu s (--timeout)",
			       (unsigned long long)left >> 20, (unsigned long long)timeout / 1000);
	if (left < bytes / 10 * 7) {
		s->stuck = 0;
		return 0;
	}
	if (s->slow < s->config->throttle) {
		s->slow = MIN(s->slow + STEP, s->config->throttle);
		pace_set(&s->pace, s->slow);
		s->progress->throttle = s->slow;
		return 0;
	}
	return ++s->stuck < PATIENCE ? 0 : never_ends(s, err);
}

/* `*enough`: so little is left that the rest can go while the guest stands still. */
static int send_round(struct sender *s, bool *enough, struct err *err)
{
	uint64_t begin = clock_now(), before = s->wire.bytes, bytes, ns;
	int rc;

	s->looking = 0;
	rc = send_marked(s, err);
	if (!rc)
		rc = dirty_sync(&s->dirty, err);
	if (rc)
		return rc;
	bytes = s->wire.bytes - before;
	ns = clock_now() - begin;
	/* Of little only the way to and fro could be told. */
	if (bytes >= ENOUGH || !s->rate)
		s->rate = per_second(bytes, ns - s->looking);
	s->progress->rounds++;
	s->progress->rate = s->rate;
	s->progress->dirtied = per_second(s->dirty.count * MEM_PAGE, ns);
	s->progress->remaining = s->dirty.count * MEM_PAGE;
	s->progress->expected = expect(s) / 1000;
	*enough = expect(s) <= s->config->downtime * CLOCK_MS;
	return *enough ? 0 : press_on(s, bytes, err);
}

/* ---- The end ---- */

static int send_state(struct sender *s, const struct buf *state, struct err *err)
{
	int rc = 0;

	for (size_t at = 0; !rc && at < state->len; at += WIRE_BODY)
		rc = wire_put(&s->wire, WIRE_STATE, at, 0, state->data + at,
			      MIN(state->len - at, (size_t)WIRE_BODY), err);
	if (!rc)
		rc = wire_put(&s->wire, WIRE_END, 0, 0, NULL, 0, err);
	return rc;
}

/* The guest stands still. Its state first: to save that may write to RAM (the ITS's tables). */
static int send_rest(struct sender *s, struct err *err)
{
	struct buf state = { 0 };
	int rc = s->config->release ? s->config->release(s->config->opaque, &s->wire, err) : 0;

	if (!rc)
		rc = state_save(s->vm, s->devices, NULL, &state, err);
	if (!rc && !s->config->shared)
		rc = dirty_sync(&s->dirty, err) ?: send_marked(s, err);
	if (!rc)
		rc = send_state(s, &state, err);
	if (!rc)
		rc = wire_expect(&s->wire, WIRE_READY, err);
	buf_free(&state);
	return rc;
}

/* GO is said; after that the target alone can tell that it does not run. */
static int hand_over(struct sender *s, struct err *err)
{
	int rc = wire_put(&s->wire, WIRE_GO, 0, 0, NULL, 0, err);
	struct err why;

	if (rc)
		return rc;
	rc = wire_expect(&s->wire, WIRE_RUNNING, &why);
	/* It has said so before it died, or did not run. */
	if (rc && rc != -EREMOTEIO && channel_end_program(s->wire.channel))
		rc = wire_expect(&s->wire, WIRE_RUNNING, &why) ? -EREMOTEIO : 0;
	if (!rc || rc == -EREMOTEIO)
		return rc ? err_set(err, EREMOTEIO, "%s", why.text) : 0;
	err_set(err, EINPROGRESS,
		"the other side was told to go on, and its answer is lost (%.200s): if it does not "
		"run there, lkvm resume lets it go on here",
		why.text);
	return MIGRATE_UNKNOWN;
}

void migrate_take_back(struct vm *vm, struct device_list *devices,
		       const struct migrate_config *config)
{
	if (config->reclaim)
		config->reclaim(config->opaque);
	device_list_resume(devices);
	vm_resume(vm);
}

/* Who has closed the link may have said why. */
static int find_reason(struct sender *s, int rc, struct err *err)
{
	struct err why;

	if (rc != -EPIPE || wire_expect(&s->wire, WIRE_SEEN, &why) != -EREMOTEIO)
		return rc;
	*err = why;
	return -EREMOTEIO;
}

/* The other side hears first that it is over: it has the disks' locks. */
static int give_up(struct sender *s, int rc, struct err *err)
{
	rc = find_reason(s, rc, err);
	channel_hang_up(s->wire.channel);
	s->progress->committed = s->progress->stopped = false;
	migrate_take_back(s->vm, s->devices, s->config);
	return rc;
}

static int stop_and_go(struct sender *s, struct err *err)
{
	uint64_t begin = clock_now();
	int rc = vm_pause(s->vm);

	pace_end(&s->pace);
	if (rc == -ETIMEDOUT)
		return err_set(err, ETIMEDOUT,
			       "a CPU of the guest's does not stop: lkvm waits for the host there");
	if (rc)
		return err_set(err, -rc, "the guest has ended");
	s->progress->stopped = true;
	device_list_quiesce(s->devices);
	rc = send_rest(s, err);
	if (!rc)
		rc = channel_check(s->wire.channel, err);
	/* From here on nobody may cancel it. */
	s->progress->committed = !rc;
	if (!rc)
		rc = hand_over(s, err);
	s->progress->downtime = (clock_now() - begin) / 1000;
	return rc < 0 ? give_up(s, rc, err) : rc;
}

/* ---- All of it ---- */

static int greet(struct sender *s, const struct buf *options, struct err *err)
{
	struct buf b = { 0 };
	int rc;

	buf_put_le32(&b, MIGRATE_VERSION);
	buf_put_le32(&b, s->config->shared);
	buf_put_le64(&b, s->vm->mem.size);
	saved_begin(&b);
	if (options)
		saved_add(&b, STATE_OPTIONS, 0, options);
	if (s->config->disks)
		saved_add(&b, STATE_DISKS, 0, s->config->disks);
	saved_end(&b);
	if (b.failed || b.len > WIRE_BODY)
		rc = err_set(err, E2BIG, "there is too much to say about this machine");
	else
		rc = wire_put(&s->wire, WIRE_HELLO, 0, 0, b.data, b.len, err);
	buf_free(&b);
	return rc ? rc : wire_expect(&s->wire, WIRE_SEEN, err);
}

static int settle(struct sender *s, struct err *err)
{
	return s->config->settle ? s->config->settle(s->config->opaque, &s->wire, err) : 0;
}

static int run_rounds(struct sender *s, struct err *err)
{
	bool enough = false;
	int rc = s->config->disks || s->config->shared ? settle(s, err) : 0;

	if (rc < 0 || s->config->shared)
		return MIN(rc, 0);
	rc = dirty_start(&s->dirty, s->vm, s->devices, err);
	while (!rc && !enough) {
		rc = send_round(s, &enough, err);
		if (!rc && enough)
			rc = settle(s, err);
		/* Rounds again. */
		enough &= rc <= 0;
		rc = MIN(rc, 0);
	}
	return rc;
}

int migrate_send(struct vm *vm, struct device_list *devices, struct channel *channel,
		 const struct migrate_config *config, const struct buf *options,
		 struct migrate_progress *progress, struct err *err)
{
	struct sender *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return err_set(err, ENOMEM, "no memory to migrate by");
	*s = (struct sender){ .vm = vm,
			      .devices = devices,
			      .config = config,
			      .progress = progress,
			      .wire = { .channel = channel },
			      .begun = clock_now(),
			      .first = true };
	s->pagemap = pages_open();
	limit_init(&s->limit, &(struct limit_config){ .bytes = config->bandwidth });
	pace_begin(&s->pace, vm);
	progress->total = progress->remaining = vm->mem.size;
	rc = greet(s, options, err);
	if (!rc)
		rc = run_rounds(s, err);
	rc = rc ? find_reason(s, rc, err) : stop_and_go(s, err);
	pace_end(&s->pace);
	dirty_stop(&s->dirty);
	limit_destroy(&s->limit);
	if (s->pagemap >= 0)
		close(s->pagemap);
	free(s);
	return rc;
}
