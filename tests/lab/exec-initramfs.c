/* SPDX-License-Identifier: MIT */
/*
 * exec-initramfs [--tty] ARGUMENTS...: the initramfs that `lkvm run ARGUMENTS` would make for its
 * command, on stdout. For other machines than ours to judge init by (exec-qemu).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/options.h"
#include "util/file.h"

int main(int argc, char **argv)
{
	struct run_options *o = calloc(1, sizeof(*o));
	bool tty = argc > 1 && !strcmp(argv[1], "--tty");
	struct err err;
	int rc;

	if (!o)
		return 125;
	o->machine.vm.log =
		(struct log){ .fd = STDERR_FILENO, .level = LOG_WARNING, .name = "lkvm" };
	o->plan.tty = tty;
	o->plan.rows = 25;
	o->plan.columns = 99;
	rc = options_parse(argc - tty, argv + tty, o, &err);
	if (!rc)
		rc = exec_prepare(o, &err);
	if (rc)
		fprintf(stderr, "exec-initramfs: %s\n", err.text);
	else
		rc = write_full(STDOUT_FILENO, o->plan.initramfs.data, o->plan.initramfs.len);
	options_free(o);
	free(o);
	return rc ? 125 : 0;
}
