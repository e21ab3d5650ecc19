/* SPDX-License-Identifier: MIT */
/*
 * util/loop.h and timers without threads and without time, in place of util/loop.c: handlers run
 * when the target says so, in the order of their making. So an input does the same each time.
 */
#ifndef TESTS_FUZZ_LIB_LOOP_H
#define TESTS_FUZZ_LIB_LOOP_H

#include "util/loop.h"

/* Runs what is ready until nothing is, for a bounded number of rounds. */
void loops_run(void);

/* All timers that are set expire. */
void timers_expire(void);

/*
 * An input is over: aborts if a source was left behind, and forgets the timers, which are closed.
 */
void loops_end(void);

#endif
