/* SPDX-License-Identifier: MIT */
/* Reading one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "state/snapshot.h"
#include "util/hash.h"
#include "util/util.h"

static bool is_own(const struct stat *st)
{
	return (st->st_uid == geteuid() || !st->st_uid) && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

int snapshot_path(char *path, const char *dir, const char *name, struct err *err)
{
	return snprintf(path, SNAPSHOT_PATH, "%s/%s", dir, name) < SNAPSHOT_PATH
		       ? 0
		       : err_set(err, ENAMETOOLONG, "snapshot %s: so long a name", dir);
}

/* Its fd, and how long it is. */
static int open_memory(struct snapshot *s, const char *dir, const char *name, int *fd,
		       uint64_t *size, struct err *err)
{
	char path[SNAPSHOT_PATH];
	struct stat st;

	if (snapshot_path(path, dir, name, err))
		return -ENAMETOOLONG;
	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (*fd < 0)
		return err_set(err, errno, "snapshot %s: %s: %s", dir, name, strerror(errno));
	if (flock(*fd, LOCK_SH | LOCK_NB))
		return err_set(err, errno, "snapshot %s: it is being written", dir);
	if (fstat(*fd, &st) || !S_ISREG(st.st_mode) || st.st_size <= 0)
		return err_set(err, EINVAL, "snapshot %s: %s is no file with memory in it", dir,
			       name);
	*size = (uint64_t)st.st_size;
	s->own &= is_own(&st);
	return 0;
}

static int map_state(const char *dir, struct file_map *map, bool *own, struct err *err)
{
	char path[SNAPSHOT_PATH];
	struct stat st;
	int fd;

	if (snapshot_path(path, dir, SNAPSHOT_STATE, err))
		return -ENAMETOOLONG;
	if (access(path, F_OK) && errno == ENOENT)
		return err_set(err, ENOENT, "snapshot %s: there is no %s", dir,
			       access(dir, F_OK) ? "such folder" : "snapshot in it");
	fd = file_map_open(path, "snapshot's state", map, err);
	if (fd < 0)
		return fd;
	*own = !fstat(fd, &st) && is_own(&st);
	close(fd);
	return map->size > SAVED_MOST
		       ? err_set(err, EINVAL, "snapshot %s: the saved state is too large", dir)
		       : 0;
}

static int sum_of(const char *dir, uint64_t *sum, bool *own, struct err *err)
{
	struct file_map map = { 0 };
	int rc = map_state(dir, &map, own, err);

	if (!rc)
		*sum = hash_block(0, map.data, map.size);
	if (map.data)
		file_unmap(&map);
	return rc;
}

int snapshot_sum(const char *dir, uint64_t *sum, struct err *err)
{
	bool own;

	return sum_of(dir, sum, &own, err);
}

static int open_state(struct snapshot *s, const char *dir, struct err *err)
{
	struct err why = { "" };
	int rc = map_state(dir, &s->state_file, &s->own, err);

	if (rc)
		return rc;
	rc = saved_open(&s->state, s->state_file.data, s->state_file.size, &why);
	if (rc)
		return err_set(err, -rc, "snapshot %s: %s", dir, why.text);
	s->sum = hash_block(0, s->state_file.data, s->state_file.size);
	return 0;
}

/* The one whose memory it is laid over is there, and is that one. */
static int open_base(struct snapshot *s, const char *dir, struct err *err)
{
	char path[SNAPSHOT_PATH];
	struct err why = { "" };
	uint64_t sum = 0;
	bool own = false;

	if (snapshot_path(path, dir, SNAPSHOT_BASE, err))
		return -ENAMETOOLONG;
	s->base = realpath(path, NULL);
	if (!s->base)
		return err_set(err, errno, "snapshot %s: the one that it builds on (%s): %s", dir,
			       path, strerror(errno));
	if (sum_of(s->base, &sum, &own, &why) || sum != s->sum)
		return err_set(err, ESTALE,
			       "snapshot %s: it does not build on what is in %s: let the link %s "
			       "lead to the one that it does",
			       dir, s->base, path);
	s->own &= own;
	return 0;
}

static int open_diff(struct snapshot *s, const struct saved_section *section, const char *dir,
		     struct err *err)
{
	struct reader in = section->body;
	uint64_t size = 0;
	int rc = open_memory(s, dir, SNAPSHOT_DIFF, &s->over, &size, err);

	if (!rc && diff_get(&in, size, &s->runs, &s->n_runs, &s->sum))
		rc = err_set(err, EINVAL,
			     "snapshot %s: it does not say what was written to since its base",
			     dir);
	if (!rc)
		rc = open_base(s, dir, err);
	if (!rc)
		rc = open_memory(s, s->base, SNAPSHOT_MEMORY, &s->memory, &s->memory_size, err);
	if (!rc && s->memory_size != size)
		rc = err_set(err, EINVAL, "snapshot %s: its base has another size", dir);
	return rc;
}

int snapshot_open(struct snapshot *s, const char *dir, struct err *err)
{
	const struct saved_section *diff;
	int rc;

	*s = (struct snapshot){ .memory = -1, .over = -1 };
	rc = open_state(s, dir, err);
	diff = rc ? NULL : saved_find(&s->state, STATE_DIFF, 0);
	if (diff) {
		rc = open_diff(s, diff, dir, err);
	} else if (!rc) {
		s->base = realpath(dir, NULL);
		rc = open_memory(s, dir, SNAPSHOT_MEMORY, &s->memory, &s->memory_size, err);
	}
	if (rc)
		snapshot_close(s);
	return rc;
}

void snapshot_close(struct snapshot *s)
{
	if (s->state_file.data)
		file_unmap(&s->state_file);
	if (s->memory >= 0)
		close(s->memory);
	if (s->over >= 0)
		close(s->over);
	free(s->runs);
	free(s->base);
	*s = (struct snapshot){ .memory = -1, .over = -1 };
}
