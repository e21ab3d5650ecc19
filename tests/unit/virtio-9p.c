/* SPDX-License-Identifier: MIT */
/* virtio/9p, as a client sees it: files, names, attributes, and messages that are none. */
#include <linux/virtio_ids.h>
#include <sys/sysmacros.h>

#include "tests/unit/p9.h"

/* ---- Tests ---- */

static void test_config(struct machine *m)
{
	ok(reg_read(m, VIRTIO_MMIO_DEVICE_ID) == VIRTIO_ID_9P && driver_offered(m) & 1,
	   "its ID, and that it has a tag");
	ok(bus_read(m, 0x100, 2) == 3 && bus_read(m, 0x102, 1) == 't' &&
		   bus_read(m, 0x104, 1) == 'g' && bus_read(m, 0x105, 1) == 0,
	   "its tag, and nothing behind it");
}

static void test_version(struct client *c)
{
	char name[9] = "";

	ok(attach(c, 0) == EPROTO, "nothing goes before a version");
	ok(!version(c, 8192, "9P2000.u") && reader_le32(&c->got) == 8192 &&
		   reader_le16(&c->got) == 7 && !memcmp(c->got.p, "unknown", 7),
	   "another version is unknown");
	ok(!version(c, 100, "9P2000.L") && reader_le32(&c->got) == 100 &&
		   reader_le16(&c->got) == 7 && attach(c, 0) == EPROTO,
	   "messages that are too short");
	ok(!version(c, UINT32_MAX, "9P2000.L") && reader_le32(&c->got) == P9_MSIZE_MAX,
	   "the longest message there is");
	ok(!version(c, 65536, "9P2000.L") && reader_le32(&c->got) == 65536 &&
		   reader_le16(&c->got) == 8,
	   "as long as is asked for");
	reader_get(&c->got, name, 8);
	ok(!strcmp(name, "9P2000.L"), "9P2000.L it is");
	begin(c, P9_TAUTH);
	put(c, 7, 4);
	put_string(c, "");
	put_string(c, "");
	put(c, 0, 4);
	ok(call(c) == EOPNOTSUPP, "no authentication");
	ok(!attach(c, 0) && reader_u8(&c->got) == 0x80, "attached: a directory");
	ok(attach(c, 0) == EBADF && attach(c, P9_NO_FID) == EBADF,
	   "not to a fid that is taken, or none");
	ok(!walk(c, 0, 1, NULL) && !version(c, 65536, "9P2000.L") && clunk(c, 0) == EBADF &&
		   clunk(c, 1) == EBADF && !attach(c, 0),
	   "a version ends all that was before");
}

static void test_walk(struct client *c)
{
	static const char *const bad[] = { "", ".", "a/b", "/", "/etc" };
	char name[300];
	bool so = true;

	if (mkdir(path_of("d"), 0755) || mkdir(path_of("d/e"), 0755))
		ok(false, "directories");
	ok(!walk(c, 0, 1, NULL) && !reader_le16(&c->got), "a fid is cloned");
	ok(walk(c, 0, 1, "d") == EBADF, "not to one that is there");
	ok(walk(c, 99, 2, NULL) == EBADF && walk(c, 0, P9_NO_FID, "d") == EBADF,
	   "from none, and to none");
	ok(!walk(c, 1, 1, "d") && reader_le16(&c->got) == 1 && reader_u8(&c->got) == 0x80,
	   "a fid moves itself");
	ok(!walk(c, 1, 2, "..") && !walk(c, 2, 3, "d") && !walk(c, 0, 4, "..") &&
		   !walk(c, 4, 5, "d"),
	   "up, and at the top no further");
	for (uint32_t fid = 2; fid <= 5; fid++)
		so &= !clunk(c, fid);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		so &= walk(c, 0, 2, bad[i]) == EINVAL;
	memset(name, 'n', sizeof(name));
	name[255] = 0;
	so &= walk(c, 0, 2, name) == ENOENT;
	name[255] = 'n';
	name[256] = 0;
	so &= walk(c, 0, 2, name) == ENAMETOOLONG;
	ok(so, "names that are none");
	begin(c, P9_TWALK);
	put(c, 0, 4);
	put(c, 2, 4);
	put(c, 1, 2);
	put(c, 3, 2);
	put_bytes(c, "d\0x", 3);
	ok(call(c) == EINVAL, "nor with a NUL in it");
	begin(c, P9_TWALK);
	put(c, 0, 4);
	put(c, 2, 4);
	put(c, 3, 2);
	put_string(c, "d");
	put_string(c, "e");
	put_string(c, "missing");
	ok(!call(c) && reader_le16(&c->got) == 2 && c->got.left == 2 * P9_QID &&
		   clunk(c, 2) == EBADF,
	   "some of the way: no fid");
	begin(c, P9_TWALK);
	put(c, 0, 4);
	put(c, 2, 4);
	put(c, 17, 2);
	for (int i = 0; i < 17; i++)
		put_string(c, "..");
	ok(call(c) == EINVAL, "17 names are too many");
	begin(c, P9_TWALK);
	put(c, 0, 4);
	put(c, 2, 4);
	put(c, 16, 2);
	for (int i = 0; i < 16; i++)
		put_string(c, "..");
	ok(!call(c) && reader_le16(&c->got) == 16 && !clunk(c, 2), "16 are not");
	ok(!clunk(c, 1) && clunk(c, 1) == EBADF, "clunked, once");
}

