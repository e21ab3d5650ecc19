/* SPDX-License-Identifier: MIT */
/*
 * A snapshot: a folder with two files. `memory` is guest RAM as it lies in struct mem, sparse, of which restored
 * VMs map private copies: any number of them, and none reads a page before its guest does. `state` is the rest
 * (state/state.h), and is put there last: without it there is no snapshot yet.
 *
 * One that has only what was written to since another, its base (state/diff.h), has that in `memory.diff`, in the
 * places where it belongs, and `base`, a link to the other's folder, instead of `memory`. VMs that are restored from
 * it map private copies of both.
 */
#ifndef STATE_SNAPSHOT_H
#define STATE_SNAPSHOT_H

#include "state/diff.h"
#include "state/state.h"
#include "util/file.h"

#define SNAPSHOT_STATE "state"
#define SNAPSHOT_MEMORY "memory"
#define SNAPSHOT_DIFF "memory.diff"
#define SNAPSHOT_BASE "base"
#define SNAPSHOT_PATH 4096

/*
 * Written in three steps, of which only the second needs the VM paused and its devices quiesced. After an error of
 * the first or the last, or snapshot_abandon(), what was written is gone.
 */
struct snapshot_writer {
	const char *dir, *name;	 /* the folder; in it, the file with memory */
	bool made, ours, linked; /* by us: the folder; the memory; the link to its base */
	int fd, memory,
		base; /* the last: its base's memory, locked, so that nobody writes it anew */
	struct diff *diff;
	struct buf state;
};

/*
 * Makes `dir`, which is borrowed, unless it is there. A folder that holds a snapshot already is refused. `diff`: it is
 * to have what that one tells, whose base must be as it was; NULL: all of memory.
 */
int snapshot_begin(struct snapshot_writer *w, const char *dir, struct diff *diff, struct err *err);

/* `options` as state_save() has them. An end of the VM that is wanted meanwhile is an error, -ESRCH. */
int snapshot_fill(struct snapshot_writer *w, struct vm *vm, const struct device_list *devices,
		  const struct buf *options, struct err *err);

/* `*stored`: bytes that it takes on the disk. `*sum`: what tells this one from others that lie there later. */
int snapshot_finish(struct snapshot_writer *w, uint64_t *stored, uint64_t *sum, struct err *err);
void snapshot_abandon(struct snapshot_writer *w);

struct snapshot {
	int memory; /* its fd: read-only, and locked (flock(), shared) as long as it is open */
	uint64_t memory_size;
	bool own; /* its files are this user's or root's, and no other may write to them */
	struct file_map state_file;
	struct saved state;
	char *base; /* the whole path of the folder with `memory`: its own, or its base's; and that one's sum */
	uint64_t sum;
	int over; /* what is laid over that, locked, too; and where. -1: nothing is */
	struct mem_run *runs;
	unsigned int n_runs;
};

/* `name` in it, in SNAPSHOT_PATH bytes. */
int snapshot_path(char *path, const char *dir, const char *name, struct err *err);

/* What snapshot_finish() said, of the one that lies there now. */
int snapshot_sum(const char *dir, uint64_t *sum, struct err *err);

/* Looks at all of `state`, and at no page of memory. */
int snapshot_open(struct snapshot *s, const char *dir, struct err *err);

/* VMs that were restored from it keep their memory. */
void snapshot_close(struct snapshot *s);

#endif
