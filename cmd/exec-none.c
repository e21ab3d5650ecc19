/* SPDX-License-Identifier: MIT */
/* In place of exec.c, setup.c and sandbox.c where Kconfig leaves out commands (CONFIG_EXEC). */
#include <errno.h>

#include "cmd/cmd.h"
#include "cmd/exec.h"
#include "cmd/options.h"
#include "cmd/setup.h"

int exec_prepare(struct run_options *o, struct err *err)
{
	if (o->machine.payload)
		return 0; /* it is init and command in one */
	return err_set(err, ENOTSUP,
		       "a command after --: this lkvm was built without it (CONFIG_EXEC)");
}

/* The kernel mounts it by itself, or not. */
int exec_boot(struct run_options *o, bool must, const char *const *inits, struct err *err)
{
	(void)inits;
	if (!must)
		return 0;
	return err_set(
		err, ENOTSUP,
		"--disk %s: with cow, or with what lkvm setup made, it needs an init that this "
		"lkvm was built without (CONFIG_EXEC)",
		o->plan.dir);
}

int sandbox_command(struct run_options *o, struct err *err)
{
	if (!o->plan.sandbox && !o->plan.script)
		return 0;
	return err_set(err, ENOTSUP, "a sandbox: this lkvm was built without it (CONFIG_EXEC)");
}

char *setup_find(const char *name)
{
	(void)name;
	return NULL;
}

bool setup_is_made(const char *dir)
{
	(void)dir;
	return false;
}

int cmd_setup(int argc, char **argv, const struct command *table)
{
	(void)argc;
	(void)argv;
	(void)table;
	return cmd_fail("setup: this lkvm was built without commands in the guest (CONFIG_EXEC)");
}
