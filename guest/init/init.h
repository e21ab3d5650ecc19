/* SPDX-License-Identifier: MIT */
/*
 * Process 1 of the guest, for `lkvm run -- command`: what its files offer each other. Linux starts
 * it from the initramfs. What it shall do is in exec.h; main.c tells the story.
 *
 * A step that fails returns -1 and says why in struct exec_failed, which goes to lkvm as it is.
 */
#ifndef GUEST_INIT_INIT_H
#define GUEST_INIT_INIT_H

#include <stdbool.h>
#include <stdint.h>

#include "guest/init/exec.h"
#include "guest/init/order.h"

/* ---- main.c ---- */

/* Fills in `why`; returns -1. `error` is an errno, whose words lkvm says behind the text, or 0. */
int refuse(struct exec_failed *why, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

uint64_t now_ms(void);
void sleep_ms(unsigned int ms);

/* ---- mounts.c: file systems ---- */

/* mkdir -p, then mount. Names the option that the kernel lacks. */
int mount_at(const char *source, const char *target, const char *type, unsigned long flags,
	     const char *data, struct exec_failed *why);

/* /proc, /sys and /dev in the initramfs. */
int mount_first(struct exec_failed *why);

/* Where there is no devtmpfs, the devices that have come since. */
void make_nodes(void);

bool is_folder(const char *path);

/* What a command expects, below the root that is there now; it may be read-only, and lack some. */
void mount_rest(const struct order *o);

/* A file of /proc, /sys and the like: at most size - 1 bytes and a NUL; "" where it can't be read. */
void read_file(const char *path, char *text, size_t size);

/* What can't be written is left. */
void write_file(const char *path, const char *text);

/* ---- modules.c ---- */

int insert_modules(const struct order *o, struct exec_failed *why);

/* ---- ports.c: streams to lkvm ---- */

/*
 * The port of that name, as soon as it is there; and open on lkvm's side, if `connected` (one whose
 * input has ended is not). Not blocking. -1: see `why`.
 */
int port_open(const char *name, bool connected, struct exec_failed *why);

struct control {
	int fd; /* -1: not there yet, or closed */
	uint8_t buf[sizeof(struct exec_message) + EXEC_MESSAGE_MAX];
	size_t len;
};

/* All of it, waiting for room. What lkvm does not take is lost. */
void control_send(struct control *c, uint32_t type, const void *data, uint32_t len);

/* The next message, its `len` bytes in `data` (EXEC_MESSAGE_MAX); false: none is here now. */
bool control_take(struct control *c, struct exec_message *m, void *data);

/* ---- root.c ---- */

/* Mounts the root that is asked for, and makes it this process's. */
int enter_root(const struct order *o, struct exec_failed *why);

/* May folders be made in it? Not in what is somebody's own. */
bool root_is_ours(const struct order *o);

/* To EXEC_SHARES. */
int mount_shares(const struct order *o, struct exec_failed *why);

/* To EXEC_HOST, if that is asked for. */
int mount_host(const struct order *o, struct exec_failed *why);

/* All is written to where it belongs. */
void leave_root(void);

/* ---- boot.c ---- */

/* Becomes the root's own init, with our words and environment: the kernel's. Returns when it can't. */
int boot(const struct order *o, char *argv[], struct exec_failed *why);

/* ---- net.c ---- */

/* lo has its address. A kernel without networks has no lo. */
void net_up(void);

/* ---- child.c: the command ---- */

struct child {
	int pid;
	int in, out, err; /* our ends of its pipes; with a tty: the master, twice, and -1 */
	int slave;	  /* held, so that the pty doesn't end before the command does; or -1 */
	int unread;	  /* for child_could_start() */
};

/* Its pipes or its pty, and the process. */
int child_start(const struct order *o, struct child *c, struct exec_failed *why);

/* When it has ended: -1, its file could not be read. Once. */
int child_could_start(const struct order *o, struct child *c, struct exec_failed *why);

/* execve() along PATH, which is in `env`. Returns an errno: ENOENT, not found. path.c. */
int path_exec(char *const argv[], char *const env[]);

/* ---- relay.c ---- */

struct streams {
	int in, out, err; /* ports; with a tty: one, twice, and -1 */
};

/* lkvm's side of them is open then. */
int streams_open(const struct order *o, struct streams *s, struct exec_failed *why);

/*
 * Moves bytes and obeys lkvm until the command has ended and all that it wrote is with lkvm. `chld`
 * is readable when a child of ours may have ended. Closes all of `child` and `s`.
 */
void relay(const struct child *child, const struct streams *s, struct control *control, int chld,
	   struct exec_exited *end);

#endif
