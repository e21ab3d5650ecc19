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

#define WIRE_DISKS_FLUSH WIRE_MORE	  /* what came of disks is to be on stable storage */
#define PATIENCE 10			  /* rounds in all without progress */
#define FLUSH_PATIENCE (10 * 60 * 1000)	  /* ms */
#define SAID (8 + 3 * 4)		  /* bytes that are said of each disk */
#define ENOUGH MIB			  /* bytes, of which a rate can be told */
#define LITTLE (16 * (uint64_t)DISK_MARK) /* that is sent in no time */

_Static_assert(WIRE_DISK > WIRE_MORE && WIRE_DISK_ZEROS + DISK_COPIES <= WIRE_BACK &&
		       WIRE_DISK_ZEROS == WIRE_DISK + DISK_COPIES && MACHINE_DISKS <= DISK_COPIES,
	       "frames of their own");

static bool moves(const struct machine *m, unsigned int i)
{
	return !disk_read_only(m->disks[i]);
}

/* ---- The source ---- */

static uint32_t queues(const struct machine *m, unsigned int i)
{
	return MAX(m->config->disks[i].queues, 1u);
}

/* What has to be the same at both ends: that is found before any of it comes. */
int machine_begin_disks(struct machine *m, struct buf *said, struct err *err)
{
	for (unsigned int i = 0; i < m->config->n_disks; i++) {
		int rc = moves(m, i) ? disk_mark_all(m->disks[i]) : 0;

		if (rc)
			return err_set(err, -rc, "disk %s: %s", m->config->disks[i].path,
				       strerror(-rc));
		buf_put_le64(said, moves(m, i) ? disk_copy_size(m->disks[i])
					       : disk_size_now(m->disks[i]));
		buf_put_le32(said, moves(m, i));
		buf_put_le32(said, queues(m, i));
		buf_put_le32(said, disk_block_size(m->disks[i]));
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

static int send_marked(struct machine *m, const struct disk_sending *how, struct err *err)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < m->config->n_disks; i++)
		rc = moves(m, i) ? disk_send(m->disks[i], i, how, err) : 0;
	return rc;
}

/* That may take as long as the target's storage does. (Who has died is found out by the link.) */
static int flush_there(struct wire *wire, struct err *err)
{
	unsigned int before = wire->channel->patience;
	int rc = wire_put(wire, WIRE_DISKS_FLUSH, 0, 0, NULL, 0, err);

	if (!rc)
		rc = wire_put(wire, WIRE_ROUND, 0, 0, NULL, 0, err);
	wire->channel->patience = FLUSH_PATIENCE;
	if (!rc)
		rc = wire_expect(wire, WIRE_SEEN, err);
	wire->channel->patience = before;
	return rc;
}

/* Of little only the way to and fro could be told. */
static void measure(struct machine *m, uint64_t bytes, uint64_t ns)
{
	if (bytes >= ENOUGH)
		m->migration.disk_rate = (double)bytes / (double)MAX(ns, (uint64_t)1);
}

/* A quarter of the time that the guest may stand still: memory has the rest. */
static bool is_little(const struct machine *m, uint64_t left)
{
	double ns = (double)(m->migration.config.downtime * CLOCK_MS) / 4;

	return left <= LITTLE || (double)left <= m->migration.disk_rate * ns;
}

/* `*little`: what is left now. */
static int send_round(struct machine *m, const struct disk_sending *how, bool *little,
		      unsigned int *stuck, struct err *err)
{
	uint64_t before = how->wire->bytes, begin = clock_now(), bytes, left;
	int rc = send_marked(m, how, err);

	bytes = how->wire->bytes - before;
	measure(m, bytes, clock_now() - begin);
	if (!rc)
		rc = flush_there(how->wire, err);
	left = machine_disks_left(m);
	*little = is_little(m, left);
	*stuck = left < bytes / 10 * 7 ? *stuck : *stuck + 1;
	if (rc || *little || *stuck <= PATIENCE)
		return rc;
	return err_set(err, ETIME,
		       "the guest writes to its disks as fast as they can be sent, %.0f MiB/s, and "
		       "%llu MiB are left: give it more (--downtime)",
		       m->migration.disk_rate * CLOCK_SECOND / (double)MIB,
		       (unsigned long long)(left / MIB));
}

