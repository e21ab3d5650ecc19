/* SPDX-License-Identifier: MIT */
/*
 * Words for people. Two kinds, never mixed:
 *
 * struct err carries the one line that says why set-up failed (what, why, what to do) from the
 * depth where it is known up to cmd/, which prints it and exits with 125. Libraries return -errno
 * beside it.
 *
 * struct log is where a running VM reports: rate-limited, since a guest can provoke it at will.
 * Thread-safe; one write(2) a line.
 */
#ifndef UTIL_LOG_H
#define UTIL_LOG_H

#include <stdatomic.h>
#include <stdint.h>

struct err {
	char text[512];
};

/*
 * Formats `err` (which may be NULL) and returns -code, so that callers can `return err_set(...)`.
 */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

enum log_level { LOG_NONE = -1, LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

struct log {
	int fd;
	enum log_level level; /* what is less urgent than this is dropped */
	const char *name;     /* begins every line */
	/* Takes the lines instead of `fd`, without name and line end; from any thread. May be NULL. */
	void (*sink)(void *opaque, enum log_level level, const char *line);
	void *opaque;
};

void log_at(const struct log *log, enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * At most LOG_BURST lines a second of the same kind; the first after a silence says how many fell.
 */
#define LOG_BURST 5
struct ratelimit {
	_Atomic uint64_t second;
	_Atomic uint32_t count;
	_Atomic uint32_t dropped;
};

/*
 * For what a guest did wrong: a warning, rate-limited by `rl`. It falls, too, where nobody takes it now: a
 * vCPU must not wait for a reader.
 */
void log_guest(const struct log *log, struct ratelimit *rl, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
