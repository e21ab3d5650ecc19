/* SPDX-License-Identifier: MIT */
/*
 * An event loop: one thread that waits for file descriptors and runs their handlers, one at a time.
 * The thread is made when the first source is added, so a VM that waits for nothing has none.
 * All signals are blocked in it. Every function may be called from any thread.
 */
#ifndef UTIL_LOOP_H
#define UTIL_LOOP_H

#include <stdint.h>

#define LOOP_SOURCES 256

struct loop;

/* Names a source for loop_set_events() and loop_remove(); never reused within 2^32 additions. */
typedef uint64_t loop_id;
#define LOOP_NONE 0

typedef void (*loop_fn)(void *opaque, uint32_t events);

/* `name` is the thread's (15 characters at most), borrowed. NULL when memory is short. */
struct loop *loop_create(const char *name);

/* Makes the thread now, for one who could not bear that it can't be made later. 0 or -errno. */
int loop_begin(struct loop *loop);

/* Ends the thread. Sources still there are forgotten; their fds stay open, being the caller's. */
void loop_destroy(struct loop *loop);

/*
 * Watches `fd` for `events` (EPOLLIN, EPOLLOUT; level-triggered; 0 watches nothing for now). What
 * epoll can't watch, a regular file or /dev/null, counts as always ready. 0 and `*id`, or -errno
 * (ENOSPC past LOOP_SOURCES).
 */
int loop_add(struct loop *loop, int fd, uint32_t events, loop_fn fn, void *opaque, loop_id *id);
void loop_set_events(struct loop *loop, loop_id id, uint32_t events);

/*
 * After it returns the handler is not running and never will; except when a handler removes its own
 * source: then it only never runs again. LOOP_NONE and ids already removed are ignored.
 */
void loop_remove(struct loop *loop, loop_id id);

/*
 * For a handler, on the loop's thread: it was woken for work, and has found `n` pieces. From that the
 * loop learns whether it pays to be slow to wake (loop.c).
 */
void loop_found(struct loop *loop, unsigned int n);

/* Runs fn on the loop's thread and waits until it has run; at once if there is no thread. */
void loop_call(struct loop *loop, void (*fn)(void *opaque), void *opaque);

#endif
