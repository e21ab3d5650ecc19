/* SPDX-License-Identifier: MIT */
/* --disk FILE,WORD,KEY=VALUE,... and --disk DIR */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cmd/options.h"
#include "cmd/setup.h"
#include "util/number.h"
#include "util/util.h"

/* One -d, while it is read. */
struct given {
	struct machine_disk *disk;
	const char *text; /* all of it, for errors */
};

static int set_format(struct given *g, const char *value, struct err *err)
{
	(void)err;
	g->disk->format = value;
	return 0;
}

static int set_backing(struct given *g, const char *value, struct err *err)
{
	g->disk->backing_any = !strcmp(value, "any");
	if (!g->disk->backing_any)
		return err_set(err, EINVAL, "--disk %s: backing is any, or not given", g->text);
	return 0;
}

static int set_snapshot(struct given *g, const char *value, struct err *err)
{
	return err_set(err, ENOTSUP,
		       "--disk %s: a snapshot inside an image is not opened here; "
		       "qemu-img convert -l %s makes an image of it",
		       g->text, value);
}

static int set_engine(struct given *g, const char *value, struct err *err)
{
	g->disk->engine = value;
	if (strcmp(value, "uring") && strcmp(value, "threads"))
		return err_set(err, EINVAL, "--disk %s: io is uring or threads", g->text);
	return 0;
}

static int set_queues(struct given *g, const char *value, struct err *err)
{
	const char *end;
	uint64_t n;

	if (number_parse(value, &n, &end) || *end || !n || n > MACHINE_DISK_QUEUES)
		return err_set(err, EINVAL, "--disk %s: queues is 1 to %u", g->text,
			       MACHINE_DISK_QUEUES);
	g->disk->queues = (unsigned int)n;
	return 0;
}

static int set_serial(struct given *g, const char *value, struct err *err)
{
	g->disk->serial = value;
	if (strlen(value) > 20)
		return err_set(err, EINVAL, "--disk %s: a serial has at most 20 characters",
			       g->text);
	return 0;
}

static int set_rate(struct given *g, const char *value, struct err *err)
{
	return option_set_limit(&g->disk->limit, "--disk", g->text, "rate", value, err);
}

static int set_iops(struct given *g, const char *value, struct err *err)
{
	return option_set_limit(&g->disk->limit, "--disk", g->text, "iops", value, err);
}

static int set_burst(struct given *g, const char *value, struct err *err)
{
	return option_set_limit(&g->disk->limit, "--disk", g->text, "burst", value, err);
}

static const struct key {
	const char *name;
	int (*set)(struct given *g, const char *value, struct err *err);
} keys[] = {
	{ "format", set_format },     { "backing", set_backing }, { "io", set_engine },
	{ "snapshot", set_snapshot }, { "queues", set_queues },	  { "serial", set_serial },
	{ "rate", set_rate },	      { "iops", set_iops },	  { "burst", set_burst },
};

static int set_key(struct given *g, const char *word, const char *value, struct err *err)
{
	size_t len = (size_t)(value - word);

	for (unsigned int i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strncmp(word, keys[i].name, len) || keys[i].name[len])
			continue;
		return keys[i].set(g, value + 1, err);
	}
	return err_set(err, ENOTSUP,
		       "--disk %s: no key is named %.*s; format, backing, queues, serial, rate, "
		       "iops, burst and io are",
		       g->text, (int)len, word);
}

static int set_word(struct given *g, const char *word, struct err *err)
{
	const char *value = strchr(word, '=');

	if (value)
		return set_key(g, word, value, err);
	if (!strcmp(word, "ro"))
		g->disk->ro = true;
	else if (!strcmp(word, "cow"))
		g->disk->cow = true;
	else if (!strcmp(word, "direct"))
		g->disk->direct = true;
	else
		return err_set(err, ENOTSUP,
			       "--disk %s: '%s' is no word for it; ro, cow and direct are", g->text,
			       word);
	return 0;
}

/* ---- A directory: no disk, but the root file system ---- */

/* What stands before the first comma, if it is one or names one of lkvm setup's. To be freed. */
static char *directory_of(const char *value)
{
	char *path = strndup(value, strcspn(value, ","));
	struct stat st;
	char *found;

	if (!path)
		return NULL;
	if (!stat(path, &st)) {
		if (S_ISDIR(st.st_mode))
			return path;
		free(path);
		return NULL;
	}
	found = setup_find(path);
	free(path);
	return found;
}

static bool is_word(const char *text, size_t len, const char *word)
{
	return len == strlen(word) && !memcmp(text, word, len);
}

static int set_directory(struct run_options *o, char *dir, const char *value, struct err *err)
{
	struct exec_plan *e = &o->plan;
	size_t len;

	if (e->dir) {
		free(dir);
		return err_set(err, EINVAL, "two roots: --disk %s and --disk %s", e->dir, value);
	}
	e->dir = dir;
	for (const char *word = strchr(value, ','); word; word = word[len] ? word + len : NULL) {
		word++;
		len = strcspn(word, ",");
		if (is_word(word, len, "ro"))
			e->dir_ro = true;
		else if (is_word(word, len, "cow"))
			e->dir_cow = true;
		else
			return err_set(
				err, ENOTSUP,
				"--disk %s: '%.*s' is no word for a directory; ro and cow are",
				value, (int)len, word);
	}
	return e->dir_ro && e->dir_cow
		       ? err_set(err, EINVAL, "--disk %s: ro and cow don't go together", value)
		       : 0;
}

/* ---- All of it ---- */

int option_set_disk(struct run_options *o, const char *value, struct err *err)
{
	struct given g = { .disk = &o->machine.disks[o->machine.n_disks], .text = value };
	char *dir = directory_of(value), *rest, *word;
	int rc = 0;

	if (dir)
		return set_directory(o, dir, value, err);
	if (o->machine.n_disks == MACHINE_DISKS)
		return err_set(err, ENOSPC, "--disk: more than %u disks", MACHINE_DISKS);
	rest = strdup(value);
	if (!rest)
		return err_set(err, ENOMEM, "no memory");
	o->disk_text[o->machine.n_disks] = rest;
	g.disk->path = strsep(&rest, ",");
	if (!*g.disk->path)
		rc = err_set(err, EINVAL, "--disk %s: a file's name comes first", value);
	while (!rc && (word = strsep(&rest, ",")))
		rc = set_word(&g, word, err);
	if (!rc && g.disk->ro && g.disk->cow)
		rc = err_set(err, EINVAL, "--disk %s: ro and cow don't go together", value);
	o->machine.n_disks++;
	return rc;
}
