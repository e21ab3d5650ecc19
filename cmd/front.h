/* SPDX-License-Identifier: MIT */
/*
 * The front door: what the image is decides what the rest of the command line means. For a kernel of
 * Linux's the words behind `--` are a command, and what it needs to be useful is put on its command
 * line. For any other image they are its own, behind those of -p, and nothing is added. (Solo5's images are
 * taken care of before: cmd/option-hvt.c.)
 */
#ifndef CMD_FRONT_H
#define CMD_FRONT_H

#include "cmd/options.h"

/*
 * Looks at the image once, when it is known which. For one that is not Linux's: sets
 * machine.vm.not_linux, moves o->command to the image's command line, gives it the interrupt controller
 * that it needs, and refuses options that are Linux's. An image that can't be made out is left to
 * machine_create(), which says why.
 */
int front_look(struct run_options *o, struct err *err);

/* One of the given options that only Linux can make something of: it is named, not dropped. NULL: none. */
const char *front_linux_option(const struct run_options *o);

/* One more module: FILE[,ARGS], an option of its own each time. */
int option_set_module(struct run_options *o, const char *value, struct err *err);

#endif
