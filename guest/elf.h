/* SPDX-License-Identifier: MIT */
/* ELF little-endian executables, loaded at their physical addresses; and the notes that tell of a way in. */
#ifndef GUEST_ELF_H
#define GUEST_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/log.h"
#include "vm/mem.h"

/* Why one that is_program is refused. */
#define ELF_PROGRAM                                                                               \
	"it is a program, which needs a system to run under; with a kernel of Linux's it can be " \
	"a command behind --"

struct elf_image {
	const uint8_t *data; /* the file, borrowed */
	size_t size;
	int fd; /* of that file, for mem_load(): -1, unless the caller has set it */
	bool is_32;
	uint64_t entry;	       /* physical, also where the header has a virtual one */
	uint64_t low, high;    /* gpas that its segments span */
	uint64_t displacement; /* what elf_relocate() added to them, modulo 2^64 */
	bool has_pvh;
	uint32_t pvh_entry; /* XEN_ELFNOTE_PHYS32_ENTRY */
	bool has_linux;	    /* a note of Linux's own */
	bool is_program;    /* it names an interpreter, or the system whose program it is */
};

/*
 * Checks every header, segment and note against the file: no wrap, no overlap, an entry inside a segment; of two
 * only one may be: who enters there asks elf_holds(). `machine` is EM_*: for EM_386 the file is ELF32, else ELF64.
 * -EINVAL and a line for people.
 */
int elf_parse(const void *data, size_t size, uint16_t machine, struct elf_image *elf,
	      struct err *err);

/*
 * Makes the lowest segment load at `to`: entry, low and high move along. For Linux's arm64 vmlinux,
 * which calls its kernel addresses (bit 63 of `low` is set) physical: loaded so it is what `objcopy
 * -O binary` makes of it, the Image. A 2 MiB-aligned base plus low % (2 * MIB) is where it may go.
 * A PVH entry does not move and is forgotten. -EINVAL, and nothing changed: it would wrap.
 */
int elf_relocate(struct elf_image *elf, uint64_t to);

/* Is the byte at `gpa` one that a segment brings from the file? */
bool elf_holds(const struct elf_image *elf, uint64_t gpa);

struct elf_segment {
	uint64_t gpa, size; /* in memory; size 0: nothing of it is loaded */
	uint64_t file_size;
	bool readable, writable, executable;
};

/* The i-th program header's. False: there are not so many. */
bool elf_segment(const struct elf_image *elf, unsigned int i, struct elf_segment *out);

/* Does a segment use a byte of [gpa, gpa + len)? */
bool elf_touches(const struct elf_image *elf, uint64_t gpa, uint64_t len);

/* Is what spans [from, to) in RAM that the caller has at [low, high)? Else a line for people. */
int elf_fits(uint64_t from, uint64_t to, uint64_t low, uint64_t high, struct err *err);

/*
 * Copies or maps the segments, which must lie in [low, high) of the caller. What follows a segment's bytes in
 * memory is not written: RAM is fresh, and zero.
 */
int elf_load(const struct elf_image *elf, struct mem *mem, uint64_t low, uint64_t high,
	     struct err *err);

/*
 * The same for an image that lies in RAM itself, its data at gpa `at`: moves the segments that are
 * not at their places yet. False, and nothing changed, where one would overwrite the headers or
 * what is still to be moved, or not fit in [low, high).
 */
bool elf_settle(const struct elf_image *elf, struct mem *mem, uint64_t at, uint64_t low,
		uint64_t high);

#endif
