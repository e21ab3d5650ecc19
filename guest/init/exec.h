/* SPDX-License-Identifier: MIT */
/*
 * What lkvm and its init in the guest agree upon, for `lkvm run -- command`. Both are built from
 * this header and travel together, so neither keeps to the other's past.
 *
 * The order is a file in the initramfs, EXEC_ORDER: records of "key=value" that end in a NUL each.
 * A key may come several times; the order of those counts. Init ignores no key: one that it does
 * not know is a failure.
 *
 *	module=FILE		insert it; of these in order. One that is there already is fine
 *	root=none		stay in the initramfs
 *	root=9p TAG		a shared directory; root-mode says how
 *	root=disk DEVICE	"/dev/vda"; any type of file system that the kernel knows
 *	root-mode=ro|rw|overlay	overlay: read-only below a tmpfs
 *	share=TAG MODE		ro, rw or cow: mounted at EXEC_SHARES/TAG
 *	host=TAG		the host's own root, read-only: mounted at EXEC_HOST
 *	hostname=NAME
 *	cwd=DIR			where the command starts
 *	uid=N gid=N groups=N,N	of the command
 *	env=NAME=VALUE		the command's environment, whole
 *	tty=ROWS COLUMNS	the command has a pty, which is the port EXEC_PORT_TTY
 *	arg=WORD		the command
 *	boot=FILE		no command: become this file of the root, its own init; of several the
 *				first that is there. Of the records above those up to host= count
 *
 * Streams are ports of a virtio console, found by their names (/sys/class/virtio-ports/?/name). A
 * port that the host closes is at its end; one that the guest closes, too. lkvm's side is open
 * before a port's name can be read.
 *
 * The control port carries messages, both ways: a struct exec_message, then `len` bytes. Numbers
 * are little-endian, as every guest of ours is.
 *
 * 126 and 127 are a shell's words for a command that can't be run, or isn't there. What can't be
 * read (EIO) may well be there and fine: that is no status, but EXEC_FAILED.
 *
 * The end: the command has exited; init closes the streams' ports when what was in the command's
 * pipes is written. What the kernel has reported may still be on its way to the console: another CPU prints
 * it, or a thread does. So init writes EXEC_MARK to the kernel's log, where a console shows that, and says
 * EXEC_MARKED; lkvm says EXEC_SEEN when that line has come, and with it all before. Then init sends EXEC_EXITED with how many bytes that were. lkvm waits until it has had
 * so many and has written them, sends EXEC_ACK, and ends the VM; init powers off if it lives to.
 */
#ifndef GUEST_INIT_EXEC_H
#define GUEST_INIT_EXEC_H

#include <stdint.h>

#define EXEC_DIR "/.lkvm"
#define EXEC_ORDER EXEC_DIR "/order"
#define EXEC_MODULES EXEC_DIR "/modules"
#define EXEC_SHARES "/mnt"
#define EXEC_HOST "/host"

/* Where commands are looked for, unless the environment says where. */
#define EXEC_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#define EXEC_PORT_CONTROL "lkvm.control"
#define EXEC_PORT_STDIN "lkvm.stdin"
#define EXEC_PORT_STDOUT "lkvm.stdout"
#define EXEC_PORT_STDERR "lkvm.stderr"
#define EXEC_PORT_TTY "lkvm.tty" /* instead of the three before */

#define EXEC_MARK "lkvm-init: the command has ended"
#define EXEC_SEEN_MS 2000

#define EXEC_VERSION 1
#define EXEC_MESSAGE_MAX 1024 /* bytes behind the header */

enum exec_type {
	/* From the guest, in this order. FAILED may come instead of any from STARTED on. */
	EXEC_HELLO = 1, /* struct exec_hello: init runs */
	EXEC_STARTED,	/* the command is about to run */
	EXEC_EXITED,	/* struct exec_exited */
	EXEC_FAILED,	/* struct exec_failed: there will be no command */
	EXEC_MARKED,	/* before EXITED, or not at all */
	/* To the guest. */
	EXEC_SIGNAL = 0x101, /* uint32_t: for the command's process group */
	EXEC_WINDOW,	     /* uint16_t rows, columns */
	EXEC_ACK,	     /* the verdict has been taken: go */
	EXEC_SEEN,	     /* what was marked; without it init goes on after EXEC_SEEN_MS */
};

struct exec_message {
	uint32_t type;
	uint32_t len;
};

struct exec_hello {
	uint32_t version;
	char release[65]; /* uname -r, ends in a NUL */
	char zero[3];
};

struct exec_exited {
	uint32_t status; /* as a shell has it: 0 to 125 the command's, 126 127, 128 + signal */
	uint32_t zero;
	uint64_t out, err; /* bytes written to the ports; a tty's are all in `out` */
};

struct exec_failed {
	uint32_t error; /* errno, 0 for none; EIO: what the command lies on has died */
	char text[256]; /* one line for people: what, and what the kernel lacks; ends in a NUL */
};

#endif