static void test_files(struct client *c)
{
	static uint8_t big[300000];
	struct stat st;

	ok(!walk(c, 0, 1, NULL) && !lcreate(c, 1, "file", O_RDWR | 0200) && reader_u8(&c->got) == 0,
	   "a file is made, and open");
	ok(!write_at(c, 1, 0, "hello, guest", 12) && reader_le32(&c->got) == 12 &&
		   reads(c, 1, 0, "hello, guest") && reads(c, 1, 7, "guest") && reads(c, 1, 99, ""),
	   "written and read");
	ok(!write_at(c, 1, 5ull << 30, "far", 3) && reads(c, 1, 5ull << 30, "far") &&
		   !stat(path_of("file"), &st) && st.st_size == (5ll << 30) + 3,
	   "past 4 GiB");
	ok(!setattr(c, 1, 8, 0, 5) && reads(c, 1, 0, "hello"), "cut");
	for (unsigned int i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 7 >> 3);
	ok(!write_at(c, 1, 1, big, sizeof(big)) && reader_le32(&c->got) == sizeof(big) &&
		   !read_at(c, P9_TREAD, 1, 1, sizeof(big)) &&
		   reader_le32(&c->got) == sizeof(big) && !memcmp(c->got.p, big, sizeof(big)),
	   "%zu bytes at a time", sizeof(big));
	ok(read_at(c, P9_TREAD, 1, UINT64_MAX, 1) == EINVAL &&
		   write_at(c, 1, UINT64_MAX, "x", 1) == EINVAL,
	   "not at offsets that are none");
	ok(!with_fid(c, P9_TFSYNC, 1) && with_fid(c, P9_TFSYNC, 0) == EBADF, "synced");
	ok(lopen(c, 1, O_RDONLY) == EBUSY && lcreate(c, 1, "more", O_RDWR) == EBUSY,
	   "an open fid is not opened again");
	ok(lcreate(c, 0, "file", O_RDWR | 0200) == EEXIST, "a file that must be new");
	ok(!walk(c, 0, 2, "file") && !lopen(c, 2, O_RDONLY) && write_at(c, 2, 0, "x", 1) == EBADF &&
		   reads(c, 2, sizeof(big) + 1, ""),
	   "opened for reading");
	ok(!unlinkat_in(c, 0, "file", 0) && access(path_of("file"), F_OK) && !getattr(c, 1) &&
		   !write_at(c, 1, 0, "gone", 4) && !read_at(c, P9_TREAD, 2, 0, 4) &&
		   reader_le32(&c->got) == 4 && !memcmp(c->got.p, "gone", 4),
	   "unlinked, and still open");
	ok(!clunk(c, 1) && !clunk(c, 2) && read_at(c, P9_TREAD, 1, 0, 1) == EBADF, "closed");
	ok(read_at(c, P9_TREAD, 0, 0, 1) == EBADF && write_at(c, 0, 0, "x", 1) == EBADF,
	   "a fid that was never open");
}

