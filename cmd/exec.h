/* SPDX-License-Identifier: MIT */
/*
 * `lkvm run ... -- command`: what becomes of the options. The guest's init (guest/init/) gets an
 * order, and modules, in an initramfs that is made here; the machine serves the root, if it is a directory, as
 * one more share. Before the machine there is, in this order: options, the kernel, exec_prepare().
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

struct run_options;

struct exec_plan {
	/* By options. All borrowed. */
	const char *root;
	bool root_rw;
	const char **env; /* NAME or NAME=VALUE; the array is ours */
	unsigned int n_env;
	const char *user;    /* USER[:GROUP] */
	const char *modules; /* a folder */

	/* By who connects the streams, before exec_prepare(). */
	bool tty;
	unsigned int rows, columns;

	/* By exec_prepare(). */
	char release[RELEASE_MAX]; /* of the kernel; "": not known */
	char *cwd;
	struct buf initramfs; /* what machine.image.initrd_more is */
};

/*
 * Puts what the command needs into o->machine: the initramfs, and the transport where the kernel's
 * modules tell which. A kernel that is known to lack something is refused by the name of the option
 * that it was built without: then, and on whatever else is wrong, -errno and a line.
 */
int exec_prepare(struct run_options *o, struct err *err);

/* ---- Between its files ---- */

/*
 * cmd/exec-modules.c: finds the kernel's modules, and puts those that the machine needs into the
 * initramfs and, as "module=" records, the order.
 */
int exec_add_modules(struct run_options *o, struct buf *order, struct err *err);

/* cmd/exec-order.c: all other records. */
int exec_add_order(struct run_options *o, struct buf *order, struct err *err);

/* A record, "key=value" and a NUL. */
void exec_record(struct buf *order, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Is the root a disk of the guest's? Its device, "/dev/vda", or NULL. */
const char *exec_root_disk(const struct exec_plan *e);

#endif
