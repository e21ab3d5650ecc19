/* SPDX-License-Identifier: MIT */
/* What signals do to a process that runs a machine: end it, and leave the terminal usable. */
#ifndef CMD_SIGNALS_H
#define CMD_SIGNALS_H

#include "machine.h"

/* Handlers, for all that would end the process. */
void signals_set(void);

/* From here on they end this machine; NULL: the process, at once. */
void signals_end(struct machine *m);

#endif
