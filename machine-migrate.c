/* SPDX-License-Identifier: MIT */
/* A machine whose guest moves to another lkvm, and one to which such a guest comes. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "host/disk.h"
#include "machine-parts.h"
#include "state/receive.h"
#include "util/clock.h"
#include "util/loop.h"
#include "util/thread.h"
#include "util/util.h"

#define OUTPUT_TRIES 500
#define OUTPUT_STEP 200 /* us */
#define MOST_SETTLES 20 /* then it stands as long as it must */

/* ---- What changes hands ---- */

/* What the guest has printed is out before it prints elsewhere, if its reader takes it soon. */
static bool write_output(struct machine *m)
{
	for (unsigned int i = 0; i < OUTPUT_TRIES && !tty_written(m->tty); i++)
		usleep(OUTPUT_STEP);
	return tty_written(m->tty);
}

/* So that less is left to be flushed when the guest stands still. An error is found then, too. */
static int settle(void *opaque, struct wire *wire, struct err *err)
{
	struct machine *m = opaque;
	struct migration *g = &m->migration;
	int rc;

	if (g->settled > MOST_SETTLES || (g->settled && !(g->how.disks && machine_disks_wait(m))))
		return 0;
	rc = g->how.disks ? machine_send_disks(m, wire, err) : 0;
	if (rc)
		return rc;
	g->settled += atomic_load(&g->progress.rounds) > 0;
	for (unsigned int i = 0; !g->how.disks && i < m->config->n_disks; i++) {
		if (!disk_read_only(m->disks[i]))
			disk_flush(m->disks[i]);
	}
	g->read = write_output(m);
	return 1;
}

/* What the guest was told is on the disk is there for the target, too, wherever that is. */
static int release(void *opaque, struct wire *wire, struct err *err)
{
	struct machine *m = opaque;

	if (m->migration.read)
		write_output(m);
	/* Who comes after us prints to the same place, and shall not be faster. */
	if (m->migration.how.local && !tty_written(m->tty))
		return err_set(err, EAGAIN, "nobody reads what the guest has printed");
	/* Ours stay ours. */
	if (m->migration.how.disks)
		return machine_send_last(m, wire, err);
	for (unsigned int i = 0; i < m->config->n_disks; i++) {
		int rc = disk_read_only(m->disks[i]) ? 0 : disk_flush(m->disks[i]);

		if (rc)
			return err_set(err, -rc, "disk %s: %s", m->config->disks[i].path,
				       strerror(-rc));
	}
	for (unsigned int i = 0; i < m->config->n_disks; i++)
		disk_unlock(m->disks[i]);
	return 0;
}

/* All of them, or none. */
static int claim_disks(void *opaque, struct err *err)
{
	struct machine *m = opaque;
	unsigned int n = 0;
	int rc = 0;

	for (; !rc && n < m->config->n_disks; n++)
		rc = disk_lock(m->disks[n], m->config->disks[n].path, err);
	while (rc && n)
		disk_unlock(m->disks[--n]);
	return rc;
}

/* Nobody else runs: who still has a lock is about to go, and the guest lives without ours. */
static void reclaim_disks(void *opaque)
{
	struct machine *m = opaque;
	struct err err;

	for (unsigned int i = 0; i < m->config->n_disks; i++) {
		if (disk_lock(m->disks[i], m->config->disks[i].path, &err))
			log_at(&m->vm->config.log, LOG_WARNING, "%s", err.text);
	}
}

unsigned int machine_net_fds(const struct machine *m, int fds[MACHINE_NET_FDS])
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < m->n_net_queues; i++) {
		fds[n++] = m->net_queues[i]->fd;
		if (m->net_queues[i]->place_fd >= 0)
			fds[n++] = m->net_queues[i]->place_fd;
	}
	return n;
}

/* Who closes a network takes down what belongs to it, unless another process has it. */
static void leave_nets(struct machine *m, bool left)
{
	for (unsigned int i = 0; i < m->n_net_queues; i++)
		m->net_queues[i]->left = left;
}

/* ---- The source ---- */

static bool is_stopped(void *opaque)
{
	struct machine *m = opaque;

	return atomic_load(&m->vm->want) == VM_END ||
	       (atomic_load(&m->migration.cancel) && !m->migration.progress.committed);
}

static void set_status(struct machine *m, enum migration_status status, const struct err *err)
{
	struct migration *g = &m->migration;

	pthread_mutex_lock(&g->lock);
	g->status = status;
	if (err)
		g->err = *err;
	if (status > MIGRATION_ACTIVE)
		g->ended = clock_now();
	pthread_mutex_unlock(&g->lock);
	if (g->how.told)
		g->how.told(g->how.opaque);
}

