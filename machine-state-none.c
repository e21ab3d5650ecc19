/* SPDX-License-Identifier: MIT */
/* In place of machine-state.c and machine-migrate.c, where CONFIG_STATE is left out. */
#include <errno.h>

#include "machine-parts.h"

int machine_can_be_saved(const struct machine *m, struct err *err)
{
	(void)m;
	return err_set(err, ENOTSUP, "this lkvm was built without snapshots (CONFIG_STATE)");
}

int machine_snapshot(struct machine *m, const struct buf *options, const char *dir, bool diff,
		     struct machine_saved *saved, struct err *err)
{
	(void)options;
	(void)dir;
	(void)diff;
	(void)saved;
	return machine_can_be_saved(m, err);
}

bool machine_disks_come(const struct machine_config *config)
{
	(void)config;
	return false;
}

int machine_prepare_restore(struct machine *m, struct vm_config *config, struct err *err)
{
	(void)m;
	(void)config;
	return err_set(err, ENOTSUP, "this lkvm was built without snapshots (CONFIG_STATE)");
}

int machine_migrate(struct machine *m, const struct machine_migration *how, struct err *err)
{
	(void)m;
	(void)how;
	return err_set(err, ENOTSUP, "this lkvm was built without migration (CONFIG_STATE)");
}

void machine_migration_state(struct machine *m, struct machine_migration_state *out)
{
	(void)m;
	*out = (struct machine_migration_state){ .status = MIGRATION_NONE };
}

pid_t machine_heir(struct machine *m)
{
	(void)m;
	return 0;
}

unsigned int machine_net_fds(const struct machine *m, int fds[MACHINE_NET_FDS])
{
	(void)m;
	(void)fds;
	return 0;
}

bool machine_has_come(const struct machine_config *config)
{
	(void)config;
	return false;
}

void machine_migrate_cancel(struct machine *m)
{
	(void)m;
}

int machine_migrate_take_back(struct machine *m, struct err *err)
{
	(void)m;
	return err_set(err, EINVAL, "it is here, and was never to be moved");
}

int machine_prepare_incoming(struct machine *m, struct vm_config *config, struct err *err)
{
	return machine_prepare_restore(m, config, err);
}

int machine_exclude_migration(struct machine *m, bool exclude, struct err *err)
{
	(void)m;
	(void)exclude;
	(void)err;
	return 0;
}

void machine_init_migration(struct machine *m)
{
	(void)m;
}

void machine_end_migration(struct machine *m)
{
	(void)m;
}

void machine_destroy_migration(struct machine *m)
{
	(void)m;
}

void machine_refuse(const struct machine_config *config, const char *why)
{
	(void)config;
	(void)why;
}
