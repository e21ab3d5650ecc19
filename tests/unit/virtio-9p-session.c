/* SPDX-License-Identifier: MIT */
/* virtio/9p over time: locks, many fids, saved sessions, shares that may not be written, or die. */
#include <linux/fuse.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "tests/unit/p9.h"

static void test_locks(struct client *c)
{
	int fd;
	struct flock fl = { .l_type = F_WRLCK, .l_start = 0, .l_len = 10 };

	close(open(path_of("locked"), O_CREAT | O_WRONLY, 0600));
	fd = open(path_of("locked"), O_RDWR);
	for (uint32_t fid = 1; fid <= 3; fid++)
		if (walk(c, 0, fid, "locked") || lopen(c, fid, fid == 3 ? O_RDONLY : O_RDWR))
			ok(false, "open");
	ok(lock(c, 1, 1, 0, 10, 100) == 0 && lock(c, 2, 1, 5, 1, 200) == 1 &&
		   lock(c, 2, 1, 10, 1, 200) == 0,
	   "one process's lock, and another's beside it");
	ok(fcntl(fd, F_OFD_SETLK, &fl) && errno == EAGAIN, "the host sees it");
	begin(c, P9_TGETLOCK);
	put(c, 2, 4);
	put(c, 1, 1);
	put(c, 5, 8);
	put(c, 1, 8);
	put(c, 200, 4);
	put_string(c, "guest");
	ok(!call(c) && reader_u8(&c->got) == 1 && reader_le64(&c->got) == 0 &&
		   reader_le64(&c->got) == 10,
	   "whoever asks is told");
	ok(lock(c, 1, 2, 0, 0, 100) == 0 && lock(c, 2, 0, 5, 1, 200) == 0, "unlocked");
	ok(lock(c, 2, 2, 0, 0, 200) == 0 && !fcntl(fd, F_OFD_SETLK, &fl) &&
		   lock(c, 1, 0, 0, 0, 100) == 1,
	   "the host's lock is seen");
	fl.l_type = F_UNLCK;
	fcntl(fd, F_OFD_SETLK, &fl);
	ok(lock(c, 3, 1, 0, 0, 300) == 0 && lock(c, 3, 2, 0, 0, 300) == 0,
	   "flock() of what is open for reading only");
	ok(lock(c, 1, 1, 0, 10, 100) == 0 && lock(c, 2, 1, 0, 20, 100) == 0 &&
		   lock(c, 2, 2, 0, 0, 100) == 0 && lock(c, 3, 0, 0, 0, 300) == 0,
	   "a process that has it open twice is one");
	ok(lock(c, 1, 3, 0, 0, 1) == -1 && lock(c, 1, 1, UINT64_MAX, 0, 1) == -1 &&
		   lock(c, 0, 1, 0, 0, 1) == -1,
	   "what is no lock");
	ok(!clunk(c, 1) && !clunk(c, 2) && !clunk(c, 3), "closed");
	fl.l_type = F_WRLCK;
	ok(!fcntl(fd, F_OFD_SETLK, &fl), "and none is left");
	close(fd);
}

static void test_read_only(struct client *c)
{
	struct stat before, after;
	bool so = true;

	close(open(path_of("attr"), O_CREAT | O_WRONLY, 0600));
	stat(path_of("attr"), &before);
	so &= !walk(c, 0, 1, "attr");
	so &= lopen(c, 1, O_WRONLY) == EROFS && lopen(c, 1, O_RDWR) == EROFS;
	so &= lopen(c, 1, O_RDONLY | 01000) == EROFS;
	so &= lcreate(c, 0, "new", O_RDONLY) == EROFS;
	so &= mkdir_in(c, 0, "new") == EROFS && mknod_in(c, 0, "new", S_IFREG) == EROFS;
	so &= symlink_in(c, 0, "new", "x") == EROFS && link_in(c, 0, 1, "new") == EROFS;
	so &= rename_in(c, 1, 0, "new") == EROFS && renameat_in(c, 0, "attr", 0, "new") == EROFS;
	so &= unlinkat_in(c, 0, "attr", 0) == EROFS &&
	      unlinkat_in(c, 0, "dir", REMOVE_DIR) == EROFS;
	for (uint32_t valid = 1; valid <= 0x40; valid <<= 1)
		so &= setattr(c, 1, valid, 0777, 0) == EROFS;
	so &= xattrcreate(c, 1, "user.x", 1, 0) == EROFS;
	ok(so, "all that writes is refused");
	ok(!lopen(c, 1, O_RDONLY) && write_at(c, 1, 0, "x", 1) == EBADF &&
		   setattr(c, 1, 8, 0, 0) == EROFS,
	   "also by a fid that is open");
	ok(!walk(c, 0, 2, "attr") && with_fid(c, P9_TREMOVE, 2) == EROFS && clunk(c, 2) == EBADF &&
		   !stat(path_of("attr"), &after) &&
		   after.st_ctim.tv_nsec == before.st_ctim.tv_nsec &&
		   after.st_size == before.st_size,
	   "and nothing has changed");
	clunk(c, 1);
}

