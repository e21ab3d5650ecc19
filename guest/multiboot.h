/* SPDX-License-Identifier: MIT */
/*
 * Multiboot 1 (GNU's Multiboot Specification 0.6.96): an image that carries a header among its first
 * 8 KiB, and is entered in 32-bit protected mode. The header has the addresses to load at, or leaves
 * that to the ELF file around it; ELF64 is taken too, as GRUB does.
 */
#ifndef GUEST_MULTIBOOT_H
#define GUEST_MULTIBOOT_H

#include "guest/elf.h"

#define MULTIBOOT_SEARCH 8192
#define MULTIBOOT_BOOT_MAGIC 0x2badb002u /* EAX at the entry */

struct multiboot {
	const uint8_t *data; /* the file, borrowed */
	size_t size;
	size_t header;	  /* where in the file */
	bool wants_video; /* it asks for a video mode */
	bool is_elf;	  /* loaded as `elf` says, else by the header's own addresses: */
	struct elf_image elf;
	size_t load_offset, load_size; /* what is loaded of the file, at gpa `low` */
	uint64_t low, high;	       /* gpas that it uses, bss and all; below 4 GiB */
	uint32_t entry;
};

/* Is there a header, where it belongs and with the right checksum? */
bool multiboot_is(const void *data, size_t size);

/*
 * Checks header, addresses and, for ELF, all that elf_parse() does. -EINVAL and a line for people,
 * with `out` undefined; it says, too, where a header is that lies in a wrong place.
 */
int multiboot_parse(const void *data, size_t size, struct multiboot *out, struct err *err);

/* Copies it into fresh RAM, as elf_load() does: all of it in [low, high). */
int multiboot_load(const struct multiboot *mb, struct mem *mem, uint64_t low, uint64_t high,
		   struct err *err);

/* Does it use a byte of [gpa, gpa + len)? */
bool multiboot_touches(const struct multiboot *mb, uint64_t gpa, uint64_t len);

#endif
