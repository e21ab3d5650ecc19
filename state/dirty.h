/* SPDX-License-Identifier: MIT */
/*
 * Which pages of RAM were written to since they were last taken: by vCPUs, as KVM's dirty log has it; by us, or by
 * vhost for us (vm/mem.h: mem_dirty(), mem_log()). Logging costs the guest faults, so it is on between dirty_start()
 * and dirty_stop() only. For one thread; vCPUs and devices run on meanwhile.
 *
 * The log, and not the dirty ring, which costs a guest as much (within 5 %: tests/bench/x86/dirty.c), and spares what
 * looking through a bitmap takes, 15 us a GiB; but it is made before the first vCPU, for every VM that might move, is
 * not on arm64 before Linux 6.2, and wants the bitmap besides, for what KVM itself writes. Where KVM can
 * (KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2), a page is write-protected no sooner than its turn comes, piece by piece: what
 * was written to often meanwhile is sent once, and no vCPU waits for all of RAM at once.
 */
#ifndef STATE_DIRTY_H
#define STATE_DIRTY_H

#include "vm/device.h"
#include "vm/vm.h"

#define DIRTY_WORDS 64u /* of a window: 16 MiB */
#define DIRTY_WINDOW (64 * DIRTY_WORDS)

struct dirty {
	struct vm *vm;
	struct device_list *devices;
	uint64_t *bits; /* a bit a page of MEM_PAGE, as RAM lies in struct mem */
	uint64_t *log;	/* of one slot, as KVM has it */
	bool manual;	/* KVM protects pages when it is told to */
	uint64_t count; /* pages that are marked */
};

/* All pages count as written to. -errno and a line: nothing is on. */
int dirty_start(struct dirty *d, struct vm *vm, struct device_list *devices, struct err *err);

/* Also after a failure, and if it never was on. */
void dirty_stop(struct dirty *d);

/* Adds what was written to up to now. Of a VM that stands still: all there is. */
int dirty_sync(struct dirty *d, struct err *err);

/*
 * Pages [first, first + DIRTY_WINDOW) of a slot, fewer at its end: `bits` tells which of them are marked, which
 * they are no more; what is written there from now on marks them again. `n`: how many pages there are in the
 * window.
 */
int dirty_take(struct dirty *d, unsigned int slot, uint64_t first, uint64_t bits[DIRTY_WORDS],
	       unsigned int *n, struct err *err);

#endif
