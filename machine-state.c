/* SPDX-License-Identifier: MIT */
/* A machine that is saved as it stands, and one that begins as another stood. */
#include <errno.h>

#include "machine-parts.h"
#include "util/util.h"

int machine_snapshot(struct machine *m, const struct buf *options, const char *dir, struct err *err)
{
	int rc = vm_pause(m->vm);

	if (rc)
		return err_set(err, -rc, "the VM has ended");
	device_list_quiesce(&m->devices);
	rc = snapshot_write(m->vm, &m->devices, options, dir, err);
	device_list_resume(&m->devices);
	vm_resume(m->vm);
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
	config->prepare = restore;
	config->prepare_opaque = m;
	return 0;
}
