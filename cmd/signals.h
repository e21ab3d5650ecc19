/* SPDX-License-Identifier: MIT */
/* What signals do to a process that runs a machine: end it, and leave the terminal usable. */
#ifndef CMD_SIGNALS_H
#define CMD_SIGNALS_H

#include "machine.h"

/* Handlers, for all that would end the process. */
void signals_set(void);

/* From here on they end this machine; NULL: the process, at once. */
void signals_end(struct machine *m);

/*
 * Another process is in our place: waits for its end. What a person or a script sends to us is for it; what a
 * terminal sends it has had itself. Its exit status, or STATUS_SIGNAL and the signal's number.
 */
int signals_follow(pid_t heir);

#endif
