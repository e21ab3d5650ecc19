/* SPDX-License-Identifier: MIT */
#include "guest/initrd.h"

#include "util/util.h"

/*
 * Linux wants the zeros between archives to end at a multiple of 4; and a whole word of them where
 * the first is packed by lz4, whose old format has no other end.
 */
#define ALIGN 4
#define GAP 4

int initrd_open(const char *path, const void *more, size_t more_size, struct initrd *i,
		struct err *err)
{
	int rc;

	*i = (struct initrd){ .more = more, .more_size = more ? more_size : 0 };
	if (path) {
		rc = file_map(path, "initrd", &i->file, err);
		if (rc)
			return rc;
	}
	i->size = i->file.size;
	if (!more)
		return 0;
	i->more_at = path ? (size_t)align_up(i->file.size, ALIGN) + GAP : 0;
	i->size = i->more_at + more_size;
	return 0;
}

int initrd_write(const struct initrd *i, struct mem *mem, uint64_t gpa)
{
	int rc = 0;

	if (i->file.size)
		rc = mem_write(mem, gpa, i->file.data, i->file.size);
	if (!rc && i->more_size)
		rc = mem_write(mem, gpa + i->more_at, i->more, i->more_size);
	return rc;
}

void initrd_close(struct initrd *i)
{
	file_unmap(&i->file);
}
