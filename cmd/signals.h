/* SPDX-License-Identifier: MIT */
/* What signals do to a process that runs a machine: end it, and leave the terminal usable. */
#ifndef CMD_SIGNALS_H
#define CMD_SIGNALS_H

#include "machine.h"

/* Handlers, for all that would end the process. */
void signals_set(void);

/* `clean` is called before one ends the process at once, in its handler. NULL: nothing is. */
void signals_clean(void (*clean)(void *opaque), void *opaque);

/* From here on they end this machine; NULL: the process, at once. */
void signals_end(struct machine *m);

/*
 * Another process is in our place from here on: what a person or a script sends to us is for it; what a terminal
 * sends it has had itself. `already`: such a signal that came a moment ago; 0: none.
 */
void signals_hand_on(pid_t heir, int already);

/* Waits for its end. Its exit status, STATUS_SIGNAL and its signal's number, or -errno. Any thread. */
int signals_follow(void);

#endif
