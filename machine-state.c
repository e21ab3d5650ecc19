/* SPDX-License-Identifier: MIT */
/* A machine that is saved as it stands, and one that begins as another stood. */
#include <errno.h>
#include <stdlib.h>

#include "machine-parts.h"
#include "util/clock.h"
#include "util/util.h"
#include "vm/arch.h"

/* What is not in the machine's state, and would be missing. */
int machine_can_be_saved(const struct machine *m, struct err *err)
{
	const struct machine_config *c = m->config;

	if (c->hvt)
		return err_set(err, ENOTSUP, "a Solo5 guest can't be saved");
	if (c->exec)
		return err_set(err, ENOTSUP,
			       "a guest that runs a command (--) can't be saved: its streams are "
			       "this process's");
	for (unsigned int i = 0; i < c->n_disks; i++) {
		if (c->disks[i].cow)
			return err_set(err, ENOTSUP,
				       "the disk %s is cow: what the guest wrote to it is in no "
				       "file that could be kept",
				       c->disks[i].path);
	}
	return arch_can_be_saved(m->vm, err);
}

/* (The end of the VM waits for the lock before it takes devices down.) */
static int fill(struct machine *m, struct snapshot_writer *w, const struct buf *options,
		struct machine_saved *saved, struct err *err)
{
	uint64_t begin = clock_now();
	int rc = vm_pause(m->vm);

	if (rc)
		return err_set(err, -rc, "the guest does not run: it has not begun, or has ended");
	pthread_mutex_lock(&m->state_lock);
	if (atomic_load(&m->vm->want) == VM_END) {
		rc = err_set(err, ESRCH, "the VM has ended");
	} else {
		device_list_quiesce(&m->devices);
		rc = snapshot_fill(w, m->vm, &m->devices, options, err);
		if (!rc && saved->base)
			rc = diff_begin(&m->diff, m->vm, &m->devices, err);
		device_list_resume(&m->devices);
	}
	pthread_mutex_unlock(&m->state_lock);
	vm_resume(m->vm);
	saved->paused = clock_now() - begin;
	return rc;
}

static int finish(struct machine *m, struct snapshot_writer *w, struct machine_saved *saved,
		  struct err *err)
{
	char *path = realpath(w->dir, NULL);
	uint64_t sum;
	int rc = snapshot_finish(w, &saved->stored, &sum, err);

	if (!rc && saved->base)
		rc = diff_based(&m->diff, path ? path : w->dir, sum, err);
	free(path);
	return rc;
}

static int write_snapshot(struct machine *m, const struct buf *options, const char *dir,
			  struct machine_saved *saved, struct err *err)
{
	struct snapshot_writer w;
	int rc = machine_can_be_saved(m, err);

	if (!rc)
		rc = snapshot_begin(&w, dir, saved->diff ? &m->diff : NULL, err);
	if (rc)
		return rc;
	saved->memory = m->vm->mem.size;
	rc = fill(m, &w, options, saved, err);
	if (rc)
		snapshot_abandon(&w);
	else
		rc = finish(m, &w, saved, err);
	/* Since when the log tells is known no more. */
	if (rc && saved->base)
		diff_end(&m->diff);
	return rc;
}

int machine_snapshot(struct machine *m, const struct buf *options, const char *dir, bool diff,
		     struct machine_saved *saved, struct err *err)
{
	int rc = machine_exclude_migration(m, true, err);

	if (rc)
		return rc;
	*saved = (struct machine_saved){ .diff = diff && m->diff.base };
	saved->base = !saved->diff && (diff || m->diff.wanted);
	rc = write_snapshot(m, options, dir, saved, err);
	/* (Who has been told that its base is gone, and takes a whole one, wants that to be one.) */
	m->diff.wanted |= diff && (!rc || rc == -ESTALE);
	machine_exclude_migration(m, false, err);
	return rc;
}

static int restore(void *opaque, struct vm *vm, struct err *err)
{
	struct machine *m = opaque;
	int rc = state_restore(vm, &m->devices, &m->config->snapshot->state, err);

	if (!rc)
		device_list_resume(&m->devices);
	return rc;
}

/* Its memory is as long as what it was saved from: a shorter one would be a fault where the file ends. */
int machine_prepare_restore(struct machine *m, struct vm_config *config, struct err *err)
{
	const struct snapshot *s = m->config->snapshot;

	if (s->memory_size != config->mem + arch_own_ram)
		return err_set(err, EINVAL,
			       "the snapshot has %llu KiB of memory, and this machine has %llu",
			       (unsigned long long)(s->memory_size / KIB),
			       (unsigned long long)((config->mem + arch_own_ram) / KIB));
	config->backing = MEM_FILE;
	config->backing_fd = s->memory;
	config->over_fd = s->over;
	config->over = s->runs;
	config->n_over = s->n_runs;
	config->prepare = restore;
	config->prepare_opaque = m;
	return s->base ? diff_based(&m->diff, s->base, s->sum, err) : 0;
}