/* Below the device: a client would need minutes for so many. */
static void test_many_fids(void)
{
	struct p9 p = { 0 };
	struct tree_node *root;
	uint32_t n = 0;
	int rc = tree_open(dir, true, 0, &p.tree, NULL);

	if (rc) {
		ok(false, "a tree");
		return;
	}
	root = tree_root(p.tree);
	while (!p9_fid_add(&p, n * 3, 0, tree_get(root), NULL))
		n++;
	tree_put(p.tree, root);
	ok(n == P9_FIDS_MAX && p9_fid_find(&p, 3 * (n - 1)) && !p9_fid_find(&p, 1), "%u fids", n);
	ok(!p9_fid_drop(&p, p9_fid_find(&p, 3)) && !p9_fid_add(&p, 1, 0, tree_get(root), NULL) &&
		   p9_fid_add(&p, 2, 0, root, NULL) == -ENFILE,
	   "and not one more");
	p9_drop_all(&p);
	ok(!p.fids.count, "all are gone");
	hash_free(&p.fids);
	tree_put(p.tree, root);
	tree_close(p.tree);
}

/* What has a name is found again, open or not. */
static void test_saved(struct client *c, struct virtio_dev *dev)
{
	bool so = !version(c, 65536, "9P2000.L") && !attach(c, 0) && !mkdir_in(c, 0, "saved");

	make_many();
	so &= !walk(c, 0, 5, "saved") && !walk(c, 5, 4, NULL) && !lcreate(c, 4, "file", O_RDWR);
	so &= !write_at(c, 4, 0, "before", 6);
	so &= !walk(c, 5, 6, NULL) && !lcreate(c, 6, "gone", O_RDWR);
	so &= !unlinkat_in(c, 5, "gone", 0) && !walk(c, 5, 7, NULL) && !lopen(c, 7, 0200000);
	so &= !walk(c, 4, 8, NULL) && !xattrcreate(c, 8, "user.x", 5, 0) &&
	      !write_at(c, 8, 0, "abc", 3);
	so &= !walk(c, 0, 9, "many");
	ok(so, "a session with files of all kinds");
	check_save_load(dev);
	ok(reads(c, 4, 0, "before") && !write_at(c, 4, 6, " and after", 10) &&
		   reads(c, 4, 0, "before and after"),
	   "an open file goes on");
	ok(list(c, 7, 4096) == 3 && !mkdir_in(c, 5, "new") && list(c, 7, 4096) == 4,
	   "directories, too");
	ok(getattr(c, 6) == ESTALE && read_at(c, P9_TREAD, 6, 0, 1) == ESTALE && !clunk(c, 6),
	   "a file without a name is lost");
	ok(write_at(c, 8, 0, "x", 1) == ENOSPC && !write_at(c, 8, 3, "de", 2),
	   "half of an attribute");
	ok(!walk(c, 9, 10, "entry-0") && !walk(c, 10, 11, "..") && lopen(c, 9, 0200000) == 0 &&
		   list(c, 9, 65536) == 1028,
	   "and what was not open");
}

/* ---- Whose a lock is ---- */

static bool host_may_lock(const char *name, short type, off_t start, off_t len)
{
	struct flock fl = { .l_type = type, .l_start = start, .l_len = len };
	int fd = open(path_of(name), O_RDWR);
	bool so = !fcntl(fd, F_OFD_SETLK, &fl);

	close(fd);
	return so;
}

