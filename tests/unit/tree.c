/* SPDX-License-Identifier: MIT */
/* host/tree: what is inside can be reached whatever becomes of its names, and what is outside never. */
#include "host/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/unit/tap.h"
#include "util/clock.h"
#include "util/util.h"

static char base[64], share[80], outside[80];
static const struct tree_owner owner = { 0, 0 };

static const char *in_share(const char *name)
{
	static char path[2][512];
	static int which;

	which ^= 1;
	snprintf(path[which], sizeof(path[which]), "%s/%s", share, name);
	return path[which];
}

static void put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		ok(false, "%s is made", path);
	close(fd);
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

static struct tree *open_tree(bool read_only, unsigned int max_fds)
{
	struct tree *t;
	struct err err = { "" };

	if (tree_open(share, read_only, max_fds, &t, &err)) {
		printf("Bail out! %s\n", err.text);
		exit(1);
	}
	return t;
}

/* By a path, each component of it walked to; NULL and errno. */
static struct tree_node *walk(struct tree *t, const char *path)
{
	struct tree_node *at = tree_root(t), *next;
	char copy[4096], *rest = copy, *name;
	struct stat st;
	int rc;

	snprintf(copy, sizeof(copy), "%s", path);
	while ((name = strsep(&rest, "/"))) {
		rc = tree_walk(t, at, name, &next, &st);
		tree_put(t, at);
		if (rc) {
			errno = -rc;
			return NULL;
		}
		at = next;
	}
	return at;
}

static int walk_error(struct tree *t, const char *path)
{
	struct tree_node *n = walk(t, path);
	int rc = n ? 0 : errno;

	tree_put(t, n);
	return rc;
}

/* What opening it for reading and writing comes to: 0 or errno. */
static int open_error(struct tree *t, const char *path, int flags)
{
	struct tree_node *n = walk(t, path);
	struct stat st;
	int fd;

	if (!n)
		return errno;
	fd = tree_open_node(t, n, flags, &st);
	tree_put(t, n);
	if (fd >= 0)
		tree_close_fd(t, fd);
	return fd < 0 ? -fd : 0;
}

static bool node_reads(struct tree *t, struct tree_node *n, const char *text)
{
	char buf[64] = "";
	struct stat st;
	int fd = tree_open_node(t, n, O_RDONLY, &st);

	if (fd < 0)
		return false;
	if (read(fd, buf, sizeof(buf) - 1) < 0)
		buf[0] = 0;
	tree_close_fd(t, fd);
	return !strcmp(buf, text);
}

static bool reads(struct tree *t, const char *path, const char *text)
{
	struct tree_node *n = walk(t, path);
	bool so = n && node_reads(t, n, text);

	tree_put(t, n);
	return so;
}

/* ---- Tests ---- */

static void test_names(void)
{
	static const char *const bad[] = { "", ".", "..", "a/b", "/", "a/" };
	char name[257];
	bool so = true;

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		so &= !tree_name_ok(bad[i], strlen(bad[i]));
	memset(name, 'n', sizeof(name));
	ok(so && !tree_name_ok("a\0b", 3) && !tree_name_ok(name, 256), "names that are none");
	ok(tree_name_ok("a", 1) && tree_name_ok("...", 3) && tree_name_ok(".a", 2) &&
		   tree_name_ok("..a", 3) && tree_name_ok(name, 255),
	   "and such that are");
}

static void test_links(void)
{
	struct tree *t = open_tree(false, 0);
	struct tree_node *n;
	char target[128];
	int len;

	if (symlink(outside, in_share("out")) || symlink("file", in_share("near")) ||
	    symlink("/proc/self/root", in_share("magic")))
		ok(false, "links are made");
	ok(walk_error(t, "out/secret") == ENOTDIR && walk_error(t, "magic/etc") == ENOTDIR,
	   "a link is no directory");
	ok(open_error(t, "out", O_RDONLY) == ELOOP && open_error(t, "near", O_RDONLY) == ELOOP &&
		   open_error(t, "near", O_RDWR | O_TRUNC) == ELOOP,
	   "nor a file");
	n = walk(t, "out");
	len = tree_readlink(t, n, target, sizeof(target));
	ok(len == (int)strlen(outside) && !memcmp(target, outside, (size_t)len), "it is text");
	ok(tree_truncate(t, n, 0) == -EINVAL && tree_chmod(t, n, 0777) != 0,
	   "it has no size or mode");
	tree_put(t, n);
	ok(reads(t, "file", "inside"), "what they pointed at is as it was");
	tree_close(t);
}

