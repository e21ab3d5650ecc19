/* SPDX-License-Identifier: MIT */
/*
 * What a kernel finds as its initrd: files, and an archive of ours, one behind the other. The kernel
 * unpacks them all, and the last has the last word. A port asks how large it is, chooses a place, and
 * has it written there.
 */
#ifndef GUEST_INITRD_H
#define GUEST_INITRD_H

#include "util/file.h"
#include "vm/mem.h"

#define INITRDS_MAX 16

struct initrd_file {
	struct file_map map;
	size_t at; /* from the beginning */
};

struct initrd {
	struct initrd_file files[INITRDS_MAX];
	unsigned int n_files;
	const void *more; /* plain archives, borrowed, or NULL */
	size_t more_size;
	size_t more_at; /* from the beginning */
	size_t size;	/* 0: there is no initrd */
};

/*
 * `paths` ends with NULL, and may be NULL, as `more` may. -errno and a line; initrd_close() after
 * success only.
 */
int initrd_open(const char *const *paths, const void *more, size_t more_size, struct initrd *i,
		struct err *err);

/* Into RAM that is zeros. -EFAULT: not all of [gpa, gpa + size) is RAM. */
int initrd_write(const struct initrd *i, struct mem *mem, uint64_t gpa);
void initrd_close(struct initrd *i);

#endif