/* By Linux's client each close() of a file with locks unlocks all, for whoever closes it. */
static void test_lock_owners(struct client *c)
{
	close(open(path_of("owned"), O_CREAT | O_WRONLY, 0600));
	for (uint32_t fid = 1; fid <= 3; fid++)
		if (walk(c, 0, fid, "owned") || lopen(c, fid, fid == 3 ? O_RDONLY : O_RDWR))
			ok(false, "open");
	ok(!lock(c, 1, 1, 0, 10, 100) && !lock(c, 2, 2, 0, 10, 100) &&
		   host_may_lock("owned", F_WRLCK, 0, 10),
	   "a process unlocks by another fid than it locked by");
	ok(!lock(c, 1, 1, 0, 10, 100) && !lock(c, 1, 1, 20, 10, 100) && !lock(c, 2, 2, 0, 0, 100) &&
		   host_may_lock("owned", F_WRLCK, 0, 0),
	   "or closes another, which ends all its locks");
	ok(!lock(c, 1, 1, 0, 10, 100) && !lock(c, 1, 2, 0, 0, 101) &&
		   !host_may_lock("owned", F_WRLCK, 0, 1) && lock(c, 2, 1, 0, 1, 200) == 1,
	   "a child that closes what it has from its parent unlocks nothing");
	ok(!lock(c, 1, 1, 20, 10, 101) && !lock(c, 1, 2, 0, 0, 100) &&
		   host_may_lock("owned", F_WRLCK, 0, 10) &&
		   !host_may_lock("owned", F_WRLCK, 20, 1),
	   "nor does a parent what its child has locked by it");
	ok(!lock(c, 1, 0, 0, 5, 100) && !lock(c, 1, 0, 0, 5, 101) && !lock(c, 1, 2, 0, 0, 100) &&
		   !host_may_lock("owned", F_WRLCK, 0, 1) &&
		   host_may_lock("owned", F_RDLCK, 0, 1) && !lock(c, 1, 2, 0, 0, 101) &&
		   host_may_lock("owned", F_WRLCK, 0, 0),
	   "two that read the same are two");
	ok(!lock_by(c, 1, 1, 1, 0, 0, 100) && !lock_by(c, 1, 2, 1, 0, 0, 101) &&
		   host_may_lock("owned", F_WRLCK, 0, 0),
	   "flock(): a child unlocks for its parent");
	ok(!lock(c, 3, 1, 0, 0, 300) && !host_may_lock("owned", F_RDLCK, 0, 0) &&
		   lock(c, 1, 0, 0, 0, 100) == 1,
	   "LOCK_EX of what is open for reading only keeps all others out");
	ok(!clunk(c, 3) && host_may_lock("owned", F_WRLCK, 0, 0), "until it is closed");
	ok(!lock(c, 1, 1, 0, 10, 100) && !lock(c, 2, 1, 20, 10, 100) && !clunk(c, 1) &&
		   !unlinkat_in(c, 0, "owned", 0) && !lock(c, 2, 1, 0, 20, 100) &&
		   !lock(c, 2, 2, 0, 0, 100) && !clunk(c, 2),
	   "a file without a name");
}

/* Nothing of the host's is kept from the host by who may but read it. */
static void test_read_only_locks(struct client *c)
{
	struct flock fl = { .l_type = F_WRLCK, .l_len = 1 };
	int fd = open(path_of("attr"), O_RDWR);

	if (walk(c, 0, 1, "attr") || lopen(c, 1, O_RDONLY))
		ok(false, "opened");
	ok(!lock(c, 1, 0, 0, 0, 100) && !lock(c, 1, 1, 0, 0, 100) && !fcntl(fd, F_OFD_SETLK, &fl),
	   "a lock of a file that is read-only is the guest's own affair");
	ok(lock(c, 1, 0, 0, 0, 100) == 1 && !lock(c, 1, 0, 5, 1, 100) && !lock(c, 1, 2, 0, 0, 100),
	   "but what the host has locked is locked");
	close(fd);
	clunk(c, 1);
}

/* ---- What a guest can make a session cost ---- */

