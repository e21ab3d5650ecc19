/* SPDX-License-Identifier: MIT */
/*
 * An address space of registers: MMIO or PIO. A device claims ranges; an access that lies wholly in
 * one goes to its handler, all others read as ones and are counted.
 *
 * Look-ups take no lock. Claims and releases replace the whole table; they may come at any time,
 * from any thread, handlers included. An access that was looked up just before a release may still
 * reach the old handler: stop the vCPUs before what it points to is freed.
 */
#ifndef VM_BUS_H
#define VM_BUS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/log.h"

/*
 * One access: `offset` from the range's base, `len` of 1 to 8 bytes, at any alignment, inside the
 * range. A read fills all of `data`. Called on vCPU threads, several at once: the device takes its
 * own lock.
 */
typedef void (*bus_fn)(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write);

struct bus_table;

/* Writes that a guest may do often, each of which means the same. */
struct bus_signal {
	uint64_t addr;
	uint32_t len; /* 0: of any length */
	bool has_value;
	uint64_t value; /* if so, it must be this */
};

struct bus {
	int vm_fd;	      /* KVM's, or -1; set by vm_create() */
	pthread_mutex_t lock; /* among writers */
	_Atomic(struct bus_table *) table;
	_Atomic uint32_t readers;   /* look-ups in progress */
	_Atomic uint64_t unclaimed; /* accesses that met nobody */
};

int bus_init(struct bus *bus);
void bus_destroy(struct bus *bus);

/*
 * -EEXIST when it would overlap (named in `err`), -EINVAL when empty or wrapping. `name` is
 * borrowed.
 */
int bus_claim(struct bus *bus, uint64_t base, uint64_t size, bus_fn fn, void *opaque,
	      const char *name, struct err *err);
void bus_release(struct bus *bus, uint64_t base);

/* False: nobody claims it, and a read was filled with ones. Allocates nothing. */
bool bus_access(struct bus *bus, uint64_t addr, void *data, uint32_t len, bool is_write);

/*
 * Lets KVM signal eventfd `fd` for such writes on the MMIO bus, without an exit to us, or no longer
 * (with the same arguments). It waits for a grace period: milliseconds on some hosts, now or when
 * the VM ends. 0 or -errno.
 */
int bus_bind_fd(struct bus *bus, const struct bus_signal *signal, int fd, bool bind);

#endif
