/* SPDX-License-Identifier: MIT */
#include "guest/unpack.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/util.h"

const struct unpacker *unpacker_for_kind(enum image_kind kind)
{
	for (unsigned int i = 0; unpackers[i]; i++) {
		if (unpackers[i]->kind == kind)
			return unpackers[i];
	}
	return NULL;
}

const struct unpacker *unpacker_by_name(const char *name)
{
	for (unsigned int i = 0; unpackers[i]; i++) {
		if (!strcmp(unpackers[i]->name, name))
			return unpackers[i];
	}
	return NULL;
}

/* Address space only: a page costs memory once it is written. */
static int reserve(struct unpacked *out, size_t max, struct err *err)
{
	void *p = mmap(NULL, max, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return err_set(err, errno, "no address space for %zu MiB to unpack it into: %s",
			       (size_t)(max / MIB), strerror(errno));
	*out = (struct unpacked){ .data = p, .mapped = max };
	return 0;
}

static void give_back_tail(struct unpacked *u)
{
	size_t keep = align_up(MAX(u->size, (size_t)1), (uint64_t)sysconf(_SC_PAGESIZE));

	if (keep < u->mapped && !munmap(u->data + keep, u->mapped - keep))
		u->mapped = keep;
}

static int explain(const struct unpacker *u, int rc, size_t max, struct err *err)
{
	switch (rc) {
	case -E2BIG:
		return err_set(err, E2BIG,
			       "it unpacks to more than the %zu MiB that there are for it",
			       (size_t)(max / MIB));
	case -ENOMEM:
		return err_set(err, ENOMEM, "no memory to unpack it (%s)", u->name);
	default:
		return err_set(err, -rc, "it is damaged or truncated: its %s data do not unpack",
			       u->name);
	}
}

int unpack_to(const struct unpacker *u, const void *in, size_t len, void *out, size_t max,
	      size_t *size, struct err *err)
{
	int64_t n = u->unpack(in, len, out, max);

	if (n < 0)
		return explain(u, (int)n, max, err);
	*size = (size_t)n;
	return 0;
}

int unpack(const struct unpacker *u, const void *in, size_t len, size_t max, struct unpacked *out,
	   struct err *err)
{
	int rc = reserve(out, max, err);

	if (rc)
		return rc;
	rc = unpack_to(u, in, len, out->data, max, &out->size, err);
	if (rc)
		unpacked_free(out);
	else
		give_back_tail(out);
	return rc;
}

void unpacked_free(struct unpacked *u)
{
	if (u->data)
		munmap(u->data, u->mapped);
	*u = (struct unpacked){ 0 };
}
