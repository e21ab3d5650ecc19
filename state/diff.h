/* SPDX-License-Identifier: MIT */
/*
 * What a VM has written to since a whole snapshot of it, its base: that much of its memory is what a snapshot with
 * --diff has. Each such one builds on the base alone, and none on another.
 *
 * Of a VM that was restored RAM is the base's file, mapped privately: what is a page of no file's was written to, so
 * nothing has to be watched. Of any other KVM's dirty log is on from the base on, which costs the guest a fault for
 * each page that it writes to for the first time; it is not before somebody asks for such a snapshot.
 *
 * For one thread at a time.
 */
#ifndef STATE_DIFF_H
#define STATE_DIFF_H

#include "state/dirty.h"
#include "state/stream.h"
#include "util/buf.h"

/*
 * The most runs that there are, so that one who restores has room for them: what lies between two that are near
 * is told, too. A process may have 65,530 mappings.
 */
#define DIFF_RUNS 8192u

#define STATE_DIFF "diff" /* the section that has them, and their base's sum */

struct diff {
	bool wanted; /* whole snapshots are bases from now on */
	char *base;  /* the whole path of its folder; NULL: there is none */
	uint64_t sum;
	bool logged;
	struct dirty log;
};

/*
 * A whole snapshot is being written of the VM, which stands still: a base, once diff_based() says where it is.
 * After an error, and if it does not become one, diff_end().
 */
int diff_begin(struct diff *d, struct vm *vm, struct device_list *devices, struct err *err);

/* The base is there: or, of a VM that is restored, it is that one's. */
int diff_based(struct diff *d, const char *base, uint64_t sum, struct err *err);

/* Without a base again: also when the VM is to move, which wants the log for itself. Harmless twice. */
void diff_end(struct diff *d);

/* What was written to, of a VM that stands still: in the order of RAM, `*runs` the caller's to free. */
int diff_find(struct diff *d, struct vm *vm, struct mem_run **runs, unsigned int *n,
	      struct err *err);

/* The section's body; and what such a one, of anybody's making, says of so much memory: -EINVAL, not sane. */
void diff_put(const struct mem_run *runs, unsigned int n, uint64_t sum, struct buf *out);
int diff_get(struct reader *in, uint64_t memory, struct mem_run **runs, unsigned int *n,
	     uint64_t *sum);

#endif