/* A thousand fids of one file, which lies deep. */
static void test_saved_size(void)
{
	static char name[250];
	struct p9 p = { 0 }, again = { 0 };
	struct tree_owner owner = { geteuid(), getegid() };
	struct buf saved = { 0 }, second = { 0 };
	struct tree_node *at, *next;
	struct reader in;
	struct stat st;

	if (tree_open(dir, false, 0, &p.tree, NULL)) {
		ok(false, "a tree");
		return;
	}
	memset(name, 'n', sizeof(name) - 1);
	at = tree_root(p.tree);
	for (int i = 0; i < 30; i++) {
		if (tree_mkdir(p.tree, at, name, 0700, &owner, &st) ||
		    tree_walk(p.tree, at, name, &next, &st)) {
			ok(false, "%d directories", i);
			break;
		}
		tree_put(p.tree, at);
		at = next;
	}
	for (uint32_t i = 0; i < 1000; i++)
		p9_fid_add(&p, i, 0, tree_get(at), NULL);
	tree_put(p.tree, at);
	p9_save(&p, &saved);
	ok(!saved.failed && saved.len < 50000,
	   "of 1000 fids 30 directories deep %zu bytes are saved", saved.len);
	again.tree = p.tree;
	in = (struct reader){ .p = saved.data, .left = saved.len };
	ok(!p9_load(&again, &in) && !in.left && again.fids.count == 1000, "and loaded");
	p9_save(&again, &second);
	ok(saved.len == second.len && !memcmp(saved.data, second.data, saved.len),
	   "and saved once more");
	/* All fids are the root's, and none of the directories is of any use. */
	for (size_t i = saved.len - 4; i > saved.len - 1000 * 17; i -= 17)
		put_le32(saved.data + i, 0);
	in = (struct reader){ .p = saved.data, .left = saved.len };
	ok(p9_load(&again, &in) == -EINVAL && again.fids.count == 1000,
	   "but not with what is of no use");
	buf_put_u8(&second, 0);
	in = (struct reader){ .p = second.data, .left = second.len };
	ok(p9_load(&again, &in) == -EINVAL, "nor with what is behind its end");
	p9_drop_all(&again);
	hash_free(&again.fids);
	at = tree_get(p9_fid_find(&p, 0)->node);
	p9_drop_all(&p);
	hash_free(&p.fids);
	while (!tree_is_root(at)) {
		next = tree_parent(at);
		tree_unlink_node(p.tree, at);
		tree_put(p.tree, at);
		at = next;
	}
	tree_put(p.tree, at);
	tree_close(p.tree);
	buf_free(&saved);
	buf_free(&second);
}

/* ---- Directories that die ---- */

static _Atomic unsigned int deaths;

static void died(void *opaque)
{
	(void)opaque;
	deaths++;
}

/* Each refusal is an I/O error then. */
static bool all_fails(struct client *c)
{
	bool so = walk(c, 0, 50, "file") == EIO && walk(c, 0, 50, "none") == EIO;

	so &= mkdir_in(c, 0, "dir") == EIO && lcreate(c, 0, "new", O_RDWR) == EIO;
	so &= mknod_in(c, 0, "new", S_IFIFO | 0600) == EIO && symlink_in(c, 0, "new", "x") == EIO;
	so &= unlinkat_in(c, 0, "file", 0) == EIO && renameat_in(c, 0, "file", 0, "x") == EIO;
	return so && getattr(c, 1) == EIO && lopen(c, 1, O_RDONLY) == EIO;
}

static void test_removed(void)
{
	struct virtio_dev *dev;
	char whole[sizeof(dir)];
	struct machine m;
	struct client c;
	bool so;

	strcpy(whole, dir);
	strcat(dir, "/sub");
	mkdir(dir, 0755);
	close(open(path_of("file"), O_CREAT | O_WRONLY, 0600));
	dev = plug_with(&m, &c, false, died);
	so = !version(&c, 65536, "9P2000.L") && !attach(&c, 0) && !walk(&c, 0, 1, "file");
	so &= !walk(&c, 0, 2, "file") && !lopen(&c, 2, O_RDWR) && !write_at(&c, 2, 0, "here", 4);
	ok(so && walk(&c, 0, 9, "none") == ENOENT && !deaths, "a directory");
	unlink(path_of("file"));
	ok(walk(&c, 0, 9, "file") == ENOENT && !deaths, "an empty one");
	rmdir(dir);
	ok(all_fails(&c), "one that is removed: nothing is known of what was in it");
	ok(reads(&c, 2, 0, "here") && !write_at(&c, 2, 4, "!", 1), "what is open is");
	ok(deaths == 1, "and its end is told once (%u times)", deaths);
	ok(!version(&c, 65536, "9P2000.L") && !attach(&c, 0) && walk(&c, 0, 1, "file") == EIO,
	   "another session finds nothing else");
	device_unplug(dev);
	machine_tear_down(&m);
	strcpy(dir, whole);
}

