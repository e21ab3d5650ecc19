/* SPDX-License-Identifier: MIT */
/*
 * `lkvm run ... -- command`: what becomes of the options. The guest's init (guest/init/) gets an
 * order, and modules, in an initramfs that is made here; the machine serves the root, if it is a directory, as
 * one more share. Before the machine there is, in this order: options, the kernel, exec_prepare(); or
 * without a command root_prepare().
 */
#ifndef CMD_EXEC_H
#define CMD_EXEC_H

#include <stdbool.h>

#include "guest/modules.h"
#include "guest/release.h"
#include "util/buf.h"
#include "util/log.h"

#define EXEC_ENV_MAX 256
#define EXEC_ROOT_TAG "lkvm.root"
#define ROOT_TAG "/dev/root" /* of -d DIR without a command: as kvmtool has it */
#define HOST_TAG "hostfs"    /* of the host's root, too */

struct run_options;
struct machine_share;

struct exec_plan {
	/* By options. All borrowed. */
	const char *root;
	bool root_rw, root_rw_given;
	const char **env; /* NAME or NAME=VALUE; the array is ours */
	unsigned int n_env;
	const char *user;    /* USER[:GROUP] */
	const char *modules; /* a folder */
	char *dir;	     /* -d DIR: a directory as root file system. Ours, or NULL */
	bool dir_ro, dir_cow;
	bool sandbox;	    /* the host's root is at EXEC_HOST */
	const char *script; /* --sandbox */

	/* By sandbox_command(): what run_options.command points to then, and its first word. */
	char **words, *word;

	/* By who connects the streams, before exec_prepare(). */
	bool tty;
	unsigned int rows, columns;

	/* By exec_prepare(). */
	char release[RELEASE_MAX]; /* of the kernel; "": not known */
	char *cwd;
	bool root_ro;	      /* also what is above it */
	bool host;	      /* there is a share of it */
	struct buf initramfs; /* what machine.image.initrd_more is */
};

/*
 * Puts what the command needs into o->machine: the initramfs, and the transport where the kernel's
 * modules tell which. A kernel that is known to lack something is refused by the name of the option
 * that it was built without: then, and on whatever else is wrong, -errno and a line.
 */
int exec_prepare(struct run_options *o, struct err *err);

/*
 * Without a command: -d DIR is shared, and made the root by the kernel's command line, or by our init
 * where the kernel can't alone. Nothing to do without a -d DIR.
 */
int root_prepare(struct run_options *o, struct err *err);

/* For `lkvm sandbox` and --sandbox, when all options are known: the command, as the guest shall see it. */
int sandbox_command(struct run_options *o, struct err *err);

/* ---- Between its files ---- */

/* cmd/exec-root.c: one more share. */
int exec_share(struct run_options *o, const struct machine_share *share, struct err *err);

/* The host's root, if whoever runs on this root is to see it. */
int exec_share_host(struct run_options *o, const char *root, bool writable, struct err *err);

/*
 * cmd/exec-boot.c: our init goes first, if it must or the kernel has modules that it needs for its
 * root, and becomes one of `inits` (NULL ends).
 */
int exec_boot(struct run_options *o, bool must, const char *const *inits, struct err *err);

/* cmd/exec.c: what every initramfs of ours has; and its order. */
void exec_begin_initramfs(struct buf *b);
int exec_end_initramfs(struct run_options *o, const struct buf *order, struct err *err);

/*
 * cmd/exec-modules.c: finds the kernel's modules, and puts those that the machine needs into the
 * initramfs and, as "module=" records, the order.
 */
int exec_add_modules(struct run_options *o, struct buf *order, struct err *err);

/*
 * The same for what mounts ROOT_TAG. *needed: it must have them; so it is set where one is for the
 * root, and nothing was added where it is not.
 */
int exec_add_root_modules(struct run_options *o, bool *needed, struct buf *order, struct err *err);

/* cmd/exec-order.c: all other records. */
int exec_add_order(struct run_options *o, struct buf *order, struct err *err);

/* A record, "key=value" and a NUL. */
void exec_record(struct buf *order, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The caller's directory, to be freed; NULL and a line: it has no name any more. cmd/exec.c. */
char *exec_here(struct err *err);

/* Is the root a disk of the guest's? Its device, "/dev/vda", or NULL. */
const char *exec_root_disk(const struct exec_plan *e);

#endif
