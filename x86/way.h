/* SPDX-License-Identifier: MIT */
/* The way into an image: chosen from what it is and what --entry says, before anything is loaded. */
#ifndef X86_WAY_H
#define X86_WAY_H

#include "guest/bzimage.h"
#include "guest/elf.h"
#include "guest/image.h"
#include "guest/multiboot.h"
#include "vm/arch.h"
#include "x86/x86.h"

struct x86_way {
	enum image_kind kind;
	enum x86_entry entry;
	uint64_t start;	    /* gpa of the first instruction */
	uint64_t low, high; /* gpas of what is loaded, and of what it needs behind that */
	union {
		struct bzimage bz;    /* X86_ENTRY_BZIMAGE */
		struct elf_image elf; /* X86_ENTRY_ELF64, X86_ENTRY_PVH */
		struct multiboot multiboot;
	};
};

/*
 * An unpacked image, borrowed. All of it is checked but whether RAM is there. -errno and a line that
 * begins with "it"; then only `kind` is set.
 */
int x86_way_find(const struct vm_config *config, const void *data, size_t size, struct x86_way *way,
		 struct err *err);

#endif
