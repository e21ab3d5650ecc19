/* SPDX-License-Identifier: MIT */
/*
 * A command in the guest: lkvm's side of what guest/init/exec.h agrees upon. It stands between the
 * guest's ports and the streams outside, counts what goes by, and says how it ended.
 *
 * Everything that comes by the control port is checked: a guest that breaks the rules has lost its
 * command's status, which is a failure. What counts is the first word of the end that is valid; later ones
 * are not heard, and no byte is passed on beyond what was announced.
 */
#ifndef GUEST_EXEC_H
#define GUEST_EXEC_H

#include <stdbool.h>
#include <stdint.h>

#include "host/stream.h"
#include "util/log.h"
#include "util/loop.h"

#define EXEC_PORTS 4

struct exec;

enum exec_end {
	EXEC_END_STATUS, /* value: the command's status */
	EXEC_END_FAILED, /* the guest's init says that there will be no command: exec_why() */
	EXEC_END_LOST,	 /* it broke the rules, or can't read its root any more: exec_why() */
};

struct exec_config {
	/* Borrowed. Of a command with a terminal `tty` alone, else the other three. */
	struct stream *in, *out, *err, *tty;
	/* Once at most, from any thread: the VM is to end now. No call back into this. */
	void (*ended)(void *opaque, enum exec_end end, int value);
	/*
	 * A message has come (enum exec_type); and the first `len` bytes of these went out, of the
	 * command's stderr or else its stdout or terminal. May be NULL; from any thread, with a lock held: no call
	 * back into this.
	 */
	void (*told)(void *opaque, uint32_t type);
	void (*printed)(void *opaque, bool is_err, const struct iovec *iov, size_t len);
	void *opaque;
};

/* Takes no host resource before the guest needs one. `loop` is borrowed. */
int exec_create(const struct exec_config *config, struct loop *loop, struct exec **out,
		struct err *err);

/* What the guest's device shall have, the number of ports; they live as long as this does. */
unsigned int exec_ports(struct exec *e, struct named_stream ports[EXEC_PORTS]);

/*
 * For the command's process group. False: there is no command, yet or any more. Async-signal-safe, any
 * thread.
 */
bool exec_signal(struct exec *e, int signal);

/* The terminal's size. Async-signal-safe, any thread. */
void exec_window(struct exec *e, unsigned int rows, unsigned int columns);

/* A console has shown EXEC_MARK, or there is none that could. Async-signal-safe, any thread. */
void exec_seen(struct exec *e);

/* The guest has stopped and all that it sent is here: if it has not told a status, it is lost. */
void exec_stopped(struct exec *e);

/* One line for people, without a newline; "" if there is nothing to say. After the end. */
const char *exec_why(const struct exec *e);

/* The kernel's version as the guest told it; "" before. After the end. */
const char *exec_release(const struct exec *e);

/* NULL is fine. */
void exec_destroy(struct exec *e);

#endif
