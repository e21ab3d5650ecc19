/* SPDX-License-Identifier: MIT */
/* Files, whole: mapped for reading, or written without short counts. */
#ifndef UTIL_FILE_H
#define UTIL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/log.h"

struct file_map {
	const uint8_t *data; /* read-only */
	size_t size;	     /* never 0 */
};

/*
 * Maps a regular file privately, for reading. `what` names its part for the error ("kernel").
 * Missing, unreadable, a directory, not a regular file, or empty: -errno and one line in `err`.
 * A file that somebody cuts short while it is mapped raises SIGBUS on access.
 */
int file_map(const char *path, const char *what, struct file_map *map, struct err *err);

/* The same, and the file stays open: fd, which is the caller's, or -errno. */
int file_map_open(const char *path, const char *what, struct file_map *map, struct err *err);
void file_unmap(struct file_map *map);

/*
 * Opens a file to be written, making it if need be, and empties nothing: a slip of the hand shall
 * be noticed first. A FIFO that nobody reads is refused, not waited for. `option` names it for the
 * error. fd or -errno.
 */
int file_create(const char *path, const char *option, struct err *err);

/*
 * What `path` is called from any directory: malloc'ed. NULL and a line: the directory that we are in has no name,
 * or there is no memory.
 */
char *file_whole_path(const char *path, struct err *err);

/* Are these two names of one file that is there? */
bool file_same(const char *a, const char *b);

/*
 * Writes all of it, across EINTR and short counts, for as long as its reader takes: also to what
 * somebody else has made non-blocking. 0 or -errno.
 */
int write_full(int fd, const void *data, size_t len);

/* The same, but it waits no longer than so many ms for a reader to take the next bytes: -ETIMEDOUT. */
int write_within(int fd, const void *data, size_t len, int ms);

#endif
