/* SPDX-License-Identifier: MIT */
/*
 * Directories of runs that have names, for this user alone: $XDG_RUNTIME_DIR/lkvm/NAME, /run/lkvm/NAME for root
 * without that, else /tmp/lkvm-UID/NAME. Whose file `pid` is locked lives; what one leaves behind that was
 * killed is removed by who comes across it.
 */
#ifndef HOST_RUNDIR_H
#define HOST_RUNDIR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "util/log.h"

#define RUNDIR_NAME_MAX 64
#define RUNDIR_PATH_MAX 200

struct rundir {
	char path[RUNDIR_PATH_MAX];
	int lock_fd; /* of its file `pid`; -1: there is none */
};

/* Letters, digits, '-', '_' and '.', of which the last two and '-' do not begin it. */
bool rundir_name_ok(const char *name);

/* Makes it. -EBUSY: a living run has that name. -errno and a line. */
int rundir_make(struct rundir *d, const char *name, struct err *err);

/*
 * It is handed on: `lock_fd`, which is ours from now on, is what rundir_make() locked in another process, and who
 * has it holds the lock. -errno and a line.
 */
int rundir_adopt(struct rundir *d, const char *name, int lock_fd, struct err *err);

/* It is said to be this process's from now on. */
void rundir_own(const struct rundir *d);

/* Leaves it to who has adopted it, or made it. */
void rundir_leave(struct rundir *d);

/* Removes it, with the files in it. Also of one that could not be made. */
void rundir_remove(struct rundir *d);

/* The path of `file` of that run. -EINVAL: no such name; -ENAMETOOLONG; -ENOENT: no run has a directory. */
int rundir_file(const char *name, const char *file, char *path, size_t size, struct err *err);

/*
 * Calls fn() for each that lives, in no order, and removes the others. `name` is borrowed for the call; `pid`
 * is what the run wrote, 0 if nothing yet. 0, also where there are none, or -errno and a line.
 */
int rundir_each(void (*fn)(void *opaque, const char *name, pid_t pid), void *opaque,
		struct err *err);

#endif
