/* SPDX-License-Identifier: MIT */
/*
 * From x86/load.c, which puts the image and the initrd into RAM, to x86/boot.c, which writes the
 * rest.
 */
#ifndef X86_BOOT_H
#define X86_BOOT_H

#include "vm/arch.h"

struct x86_boot {
	uint8_t header[160]; /* a bzImage's own setup header; without one header_len is 0 */
	size_t header_len;
	uint64_t initrd, initrd_size;
	const char *cmdline;
	uint64_t cmdline_max; /* what the kernel takes, without the NUL */
};

/* Command line, zero page, page tables and so on, for vm->arch->entry. One line in `err`. */
int x86_write_boot_data(struct vm *vm, const struct x86_boot *boot, struct err *err);

#endif