static void test_attributes(struct client *c)
{
	struct stat st;

	close(open(path_of("attr"), O_CREAT | O_WRONLY, 0600));
	ok(!walk(c, 0, 1, "attr") && !getattr(c, 1) && reader_le64(&c->got) == 0x7ff &&
		   c->got.left == 160 - 7 - 8,
	   "attributes");
	reader_get(&c->got, (uint8_t[P9_QID]){ 0 }, P9_QID);
	ok(reader_le32(&c->got) == (S_IFREG | 0600) && reader_le32(&c->got) == 0 &&
		   reader_le32(&c->got) == 0 && reader_le64(&c->got) == 1,
	   "mode, owner, group and links");
	ok(!setattr(c, 1, 1 | 8 | 0x10 | 0x20 | 0x80 | 0x100, 0640, 4321) &&
		   !stat(path_of("attr"), &st) && (st.st_mode & 07777) == 0640 &&
		   st.st_size == 4321 && st.st_atim.tv_sec == 1000 && st.st_mtim.tv_sec == 2000 &&
		   st.st_mtim.tv_nsec == 2,
	   "set, all at once");
	ok(!setattr(c, 1, 0x20, 0, 0) && !stat(path_of("attr"), &st) &&
		   st.st_mtim.tv_sec > 1000000 && st.st_atim.tv_sec == 1000,
	   "one time to now");
	ok(!setattr(c, 1, 2 | 4, 0, 0) && !setattr(c, 1, 0, 0, 0) && !setattr(c, 1, 0x40, 0, 0),
	   "given to root, and nothing, and a ctime");
	ok(setattr(c, 1, 8, 0, UINT64_MAX) == EFBIG, "not larger than files are");
	ok(setattr(c, 0, 8, 0, 0) == EISDIR, "a directory has no size");
	ok(!with_fid(c, P9_TSTATFS, 0) && c->got.left == 60, "its file system");
	ok(!clunk(c, 1) && getattr(c, 1) == EBADF && setattr(c, 1, 0, 0, 0) == EBADF &&
		   with_fid(c, P9_TSTATFS, 1) == EBADF,
	   "of fids only");
}

