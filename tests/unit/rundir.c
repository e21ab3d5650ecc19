/* SPDX-License-Identifier: MIT */
/* host/rundir: names, whose directories are whose, and what a killed run leaves behind. */
#include "host/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/tap.h"
#include "util/util.h"

static bool is_there(const char *path)
{
	struct stat st;

	return !lstat(path, &st);
}

static void test_names(void)
{
	static const char *const good[] = { "a", "web", "lkvm-123", "A.b_c-9", "0" };
	static const char *const bad[] = { "",	 ".",	"..",  "-a",	   ".a",
					   "_a", "a/b", "a b", "\xc3\xa4", "a\n" };
	char longest[RUNDIR_NAME_MAX + 2];

	for (unsigned int i = 0; i < ARRAY_SIZE(good); i++)
		ok(rundir_name_ok(good[i]), "a name: %s", good[i]);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		ok(!rundir_name_ok(bad[i]), "no name: %u", i);
	memset(longest, 'a', sizeof(longest));
	longest[RUNDIR_NAME_MAX] = 0;
	ok(rundir_name_ok(longest), "the longest");
	longest[RUNDIR_NAME_MAX] = 'a';
	longest[RUNDIR_NAME_MAX + 1] = 0;
	ok(!rundir_name_ok(longest), "one that is longer");
}

struct seen {
	unsigned int n;
	char name[RUNDIR_NAME_MAX + 1];
	pid_t pid;
};

static void see(void *opaque, const char *name, pid_t pid)
{
	struct seen *seen = opaque;

	seen->n++;
	snprintf(seen->name, sizeof(seen->name), "%s", name);
	seen->pid = pid;
}

static void test_life(void)
{
	struct rundir d, other;
	struct seen seen = { 0 };
	struct stat st;
	char path[RUNDIR_PATH_MAX];
	struct err err = { "" };

	umask(0);
	ok(!rundir_each(see, &seen, &err) && !seen.n, "there is none");
	ok(rundir_file("web", "control", path, sizeof(path), &err) == -ENOENT, "none is named so");
	ok(!rundir_make(&d, "web", &err), "one is made %s", err.text);
	ok(!lstat(d.path, &st) && (st.st_mode & 07777) == 0700,
	   "for this user alone, whatever the umask");
	ok(rundir_make(&other, "web", &err) == -EBUSY && other.lock_fd < 0,
	   "another of that name: %s", err.text);
	rundir_remove(&other);
	ok(is_there(d.path), "which does not remove the first");
	ok(!rundir_each(see, &seen, &err) && seen.n == 1 && !strcmp(seen.name, "web") &&
		   seen.pid == getpid(),
	   "it is found");
	ok(!rundir_file("web", "control", path, sizeof(path), &err) &&
		   strstr(path, "/lkvm/web/control"),
	   "and a file in it");
	ok(rundir_file("../web", "x", path, sizeof(path), &err) == -EINVAL, "no way out of there");
	close(open(path, O_CREAT | O_WRONLY, 0600));
	rundir_remove(&d);
	ok(!is_there(d.path), "it is removed, with what is in it");
	rundir_remove(&d);
}

static void test_handed_on(void)
{
	struct rundir d, heir, other;
	struct seen seen = { 0 };
	struct err err = { "" };
	char path[RUNDIR_PATH_MAX];

	ok(!rundir_make(&d, "old", &err) && !rundir_make(&other, "other", &err), "two are made");
	ok(rundir_adopt(&heir, "other", dup(d.lock_fd), &err) == -ESTALE, "not that one: %s",
	   err.text);
	ok(rundir_adopt(&heir, "gone", dup(d.lock_fd), &err) == -ESTALE,
	   "nor one that is not there");
	ok(!rundir_adopt(&heir, "old", dup(d.lock_fd), &err), "one is handed on");
	strcpy(path, d.path);
	rundir_remove(&other);
	rundir_leave(&d);
	ok(is_there(path) && d.lock_fd < 0, "and left by the first");
	ok(rundir_make(&other, "old", &err) == -EBUSY, "nobody else has its name meanwhile");
	ok(!rundir_each(see, &seen, &err) && seen.n == 1 && seen.pid == getpid(),
	   "it is there, once");
	rundir_leave(&d);
	rundir_own(&heir);
	rundir_remove(&heir);
	ok(!is_there(path), "who removes it");
}

