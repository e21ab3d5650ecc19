/* SPDX-License-Identifier: MIT */
/* All the CPUs of a machine at one job: CPU 0 says when it begins, and waits for its end. */
#ifndef PAYLOAD_CREW_H
#define PAYLOAD_CREW_H

#include <stdbool.h>

#define CREW_MAX 8

/* Starts the CPUs 1 to n - 1. False: one of them doesn't come. */
bool crew_start(const void *boot, unsigned int n);

/* Runs job(cpu) on each of them, CPU 0 last, and returns when all have returned. */
void crew_run(void (*job)(unsigned int cpu));

#endif
