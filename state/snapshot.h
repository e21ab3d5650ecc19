/* SPDX-License-Identifier: MIT */
/*
 * A snapshot: a folder with two files. `memory` is guest RAM as it lies in struct mem, sparse, of which restored
 * VMs map private copies: any number of them, and none reads a page before its guest does. `state` is the rest
 * (state/state.h), and is put there last: without it there is no snapshot yet.
 */
#ifndef STATE_SNAPSHOT_H
#define STATE_SNAPSHOT_H

#include "state/state.h"
#include "util/file.h"

/*
 * Makes `dir`, unless it is there. The caller has paused the VM and quiesced its devices. A folder that holds a
 * snapshot already is refused; after any error what was written is gone.
 */
int snapshot_write(struct vm *vm, const struct device_list *devices, const struct buf *options,
		   const char *dir, struct err *err);

struct snapshot {
	int memory; /* its fd: read-only, and locked (flock(), shared) as long as it is open */
	uint64_t memory_size;
	struct file_map state_file;
	struct saved state;
};

/* Looks at all of `state`, and at no page of `memory`. */
int snapshot_open(struct snapshot *s, const char *dir, struct err *err);

/* VMs that were restored from it keep their memory. */
void snapshot_close(struct snapshot *s);

#endif
