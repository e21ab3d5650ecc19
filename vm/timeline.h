/* SPDX-License-Identifier: MIT */
/* When a run came to what, by CLOCK_MONOTONIC. Any thread may mark; the first mark counts. */
#ifndef VM_TIMELINE_H
#define VM_TIMELINE_H

#include <stdatomic.h>
#include <stdint.h>

enum phase {
	PHASE_START,   /* the machine is about to be made */
	PHASE_KERNEL,  /* the guest is entered */
	PHASE_CONSOLE, /* the first byte on a console */
	PHASE_INIT,    /* our init says hello */
	PHASE_COMMAND, /* the command starts */
	PHASE_EXITED,  /* the command has ended */
	PHASE_END,     /* the VM has ended */
	PHASES,
};

struct timeline {
	_Atomic uint64_t at[PHASES]; /* ns; 0: not come to */
};

void timeline_mark(struct timeline *t, enum phase phase);

/* Since PHASE_START, in us; -1: not come to. */
int64_t timeline_us(const struct timeline *t, enum phase phase);

/* "kernel" and so on, as results have it. */
const char *phase_name(enum phase phase);

#endif
