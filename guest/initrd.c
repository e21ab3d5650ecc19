/* SPDX-License-Identifier: MIT */
#include "guest/initrd.h"

#include <errno.h>

#include "util/util.h"

/*
 * Linux wants the zeros between archives to end at a multiple of 4; and a whole word of them where
 * the one before is packed by lz4, whose old format has no other end.
 */
#define ALIGN 4
#define GAP 4

/* Where the next archive begins. */
static size_t behind(size_t size)
{
	return size ? (size_t)align_up(size, ALIGN) + GAP : 0;
}

static int add_file(struct initrd *i, const char *path, struct err *err)
{
	struct initrd_file *f = &i->files[i->n_files];
	int rc;

	if (i->n_files == INITRDS_MAX)
		return err_set(err, E2BIG, "%u initrds are the most", INITRDS_MAX);
	rc = file_map(path, "initrd", &f->map, err);
	if (rc)
		return rc;
	f->at = behind(i->size);
	i->size = f->at + f->map.size;
	i->n_files++;
	return 0;
}

int initrd_open(const char *const *paths, const void *more, size_t more_size, struct initrd *i,
		struct err *err)
{
	int rc = 0;

	*i = (struct initrd){ .more = more, .more_size = more ? more_size : 0 };
	for (; !rc && paths && *paths; paths++)
		rc = add_file(i, *paths, err);
	if (rc) {
		initrd_close(i);
		return rc;
	}
	if (!more)
		return 0;
	i->more_at = behind(i->size);
	i->size = i->more_at + more_size;
	return 0;
}

int initrd_write(const struct initrd *i, struct mem *mem, uint64_t gpa)
{
	int rc = 0;

	for (unsigned int n = 0; !rc && n < i->n_files; n++) {
		const struct initrd_file *f = &i->files[n];

		rc = mem_write(mem, gpa + f->at, f->map.data, f->map.size);
	}
	if (!rc && i->more_size)
		rc = mem_write(mem, gpa + i->more_at, i->more, i->more_size);
	return rc;
}

void initrd_close(struct initrd *i)
{
	while (i->n_files)
		file_unmap(&i->files[--i->n_files].map);
}