static void test_names(struct client *c)
{
	static const char *const bad[] = { "", ".", "..", "a/b", "../x", "/x" };
	char target[16] = "";
	struct stat st;
	bool so = true;

	ok(!mkdir_in(c, 0, "dir") && reader_u8(&c->got) == 0x80 && mkdir_in(c, 0, "dir") == EEXIST,
	   "a directory");
	ok(!symlink_in(c, 0, "link", "../nowhere") && reader_u8(&c->got) == 2 &&
		   !walk(c, 0, 1, "link") && !with_fid(c, P9_TREADLINK, 1) &&
		   reader_le16(&c->got) == 10,
	   "a link");
	reader_get(&c->got, target, 10);
	ok(!strcmp(target, "../nowhere") && lopen(c, 1, O_RDONLY) == ELOOP &&
		   walk(c, 1, 2, "x") == ENOTDIR,
	   "which is text, and is not followed");
	ok(with_fid(c, P9_TREADLINK, 0) != 0, "a directory is none");
	ok(!mknod_in(c, 0, "fifo", S_IFIFO | 0600) && !mknod_in(c, 0, "sock", S_IFSOCK | 0600) &&
		   !mknod_in(c, 0, "reg", S_IFREG | 0600),
	   "a FIFO, a socket, a file");
	ok(mknod_in(c, 0, "chr", S_IFCHR | 0600) == EPERM &&
		   mknod_in(c, 0, "blk", S_IFBLK | 0600) == EPERM,
	   "no devices");
	ok(!walk(c, 0, 2, "fifo") && lopen(c, 2, O_RDONLY) == ENXIO && lopen(c, 2, O_RDWR) == ENXIO,
	   "a FIFO is not opened");
	if (!mknod(path_of("device"), S_IFCHR | 0666, makedev(1, 3)))
		ok(!walk(c, 0, 3, "device") && lopen(c, 3, O_RDWR) == ENXIO && !clunk(c, 3),
		   "nor is a device");
	ok(!walk(c, 0, 3, "reg") && !walk(c, 0, 4, "dir") && !link_in(c, 4, 3, "hard") &&
		   !stat(path_of("dir/hard"), &st) && st.st_nlink == 2,
	   "a hard link");
	ok(!renameat_in(c, 0, "reg", 4, "moved") && !lopen(c, 3, O_RDWR) &&
		   !write_at(c, 3, 0, "moved", 5) && !rename_in(c, 3, 0, "back") &&
		   !access(path_of("back"), F_OK) && reads(c, 3, 0, "moved"),
	   "renamed, open or not");
	ok(unlinkat_in(c, 0, "dir", 0) == EISDIR &&
		   unlinkat_in(c, 0, "dir", REMOVE_DIR) == ENOTEMPTY &&
		   unlinkat_in(c, 0, "dir", 1) == EINVAL && unlinkat_in(c, 4, "none", 0) == ENOENT,
	   "what is not unlinked");
	ok(!unlinkat_in(c, 4, "hard", 0) && !with_fid(c, P9_TREMOVE, 4) && clunk(c, 4) == EBADF &&
		   access(path_of("dir"), F_OK),
	   "a directory is removed, and its fid");
	ok(!walk(c, 0, 4, NULL) && with_fid(c, P9_TREMOVE, 4) == EBUSY && clunk(c, 4) == EBADF,
	   "the root is not; its fid is");
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		so &= mkdir_in(c, 0, bad[i]) == EINVAL && symlink_in(c, 0, bad[i], "x") == EINVAL &&
		      mknod_in(c, 0, bad[i], S_IFREG | 0600) == EINVAL &&
		      lcreate(c, 0, bad[i], O_RDWR) == EINVAL &&
		      link_in(c, 0, 3, bad[i]) == EINVAL &&
		      renameat_in(c, 0, "back", 0, bad[i]) == EINVAL &&
		      renameat_in(c, 0, bad[i], 0, "back") == EINVAL &&
		      rename_in(c, 3, 0, bad[i]) == EINVAL &&
		      unlinkat_in(c, 0, bad[i], 0) == EINVAL &&
		      unlinkat_in(c, 0, bad[i], REMOVE_DIR) == EINVAL;
	ok(so, "names that are none, wherever there is one");
	ok(mkdir_in(c, 3, "x") == ENOTDIR && lcreate(c, 2, "x", O_RDWR) == ENOTDIR,
	   "nothing is in a file");
	ok(!clunk(c, 1) && !clunk(c, 2) && !clunk(c, 3), "done");
}

static void test_readdir(struct client *c)
{
	make_many();
	ok(!walk(c, 0, 1, "many") && read_at(c, P9_TREADDIR, 1, 0, 4096) == EBADF &&
		   !lopen(c, 1, O_RDONLY | 0200000),
	   "a directory is opened");
	ok(list(c, 1, 65536) == 1028 && list(c, 1, 400) == 1028 && list(c, 1, 5000) == 1028,
	   "a thousand entries, from the beginning each time");
	ok(read_at(c, P9_TREADDIR, 1, 0, 10) == EINVAL, "no room for one");
	ok(read_at(c, P9_TREAD, 1, 0, 10) == EISDIR, "it is no file");
	ok(!clunk(c, 1) && !walk(c, 0, 1, "many") && lopen(c, 1, O_WRONLY) == EISDIR &&
		   !clunk(c, 1),
	   "nor is it written");
	close(open(path_of("plain"), O_CREAT | O_WRONLY, 0600));
	ok(!walk(c, 0, 1, "plain") && lopen(c, 1, 0200000) == ENOTDIR && !lopen(c, 1, O_RDONLY) &&
		   read_at(c, P9_TREADDIR, 1, 0, 4096) == ENOTDIR && !clunk(c, 1),
	   "a file is no directory");
}

