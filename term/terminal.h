/* SPDX-License-Identifier: MIT */
/*
 * The terminal that a person sits at: raw mode and back, job control, size. A process has one at
 * the most, and what a signal handler needs to restore it is the program's only state of that kind.
 */
#ifndef TERM_TERMINAL_H
#define TERM_TERMINAL_H

#include <stdbool.h>
#include <sys/ioctl.h>

/* Are we the terminal's foreground job? Others are stopped when they read it or change it. */
bool terminal_in_foreground(int fd);

/*
 * No key means anything to the terminal any more; output is processed as before. A terminal that is
 * raw already is left alone, and so is what to restore.
 */
void terminal_make_raw(int fd);

/* As it was, if terminal_make_raw() has changed it. Async-signal-safe, idempotent. */
void terminal_restore(void);

/* Another process has it as it is, until it is no more: meanwhile terminal_restore() does nothing. */
void terminal_lend(bool lent);

/* The window's size, of the first of the two that is a terminal and knows it. */
bool terminal_size(int out, int in, struct winsize *window);

#endif
