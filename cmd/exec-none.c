/* SPDX-License-Identifier: MIT */
/* In place of exec.c where Kconfig leaves out commands (CONFIG_EXEC). */
#include <errno.h>

#include "cmd/exec.h"
#include "cmd/options.h"

int exec_prepare(struct run_options *o, struct err *err)
{
	if (o->machine.payload)
		return 0; /* it is init and command in one */
	return err_set(err, ENOTSUP,
		       "a command after --: this lkvm was built without it (CONFIG_EXEC)");
}