static void test_special(void)
{
	struct tree *t = open_tree(false, 0);
	struct tree_node *root = tree_root(t);
	struct stat st;

	ok(!tree_make(t, root, "fifo", S_IFIFO | 0600, &owner, &st) && S_ISFIFO(st.st_mode) &&
		   !tree_make(t, root, "socket", S_IFSOCK | 0600, &owner, &st) &&
		   !tree_make(t, root, "regular", S_IFREG | 0640, &owner, &st) &&
		   (st.st_mode & 07777) == 0640,
	   "FIFOs, sockets and files are made");
	ok(tree_make(t, root, "null", S_IFCHR | 0600, &owner, &st) == -EPERM &&
		   tree_make(t, root, "disk", S_IFBLK | 0600, &owner, &st) == -EPERM,
	   "devices are not");
	ok(open_error(t, "fifo", O_RDONLY) == ENXIO && open_error(t, "fifo", O_RDWR) == ENXIO &&
		   open_error(t, "socket", O_RDWR) == ENXIO,
	   "and are not opened");
	if (!mknod(in_share("device"), S_IFCHR | 0666, makedev(1, 3)))
		ok(open_error(t, "device", O_RDONLY) == ENXIO &&
			   open_error(t, "device", O_WRONLY) == ENXIO,
		   "nor are devices");
	tree_put(t, root);
	tree_close(t);
}

/* They are there, but nothing of them is. */
static void test_procfs(void)
{
	struct tree *t;
	struct err err = { "" };

	ok(tree_open("/proc", true, 0, &t, &err) == -EINVAL, "refused: %s", err.text);
	if (tree_open("/", true, 0, &t, &err)) {
		ok(false, "%s", err.text);
		return;
	}
	/* User emulation shows another root than the host's. */
	if (walk_error(t, "proc") == ENOENT) {
		ok(true, "# skip there is no /proc");
		tree_close(t);
		return;
	}
	ok(walk_error(t, "proc") == 0 && walk_error(t, "proc/self") == EACCES &&
		   walk_error(t, "proc/1") == EACCES && open_error(t, "proc", O_RDONLY) == EACCES,
	   "procfs is but a name");
	ok(open_error(t, "dev/null", O_RDONLY) == ENXIO, "a device of the host's is not opened");
	tree_close(t);
}

static void test_read_only(void)
{
	struct tree *t = open_tree(true, 0);
	struct tree_node *root = tree_root(t), *n = walk(t, "file"), *made;
	struct timespec times[2] = { 0 };
	struct stat st;
	bool so = true;

	so &= tree_open_node(t, n, O_WRONLY, &st) == -EROFS;
	so &= tree_open_node(t, n, O_RDWR, &st) == -EROFS;
	so &= tree_open_node(t, n, O_RDONLY | O_TRUNC, &st) == -EROFS;
	so &= tree_create(t, root, "new", O_RDONLY, 0644, &owner, &made, &st) == -EROFS;
	so &= tree_create(t, root, "file", O_RDONLY, 0644, &owner, &made, &st) == -EROFS;
	so &= tree_mkdir(t, root, "new", 0755, &owner, &st) == -EROFS;
	so &= tree_make(t, root, "new", S_IFREG | 0644, &owner, &st) == -EROFS;
	so &= tree_symlink(t, root, "new", "x", &owner, &st) == -EROFS;
	so &= tree_link(t, n, root, "new") == -EROFS;
	so &= tree_unlink(t, root, "file", false) == -EROFS;
	so &= tree_unlink_node(t, n) == -EROFS;
	so &= tree_rename(t, root, "file", root, "new") == -EROFS;
	so &= tree_rename_node(t, n, root, "new") == -EROFS;
	so &= tree_chmod(t, n, 0777) == -EROFS;
	so &= tree_chown(t, n, 1, 1) == -EROFS;
	so &= tree_truncate(t, n, 0) == -EROFS;
	so &= tree_set_times(t, n, times) == -EROFS;
	so &= tree_xattr_set(t, n, "user.x", "y", 1, 0) == -EROFS;
	so &= tree_xattr_remove(t, n, "user.x") == -EROFS;
	ok(so, "nothing is written to what is read-only");
	ok(reads(t, "file", "inside") && access(in_share("new"), F_OK), "and nothing has changed");
	tree_put(t, n);
	tree_put(t, root);
	tree_close(t);
}

