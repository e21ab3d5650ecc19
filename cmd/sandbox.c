/* SPDX-License-Identifier: MIT */
/*
 * lkvm sandbox ... -- COMMAND, and --sandbox SCRIPT, as kvmtool has them: lkvm run with the host's
 * root at /host. What is named here by a path of the host's is there, in the guest.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/exec.h"
#include "cmd/options.h"
#include "guest/init/exec.h"

static int no_memory(struct err *err)
{
	return err_set(err, ENOMEM, "no memory for the command");
}

/* Takes `word`, to be freed, for the first of the command's, behind `shell` (or NULL); `rest` follows. */
static int set_command(struct run_options *o, char *shell, char *word, char **rest, struct err *err)
{
	struct exec_plan *e = &o->plan;
	size_t n = 0, at = 0;

	while (rest && rest[n])
		n++;
	e->word = word;
	e->words = calloc(n + 3, sizeof(*e->words));
	if (!word || !e->words)
		return no_memory(err);
	if (shell)
		e->words[at++] = shell;
	e->words[at++] = word;
	for (size_t i = 0; i < n; i++)
		e->words[at++] = rest[i];
	o->command = e->words;
	return 0;
}

/* "/host/home/me/x", to be freed; NULL without memory. */
static char *host_path(const char *dir, const char *path)
{
	char *word;

	if (asprintf(&word, EXEC_HOST "%s%s%s", dir, *path == '/' ? "" : "/", path) < 0)
		return NULL;
	return word;
}

static bool is_program(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode);
}

/* ---- --sandbox SCRIPT ---- */

/* One that can't be run is read by the shell. */
static int take_script(struct run_options *o, struct err *err)
{
	static char shell[] = "/bin/sh";
	const char *script = o->plan.script;
	char *path = realpath(script, NULL);
	int rc;

	if (!path)
		return err_set(err, errno, "--sandbox %s: %s", script, strerror(errno));
	if (!is_program(path))
		rc = err_set(err, EINVAL, "--sandbox %s: a script is a file", script);
	else
		rc = set_command(o, access(path, X_OK) ? shell : NULL, host_path("", path), NULL,
				 err);
	free(path);
	return rc;
}

/* ---- A command's first word ---- */

/* The first `len` characters of `path` below `root`. */
static bool look(const char *root, const char *path, size_t len, struct stat *st)
{
	char own[PATH_MAX];

	return snprintf(own, sizeof(own), "%s%.*s", root, (int)len, path) < (int)sizeof(own) &&
	       !lstat(own, st);
}

/* The guest's root has that path of its own; what lies behind a link in there only the guest knows. */
static bool has_own(const struct exec_plan *e, const char *path)
{
	const char *root = e->dir ? e->dir : e->root;
	struct stat st;

	if (!root || exec_root_disk(e))
		return true;
	return look(root, path, strlen(path), &st) ||
	       (look(root, path, 1 + strcspn(path + 1, "/"), &st) && S_ISLNK(st.st_mode));
}

/* A program of the host's that the guest's root lacks is meant as it is there. */
static int take_program(struct run_options *o, struct err *err)
{
	const struct exec_plan *e = &o->plan;
	const char *name = o->command[0];
	char *here, *word;

	/* With the host's root all is where it was. */
	if (!e->dir && !o->machine.n_disks && (!e->root || !strcmp(e->root, "/")))
		return 0;
	if (!strchr(name, '/') || !is_program(name))
		return 0;
	if (*name == '/')
		return has_own(e, name)
			       ? 0
			       : set_command(o, NULL, host_path("", name), o->command + 1, err);
	here = exec_here(err);
	if (!here)
		return -ENOENT;
	word = host_path(here, name);
	free(here);
	return set_command(o, NULL, word, o->command + 1, err);
}

int sandbox_command(struct run_options *o, struct err *err)
{
	struct exec_plan *e = &o->plan;

	if (e->script && o->command)
		return err_set(err, EINVAL, "--sandbox %s and a command behind --: one of them",
			       e->script);
	e->sandbox |= e->script != NULL;
	if (e->script)
		return take_script(o, err);
	if (!e->sandbox)
		return 0;
	if (!o->command)
		return err_set(
			err, EINVAL,
			"a sandbox for what? Put a command behind --, or say --sandbox SCRIPT");
	return take_program(o, err);
}
