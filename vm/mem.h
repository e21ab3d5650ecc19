/* SPDX-License-Identifier: MIT */
/*
 * Guest memory.
 *
 * mem_at() is the only way from a guest-physical address (gpa) to a pointer. Whatever the VMM
 * writes there must be followed by mem_dirty(), once it is complete: KVM's dirty log sees only what
 * vCPUs write, and snapshot and migration would lose the rest.
 *
 * RAM is one mapping, cut into slots where the machine has holes. Slots are added before the first
 * vCPU runs and never change; every function but those that build may be called from any thread.
 */
#ifndef VM_MEM_H
#define VM_MEM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "util/log.h"

#define MEM_PAGE 4096ull
#define MEM_SLOTS 8
#define MEM_SEALS 16

enum mem_access { MEM_R, MEM_W };

enum mem_backing {
	MEM_ANON, /* private and anonymous: the default, the fastest */
	MEM_SHARED, /* a memfd of a fixed size: for those that map guest RAM from outside, or go on with it */
	MEM_FILE, /* a file, mapped privately: for restore */
};

struct mem_slot {
	uint64_t gpa, size; /* bytes, multiples of MEM_PAGE */
	uint8_t *hva;
	_Atomic uint64_t *dirty; /* a bit a page, set by mem_dirty() */
};

/* A file whose pages are RAM, and what it was then: `time` of its last change, and how long. */
struct mem_image {
	int fd; /* a descriptor of our own, or -1 */
	struct timespec time;
	int64_t size;
};

/* Bytes of RAM, whole pages of the host's. */
struct mem_run {
	uint64_t at, len;
};

struct mem {
	void *area; /* the mapping: RAM somewhere in it, and right behind it the dirty bitmap */
	size_t area_size;
	uint8_t *ram;
	uint64_t size;
	enum mem_backing backing;
	uint64_t page;		/* bytes: what the host takes back at a time */
	int fd;			/* MEM_SHARED's or MEM_FILE's, else -1 */
	struct mem_image image; /* the file that mem_load() has mapped, or MEM_FILE's */
	struct mem_image over;	/* the file that mem_lay_over() has, and where: */
	struct mem_run *runs;
	unsigned int n_runs;
	_Atomic uint64_t *dirty;
	_Atomic(_Atomic uint64_t *) log; /* mem_log()'s, or NULL */
	unsigned int n_slots;
	struct mem_slot slots[MEM_SLOTS];
	unsigned int n_seals;
	struct {
		uint64_t gpa, size;
	} seals[MEM_SEALS]; /* what mem_seal() was given */
};

/*
 * Reserves `size` bytes, congruent to gpas modulo 2 MiB, zero-filled. `fd` is MEM_FILE's (kept by
 * the caller, read from its start), or the MEM_SHARED memory of another VM that is to be this one's, too (the
 * same); else -1. A backing that the host lacks is refused by name.
 */
int mem_create(struct mem *mem, enum mem_backing backing, int fd, uint64_t size, struct err *err);
void mem_destroy(struct mem *mem);

/*
 * Of MEM_FILE, before anything is done with it: these pages are not that file's, but those in the same places of
 * this one, mapped privately, too. Both stay the caller's. -EINVAL: not whole pages of RAM, as this host has them.
 */
int mem_lay_over(struct mem *mem, int fd, const struct mem_run *runs, unsigned int n);

/*
 * For a guest that will use most of its RAM, before any of it is touched: a nested page fault then
 * brings 2 MiB. Not for tiny ones, of which one touched byte would cost as much.
 */
void mem_use_huge_pages(struct mem *mem);

/* The RAM bytes [offset, offset + size) appear at `gpa`. -EINVAL: overlap, misaligned, no room. */
int mem_add_slot(struct mem *mem, uint64_t gpa, uint64_t offset, uint64_t size);

/*
 * Whole pages that are only read from now on: by the guest, which ends (KVM_RUN fails with EFAULT, or
 * the write comes as MMIO) where it writes to them, and by us, as mem_at() grants nobody a write.
 * After what is there was written; before the first vCPU runs. -EINVAL: not in RAM; -ENOSPC: more
 * than MEM_SEALS; another -errno.
 */
int mem_seal(struct mem *mem, uint64_t gpa, uint64_t len);

/*
 * NULL unless all of [gpa, gpa+len) lies in one slot, len > 0, and no sealed page is to be written.
 * Valid until mem_destroy().
 */
void *mem_at(const struct mem *mem, uint64_t gpa, uint64_t len, enum mem_access access);

/* Copies, for set-up code: -EFAULT when out of RAM. mem_write() marks dirty. */
int mem_read(const struct mem *mem, uint64_t gpa, void *to, uint64_t len);
int mem_write(struct mem *mem, uint64_t gpa, const void *from, uint64_t len);

/*
 * mem_write() of bytes that are those of file `fd` from `offset` on, or of none where it is -1: whole host
 * pages of them are mapped privately instead of copied, if they are enough to be worth it. All that map the
 * file share those that nobody writes to. The file stays the caller's; it is one file for all of RAM. RAM
 * must be MEM_ANON, else it is a copy.
 */
int mem_load(struct mem *mem, uint64_t gpa, const void *from, uint64_t len, int fd,
	     uint64_t offset);

/*
 * False: that file is not what it was when it was loaded, and RAM may have its new bytes, or holes that end
 * KVM_RUN with EFAULT and us with SIGBUS. Async-signal-safe.
 */
bool mem_intact(const struct mem *mem);

/*
 * The guest does without what is in [gpa, gpa+len): the host takes back the pages (its own, which
 * may be larger than MEM_PAGE) that lie wholly inside. They stay mapped, are marked dirty, and come
 * back when they are touched: as zeros, or where mem_discards_to_zeros() says no, as the file has
 * them. Time goes with `len`, at worst some 0.2 s a GiB. -EFAULT: not all in one slot; -errno: the
 * host won't. Nothing was taken then.
 *
 * Who has told the host not to take these pages (locked or pinned them) must not offer a guest what
 * leads here.
 */
int mem_discard(struct mem *mem, uint64_t gpa, uint64_t len);
bool mem_discards_to_zeros(const struct mem *mem);

/* The VMM has written [gpa, gpa+len), which mem_at() granted. Never sleeps, allocates nothing. */
void mem_dirty(struct mem *mem, uint64_t gpa, uint64_t len);

/*
 * For who writes to RAM by himself and marks it, but not by mem_dirty() (vhost): a bit a page of MEM_PAGE by gpa, the
 * lowest of a byte first, from gpa 0 to the end of RAM. It is made at the first call, and is there until
 * mem_destroy(). NULL: there is no memory for it.
 */
_Atomic uint64_t *mem_log(struct mem *mem);

/* What is marked there now is by mem_dirty(), and there no more. */
void mem_take_log(struct mem *mem);

/* Is the page at `gpa` marked? With `clear`, unmarks it. For tests and dirty tracking. */
bool mem_test_dirty(struct mem *mem, uint64_t gpa, bool clear);

#endif
