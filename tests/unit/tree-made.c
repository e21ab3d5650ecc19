/* SPDX-License-Identifier: MIT */
/* host/tree: what is made is whose it shall be, or is not there; what is no directory has no names. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/tree.h"
#include "tests/unit/tap.h"
#include "util/util.h"

static char base[64], share[80], victim[80];

static const char *in_share(const char *name)
{
	static char path[2][512];
	static int which;

	which ^= 1;
	snprintf(path[which], sizeof(path[which]), "%s/%s", share, name);
	return path[which];
}

static void put_file(const char *path)
{
	close(open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600));
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = -3; /* ".", ".." and itself */

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static struct tree *open_tree(void)
{
	struct tree *t;
	struct err err = { "" };

	if (tree_open(share, false, 0, &t, &err)) {
		printf("Bail out! %s\n", err.text);
		exit(1);
	}
	return t;
}

/* ---- Owners ---- */

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool so = fd >= 0 && write(fd, text, strlen(text)) > 0;

	close(fd);
	return so;
}

/* Root, in a user namespace that has no other users. */
static bool become_only_root(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	char text[64];

	if (unshare(CLONE_NEWUSER))
		return false;
	write_text("/proc/self/setgroups", "deny");
	snprintf(text, sizeof(text), "0 %u 1", uid);
	if (!write_text("/proc/self/uid_map", text))
		return false;
	snprintf(text, sizeof(text), "0 %u 1", gid);
	return write_text("/proc/self/gid_map", text) && !geteuid();
}

enum { MADE_RIGHT = 1, REFUSED = 2, NOTHING_LEFT = 4, NO_NAMESPACE = 8 };

static int make_for_strangers(void)
{
	static const char *const names[] = { "own-f", "own-d", "own-n", "own-p", "own-l" };
	static const struct tree_owner nobody = { 12, 12 }, us = { 0, 0 };
	struct tree *t;
	struct tree_node *root, *made;
	struct stat st;
	bool so = true;
	int fd, told = 0;

	if (!become_only_root())
		return NO_NAMESPACE;
	t = open_tree();
	root = tree_root(t);
	fd = tree_create(t, root, "us", O_RDWR, 0644, &us, &made, &st);
	if (fd >= 0) {
		tree_close_fd(t, fd);
		tree_put(t, made);
		told |= MADE_RIGHT;
	}
	so &= tree_create(t, root, names[0], O_RDWR, 0644, &nobody, &made, &st) == -EINVAL;
	so &= tree_mkdir(t, root, names[1], 0755, &nobody, &st) == -EINVAL;
	so &= tree_make(t, root, names[2], S_IFREG | 0644, &nobody, &st) == -EINVAL;
	so &= tree_make(t, root, names[3], S_IFIFO | 0644, &nobody, &st) == -EINVAL;
	so &= tree_symlink(t, root, names[4], "x", &nobody, &st) == -EINVAL;
	told |= so ? REFUSED : 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++)
		so &= lstat(in_share(names[i]), &st) && errno == ENOENT;
	return told | (so ? NOTHING_LEFT : 0);
}

static void test_owners(void)
{
	pid_t pid = fork();
	int status = 0;

	if (!pid)
		_exit(make_for_strangers());
	waitpid(pid, &status, 0);
	status = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
	if (status == NO_NAMESPACE) {
		ok(true, "# SKIP no user namespace to be had");
		return;
	}
	ok(status & MADE_RIGHT, "root of a user namespace makes files");
	ok(status & REFUSED, "but none for whom that has no number for");
	ok(status & NOTHING_LEFT, "and nothing of them is left behind");
}

/* ---- Others at work ---- */

struct replacer {
	_Atomic bool stop;
	unsigned int turns;
};

/* What has just been made is replaced by a name of something else. */
static void *replace(void *opaque)
{
	struct replacer *r = opaque;

	while (!r->stop) {
		if (!link(victim, in_share("bait")) || errno == EEXIST)
			r->turns += !rename(in_share("bait"), in_share("made"));
	}
	return NULL;
}

