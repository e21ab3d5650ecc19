/* SPDX-License-Identifier: MIT */
/*
 * Disks that move with their guest (lkvm migrate --disks): all that it can write to. What it only reads has to be
 * there already, as it has for a guest whose disks both sides share.
 *
 * They are sent while it runs, before its memory is; again when little of that is left; and what was written to
 * since, while it stands. After each round but the last the target has what came on stable storage.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "host/disk-copy.h"
#include "machine-parts.h"
#include "state/receive.h"
#include "util/clock.h"
#include "util/util.h"

#define WIRE_DISKS_FLUSH WIRE_MORE /* what came of disks is to be on stable storage */
#define PATIENCE 5		   /* rounds without progress */

_Static_assert(WIRE_DISK > WIRE_MORE && WIRE_DISK_ZEROS + DISK_COPIES <= WIRE_BACK &&
		       WIRE_DISK_ZEROS == WIRE_DISK + DISK_COPIES && MACHINE_DISKS <= DISK_COPIES,
	       "frames of their own");

static bool moves(const struct machine *m, unsigned int i)
{
	return !disk_read_only(m->disks[i]);
}

/* ---- The source ---- */

/* The sizes of all, 0 for what does not move. */
int machine_begin_disks(struct machine *m, struct buf *said, struct err *err)
{
	for (unsigned int i = 0; i < m->config->n_disks; i++) {
		int rc = moves(m, i) ? disk_mark_all(m->disks[i]) : 0;

		if (rc)
			return err_set(err, -rc, "disk %s: %s", m->config->disks[i].path,
				       strerror(-rc));
		buf_put_le64(said, moves(m, i) ? disk_copy_size(m->disks[i]) : 0);
	}
	return said->failed ? err_set(err, ENOMEM, "no memory to migrate by") : 0;
}

uint64_t machine_disks_left(const struct machine *m)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < m->config->n_disks; i++)
		bytes += moves(m, i) ? disk_marked(m->disks[i]) : 0;
	return bytes;
}

static int send_marked(struct machine *m, struct wire *wire, struct limit *limit, struct err *err)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < m->config->n_disks; i++) {
		if (!moves(m, i))
			continue;
		rc = disk_send(m->disks[i], i, wire, limit, &m->migration.progress.sent, err);
	}
	return rc;
}

static int send_round(struct machine *m, struct wire *wire, struct limit *limit, struct err *err)
{
	int rc = send_marked(m, wire, limit, err);

	if (!rc)
		rc = wire_put(wire, WIRE_DISKS_FLUSH, 0, 0, NULL, 0, err);
	if (!rc)
		rc = wire_put(wire, WIRE_ROUND, 0, 0, NULL, 0, err);
	return rc ? rc : wire_expect(wire, WIRE_SEEN, err);
}

/* Until what is left takes a quarter of the time that the guest may stand still: memory has the rest. */
int machine_send_disks(struct machine *m, struct wire *wire, struct err *err)
{
	const struct migrate_config *c = &m->migration.config;
	unsigned int stuck = 0;
	struct limit limit;
	int rc = 0;

	limit_init(&limit, &(struct limit_config){ .bytes = c->bandwidth });
	for (bool enough = false; !rc && !enough;) {
		uint64_t before = wire->bytes, begin = clock_now(), left;
		double rate;

		rc = send_round(m, wire, &limit, err);
		left = machine_disks_left(m);
		rate = (double)(wire->bytes - before) / (double)(clock_now() - begin + 1);
		enough = (double)left <= rate * (double)(c->downtime * CLOCK_MS) / 4;
		stuck = left < (wire->bytes - before) / 10 * 7 ? 0 : stuck + 1;
		if (!rc && !enough && stuck > PATIENCE)
			rc = err_set(err, ETIME,
				     "the guest writes to its disks faster than the link takes, "
				     "%.0f MiB/s: give it more (--downtime)",
				     rate * CLOCK_SECOND / (double)MIB);
	}
	limit_destroy(&limit);
	return rc;
}

int machine_send_last(struct machine *m, struct wire *wire, struct err *err)
{
	int rc = send_marked(m, wire, NULL, err);

	return rc ? rc : wire_put(wire, WIRE_DISKS_FLUSH, 0, 0, NULL, 0, err);
}

/* ---- The target ---- */

static const struct saved_section *said_of(const struct machine_config *c)
{
	return c->incoming ? saved_find(&c->incoming->said, STATE_DISKS, 0) : NULL;
}

bool machine_disks_come(const struct machine_config *config)
{
	return said_of(config);
}

int machine_check_disks(const struct machine *m, struct err *err)
{
	struct reader said = said_of(m->config)->body;

	for (unsigned int i = 0; i < m->config->n_disks; i++) {
		uint64_t size = reader_le64(&said);
		const char *path = m->config->disks[i].path;

		if (!size == moves(m, i))
			return err_set(err, EINVAL, "disk %s is %s there, and %s here", path,
				       size ? "written to" : "only read",
				       size ? "only read" : "written to");
		if (size && size != disk_size(m->disks[i]))
			return err_set(err, EINVAL, "disk %s has %llu bytes there, and %llu here",
				       path, (unsigned long long)size,
				       (unsigned long long)disk_size(m->disks[i]));
	}
	return said.failed || said.left
		       ? err_set(err, EINVAL, "what comes has other disks than this machine")
		       : 0;
}

static int flush(struct machine *m, struct err *err)
{
	for (unsigned int i = 0; i < m->config->n_disks; i++) {
		int rc = moves(m, i) ? disk_flush(m->disks[i]) : 0;

		if (rc)
			return err_set(err, -rc, "disk %s: %s", m->config->disks[i].path,
				       strerror(-rc));
	}
	return 0;
}

int machine_take_disks(void *opaque, struct wire *wire, const struct frame *f, struct err *err)
{
	struct machine *m = opaque;
	unsigned int i = (f->type - WIRE_DISK) % DISK_COPIES;
	struct err why;
	int rc;

	if (f->type == WIRE_DISKS_FLUSH && !f->len)
		return flush(m, err);
	if (f->type < WIRE_DISK || f->type >= WIRE_DISK_ZEROS + DISK_COPIES ||
	    i >= m->config->n_disks)
		return err_set(err, EBADMSG, "what comes is no part of a migration");
	rc = disk_take(m->disks[i], wire, f, &why);
	return rc ? err_set(err, -rc, "disk %.300s: %.200s", m->config->disks[i].path, why.text)
		  : 0;
}