/* What the guest itself does to names. */
static void test_renames(void)
{
	struct tree *t = open_tree(false, 0);
	struct tree_node *root = tree_root(t), *dir, *file, *over, *other;
	struct stat st;

	mkdir(in_share("a"), 0755);
	mkdir(in_share("a/b"), 0755);
	put_file(in_share("a/b/one"), "one");
	put_file(in_share("two"), "two");
	dir = walk(t, "a/b");
	file = walk(t, "a/b/one");
	over = walk(t, "two");
	ok(!tree_rename(t, root, "a", root, "z") && node_reads(t, file, "one"),
	   "a file below a directory that was renamed");
	ok(!tree_rename(t, dir, "one", root, "two") && node_reads(t, file, "one"),
	   "one that was renamed over another");
	ok(node_reads(t, over, "two") && !tree_stat(t, over, &st) && st.st_nlink == 0,
	   "the other one, which has no name now");
	ok(tree_unlink_node(t, over) == -ENOENT && tree_rename_node(t, over, root, "x") == -ENOENT,
	   "so that it can't lose or change it");
	ok(!tree_link(t, file, dir, "hard") && reads(t, "z/b/hard", "one"), "a hard link");
	other = walk(t, "z/b/hard");
	ok(!tree_rename(t, dir, "hard", root, "two") && node_reads(t, other, "one") &&
		   !access(in_share("z/b/hard"), F_OK),
	   "renamed over the same file: both names stay");
	ok(!tree_unlink(t, root, "two", false) && node_reads(t, file, "one") &&
		   node_reads(t, other, "one") && !tree_chmod(t, file, 0600) &&
		   !tree_truncate(t, file, 1) && node_reads(t, file, "o"),
	   "an unlinked file can be used");
	ok(tree_rename(t, root, "z", dir, "loop") == -EINVAL, "no directory goes into itself");
	mkdir(in_share("z/lone"), 0755);
	put_file(in_share("z/lone/one"), "lone");
	tree_put(t, dir);
	dir = walk(t, "z/lone/one");
	ok(!tree_rename_node(t, dir, root, "alone") && node_reads(t, dir, "lone"),
	   "one that was the last to hold its directory");
	rmdir(in_share("z/lone"));
	tree_put(t, dir);
	dir = walk(t, "z/b");
	ok(tree_unlink(t, dir, "hard", true) == -ENOTDIR && !tree_unlink(t, dir, "hard", false) &&
		   tree_unlink(t, root, "z", true) == -ENOTEMPTY && !tree_unlink_node(t, dir),
	   "unlinked, each in its way");
	ok(tree_stat(t, dir, &st) == 0 && walk_error(t, "z/b") == ENOENT, "a directory, too");
	ok(tree_unlink_node(t, root) == -EBUSY && tree_rename_node(t, root, dir, "x") == -EBUSY,
	   "the root stays");
	tree_put(t, other);
	tree_put(t, over);
	tree_put(t, file);
	tree_put(t, dir);
	tree_put(t, root);
	tree_close(t);
}

/* What the host does to names meanwhile. */
static void test_others(void)
{
	struct tree *t = open_tree(false, 0);
	struct tree_node *file, *dir, *sub;
	struct stat st;

	mkdir(in_share("h"), 0755);
	mkdir(in_share("h/s"), 0755);
	put_file(in_share("h/f"), "old");
	file = walk(t, "h/f");
	put_file(in_share("h/g"), "new");
	rename(in_share("h/g"), in_share("h/f"));
	ok(node_reads(t, file, "new"), "a file that the host has replaced is the new one");
	unlink(in_share("h/f"));
	ok(tree_stat(t, file, &st) == -ENOENT && tree_open_node(t, file, O_RDONLY, &st) == -ENOENT,
	   "one that it has removed is not there");
	mkdir(in_share("h/f"), 0755);
	ok(tree_stat(t, file, &st) == -ESTALE && tree_open_node(t, file, O_RDONLY, &st) == -ESTALE,
	   "one that has become a directory is none");
	dir = walk(t, "h");
	sub = walk(t, "h/s");
	/* The tree believes that s, which is open, is in h, and is told to put h into s. */
	ok(walk_error(t, "h/s/x") == ENOENT && !rename(in_share("h/s"), in_share("s")) &&
		   !tree_rename_node(t, dir, sub, "h") && walk_error(t, "h") == ENOENT &&
		   walk_error(t, "s/h") == 0 && !tree_stat(t, sub, &st),
	   "what the host has moved makes no circle");
	tree_put(t, sub);
	tree_put(t, dir);
	tree_put(t, file);
	tree_close(t);
}