/* Leaves a directory behind, as a killed run does. */
static void leave(const char *name, bool with_lock)
{
	struct rundir d;
	struct err err;
	pid_t child = fork();
	char path[RUNDIR_PATH_MAX + 8];

	if (!child) {
		if (rundir_make(&d, name, &err))
			_exit(1);
		snprintf(path, sizeof(path), "%s/%s", d.path, with_lock ? "control" : "pid");
		if (with_lock)
			close(open(path, O_CREAT | O_WRONLY, 0600));
		else
			unlink(path);
		kill(getpid(), SIGKILL);
	}
	waitpid(child, NULL, 0);
}

static void test_left(const char *base)
{
	struct seen seen = { 0 };
	struct rundir d;
	struct err err;
	char path[RUNDIR_PATH_MAX];

	leave("a", true);
	leave("b", false);
	snprintf(path, sizeof(path), "%s/lkvm/a", base);
	ok(is_there(path), "a killed run leaves its directory");
	ok(!rundir_make(&d, "a", &err), "whose name is free");
	rundir_remove(&d);
	leave("a", true);
	ok(!rundir_each(see, &seen, &err) && !seen.n, "it does not count");
	ok(!is_there(path), "and is removed");
	snprintf(path, sizeof(path), "%s/lkvm", base);
	ok(!rmdir(path), "as is one that had no more than its directory");
}

/* What it leads to is nobody's run. */
static void links(const char *base, const char *dir)
{
	struct seen seen = { 0 };
	struct rundir d;
	struct err err;
	char link[RUNDIR_PATH_MAX + 8], mine[RUNDIR_PATH_MAX], file[RUNDIR_PATH_MAX + 8];

	snprintf(mine, sizeof(mine), "%s/mine", base);
	snprintf(file, sizeof(file), "%s/pid", mine);
	snprintf(link, sizeof(link), "%s/web", dir);
	mkdir(mine, 0700);
	close(open(file, O_CREAT | O_WRONLY, 0600));
	ok(!symlink(mine, link) && !rundir_each(see, &seen, &err) && !seen.n && is_there(file),
	   "a link to a directory is left alone");
	ok(rundir_make(&d, "web", &err) && is_there(file), "and none is made there: %s", err.text);
	rundir_remove(&d);
	unlink(link);
	unlink(file);
	rmdir(mine);
}

static void test_strangers(const char *base)
{
	struct rundir d;
	struct err err;
	char path[RUNDIR_PATH_MAX];

	snprintf(path, sizeof(path), "%s/lkvm", base);
	mkdir(path, 0700);
	links(base, path);
	chmod(path, 0755);
	ok(rundir_make(&d, "web", &err) == -EPERM, "a directory that others may read: %s",
	   err.text);
	rmdir(path);
	if (symlink("/tmp", path))
		abort();
	ok(rundir_make(&d, "web", &err) == -EPERM, "a link: %s", err.text);
	unlink(path);
}

/* Many make and remove one name: never two at once have it. */
static void test_race(const char *base)
{
	char path[RUNDIR_PATH_MAX];
	int failed = 0, status;

	snprintf(path, sizeof(path), "%s/owned", base);
	for (int child = 0; child < 8; child++) {
		if (fork())
			continue;
		for (int i = 0; i < 100; i++) {
			struct seen seen = { 0 };
			struct rundir d;
			struct err err;

			if (child == 7 ? rundir_each(see, &seen, &err)
				       : rundir_make(&d, "web", &err) == -EPERM)
				_exit(1);
			if (child == 7 || d.lock_fd < 0)
				continue;
			if (mkdir(path, 0700))
				_exit(2);
			rmdir(path);
			rundir_remove(&d);
		}
		_exit(0);
	}
	for (int child = 0; child < 8; child++) {
		wait(&status);
		failed += status != 0;
	}
	ok(!failed, "eight at once, of which %d went wrong", failed);
}

int main(void)
{
	char base[] = "/tmp/kindling-rundir-XXXXXX", path[RUNDIR_PATH_MAX];

	if (!mkdtemp(base))
		return 1;
	setenv("XDG_RUNTIME_DIR", base, 1);
	test_names();
	test_life();
	test_handed_on();
	test_left(base);
	test_strangers(base);
	test_race(base);
	snprintf(path, sizeof(path), "%s/lkvm", base);
	rmdir(path);
	ok(!rmdir(base), "nothing is left");
	return done_testing();
}