static void test_xattrs(struct client *c)
{
	const char *name = geteuid() ? "user.test" : "trusted.test";
	int rc;

	close(open(path_of("x"), O_CREAT | O_WRONLY, 0600));
	if (walk(c, 0, 1, "x") || walk(c, 1, 2, NULL))
		ok(false, "walked");
	ok(!xattrcreate(c, 2, name, 5, 0) && !write_at(c, 2, 0, "va", 2) &&
		   write_at(c, 2, 1, "x", 1) == ENOSPC && write_at(c, 2, 2, "long", 4) == ENOSPC &&
		   read_at(c, P9_TREAD, 2, 0, 1) == EBADF && !write_at(c, 2, 2, "lue", 3),
	   "a value is written");
	rc = clunk(c, 2);
	if (rc == EOPNOTSUPP) {
		ok(true, "# SKIP no extended attributes here");
		clunk(c, 1);
		return;
	}
	ok(!rc && !xattrwalk(c, 1, 2, name) && reader_le64(&c->got) == 5 &&
		   reads(c, 2, 0, "value") && reads(c, 2, 3, "ue") && reads(c, 2, 5, "") &&
		   write_at(c, 2, 0, "x", 1) == EBADF,
	   "and read");
	ok(lopen(c, 2, O_RDONLY) == EBUSY && !clunk(c, 2), "it is no file");
	ok(!xattrwalk(c, 1, 2, "") && reader_le64(&c->got) > strlen(name) && !clunk(c, 2),
	   "listed");
	ok(!walk(c, 1, 2, NULL) && !xattrcreate(c, 2, name, 5, 1) &&
		   !write_at(c, 2, 0, "other", 5) && clunk(c, 2) == EEXIST,
	   "one that must be new");
	ok(!walk(c, 1, 2, NULL) && !xattrcreate(c, 2, name, 5, 0) && !write_at(c, 2, 0, "cut", 3) &&
		   clunk(c, 2) == EINVAL && !xattrwalk(c, 1, 2, name) && reads(c, 2, 0, "value") &&
		   !clunk(c, 2),
	   "half of a value changes nothing");
	ok(!walk(c, 1, 2, NULL) && !xattrcreate(c, 2, name, 0, 2) && !clunk(c, 2) &&
		   xattrwalk(c, 1, 2, name) == ENODATA,
	   "removed");
	ok(!walk(c, 1, 2, NULL) && xattrcreate(c, 2, name, 65537, 0) == E2BIG &&
		   xattrcreate(c, 2, name, 1, 8) == EINVAL && !clunk(c, 2),
	   "too long, or with unknown flags");
	clunk(c, 1);
}