struct mover {
	_Atomic bool stop;
	unsigned int turns;
};

static void *move(void *opaque)
{
	struct mover *mover = opaque;

	while (!mover->stop) {
		rename(in_share("dir"), in_share("away"));
		if (symlink(outside, in_share("dir")))
			break;
		unlink(in_share("dir"));
		rename(in_share("away"), in_share("dir"));
		mover->turns++;
	}
	return NULL;
}

/* A directory and a link out of the share take turns at one name. */
static void test_race(void)
{
	struct tree *t = open_tree(false, 0);
	struct mover mover = { 0 };
	unsigned int inside = 0, out = 0, walks = 0;
	uint64_t limit = clock_now() + 30000 * CLOCK_MS;
	pthread_t thread;

	mkdir(in_share("dir"), 0755);
	put_file(in_share("dir/secret"), "inside");
	pthread_create(&thread, NULL, move, &mover);
	/* On one CPU they take long turns, and few of the walks fall into what is right. */
	for (; walks < 20000 || (!inside && clock_now() < limit); walks++) {
		struct tree_node *dir = walk(t, "dir"), *file = NULL;
		struct stat st;

		if (walks % 64 == 0)
			sched_yield();
		if (dir && !tree_walk(t, dir, "secret", &file, &st)) {
			inside += node_reads(t, file, "inside");
			out += node_reads(t, file, "outside");
		}
		tree_put(t, file);
		tree_put(t, dir);
	}
	mover.stop = true;
	pthread_join(thread, NULL);
	ok(inside && !out && mover.turns, "of %u walks %u came inside and %u outside, %u turns",
	   walks, inside, out, mover.turns);
	tree_close(t);
}

/* More directories than may be open, and files that stay open. */
static void test_fds(void)
{
	struct tree *t;
	struct tree_node *nodes[200];
	int before = open_fds(), fds[TREE_FDS_MIN], opened = 0, most = 0;
	unsigned int wrong = 0;
	char path[1024] = "deep", name[32];
	struct stat st;

	mkdir(in_share(path), 0755);
	for (int i = 0; i < 100; i++) {
		strcat(path, "/d");
		mkdir(in_share(path), 0755);
	}
	strcat(path, "/file");
	put_file(in_share(path), "deep");
	t = open_tree(false, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(nodes); i++) {
		struct tree_node *root = tree_root(t), *made;

		snprintf(name, sizeof(name), "many%u", i);
		wrong += tree_mkdir(t, root, name, 0700, &owner, &st) != 0 ||
			 tree_walk(t, root, name, &nodes[i], &st);
		fds[0] = tree_create(t, nodes[i], "f", O_RDWR, 0600, &owner, &made, &st);
		wrong += fds[0] < 0;
		if (fds[0] >= 0) {
			tree_close_fd(t, fds[0]);
			tree_put(t, made);
		}
		tree_put(t, root);
		most = MAX(most, open_fds() - before);
	}
	ok(!wrong && most <= (int)TREE_FDS_MIN, "200 directories by %d fds", most);
	ok(reads(t, path, "deep"), "a file 100 directories deep");
	for (unsigned int i = 0; i < TREE_FDS_MIN; i++) {
		fds[opened] = tree_open_node(t, nodes[i], O_RDONLY, &st);
		if (fds[opened] >= 0)
			opened++;
	}
	ok(opened > 40 && opened < (int)TREE_FDS_MIN &&
		   tree_open_node(t, nodes[0], O_RDONLY, &st) == -EMFILE &&
		   open_fds() - before <= (int)TREE_FDS_MIN,
	   "%d files are open, then there are too many", opened);
	while (opened)
		tree_close_fd(t, fds[--opened]);
	ok(reads(t, path, "deep"), "and then there are not");
	for (unsigned int i = 0; i < ARRAY_SIZE(nodes); i++)
		tree_put(t, nodes[i]);
	tree_close(t);
	ok(open_fds() == before, "all are closed in the end");
}

