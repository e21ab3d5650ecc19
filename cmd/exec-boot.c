/* SPDX-License-Identifier: MIT */
/*
 * A directory as the root of a system of its own, where the kernel can't mount that by itself: its
 * 9p is a module, or there is more to mount. Our init does, and becomes the system's.
 */
#include <errno.h>

#include "cmd/exec.h"
#include "cmd/options.h"

static void put_order(const struct exec_plan *e, const char *const *inits, struct buf *order)
{
	exec_record(order, "root", "9p %s", ROOT_TAG);
	exec_record(order, "root-mode", "%s", e->dir_cow ? "overlay" : e->dir_ro ? "ro" : "rw");
	if (e->host)
		exec_record(order, "host", "%s", HOST_TAG);
	for (; *inits; inits++)
		exec_record(order, "boot", "%s", *inits);
}

int exec_boot(struct run_options *o, bool must, const char *const *inits, struct err *err)
{
	struct buf order = { 0 };
	bool needed = must;
	int rc;

	exec_begin_initramfs(&o->plan.initramfs);
	rc = exec_add_root_modules(o, &needed, &order, err);
	if (!rc && needed) {
		put_order(&o->plan, inits, &order);
		rc = exec_end_initramfs(o, &order, err);
	}
	buf_free(&order);
	return rc;
}
