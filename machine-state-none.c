/* SPDX-License-Identifier: MIT */
/* In place of machine-state.c, where CONFIG_STATE is left out. */
#include <errno.h>

#include "machine-parts.h"

int machine_can_be_saved(const struct machine *m, struct err *err)
{
	(void)m;
	return err_set(err, ENOTSUP, "this lkvm was built without snapshots (CONFIG_STATE)");
}

int machine_snapshot(struct machine *m, const struct buf *options, const char *dir,
		     struct machine_saved *saved, struct err *err)
{
	(void)options;
	(void)dir;
	(void)saved;
	return machine_can_be_saved(m, err);
}

int machine_prepare_restore(struct machine *m, struct vm_config *config, struct err *err)
{
	(void)m;
	(void)config;
	return err_set(err, ENOTSUP, "this lkvm was built without snapshots (CONFIG_STATE)");
}