static void test_modes(void)
{
	struct tree *t = open_tree(false, 0);
	struct tree_node *root = tree_root(t), *n;
	mode_t before = umask(077);
	struct stat st;
	int fd;

	ok(!tree_mkdir(t, root, "mode-d", 02775, &owner, &st) && S_ISDIR(st.st_mode) &&
		   (st.st_mode & 07777) == 02775,
	   "a directory with a bit more: %o", st.st_mode);
	umask(0);
	fd = tree_create(t, root, "mode-f", O_WRONLY | O_EXCL, 04751, &owner, &n, &st);
	ok(fd >= 0 && (st.st_mode & 07777) == 04751, "a file of mode 4751 (%o)", st.st_mode);
	tree_close_fd(t, fd);
	ok(tree_create(t, root, "mode-f", O_WRONLY | O_EXCL, 0600, &owner, &n, &st) == -EEXIST,
	   "one that must be new");
	tree_put(t, n);
	fd = tree_create(t, root, "mode-f", O_RDWR, 0600, &owner, &n, &st);
	ok(fd >= 0 && (st.st_mode & 07777) == 04751, "one that needn't be");
	tree_close_fd(t, fd);
	ok(!tree_chown(t, n, geteuid() ? 0 : 12, TREE_KEEP) && !tree_stat(t, n, &st) &&
		   st.st_uid == (geteuid() ? 0 : 12),
	   "its owner as he is told");
	tree_put(t, n);
	ok(tree_create(t, root, "fifo", O_RDWR, 0600, &owner, &n, &st) == -ENXIO,
	   "a FIFO in its place is not opened");
	umask(before);
	tree_put(t, root);
	tree_close(t);
}

static void test_xattrs(void)
{
	struct tree *t = open_tree(false, 0);
	struct tree_node *n = walk(t, "file");
	const char *name = geteuid() ? "user.kindling" : "trusted.kindling";
	char value[16], *names = malloc(TREE_XATTR_MAX);
	int rc = tree_xattr_set(t, n, name, "value", 5, XATTR_CREATE);

	if (rc == -EOPNOTSUPP) {
		ok(true, "# SKIP no extended attributes in %s", share);
	} else {
		ok(!rc && tree_xattr_set(t, n, name, "value", 5, XATTR_CREATE) == -EEXIST, "set");
		ok(tree_xattr_get(t, n, name, NULL, 0) == 5 &&
			   tree_xattr_get(t, n, name, value, sizeof(value)) == 5 &&
			   !memcmp(value, "value", 5),
		   "got");
		rc = tree_xattr_list(t, n, names);
		ok(rc > 0 && memmem(names, (size_t)rc, name, strlen(name) + 1), "listed");
		ok(!tree_xattr_remove(t, n, name) &&
			   tree_xattr_get(t, n, name, value, sizeof(value)) == -ENODATA,
		   "removed");
	}
	free(names);
	tree_put(t, n);
	tree_close(t);
}

/* Of different devices, too. */
static void test_ids(void)
{
	struct tree *t = open_tree(true, 0);
	struct stat st;

	stat(share, &st);
	ok(tree_id(t, st.st_dev, 77) == 77 && tree_id(t, st.st_dev + 1, 77) != 77 &&
		   tree_id(t, st.st_dev + 1, 77) != tree_id(t, st.st_dev + 2, 77) &&
		   tree_id(t, st.st_dev + 1, 77) == tree_id(t, st.st_dev + 1, 77),
	   "each file has a number of its own");
	tree_close(t);
}

int main(void)
{
	char secret[96];
	int fds;

	snprintf(base, sizeof(base), "%s/kindling-tree-XXXXXX",
		 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(base)) {
		printf("Bail out! no directory\n");
		return 1;
	}
	snprintf(share, sizeof(share), "%s/share", base);
	snprintf(outside, sizeof(outside), "%s/outside", base);
	snprintf(secret, sizeof(secret), "%s/secret", outside);
	mkdir(share, 0755);
	mkdir(outside, 0755);
	put_file(secret, "outside");
	put_file(in_share("file"), "inside");
	fds = open_fds();
	test_names();
	test_links();
	test_special();
	test_procfs();
	test_read_only();
	test_renames();
	test_others();
	test_race();
	test_fds();
	test_modes();
	test_xattrs();
	test_ids();
	ok(open_fds() == fds, "no fd is left");
	nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return done_testing();
}