/* The devices come down under nobody's hands: machine_end_migration() waits for this. */
static void *migrate_main(void *opaque)
{
	struct machine *m = opaque;
	struct migration *g = &m->migration;
	struct channel channel = { 0 };
	struct err err = { "" };
	int rc;

	pthread_setname_np(pthread_self(), "lkvm-migrate");
	channel.stopped = is_stopped;
	channel.opaque = m;
	rc = g->how.connect(g->how.opaque, &channel, &err);
	if (!rc && g->how.disks)
		rc = machine_begin_disks(m, &g->disks, &err);
	if (!rc) {
		set_status(m, MIGRATION_ACTIVE, NULL);
		rc = migrate_send(m->vm, &m->devices, &channel, &g->config, &g->options,
				  &g->progress, &err);
	}
	if (rc < 0)
		channel_explain(&channel, &err);
	if (!rc && g->how.local) {
		g->heir = channel.child;
		leave_nets(m, true);
	}
	if (!rc)
		set_status(m, MIGRATION_COMPLETED, NULL);
	else if (rc == MIGRATE_UNKNOWN)
		set_status(m, MIGRATION_UNKNOWN, &err);
	else
		set_status(m, atomic_load(&g->cancel) ? MIGRATION_CANCELLED : MIGRATION_FAILED,
			   &err);
	if (!rc)
		vm_end(m->vm, VERDICT_MOVED, 0);
	/* Does it run there, or might it? Then who has it there lives on. */
	if (rc < 0)
		channel_close(&channel);
	else
		channel_leave(&channel);
	return NULL;
}

/* With the lock held. */
static int begin(struct machine *m, const struct machine_migration *how, struct err *err)
{
	struct migration *g = &m->migration;
	int rc;

	if (g->over)
		return err_set(err, ESRCH, "the guest has ended");
	if (g->snapshot)
		return err_set(err, EBUSY, "a snapshot of it is being written");
	if (g->status == MIGRATION_SETUP || g->status == MIGRATION_ACTIVE)
		return err_set(err, EBUSY, "it is being migrated already");
	if (g->status == MIGRATION_COMPLETED || g->status == MIGRATION_UNKNOWN)
		return err_set(err, EBUSY, "it has been migrated already");
	/* The log is the migration's now. */
	if (m->diff.logged)
		diff_end(&m->diff);
	if (g->has_thread)
		pthread_join(g->thread, NULL);
	g->has_thread = false;
	g->how = *how;
	g->options.len = g->disks.len = 0;
	if (how->options)
		buf_put(&g->options, how->options->data, how->options->len);
	g->err.text[0] = 0;
	memset(&g->progress, 0, sizeof(g->progress));
	atomic_store(&g->cancel, false);
	g->config = (struct migrate_config){
		.downtime = how->downtime,
		.bandwidth = how->bandwidth,
		.timeout = how->timeout,
		.throttle = how->throttle,
		.shared = how->local && m->vm->mem.backing == MEM_SHARED,
		.disks = how->disks ? &g->disks : NULL,
		.settle = settle,
		.release = release,
		.reclaim = reclaim_disks,
		.opaque = m,
	};
	g->settled = 0;
	g->disk_rate = 0;
	g->begun = clock_now();
	g->ended = 0;
	g->status = MIGRATION_SETUP;
	/* From now on the end may have to wait for a disk. */
	atomic_store(&m->driven, true);
	rc = thread_start(&g->thread, migrate_main, m);
	g->has_thread = !rc;
	if (rc)
		g->status = MIGRATION_NONE;
	return rc ? err_set(err, rc, "no thread to migrate by: %s", strerror(rc)) : 0;
}

int machine_migrate(struct machine *m, const struct machine_migration *how, struct err *err)
{
	int rc = machine_can_be_saved(m, err);

	if (rc)
		return rc;
	pthread_mutex_lock(&m->migration.lock);
	rc = begin(m, how, err);
	pthread_mutex_unlock(&m->migration.lock);
	return rc;
}

void machine_migration_state(struct machine *m, struct machine_migration_state *out)
{
	struct migration *g = &m->migration;

	pthread_mutex_lock(&g->lock);
	out->status = g->status;
	out->begun = g->begun;
	out->ended = g->ended;
	out->err = g->err;
	/* (Each of them for itself: they are told while they change.) */
	memcpy(&out->progress, &g->progress, sizeof(out->progress));
	out->disks = g->how.disks && g->status == MIGRATION_ACTIVE ? machine_disks_left(m) : 0;
	pthread_mutex_unlock(&g->lock);
}

pid_t machine_heir(struct machine *m)
{
	return m->migration.heir;
}

void machine_migrate_cancel(struct machine *m)
{
	atomic_store(&m->migration.cancel, true);
}

