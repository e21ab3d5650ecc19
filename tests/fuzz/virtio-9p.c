/* SPDX-License-Identifier: MIT */
/*
 * virtio/9p.h behind a transport of the test's own (see lib/virtio.h), on a directory that the host
 * changes meanwhile. Whatever a guest does, it stays in there: what lies beside it is as it was.
 */
#include "virtio/9p.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fuzz/lib/loop.h"
#include "tests/fuzz/lib/virtio.h"
#include "virtio/9p-wire.h"

#define SECRET "what lies outside"

/* For the life of the process. */
static struct outside {
	char base[40], share[56], secret[56];
	int share_fd;
} outside;

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	if (ftw->level)
		remove(path);
	return 0;
}

static void leave_nothing(void)
{
	nftw(outside.base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	rmdir(outside.base);
}

static void make_outside(void)
{
	int fd;

	if (outside.base[0])
		return;
	strcpy(outside.base, "/tmp/kindling-fuzz-9p-XXXXXX");
	CHECK(mkdtemp(outside.base));
	snprintf(outside.share, sizeof(outside.share), "%s/share", outside.base);
	snprintf(outside.secret, sizeof(outside.secret), "%s/secret", outside.base);
	CHECK(!mkdir(outside.share, 0755));
	outside.share_fd = open(outside.share, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = open(outside.secret, O_RDWR | O_CREAT, 0600);
	CHECK(outside.share_fd >= 0 && write(fd, SECRET, sizeof(SECRET)) == sizeof(SECRET));
	close(fd);
	atexit(leave_nothing);
}

/* Nobody has been there. */
static void check_secret(void)
{
	char text[sizeof(SECRET) + 1];
	struct stat st;
	int fd = open(outside.secret, O_RDONLY);

	CHECK(read(fd, text, sizeof(text)) == sizeof(SECRET) &&
	      !memcmp(text, SECRET, sizeof(SECRET)));
	CHECK(!fstat(fd, &st) && st.st_nlink == 1 && (st.st_mode & 07777) == 0600);
	close(fd);
}

static const char *const names[] = { "a", "b", "d", "e", "link", "..", ".", "a/b", "", "secret" };

/* What the host does to the same names. */
static void step(struct input *in, void *opaque)
{
	const char *name = names[take_below(in, 5)], *other = names[take_below(in, 5)];
	int fd = outside.share_fd;

	(void)opaque;
	switch (take_below(in, 6)) {
	case 0:
		close(openat(fd, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
			     0600));
		break;
	case 1:
		mkdirat(fd, name, 0700);
		break;
	case 2:
		if (symlinkat("../secret", fd, name) || symlinkat("..", fd, other))
			break;
		break;
	case 3:
		renameat(fd, name, fd, other);
		break;
	case 4:
		unlinkat(fd, name, take_u8(in) & 1 ? AT_REMOVEDIR : 0);
		break;
	case 5:
		mknodat(fd, name, S_IFIFO | 0600, 0);
		break;
	}
	if (take_u8(in) & 1)
		loops_run();
}

struct message {
	uint8_t *bytes;
	uint32_t len;
};

static void put(struct message *m, uint64_t v, uint32_t bytes)
{
	if (m->len + bytes > 64)
		return;
	put_le(m->bytes + m->len, v, bytes);
	m->len += bytes;
}

static void put_name(struct message *m, struct input *in)
{
	const char *name = names[take_below(in, ARRAY_SIZE(names))];
	uint32_t len = (uint32_t)strlen(name);

	put(m, len, 2);
	for (uint32_t i = 0; i < len; i++)
		put(m, (uint8_t)name[i], 1);
}

/* What each is made of: f a fid, s a name, 1 2 4 8 a number of so many bytes, 0 a small one of 4. */
static const struct {
	uint8_t type;
	const char *fields;
} shapes[] = {
	{ P9_TATTACH, "fF__" },	   { P9_TWALK, "ffW" },		{ P9_TWALK, "ffW" },
	{ P9_TLOPEN, "f0" },	   { P9_TLCREATE, "fs000" },	{ P9_TREAD, "f80" },
	{ P9_TWRITE, "f80" },	   { P9_TREADDIR, "f80" },	{ P9_TCLUNK, "f" },
	{ P9_TREMOVE, "f" },	   { P9_TMKDIR, "fs00" },	{ P9_TMKNOD, "fsM000" },
	{ P9_TSYMLINK, "fss0" },   { P9_TLINK, "ffs" },		{ P9_TRENAME, "ffs" },
	{ P9_TRENAMEAT, "fsfs" },  { P9_TUNLINKAT, "fsR" },	{ P9_TREADLINK, "f" },
	{ P9_TGETATTR, "f8" },	   { P9_TSETATTR, "f000088" },	{ P9_TSTATFS, "f" },
	{ P9_TXATTRWALK, "ffs" },  { P9_TXATTRCREATE, "fs80" }, { P9_TLOCK, "f10880s" },
	{ P9_TGETLOCK, "f1880s" }, { P9_TFSYNC, "f0" },		{ P9_TFLUSH, "2" },
	{ P9_TVERSION, "4" },	   { P9_TAUTH, "f" },
};

static void put_field(struct message *m, struct input *in, char kind)
{
	uint32_t n;

	switch (kind) {
	case 'f':
		put(m, take_below(in, 6), 4);
		break;
	case 'F':
		put(m, P9_NO_FID, 4);
		break;
	case 's':
		put_name(m, in);
		break;
	case '_':
		put(m, 0, 4);
		break;
	case 'W':
		n = take_below(in, 4);
		put(m, n, 2);
		while (n--)
			put_name(m, in);
		break;
	case 'M':
		put(m, (take_u8(in) & 15u) << 12 | 0600, 4);
		break;
	case 'R':
		put(m, take_u8(in) & 1 ? 0x200 : 0, 4);
		break;
	case '0':
		put(m, take_u8(in), 4);
		break;
	case '1':
		put(m, take_u8(in) & 3, 1);
		break;
	case '2':
		put(m, take_u16(in), 2);
		break;
	case '4':
		put(m, take_u32(in), 4);
		break;
	case '8':
		put(m, take_u8(in) & 1 ? take_u64(in) : take_u8(in), 8);
		break;
	}
}

static uint32_t header(struct input *in, uint8_t out[64])
{
	static const uint8_t version[] = { 21, 0, 0,   0,   P9_TVERSION, 1,   0,   0,	0,   1,	 0,
					   8,  0, '9', 'P', '2',	 '0', '0', '0', '.', 'L' };
	struct message m = { out, 7 };
	uint32_t which = take_below(in, ARRAY_SIZE(shapes) + 2);

	if (which >= ARRAY_SIZE(shapes)) {
		memcpy(out, version, sizeof(version));
		return sizeof(version);
	}
	memset(out, 0, 64);
	for (const char *f = shapes[which].fields; *f; f++)
		put_field(&m, in, *f);
	/* It may say any length: mostly that of all that comes. */
	put_le32(out, take_below(in, 8) ? m.len : take_u16(in));
	out[4] = shapes[which].type;
	return m.len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct p9_config config = { .name = "virtio-9p.0", .tag = "share" };
	struct virtio_fuzz fuzz = {
		.type = &virtio_9p_type, .config = &config, .step = step, .header = header
	};
	struct input in = { data, size };
	int before, after;

	make_outside();
	config.dir = outside.share;
	config.read_only = take_below(&in, 8) == 0;
	before = dup(0);
	close(before);
	virtio_fuzz_run(&in, &fuzz);
	/* Nobody has forgotten a file. */
	after = dup(0);
	close(after);
	CHECK(before == after);
	check_secret();
	nftw(outside.share, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}
