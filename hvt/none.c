/* SPDX-License-Identifier: MIT */
/* In place of this folder's other files where Kconfig leaves Solo5's machine out (CONFIG_HVT). */
#include <errno.h>

#include "hvt/hvt.h"

int hvt_create(struct vm *vm, const struct hvt_guest *guest, const struct hvt_console *console,
	       struct hvt **out, struct err *err)
{
	(void)vm;
	(void)console;
	(void)out;
	return err_set(err, ENOTSUP,
		       "%s is a Solo5 image: this lkvm was built without its machine (CONFIG_HVT)",
		       guest->name);
}

void hvt_room(struct hvt *hvt)
{
	(void)hvt;
}

void hvt_destroy(struct hvt *hvt)
{
	(void)hvt;
}