/*
 * A disk that somebody has locked is a guest that lives there, whatever who asks believes. (One that came along is
 * another there: it proves nothing.)
 */
int machine_migrate_take_back(struct machine *m, struct err *err)
{
	struct migration *g = &m->migration;
	int rc;

	pthread_mutex_lock(&g->lock);
	if (g->status != MIGRATION_UNKNOWN)
		rc = err_set(err, EINVAL, "it is not in doubt where the guest runs");
	else
		rc = claim_disks(m, err);
	if (!rc) {
		g->status = MIGRATION_FAILED;
		g->progress.stopped = g->progress.committed = false;
	}
	pthread_mutex_unlock(&g->lock);
	if (!rc)
		migrate_take_back(m->vm, &m->devices, &g->config);
	return rc;
}

/* Either of them pauses devices, and lets them go on. */
int machine_exclude_migration(struct machine *m, bool exclude, struct err *err)
{
	struct migration *g = &m->migration;
	int rc = 0;

	pthread_mutex_lock(&g->lock);
	if (exclude && g->status != MIGRATION_NONE && g->status != MIGRATION_FAILED &&
	    g->status != MIGRATION_CANCELLED)
		rc = err_set(err, EBUSY, "it is being migrated");
	else
		g->snapshot = exclude;
	pthread_mutex_unlock(&g->lock);
	return rc;
}

void machine_init_migration(struct machine *m)
{
	pthread_mutex_init(&m->migration.lock, NULL);
}

void machine_end_migration(struct machine *m)
{
	struct migration *g = &m->migration;
	bool has;

	machine_migrate_cancel(m);
	pthread_mutex_lock(&g->lock);
	g->over = true;
	has = g->has_thread;
	g->has_thread = false;
	pthread_mutex_unlock(&g->lock);
	if (has)
		pthread_join(g->thread, NULL);
}

void machine_destroy_migration(struct machine *m)
{
	machine_end_migration(m);
	diff_end(&m->diff);
	buf_free(&m->migration.options);
	buf_free(&m->migration.disks);
	pthread_mutex_destroy(&m->migration.lock);
}

/* ---- The target ---- */

static bool has_ended(void *opaque)
{
	struct vm *vm = opaque;

	return atomic_load(&vm->want) == VM_END;
}

/* What could fail does so while the guest has somewhere else to be. */
static int make_ready(void *opaque, struct err *err)
{
	struct machine *m = opaque;
	int rc = loop_begin(m->loop);

	if (rc)
		return err_set(err, -rc, "no thread for the guest's devices: %s", strerror(-rc));
	return claim_disks(m, err);
}

static int take_over(void *opaque, struct vm *vm, struct err *err)
{
	struct machine *m = opaque;
	struct receive *r = m->config->incoming;
	bool disks = machine_disks_come(m->config);
	int rc;

	/* (Memory has its own by now.) */
	if (r->memory >= 0)
		close(r->memory);
	r->memory = -1;
	/* As its own loader asked for, where it began. */
	if (!m->config->vm.not_linux && !m->config->payload)
		mem_use_huge_pages(&vm->mem);
	r->wire.channel->stopped = has_ended;
	r->wire.channel->opaque = vm;
	rc = disks ? machine_check_disks(m, err) : 0;
	r->more = disks ? machine_take_disks : NULL;
	r->opaque = m;
	if (!rc)
		rc = receive_guest(r, vm, &m->devices, make_ready, m, err);
	if (rc)
		return rc;
	/* Nothing more is said; who is at the other end waits for the end of the link, perhaps. */
	channel_leave(r->wire.channel);
	leave_nets(m, false);
	device_list_resume(&m->devices);
	if (m->config->come)
		m->config->come(m->config->come_opaque);
	return 0;
}

int machine_prepare_incoming(struct machine *m, struct vm_config *config, struct err *err)
{
	const struct receive *r = m->config->incoming;

	if (r->ram != config->mem + arch_own_ram)
		return err_set(err, EINVAL,
			       "the guest has %llu KiB of memory, and this machine %llu",
			       (unsigned long long)(r->ram / KIB),
			       (unsigned long long)((config->mem + arch_own_ram) / KIB));
	if (r->shared && r->memory < 0)
		return err_set(err, EINVAL,
			       "the guest's memory is to be handed on, and is not there");
	if (r->shared) {
		config->backing = MEM_SHARED;
		config->backing_fd = r->memory;
	}
	config->prepare = take_over;
	config->prepare_opaque = m;
	return 0;
}

bool machine_has_come(const struct machine_config *config)
{
	return config->incoming && config->incoming->runs;
}

void machine_refuse(const struct machine_config *config, const char *why)
{
	if (config->incoming && !config->incoming->taken)
		receive_refuse(config->incoming, why);
}
