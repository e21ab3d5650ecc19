/* SPDX-License-Identifier: MIT */
/* What lkvm run shares with others that run a machine: cmd/restore.c. */
#ifndef CMD_RUN_H
#define CMD_RUN_H

#include "cmd/options.h"
#include "cmd/results.h"

/* Before any option. */
void run_init(struct run_options *o);

/* Results, console log: they shall come to nothing now, if they must. -errno and a line. */
int run_open_outputs(struct run_options *o, struct results *results, struct err *err);

/* Makes it, runs it to its end, and says what there is to be said. lkvm's exit status. */
int run_machine(struct run_options *o, struct results *results);

#endif
