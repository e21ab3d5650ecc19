/* SPDX-License-Identifier: MIT */
/*
 * lkvm setup NAME: a small root file system for -d NAME. It has no programs of its own: they are links
 * to where the host's root will be in the guest.
 */
#include "cmd/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "guest/init/exec.h"
#include "util/file.h"
#include "util/util.h"

/* ---- Where ---- */

static bool is_bare(const char *name)
{
	return *name && !strchr(name, '/') && strcmp(name, ".") && strcmp(name, "..");
}

/* False: nothing tells where. */
static bool home_path(char path[PATH_MAX])
{
	const char *home = getenv("LKVM_HOME");
	const char *below = "";

	if (!home || !*home) {
		home = getenv("HOME");
		below = "/.lkvm";
	}
	return home && *home && snprintf(path, PATH_MAX, "%s%s", home, below) < PATH_MAX;
}

/* A bare name is one in there, any other a path. */
static bool path_of(const char *name, char path[PATH_MAX])
{
	char home[PATH_MAX];
	int len;

	if (!is_bare(name)) {
		len = snprintf(path, PATH_MAX, "%s", name);
		while (len > 1 && len < PATH_MAX && path[len - 1] == '/')
			path[--len] = 0;
		return len < PATH_MAX;
	}
	return home_path(home) && snprintf(path, PATH_MAX, "%s/%s", home, name) < PATH_MAX;
}

char *setup_find(const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	if (!is_bare(name) || !path_of(name, path) || stat(path, &st) || !S_ISDIR(st.st_mode))
		return NULL;
	return strdup(path);
}

bool setup_is_made(const char *dir)
{
	char path[PATH_MAX];
	struct stat st;

	return snprintf(path, sizeof(path), "%s" SETUP_INIT, dir) < (int)sizeof(path) &&
	       !stat(path, &st) && S_ISREG(st.st_mode);
}

/* ---- What is in it ---- */

static const struct folder {
	const char *path;
	mode_t mode;
} folders[] = {
	{ "dev", 0755 },      { "home", 0755 }, { "host", 0755 },    { "mnt", 0755 },
	{ "proc", 0555 },     { "root", 0700 }, { "run", 0755 },     { "sys", 0555 },
	{ "tmp", 01777 },     { "var", 0755 },	{ "var/lib", 0755 }, { "var/log", 0755 },
	{ "var/tmp", 01777 }, { "virt", 0755 },
};

/* Of the host, as far as it has them. */
static const char *const links[] = { "bin", "sbin", "lib", "lib32", "lib64", "libx32",
				     "usr", "etc",  "opt", "nix",   "gnu" };

/* Without a command the root needs an init of its own. */
static const char init[] =
	"#!/bin/sh\n"
	"# Process 1 of a guest without a command (lkvm run -d NAME): a shell on its console. Change it as you like.\n"
	"# /dev, /proc and /sys are mounted; so is the host's root, read-only, at /host.\n"
	"export PATH=" EXEC_PATH " HOME=/root TERM=\"${TERM:-vt100}\"\n"
	"mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts 2>/dev/null ||\n"
	"	{ mkdir /dev/pts && mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts; }\n"
	"mount -t tmpfs -o mode=755 tmpfs /run\n"
	"mount -t tmpfs -o mode=1777 tmpfs /tmp\n"
	"cd /root\n"
	"tty=$(sed 's/.* //' /sys/class/tty/console/active)\n"
	"if command -v setsid >/dev/null; then\n"
	"	setsid -c sh -i <\"/dev/$tty\" >\"/dev/$tty\" 2>&1\n"
	"else\n"
	"	sh -i\n"
	"fi\n"
	"sync\n"
	"poweroff -ff 2>/dev/null\n"
	"# Linux takes the root away before the power: nothing more can be started then.\n"
	"sleep 20 &\n"
	"sleep 1\n"
	"echo o >/proc/sysrq-trigger\n"
	"wait\n";

static int put_file(int dir, const char *path, const char *text, mode_t mode)
{
	int fd = openat(dir, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	int rc = fd < 0 ? -errno : write_full(fd, text, strlen(text));

	if (fd >= 0 && !rc && fchmod(fd, mode))
		rc = -errno;
	if (fd >= 0 && close(fd) && !rc)
		rc = -errno;
	return rc;
}

/* Into an empty folder. 0 or -errno. */
static int fill(int dir)
{
	char path[64], to[64];

	for (unsigned int i = 0; i < ARRAY_SIZE(folders); i++) {
		if (mkdirat(dir, folders[i].path, 0700) ||
		    fchmodat(dir, folders[i].path, folders[i].mode, 0))
			return -errno;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(links); i++) {
		snprintf(path, sizeof(path), "/%s", links[i]);
		snprintf(to, sizeof(to), EXEC_HOST "/%s", links[i]);
		if (!access(path, F_OK) && symlinkat(to, dir, links[i]))
			return -errno;
	}
	return put_file(dir, &SETUP_INIT[1], init, 0755);
}

/* ---- Making it ---- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* All or nothing: it is filled under another name. */
static int make(const char *path)
{
	char made[PATH_MAX];
	int dir, rc;

	if (snprintf(made, sizeof(made), "%s.XXXXXX", path) >= (int)sizeof(made))
		return -ENAMETOOLONG;
	if (!mkdtemp(made))
		return -errno;
	dir = open(made, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = dir < 0 ? -errno : fill(dir);
	if (!rc && fchmod(dir, 0755))
		rc = -errno;
	/* (musl has no name for it) */
	if (!rc &&
	    syscall(SYS_renameat2, AT_FDCWD, made, AT_FDCWD, path, (unsigned int)RENAME_NOREPLACE))
		rc = -errno;
	/* Some file systems can't say so; what is there was looked for before. */
	if (rc == -EINVAL)
		rc = rename(made, path) ? -errno : 0;
	if (dir >= 0)
		close(dir);
	if (rc)
		nftw(made, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return rc;
}

/* The folder of all of them comes with the first. */
static int make_home(const char *name)
{
	char home[PATH_MAX];

	if (!is_bare(name) || !home_path(home) || !mkdir(home, 0755) || errno == EEXIST)
		return 0;
	return cmd_fail("setup %s: %s: %s", name, home, strerror(errno));
}

int cmd_setup(int argc, char **argv, const struct command *table)
{
	const char *name = argc > 1 ? argv[1] : "";
	char path[PATH_MAX];
	struct stat st;
	int rc;

	(void)table;
	if (argc != 2 || !*name)
		return cmd_fail("setup takes one name: lkvm setup NAME, then lkvm run -d NAME");
	if (*name == '-')
		return cmd_fail("setup has no option %s: lkvm setup NAME", name);
	if (strchr(name, ','))
		return cmd_fail("setup %s: -d takes what is behind a comma for a word of its own",
				name);
	if (!path_of(name, path))
		return cmd_fail(
			"setup %s: there is no HOME for it; give a path, as in lkvm setup ./%s",
			name, name);
	if (!lstat(path, &st))
		return cmd_fail("setup %s: %s is there already", name, path);
	rc = make_home(name);
	if (rc)
		return rc;
	rc = make(path);
	if (rc == -EEXIST)
		return cmd_fail("setup %s: %s is there already", name, path);
	if (rc)
		return cmd_fail("setup %s: %s: %s", name, path, strerror(-rc));
	printf("%s is made; lkvm run -d %s -- COMMAND runs a command in it\n", path, name);
	return 0;
}
