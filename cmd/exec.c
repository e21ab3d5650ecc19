/* SPDX-License-Identifier: MIT */
#include "cmd/exec.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/options.h"
#include "guest/cpio.h"
#include "guest/exec-init.h"
#include "guest/init/exec.h"
#include "util/util.h"

void exec_record(struct buf *order, const char *key, const char *fmt, ...)
{
	va_list ap;

	buf_put(order, key, strlen(key));
	buf_put(order, "=", 1);
	va_start(ap, fmt);
	buf_vprintf(order, fmt, ap);
	va_end(ap);
	buf_put_u8(order, 0);
}

/* ---- The root ---- */

const char *exec_root_disk(const struct exec_plan *e)
{
	return e->root && !strncmp(e->root, "/dev/vd", 7) ? e->root : NULL;
}

/* With a disk its system is meant, else the host's. */
static int choose_root(struct run_options *o, struct err *err)
{
	struct exec_plan *e = &o->plan;
	const struct machine_disk *first = o->machine.n_disks ? &o->machine.disks[0] : NULL;

	if (!e->root && first && !e->root_rw_given)
		e->root_rw = !first->ro;
	if (!e->root)
		e->root = first ? "/dev/vda" : "/";
	if (first && first->ro && e->root_rw && !strcmp(e->root, "/dev/vda"))
		return err_set(err, EINVAL, "--disk %s,ro and --root-rw don't go together",
			       first->path);
	return 0;
}

/* What -d DIR says, as --root and --root-rw would. */
static int take_directory(struct exec_plan *e, struct err *err)
{
	if (!e->dir)
		return 0;
	if (e->root)
		return err_set(err, EINVAL, "two roots: --disk %s and --root %s", e->dir, e->root);
	if (e->root_rw && (e->dir_ro || e->dir_cow))
		return err_set(err, EINVAL, "--disk %s,%s and --root-rw don't go together", e->dir,
			       e->dir_ro ? "ro" : "cow");
	e->root = e->dir;
	if (!e->root_rw_given)
		e->root_rw = !e->dir_cow && !e->dir_ro;
	e->root_ro = e->dir_ro;
	return 0;
}

static int share_root(struct run_options *o, struct err *err)
{
	const struct exec_plan *e = &o->plan;
	const struct machine_share root = { .tag = EXEC_ROOT_TAG,
					    .dir = e->root,
					    .is_root = true,
					    .ro = !e->root_rw,
					    .cow = !e->root_rw && !e->root_ro };
	int rc = exec_share(o, &root, err);

	return rc ? rc : exec_share_host(o, e->root, e->root_rw || e->root_ro, err);
}

/* What the guest mounts there it mounts on folders, and makes none in what is somebody's own. */
static int check_folders(const struct run_options *o, struct err *err)
{
	static const char *const folders[] = { "dev", "proc", "sys", "mnt" };
	const struct exec_plan *e = &o->plan;
	bool shares = o->machine.n_shares;
	char path[PATH_MAX];
	struct stat st;

	for (unsigned int i = 0; i < ARRAY_SIZE(folders) - !shares; i++) {
		if (snprintf(path, sizeof(path), "%s/%s", e->root, folders[i]) >= (int)sizeof(path))
			return err_set(err, ENAMETOOLONG, "--root %s: too long", e->root);
		if (lstat(path, &st) || !S_ISDIR(st.st_mode))
			return err_set(err, ENOTDIR,
				       "%s %s has no folder %s for the guest to mount %s on; make "
				       "it, or %s%s",
				       e->dir ? "--disk" : "--root", e->root, folders[i],
				       i < 3 ? "its own" : "shares",
				       e->dir ? "say cow behind a comma" : "leave out --root-rw",
				       i < 3 ? "" : ", or --share");
	}
	return 0;
}

static int check_root(struct run_options *o, struct err *err)
{
	struct exec_plan *e = &o->plan;
	struct stat st;
	int rc;

	if (!strcmp(e->root, "none"))
		return e->root_rw ? err_set(err, EINVAL, "--root-rw: there is no root to write to")
				  : exec_share_host(o, NULL, false, err);
	if (exec_root_disk(e))
		return o->machine.n_disks
			       ? exec_share_host(o, NULL, false, err)
			       : err_set(err, EINVAL, "--root %s: give the guest a disk with -d",
					 e->root);
	if (stat(e->root, &st))
		return err_set(err, errno, "--root %s: %s", e->root, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return err_set(err, ENOTDIR,
			       "--root %s: not a directory; an image of a disk goes to -d",
			       e->root);
	rc = e->root_rw || e->root_ro ? check_folders(o, err) : 0;
	return rc ? rc : share_root(o, err);
}

/* (One that is not below our root has a name that does not begin there.) */
char *exec_here(struct err *err)
{
	char *here = getcwd(NULL, 0);

	if (here && *here == '/')
		return here;
	err_set(err, ENOENT, "this directory has no name any more: go to another");
	free(here);
	return NULL;
}

/* The caller's directory is there where the root is the caller's. */
static int choose_cwd(struct exec_plan *e, struct err *err)
{
	if (!strcmp(e->root, "/")) {
		e->cwd = exec_here(err);
		return e->cwd ? 0 : -ENOENT;
	}
	e->cwd = strdup("/");
	return e->cwd ? 0 : err_set(err, ENOMEM, "no memory for the command");
}

/* ---- The initramfs ---- */

void exec_begin_initramfs(struct buf *b)
{
	cpio_folder(b, "dev", 0755);
	cpio_device(b, "dev/console", 0600, 5, 1);
	cpio_file(b, "init", 0755, exec_init, exec_init_size);
	cpio_folder(b, EXEC_DIR, 0700);
	cpio_folder(b, EXEC_MODULES, 0700);
}

int exec_end_initramfs(struct run_options *o, const struct buf *order, struct err *err)
{
	struct buf *b = &o->plan.initramfs;

	cpio_file(b, EXEC_ORDER, 0600, order->data, order->len);
	cpio_end(b);
	if (order->failed || b->failed)
		return err_set(err, ENOMEM, "no memory for the initramfs");
	o->machine.image.initrd_more = b->data;
	o->machine.image.initrd_more_size = b->len;
	log_at(&o->machine.vm.log, LOG_INFO, "initramfs of our own: %zu KiB", b->len / 1024);
	return 0;
}

static int make_initramfs(struct run_options *o, struct err *err)
{
	struct buf order = { 0 };
	int rc;

	exec_begin_initramfs(&o->plan.initramfs);
	rc = exec_add_modules(o, &order, err);
	if (!rc)
		rc = exec_add_order(o, &order, err);
	if (!rc)
		rc = exec_end_initramfs(o, &order, err);
	buf_free(&order);
	return rc;
}

int exec_prepare(struct run_options *o, struct err *err)
{
	int rc;

	if (o->machine.payload)
		return 0; /* it is init and command in one */
	rc = take_directory(&o->plan, err);
	if (rc)
		return rc;
	rc = choose_root(o, err);
	if (!rc)
		rc = check_root(o, err);
	if (!rc)
		rc = choose_cwd(&o->plan, err);
	return rc ? rc : make_initramfs(o, err);
}
