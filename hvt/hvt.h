/* SPDX-License-Identifier: MIT */
/*
 * Solo5's hvt interface, version 2 (its include/hvt_abi.h): a guest of one vCPU without interrupts,
 * which asks for all that it can't do by itself in eight hypercalls. Each is a write of 32 bits, the
 * address of its arguments, to a port or an address of its own (vm/arch.h). There is nothing else:
 * what touches another port or address, or gives an address outside of its memory, ends the VM with
 * VERDICT_FAULT.
 *
 * Life: vm_create() with config.hvt, hvt_create(), vm_run(), hvt_destroy(), vm_destroy().
 */
#ifndef HVT_HVT_H
#define HVT_HVT_H

#include "guest/solo5.h"
#include "util/file.h"
#include "vm/vm.h"

/* Devices as Solo5's tender spells them: --block:NAME=PATH, and so on. */
enum hvt_option { HVT_BLOCK, HVT_BLOCK_SECTOR_SIZE, HVT_NET, HVT_NET_MAC };

struct hvt_attach {
	enum hvt_option option;
	const char *text; /* "NAME=VALUE", unchecked */
};

/* What it runs. All of it is borrowed until hvt_create() returns. */
struct hvt_guest {
	const char *name;     /* the image's, for messages */
	struct file_map file; /* and itself */
	const char *cmdline;
	const struct hvt_attach *attach;
	unsigned int n_attach;
};

/* Where it prints to. */
struct hvt_console {
	/*
	 * How many of these bytes were taken; if fewer than all, hvt_room() is to be called when it is
	 * worth another try. On the vCPU's thread.
	 */
	size_t (*write)(void *opaque, const void *data, size_t len);
	void *opaque;
};

struct hvt;

/*
 * Loads the image, attaches its devices, claims the hypercalls. -errno and a line: nothing is left but
 * what was written to memory.
 */
int hvt_create(struct vm *vm, const struct hvt_guest *guest, const struct hvt_console *console,
	       struct hvt **out, struct err *err);

void hvt_room(struct hvt *hvt); /* any thread */

/* The vCPU has stopped. NULL is none. */
void hvt_destroy(struct hvt *hvt);

#endif
