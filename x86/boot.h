/* SPDX-License-Identifier: MIT */
/*
 * From x86/load.c, which puts the image and the initrd into RAM, to x86/boot.c, which writes the
 * rest.
 */
#ifndef X86_BOOT_H
#define X86_BOOT_H

#include "vm/arch.h"

#define X86_MODULES_MAX 32

struct x86_module {
	uint64_t gpa, size;
	const char *path, *args; /* its words, borrowed; each may be NULL */
};

struct x86_boot {
	uint8_t header[160]; /* a bzImage's own setup header; without one header_len is 0 */
	size_t header_len;
	uint64_t initrd, initrd_size;
	struct x86_module modules[X86_MODULES_MAX]; /* the initrd among them, if there are any */
	unsigned int n_modules;
	const char *cmdline;
	uint64_t cmdline_max; /* what the kernel takes, without the NUL */
};

/* Command line, zero page, page tables and so on, for vm->arch->entry. One line in `err`. */
int x86_write_boot_data(struct vm *vm, const struct x86_boot *boot, struct err *err);

/* ---- Between its files ---- */

struct x86_range {
	uint64_t gpa, size;
	uint32_t type; /* as e820 has them: 1 is RAM, 2 reserved */
};

#define X86_RANGES 4

/* The guest's memory map. */
unsigned int x86_memory_map(const struct mem *mem, struct x86_range out[X86_RANGES]);

/* The words of a module, at *gpa, below `end`; *gpa goes behind their NUL. 0 or -ENOSPC. */
int x86_write_words(struct mem *mem, const struct x86_module *m, uint64_t *gpa, uint64_t end);

/* x86/multiboot.c */
int x86_write_multiboot(struct vm *vm, const struct x86_boot *boot, struct err *err);

#endif
