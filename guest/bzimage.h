/* SPDX-License-Identifier: MIT */
/* Linux's bzImage (Documentation/arch/x86/boot.rst): real-mode header, then the kernel to load. */
#ifndef GUEST_BZIMAGE_H
#define GUEST_BZIMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/log.h"
#include "vm/mem.h"

#define BZ_HEADER 0x1f1	    /* where struct setup_header begins, in the file and the zero page */
#define BZ_HEADER_END 0x290 /* where it may end at most */
#define BZ_ENTRY64 0x200    /* from the loaded kernel's start */

struct bzimage {
	const uint8_t *data; /* the file, borrowed */
	size_t size;
	size_t kernel_offset; /* of the protected-mode kernel, in the file */
	size_t kernel_size;
	size_t header_len; /* bytes of setup header, from BZ_HEADER */
	uint64_t pref_address;
	uint64_t init_size;   /* RAM that it needs from its load address on */
	uint64_t initrd_max;  /* highest address of an initrd's last byte */
	uint32_t cmdline_max; /* without the NUL */
	/*
	 * The kernel proper, a packed ELF file with relocations behind it. In the file; NULL: its
	 * header tells of none. The size that it claims to unpack to is not checked.
	 */
	const uint8_t *payload;
	size_t payload_size;
	uint32_t unpacked_size;
};

/* Checks every length against the file. -EINVAL and a line for people. */
int bzimage_parse(const void *data, size_t size, struct bzimage *bz, struct err *err);

/* -ENOMEM: it and its init_size, from pref_address on, do not end below `ram_end`. */
int bzimage_fits(const struct bzimage *bz, uint64_t ram_end, struct err *err);

/* Copies what unpacks itself to pref_address. -EFAULT: no RAM there. */
int bzimage_load(const struct bzimage *bz, struct mem *mem);

#endif