/* A file that Linux's client would not let get so far. */
static void test_malformed(struct client *c, struct machine *m)
{
	static const uint8_t types[] = {
		P9_TSTATFS,  P9_TLOPEN,	   P9_TLCREATE,	 P9_TSYMLINK, P9_TMKNOD,
		P9_TRENAME,  P9_TREADLINK, P9_TGETATTR,	 P9_TSETATTR, P9_TXATTRWALK,
		P9_TREADDIR, P9_TLOCK,	   P9_TGETLOCK,	 P9_TLINK,    P9_TMKDIR,
		P9_TWALK,    P9_TRENAMEAT, P9_TUNLINKAT, P9_TREAD,    P9_TWRITE,
		P9_TCLUNK,   P9_TREMOVE,   P9_TATTACH,	 P9_TVERSION, P9_TXATTRCREATE,
	};
	unsigned int wrong = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(types); i++) {
		begin(c, types[i]);
		put(c, 0, 3);
		wrong += call(c) != EPROTO;
	}
	ok(!wrong, "messages cut short (%u were taken)", wrong);
	wrong = 0;
	for (unsigned int type = 0; type < 256; type += 2) {
		begin(c, (uint8_t)type);
		put(c, 99, 4);
		wrong += call(c) <= 0 && type != P9_TFLUSH;
	}
	ok(!wrong, "types of all kinds, of a fid that is none (%u were taken)", wrong);
	begin(c, P9_TFLUSH);
	put(c, 7, 2);
	ok(!call(c), "nothing is left to flush");
	begin(c, P9_TCLUNK);
	put(c, 0, 4);
	put_le32(c->out, 3);
	ok(exchange(c, 11, ROOM) == EPROTO, "a message shorter than its header");
	put_le32(c->out, 12);
	ok(exchange(c, 11, ROOM) == EPROTO, "one longer than what came");
	put_le32(c->out, UINT32_MAX);
	ok(exchange(c, 11, ROOM) == EPROTO, "one of 4 GiB");
	begin(c, P9_TSYMLINK);
	put(c, 0, 4);
	put_string(c, "long");
	memset(c->out + c->len, 'x', 9000);
	put_le16(c->out + c->len, 9000);
	c->len += 9002;
	put(c, 0, 4);
	ok(call(c) == EMSGSIZE, "one that is too long");
	begin(c, P9_TWRITE);
	put(c, 0, 4);
	put(c, 0, 8);
	put(c, 100, 4);
	put(c, 0, 1);
	ok(call(c) == EPROTO, "data that are not there");
	begin(c, P9_TGETATTR);
	put(c, 0, 4);
	put(c, 0x7ff, 8);
	put_le32(c->out, c->len);
	ok(exchange(c, c->len, 100) == EMSGSIZE && c->used == 11, "an answer that has no room");
	ok(exchange(c, c->len, 160) == 0, "and one that just has");
	ok(!getattr(c, 0), "after all that it lives");
	offer(c, c->len, 10);
	ok(driver_wait_status(m, VIRTIO_CONFIG_S_NEEDS_RESET), "no room for an error: needs reset");
	driver_start(m, 1, 1, SIZE);
	ok(attach(c, 0) == EPROTO && !version(c, 65536, "9P2000.L") && !attach(c, 0),
	   "which ends the session");
	offer(c, 6, ROOM);
	ok(driver_wait_status(m, VIRTIO_CONFIG_S_NEEDS_RESET), "no header: needs reset");
	driver_start(m, 1, 1, SIZE);
	if (version(c, 65536, "9P2000.L") || attach(c, 0))
		ok(false, "a new session");
}

static void test_dirty(struct machine *m, struct client *c)
{
	int fd = open(path_of("dirty"), O_CREAT | O_WRONLY | O_TRUNC, 0600);

	if (ftruncate(fd, 3 * 4096) || walk(c, 0, 1, "dirty") || lopen(c, 1, O_RDONLY))
		ok(false, "a file of three pages");
	close(fd);
	machine_dirty_pages(m, true);
	ok(!read_at(c, P9_TREAD, 1, 0, 3 * 4096) && mem_test_dirty(&m->mem, IN, false) &&
		   mem_test_dirty(&m->mem, IN + 3 * 4096, false) &&
		   machine_dirty_pages(m, true) == 5,
	   "what was read is marked dirty, and the used ring");
	clunk(c, 1);
}

int main(void)
{
	struct p9_config long_tag = { .name = "9p", .tag = "01234567890123456789012345678901" };
	struct virtio_dev *dev;
	struct device *device;
	struct machine m;
	struct client c;
	struct err err = { "" };

	if (!make_share())
		return 1;
	dev = plug(&m, &c, false);
	test_config(&m);
	test_version(&c);
	test_walk(&c);
	test_files(&c);
	test_attributes(&c);
	test_names(&c);
	test_readdir(&c);
	test_xattrs(&c);
	test_malformed(&c, &m);
	test_dirty(&m, &c);
	long_tag.dir = dir;
	ok(virtio_9p_type.create(&m.env, &long_tag, &device, &err) == -EINVAL, "refused: %s",
	   err.text);
	device_unplug(dev);
	machine_tear_down(&m);
	remove_share();
	return done_testing();
}
