/* SPDX-License-Identifier: MIT */
/* virtio/9p, as a client sees it, on a real directory. */
#include "virtio/9p.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/virtio_ids.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "tests/unit/driver.h"
#include "virtio/9p-session.h"

#define SIZE 16
#define OUT DATA
#define IN (DATA + 2 * MIB)
#define ROOM (600 * KIB) /* for either */
#define REMOVE_DIR 0x200

struct client {
	struct machine *m;
	uint8_t *out;
	const uint8_t *in;
	uint32_t len;	   /* of the message that is being made */
	uint32_t used;	   /* of the last answer */
	struct reader got; /* its fields */
};

static char dir[64];

static const char *path_of(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* ---- Messages ---- */

static void put(struct client *c, uint64_t v, uint32_t bytes)
{
	put_le(c->out + c->len, v, bytes);
	c->len += bytes;
}

static void put_bytes(struct client *c, const void *data, size_t len)
{
	memcpy(c->out + c->len, data, len);
	c->len += (uint32_t)len;
}

static void put_string(struct client *c, const char *s)
{
	put(c, strlen(s), 2);
	put_bytes(c, s, strlen(s));
}

static void begin(struct client *c, uint8_t type)
{
	c->len = 4;
	put(c, type, 1);
	put(c, 0x1234, 2);
}

/* `out_len` bytes of what was made, in pieces, with `in_len` bytes for the answer. */
static void offer(struct client *c, uint32_t out_len, uint32_t in_len)
{
	uint32_t first = MIN(out_len, 5u);

	driver_desc(c->m, 0, 0, OUT, first, false, true);
	driver_desc(c->m, 0, 1, OUT + first, MAX(out_len - first, 1u), false, true);
	driver_desc(c->m, 0, 2, IN, MIN(in_len, 9u), true, in_len > 9);
	if (in_len > 9)
		driver_desc(c->m, 0, 3, IN + 9, in_len - 9, true, false);
	driver_offer(c->m, 0, SIZE, 0);
	driver_kick(c->m, 0);
}

/* The error of its answer, 0 for none, -1 when there is no right answer. */
static int exchange(struct client *c, uint32_t out_len, uint32_t in_len)
{
	uint16_t n = ring_avail(c->m, 0)->idx;
	uint8_t type = c->out[4];

	memset((void *)c->in, 0xee, 64);
	offer(c, out_len, in_len);
	if (!driver_wait_used(c->m, 0, n + 1))
		return -1;
	c->used = ring_used(c->m, 0)->ring[n % SIZE].len;
	if (c->used < P9_HEADER || get_le32(c->in) != c->used || get_le16(c->in + 5) != 0x1234)
		return -1;
	c->got = (struct reader){ .p = c->in + P9_HEADER, .left = c->used - P9_HEADER };
	if (c->in[4] == P9_RLERROR)
		return (int)reader_le32(&c->got);
	return c->in[4] == type + 1 ? 0 : -1;
}

static int call(struct client *c)
{
	put_le32(c->out, c->len);
	return exchange(c, c->len, ROOM);
}

static int version(struct client *c, uint32_t msize, const char *name)
{
	begin(c, P9_TVERSION);
	put(c, msize, 4);
	put_string(c, name);
	return call(c);
}

static int attach(struct client *c, uint32_t fid)
{
	begin(c, P9_TATTACH);
	put(c, fid, 4);
	put(c, P9_NO_FID, 4);
	put_string(c, "");
	put_string(c, "");
	put(c, 0, 4);
	return call(c);
}

static int walk(struct client *c, uint32_t fid, uint32_t new_fid, const char *name)
{
	begin(c, P9_TWALK);
	put(c, fid, 4);
	put(c, new_fid, 4);
	put(c, name ? 1 : 0, 2);
	if (name)
		put_string(c, name);
	return call(c);
}

static int clunk(struct client *c, uint32_t fid)
{
	begin(c, P9_TCLUNK);
	put(c, fid, 4);
	return call(c);
}

static int lopen(struct client *c, uint32_t fid, uint32_t flags)
{
	begin(c, P9_TLOPEN);
	put(c, fid, 4);
	put(c, flags, 4);
	return call(c);
}

static int lcreate(struct client *c, uint32_t fid, const char *name, uint32_t flags)
{
	begin(c, P9_TLCREATE);
	put(c, fid, 4);
	put_string(c, name);
	put(c, flags, 4);
	put(c, 0644, 4);
	put(c, getegid(), 4);
	return call(c);
}

static int read_at(struct client *c, uint8_t type, uint32_t fid, uint64_t offset, uint32_t count)
{
	begin(c, type);
	put(c, fid, 4);
	put(c, offset, 8);
	put(c, count, 4);
	return call(c);
}

static int write_at(struct client *c, uint32_t fid, uint64_t offset, const void *data, uint32_t len)
{
	begin(c, P9_TWRITE);
	put(c, fid, 4);
	put(c, offset, 8);
	put(c, len, 4);
	put_bytes(c, data, len);
	return call(c);
}

static bool reads(struct client *c, uint32_t fid, uint64_t offset, const char *text)
{
	uint32_t len = (uint32_t)strlen(text);

	return !read_at(c, P9_TREAD, fid, offset, 65536) && reader_le32(&c->got) == len &&
	       c->got.left == len && !memcmp(c->got.p, text, len);
}

static int getattr(struct client *c, uint32_t fid)
{
	begin(c, P9_TGETATTR);
	put(c, fid, 4);
	put(c, 0x7ff, 8);
	return call(c);
}

static int setattr(struct client *c, uint32_t fid, uint32_t valid, uint32_t mode, uint64_t size)
{
	begin(c, P9_TSETATTR);
	put(c, fid, 4);
	put(c, valid, 4);
	put(c, mode, 4);
	put(c, 0, 4);
	put(c, 0, 4);
	put(c, size, 8);
	put(c, 1000, 8);
	put(c, 1, 8);
	put(c, 2000, 8);
	put(c, 2, 8);
	return call(c);
}

static int mkdir_in(struct client *c, uint32_t fid, const char *name)
{
	begin(c, P9_TMKDIR);
	put(c, fid, 4);
	put_string(c, name);
	put(c, 0755, 4);
	put(c, getegid(), 4);
	return call(c);
}

static int mknod_in(struct client *c, uint32_t fid, const char *name, uint32_t mode)
{
	begin(c, P9_TMKNOD);
	put(c, fid, 4);
	put_string(c, name);
	put(c, mode, 4);
	put(c, 1, 4);
	put(c, 3, 4);
	put(c, getegid(), 4);
	return call(c);
}

static int symlink_in(struct client *c, uint32_t fid, const char *name, const char *target)
{
	begin(c, P9_TSYMLINK);
	put(c, fid, 4);
	put_string(c, name);
	put_string(c, target);
	put(c, getegid(), 4);
	return call(c);
}

static int link_in(struct client *c, uint32_t to, uint32_t fid, const char *name)
{
	begin(c, P9_TLINK);
	put(c, to, 4);
	put(c, fid, 4);
	put_string(c, name);
	return call(c);
}

static int renameat_in(struct client *c, uint32_t from, const char *name, uint32_t to,
		       const char *new_name)
{
	begin(c, P9_TRENAMEAT);
	put(c, from, 4);
	put_string(c, name);
	put(c, to, 4);
	put_string(c, new_name);
	return call(c);
}

static int rename_in(struct client *c, uint32_t fid, uint32_t to, const char *name)
{
	begin(c, P9_TRENAME);
	put(c, fid, 4);
	put(c, to, 4);
	put_string(c, name);
	return call(c);
}

static int unlinkat_in(struct client *c, uint32_t fid, const char *name, uint32_t flags)
{
	begin(c, P9_TUNLINKAT);
	put(c, fid, 4);
	put_string(c, name);
	put(c, flags, 4);
	return call(c);
}

static int with_fid(struct client *c, uint8_t type, uint32_t fid)
{
	begin(c, type);
	put(c, fid, 4);
	return call(c);
}

static int xattrwalk(struct client *c, uint32_t fid, uint32_t new_fid, const char *name)
{
	begin(c, P9_TXATTRWALK);
	put(c, fid, 4);
	put(c, new_fid, 4);
	put_string(c, name);
	return call(c);
}

static int xattrcreate(struct client *c, uint32_t fid, const char *name, uint64_t size,
		       uint32_t flags)
{
	begin(c, P9_TXATTRCREATE);
	put(c, fid, 4);
	put_string(c, name);
	put(c, size, 8);
	put(c, flags, 4);
	return call(c);
}

/* What became of it: 0 locked, 1 blocked, 2 failed; -1 for another answer. */
static int lock(struct client *c, uint32_t fid, uint8_t type, uint64_t start, uint64_t len,
		uint32_t owner)
{
	begin(c, P9_TLOCK);
	put(c, fid, 4);
	put(c, type, 1);
	put(c, 1, 4);
	put(c, start, 8);
	put(c, len, 8);
	put(c, owner, 4);
	put_string(c, "guest");
	return call(c) ? -1 : reader_u8(&c->got);
}

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

/* Counts its entries, by messages of `count` bytes; -1: one comes twice, or is misshapen. */
static int list(struct client *c, uint32_t fid, uint32_t count)
{
	static bool seen[1000];
	uint64_t offset = 0;
	int n = 0;

	memset(seen, 0, sizeof(seen));
	for (;;) {
		uint32_t len;
		char name[256];

		if (read_at(c, P9_TREADDIR, fid, offset, count))
			return -1;
		len = reader_le32(&c->got);
		if (len != c->got.left || len > count)
			return -1;
		if (!len)
			return n;
		while (c->got.left) {
			uint32_t number;
			uint16_t size;

			reader_get(&c->got, name, P9_QID);
			offset = reader_le64(&c->got);
			reader_u8(&c->got);
			size = reader_le16(&c->got);
			reader_get(&c->got, name, MIN(size, (uint16_t)255));
			name[size] = 0;
			n++;
			if (sscanf(name, "entry-%u", &number) != 1)
				continue;
			if (number >= ARRAY_SIZE(seen) || seen[number])
				return -1;
			seen[number] = true;
		}
	}
}

static void test_readdir(struct client *c)
{
	char name[64];

	mkdir(path_of("many"), 0755);
	for (int i = 0; i < 1000; i++) {
		/* Names of many lengths, the shortest among them. */
		snprintf(name, sizeof(name), "many/entry-%d%.*s", i, i % 29,
			 "-----------------------------");
		close(open(path_of(name), O_CREAT | O_WRONLY, 0600));
	}
	for (char ch = 'a'; ch <= 'z'; ch++) {
		snprintf(name, sizeof(name), "many/%c%c%c%c", ch, ch, ch, ch);
		close(open(path_of(name), O_CREAT | O_WRONLY, 0600));
	}
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

static void test_read_only(struct client *c)
{
	struct stat before, after;
	bool so = true;

	stat(path_of("attr"), &before);
	so &= !walk(c, 0, 1, "attr");
	so &= lopen(c, 1, O_WRONLY) == EROFS && lopen(c, 1, O_RDWR) == EROFS;
	so &= lopen(c, 1, O_RDONLY | 01000) == EROFS;
	so &= lcreate(c, 0, "new", O_RDONLY) == EROFS;
	so &= mkdir_in(c, 0, "new") == EROFS && mknod_in(c, 0, "new", S_IFREG) == EROFS;
	so &= symlink_in(c, 0, "new", "x") == EROFS && link_in(c, 0, 1, "new") == EROFS;
	so &= rename_in(c, 1, 0, "new") == EROFS && renameat_in(c, 0, "attr", 0, "new") == EROFS;
	so &= unlinkat_in(c, 0, "attr", 0) == EROFS &&
	      unlinkat_in(c, 0, "many", REMOVE_DIR) == EROFS;
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

/* What has a name is found again, open or not. */
static void test_saved(struct client *c, struct virtio_dev *dev)
{
	bool so = !version(c, 65536, "9P2000.L") && !attach(c, 0) && !mkdir_in(c, 0, "saved");

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

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static struct virtio_dev *plug(struct machine *m, struct client *c, bool read_only)
{
	struct p9_config config = {
		.name = "9p", .tag = "tag", .dir = dir, .read_only = read_only
	};
	struct virtio_dev *dev;

	machine_set_up(m, -1);
	dev = machine_plug(m, &virtio_9p_type, &config);
	*c = (struct client){ .m = m };
	c->out = mem_at(&m->mem, OUT, ROOM, MEM_W);
	c->in = mem_at(&m->mem, IN, ROOM, MEM_R);
	driver_start(m, 1, 1, SIZE);
	return dev;
}

int main(void)
{
	struct p9_config long_tag = { .name = "9p", .tag = "01234567890123456789012345678901" };
	struct virtio_dev *dev;
	struct device *device;
	struct machine m;
	struct client c;
	struct err err = { "" };

	snprintf(dir, sizeof(dir), "%s/kindling-9p-XXXXXX",
		 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(dir)) {
		printf("Bail out! no directory\n");
		return 1;
	}
	dev = plug(&m, &c, false);
	test_config(&m);
	test_version(&c);
	test_walk(&c);
	test_files(&c);
	test_attributes(&c);
	test_names(&c);
	test_readdir(&c);
	test_locks(&c);
	test_xattrs(&c);
	test_malformed(&c, &m);
	test_dirty(&m, &c);
	test_many_fids();
	test_saved(&c, dev);
	long_tag.dir = dir;
	ok(virtio_9p_type.create(&m.env, &long_tag, &device, &err) == -EINVAL, "refused: %s",
	   err.text);
	device_unplug(dev);
	machine_tear_down(&m);
	dev = plug(&m, &c, true);
	if (version(&c, 65536, "9P2000.L") || attach(&c, 0))
		ok(false, "a session");
	test_read_only(&c);
	device_unplug(dev);
	machine_tear_down(&m);
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return done_testing();
}