int machine_send_disks(struct machine *m, struct wire *wire, struct err *err)
{
	const struct migrate_config *c = &m->migration.config;
	struct limit limit;
	struct disk_sending how = {
		.wire = wire,
		.limit = &limit,
		.sent = &m->migration.progress.sent,
		.end = c->timeout ? m->migration.begun + c->timeout * CLOCK_MS : 0,
	};
	unsigned int stuck = 0;
	bool little = false;
	int rc = 0;

	limit_init(&limit, &(struct limit_config){ .bytes = c->bandwidth });
	while (!rc && !little)
		rc = send_round(m, &how, &little, &stuck, err);
	limit_destroy(&limit);
	return rc;
}

bool machine_disks_wait(const struct machine *m)
{
	return !is_little(m, machine_disks_left(m));
}

int machine_send_last(struct machine *m, struct wire *wire, struct err *err)
{
	struct disk_sending how = { .wire = wire, .sent = &m->migration.progress.sent };
	int rc;

	if (!machine_disks_left(m))
		return 0;
	rc = send_marked(m, &how, err);
	return rc ? rc : wire_put(wire, WIRE_DISKS_FLUSH, 0, 0, NULL, 0, err);
}

/* ---- The target ---- */

bool machine_disks_come(const struct machine_config *config)
{
	return config->incoming && saved_find(&config->incoming->said, STATE_DISKS, 0);
}

int machine_said_disks(const struct machine_config *config, struct machine_said_disk *disks,
		       struct err *err)
{
	struct reader said = saved_find(&config->incoming->said, STATE_DISKS, 0)->body;

	if (said.left % SAID)
		return err_set(err, EINVAL, "disks come as another lkvm's version sends them");
	if (said.left / SAID != config->n_disks)
		return err_set(err, EINVAL, "%zu disk%s to come, and this machine has %u",
			       said.left / SAID, said.left == SAID ? " is" : "s are",
			       config->n_disks);
	for (unsigned int i = 0; i < config->n_disks; i++) {
		disks[i].size = reader_le64(&said);
		disks[i].moves = reader_le32(&said);
		disks[i].queues = reader_le32(&said);
		disks[i].block = reader_le32(&said);
	}
	return 0;
}

/* Its lines are read at both ends. */
static int check_disk(const struct machine *m, unsigned int i, const struct machine_said_disk *said,
		      struct err *err)
{
	const char *path = m->config->disks[i].path;

	if (m->config->disks[i].cow)
		return err_set(err, EINVAL, "disk %s is cow: what comes would be in no file", path);
	if (said->moves != moves(m, i))
		return err_set(err, EINVAL, "disk %s is %s, and what comes is %s", path,
			       said->moves ? "only read" : "written to",
			       said->moves ? "written to" : "only read");
	if (said->size != disk_size(m->disks[i]))
		return err_set(err, EINVAL, "disk %s has %llu bytes, and what comes has %llu", path,
			       (unsigned long long)disk_size(m->disks[i]),
			       (unsigned long long)said->size);
	if (said->queues != queues(m, i))
		return err_set(err, EINVAL, "disk %s has %u queue%s, and what comes has %u", path,
			       queues(m, i), queues(m, i) == 1 ? "" : "s", said->queues);
	if (said->block != disk_block_size(m->disks[i]))
		return err_set(err, EINVAL, "disk %s has blocks of %u bytes, and what comes of %u",
			       path, disk_block_size(m->disks[i]), said->block);
	return 0;
}

int machine_check_disks(const struct machine *m, struct err *err)
{
	struct machine_said_disk disks[MACHINE_DISKS];
	int rc = machine_said_disks(m->config, disks, err);

	for (unsigned int i = 0; !rc && i < m->config->n_disks; i++)
		rc = check_disk(m, i, &disks[i], err);
	return rc;
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
