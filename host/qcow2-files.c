/* SPDX-License-Identifier: MIT */
/*
 * The files that an image names: what it stands on, and where its data lie. Who hands over an image
 * chooses these names, so they may be of its own folder only, as it really is behind all links, and
 * formats are as the header says, never as the other file looks.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/qcow2.h"
#include "util/file.h"
#include "util/util.h"

#define CHAIN_MAX 32u

/* "json:{...}", "nbd://...": everything that QEMU would not take as a file's name. */
static bool has_protocol(const char *name)
{
	size_t n = strcspn(name, ":/");

	return name[n] == ':';
}

/* A relative name is relative to the image. NULL: no memory. */
static char *join(const char *image, const char *name)
{
	const char *slash = strrchr(image, '/');
	int folder = slash ? (int)(slash + 1 - image) : 0;
	char *path;

	if (*name == '/')
		return strdup(name);
	return asprintf(&path, "%.*s%s", folder, image, name) < 0 ? NULL : path;
}

/* Is `real`, which has no links left in it, in the folder of `image` or below it? */
static bool is_inside(const char *image, const char *real)
{
	char *name = join(image, "."), *folder = name ? realpath(name, NULL) : NULL;
	size_t n = folder ? strlen(folder) : 0;
	bool inside = n && !strncmp(real, folder, n) && (real[n] == '/' || folder[n - 1] == '/');

	free(folder);
	free(name);
	return inside;
}

static int judge_chain(const struct disk_source *source, const char *real, struct err *err)
{
	unsigned int depth = 1;

	for (const struct disk_source *s = source; s; s = s->above, depth++) {
		if (file_same(real, s->path))
			return err_set(err, ELOOP, "disk %s: stands on itself, by way of %s", real,
				       source->path);
	}
	if (depth > CHAIN_MAX)
		return err_set(err, ELOOP,
			       "disk %s: a chain of more than %u images; qemu-img "
			       "commit or convert makes it shorter",
			       source->path, CHAIN_MAX);
	return 0;
}

/* The path to open, owned by the caller; `what` is what the image calls it ("backing file"). */
static int find(const struct disk_source *source, const char *name, const char *what, char **out,
		struct err *err)
{
	char *path, *real;
	int rc;

	if (has_protocol(name))
		return err_set(err, ENOTSUP, "disk %s: its %s is %s, which is no plain file's name",
			       source->path, what, name);
	path = join(source->path, name);
	real = path ? realpath(path, NULL) : NULL;
	rc = real ? 0
		  : err_set(err, errno, "disk %s: its %s %s: %s", source->path, what,
			    path ? path : name, strerror(errno));
	if (!rc && !source->backing_any && !is_inside(source->path, real))
		rc = err_set(err, EPERM,
			     "disk %s: its %s %s is outside its folder; add ,backing=any if that "
			     "is meant",
			     source->path, what, real);
	if (!rc)
		rc = judge_chain(source, real, err);
	free(path);
	if (rc)
		free(real);
	else
		*out = real;
	return rc;
}

static int open_below(const struct disk_source *source, const char *path, const char *format,
		      struct disk **out, struct err *err)
{
	const struct disk_format *mapped = disk_format_by_name(format);
	struct disk_source below = {
		.path = path,
		.read_only = true,
		.any_size = true,
		.backing_any = source->backing_any,
		.above = source,
	};

	return mapped ? mapped->open(&below, out, err) : disk_open_raw(&below, out, err);
}

static int judge_format(const struct disk_source *source, const struct qcow2_header *h,
			struct err *err)
{
	if (!h->backing_format[0])
		return err_set(err, EINVAL,
			       "disk %s: does not say which format its backing file %s has; say it "
			       "by qemu-img rebase -u -F raw (or qcow2) -b %s %s",
			       source->path, h->backing, h->backing, source->path);
	if (strcmp(h->backing_format, "raw") && !disk_format_by_name(h->backing_format))
		return err_set(err, ENOTSUP,
			       "disk %s: its backing file %s is %s; only raw and qcow2 are known",
			       source->path, h->backing, h->backing_format);
	return 0;
}

int qcow2_open_backing(const struct disk_source *source, const struct qcow2_header *h,
		       struct disk **out, struct err *err)
{
	char *path;
	int rc;

	*out = NULL;
	if (!h->backing[0])
		return 0;
	rc = judge_format(source, h, err);
	if (!rc)
		rc = find(source, h->backing, "backing file", &path, err);
	if (rc)
		return rc;
	rc = open_below(source, path, h->backing_format, out, err);
	free(path);
	return rc;
}

int qcow2_open_data(const struct disk_source *source, const struct qcow2_header *h,
		    struct disk **out, struct err *err)
{
	char *path;
	int rc;

	*out = NULL;
	if (!h->external)
		return 0;
	if (!h->data_file[0])
		return err_set(err, ENOTSUP,
			       "disk %s: its data lie in another file, and it does not say which",
			       source->path);
	rc = find(source, h->data_file, "data file", &path, err);
	if (rc)
		return rc;
	rc = open_below(source, path, "raw", out, err);
	free(path);
	return rc;
}
