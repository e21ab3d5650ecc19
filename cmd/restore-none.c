/* SPDX-License-Identifier: MIT */
/* In place of restore.c and saved-options.c, where CONFIG_STATE is left out. */
#include <errno.h>

#include "cmd/cmd.h"
#include "cmd/saved-options.h"

int cmd_restore(int argc, char **argv, const struct command *table)
{
	(void)argc;
	(void)table;
	return cmd_fail("%s: this lkvm was built without it (CONFIG_STATE)", argv[0]);
}

int saved_options_make(const struct run_options *o, const struct vm_config *vm, struct buf *out,
		       struct err *err)
{
	(void)o;
	(void)vm;
	(void)out;
	return err_set(err, ENOTSUP, "this lkvm was built without snapshots (CONFIG_STATE)");
}