static void test_replaced(void)
{
	struct tree *t = open_tree();
	struct tree_node *root = tree_root(t);
	const struct tree_owner owner = { geteuid() ? 0 : 12, geteuid() ? 0 : 12 };
	static const mode_t modes[] = { S_IFREG | 06755, S_IFIFO | 06755, S_IFSOCK | 06755 };
	struct replacer r = { 0 };
	unsigned int made = 0, wrong = 0;
	pthread_t thread;
	struct stat before, now, st;

	put_file(victim);
	stat(victim, &before);
	pthread_create(&thread, NULL, replace, &r);
	for (unsigned int i = 0; i < 6000; i++) {
		int rc;

		unlink(in_share("made"));
		rc = i % 4 < 3 ? tree_make(t, root, "made", modes[i % 4], &owner, &st)
			       : tree_symlink(t, root, "made", "x", &owner, &st);
		made += !rc;
		stat(victim, &now);
		wrong += now.st_mode != before.st_mode || now.st_uid != before.st_uid;
	}
	r.stop = true;
	pthread_join(thread, NULL);
	ok(made && r.turns && !wrong,
	   "%u made, and of what took their place nothing has changed (%u)", made, wrong);
	tree_put(t, root);
	tree_close(t);
}

/* ---- What is no directory ---- */

static void test_no_directories(void)
{
	struct tree *t = open_tree();
	struct tree_node *root = tree_root(t), *nodes[200], *x;
	const struct tree_owner owner = { geteuid(), getegid() };
	int before = open_fds(), left = 0;
	unsigned int wrong = 0;
	char name[32];
	struct stat st;

	for (unsigned int i = 0; i < ARRAY_SIZE(nodes); i++) {
		struct tree_node *n;

		snprintf(name, sizeof(name), "file%u", i);
		if (i % 3)
			put_file(in_share(name));
		else if (symlink(".", in_share(name)))
			wrong++;
		if (tree_walk(t, root, name, &n, &st)) {
			printf("Bail out! no %s\n", name);
			exit(1);
		}
		nodes[i] = n;
		wrong += tree_walk(t, n, "x", &x, &st) != -ENOTDIR;
		left = MAX(left, open_fds() - before);
		wrong += tree_mkdir(t, n, "x", 0755, &owner, &st) != -ENOTDIR;
		left = MAX(left, open_fds() - before);
		wrong += tree_make(t, n, "x", S_IFREG | 0644, &owner, &st) != -ENOTDIR;
		left = MAX(left, open_fds() - before);
		wrong += tree_symlink(t, n, "x", "y", &owner, &st) != -ENOTDIR;
		left = MAX(left, open_fds() - before);
		wrong += tree_create(t, n, "x", O_RDWR, 0644, &owner, &x, &st) != -ENOTDIR;
		left = MAX(left, open_fds() - before);
		wrong += tree_unlink(t, n, "x", false) != -ENOTDIR;
		left = MAX(left, open_fds() - before);
		wrong += tree_link(t, nodes[0], n, "x") != -ENOTDIR;
		left = MAX(left, open_fds() - before);
		wrong += tree_rename(t, n, "x", root, "x") != -ENOTDIR;
		left = MAX(left, open_fds() - before);
		wrong += tree_rename(t, root, "x", n, "x") != -ENOTDIR;
		left = MAX(left, open_fds() - before);
	}
	ok(!wrong, "nothing is in what is no directory (%u wrong)", wrong);
	ok(!left, "and nothing stays open: %d fds", left);
	for (unsigned int i = 0; i < ARRAY_SIZE(nodes); i++)
		tree_put(t, nodes[i]);
	tree_put(t, root);
	tree_close(t);
}

int main(void)
{
	snprintf(base, sizeof(base), "%s/kindling-made-XXXXXX",
		 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(base)) {
		printf("Bail out! no directory\n");
		return 1;
	}
	snprintf(share, sizeof(share), "%s/share", base);
	snprintf(victim, sizeof(victim), "%s/victim", base);
	mkdir(share, 0755);
	test_owners();
	test_no_directories();
	test_replaced();
	nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return done_testing();
}