/* A file system of our own, with one file in it that is called "file", and may be opened. */
static void serve_fuse(int fd)
{
	static uint8_t in[1 << 18];

	for (;;) {
		struct fuse_in_header *h = (struct fuse_in_header *)in;
		struct {
			struct fuse_out_header h;
			union {
				struct fuse_init_out init;
				struct fuse_entry_out entry;
				struct fuse_attr_out attr;
				struct fuse_open_out open;
				struct fuse_statfs_out statfs;
			};
		} out = { .h.len = sizeof(out.h) };

		if (read(fd, in, sizeof(in)) < (ssize_t)sizeof(*h))
			continue;
		out.h.unique = h->unique;
		if (h->opcode == FUSE_INIT) {
			out.init = (struct fuse_init_out){ .major = 7,
							   .minor = 31,
							   .max_write = 4096 };
			out.h.len += sizeof(out.init);
		} else if (h->opcode == FUSE_LOOKUP && !strcmp((char *)(h + 1), "file")) {
			out.entry.nodeid = 2;
			out.entry.attr =
				(struct fuse_attr){ .ino = 2, .mode = S_IFREG | 0644, .nlink = 1 };
			out.h.len += sizeof(out.entry);
		} else if (h->opcode == FUSE_GETATTR) {
			bool is_root = h->nodeid == 1;

			out.attr.attr.ino = h->nodeid;
			out.attr.attr.mode = is_root ? S_IFDIR | 0755 : S_IFREG | 0644;
			out.attr.attr.nlink = is_root ? 2 : 1;
			out.h.len += sizeof(out.attr);
		} else if (h->opcode == FUSE_OPEN || h->opcode == FUSE_OPENDIR) {
			out.h.len += sizeof(out.open);
		} else if (h->opcode == FUSE_STATFS) {
			out.h.len += sizeof(out.statfs);
		} else if (h->opcode == FUSE_FORGET || h->opcode == FUSE_BATCH_FORGET) {
			continue;
		} else {
			out.h.error = h->opcode == FUSE_LOOKUP ? -ENOENT : -ENOSYS;
		}
		if (write(fd, &out, out.h.len) < 0)
			continue;
	}
}

/* The process that serves it; 0: none can be had here. */
static pid_t mount_fuse(void)
{
	int fd = open("/dev/fuse", O_RDWR);
	char options[64];
	pid_t pid;

	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
	if (fd < 0 || unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("test", dir, "fuse", 0, options)) {
		close(fd);
		return 0;
	}
	pid = fork();
	if (!pid && !prctl(PR_SET_PDEATHSIG, SIGKILL))
		serve_fuse(fd);
	close(fd);
	return pid;
}

static void test_broken(void)
{
	struct virtio_dev *dev;
	char whole[sizeof(dir)];
	struct machine m;
	struct client c;
	pid_t pid;
	bool so;

	strcpy(whole, dir);
	strcat(dir, "/fuse");
	mkdir(dir, 0755);
	deaths = 0;
	pid = mount_fuse();
	if (!pid) {
		ok(true, "# SKIP no file system of our own to be had");
		strcpy(dir, whole);
		return;
	}
	dev = plug_with(&m, &c, false, died);
	so = !version(&c, 65536, "9P2000.L") && !attach(&c, 0) && !walk(&c, 0, 1, "file");
	so &= !walk(&c, 0, 2, "file") && !lopen(&c, 2, O_RDWR) && walk(&c, 0, 9, "none") == ENOENT;
	ok(so && !deaths, "a directory of a file system that works");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	ok(all_fails(&c) && read_at(&c, P9_TREAD, 2, 0, 1) == EIO &&
		   write_at(&c, 2, 0, "x", 1) == EIO && with_fid(&c, P9_TFSYNC, 2) == EIO,
	   "one of a file system that does not");
	ok(deaths == 1 && !clunk(&c, 2) && !clunk(&c, 1), "the device lives");
	device_unplug(dev);
	machine_tear_down(&m);
	umount2(dir, MNT_DETACH);
	strcpy(dir, whole);
}

int main(void)
{
	struct virtio_dev *dev;
	struct machine m;
	struct client c;

	if (!make_share())
		return 1;
	dev = plug(&m, &c, false);
	if (version(&c, 65536, "9P2000.L") || attach(&c, 0))
		ok(false, "a session");
	test_locks(&c);
	test_lock_owners(&c);
	test_many_fids();
	test_saved_size();
	test_saved(&c, dev);
	device_unplug(dev);
	machine_tear_down(&m);
	dev = plug(&m, &c, true);
	if (version(&c, 65536, "9P2000.L") || attach(&c, 0))
		ok(false, "a session");
	test_read_only(&c);
	test_read_only_locks(&c);
	device_unplug(dev);
	machine_tear_down(&m);
	test_removed();
	test_broken();
	remove_share();
	return done_testing();
}
