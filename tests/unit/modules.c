/* SPDX-License-Identifier: MIT */
/* Trees of modules, honest and not; and which kernel an image is. */
#include "guest/modules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "guest/release.h"
#include "guest/unpack.h"
#include "tests/unit/tap.h"
#include "util/util.h"

#define KO "\177ELF a module"

static void put(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write_full(fd, data, len))
		ok(false, "writing %s", path);
	close(fd);
}

/* In the current folder. */
static bool open_tree(struct module_tree *t, const char *dep, const char *builtin)
{
	put("modules.dep", dep, strlen(dep));
	unlink("modules.builtin");
	if (builtin)
		put("modules.builtin", builtin, strlen(builtin));
	return modules_open(".", t);
}

/* "c b a", the names that are asked for added one by one. */
static const char *order_of(const char *dep, const char *const names[], int *rc)
{
	static char text[4096];
	struct module_list list = { .n = 0 };
	struct module_tree t;
	struct err err = { "" };

	text[0] = 0;
	*rc = open_tree(&t, dep, NULL) ? 0 : -ENOENT;
	for (; !*rc && *names; names++)
		*rc = modules_add(&t, *names, &list, &err);
	for (unsigned int i = 0; i < list.n; i++) {
		size_t len = strlen(text);

		if (i)
			text[len++] = ' ';
		modules_name(&list.files[i], text + len, MIN(sizeof(text) - len, (size_t)32));
	}
	if (*rc)
		printf("# %s\n", err.text);
	modules_close(&t);
	return text;
}

static void expect(const char *what, const char *dep, const char *const names[], int rc,
		   const char *order)
{
	int got_rc;
	const char *got = order_of(dep, names, &got_rc);
	bool same = got_rc == rc && (rc || !strcmp(got, order));

	ok(same, "%s", what);
	if (!same)
		printf("# %d, \"%s\"\n", got_rc, got);
}

#define NAMES(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void test_order(void)
{
	expect("what is needed comes before, the last first",
	       "k/c.ko: k/b.ko k/a.ko\nk/b.ko: k/a.ko\nk/a.ko:\n", NAMES("c"), 0, "a b c");
	expect("also where a line doesn't tell all", "c.ko: b.ko\nb.ko: a.ko\na.ko:\n", NAMES("c"),
	       0, "a b c");
	expect("each once", "c.ko: a.ko\nb.ko: a.ko\na.ko:\n", NAMES("b", "c", "a", "b"), 0,
	       "a b c");
	expect("- is _, packed or not", "x/virtio-ring.ko.xz:\nx/a_b.ko.zst: x/virtio-ring.ko.xz\n",
	       NAMES("a-b", "virtio_ring"), 0, "virtio-ring a_b");
	expect("a name is a whole name", "xa.ko:\nab.ko:\na.kox/b.ko:\na.ko:\n", NAMES("a"), 0,
	       "a");
	expect("what is not there adds nothing", "a.ko:\n", NAMES("b"), 0, "");
	expect("no end of line at the end", "b.ko:\na.ko: b.ko", NAMES("a"), 0, "b a");
	expect("more blanks", "a.ko:   b.ko   c.ko  \nb.ko:\nc.ko:\n", NAMES("a"), 0, "c b a");
	expect("a file without a line of its own", "a.ko: b.ko\n", NAMES("a"), 0, "b a");
}

static void test_hostile_tables(void)
{
	char *chain = malloc(200 * 32), *fan = malloc(200 * 32);
	size_t len = 0, fan_len = (size_t)sprintf(fan, "m0.ko:");

	expect("a circle", "a.ko: b.ko\nb.ko: c.ko\nc.ko: a.ko\n", NAMES("a"), 0, "c b a");
	expect("one that needs itself", "a.ko: a.ko a.ko\n", NAMES("a"), 0, "a");
	expect("all need all", "a.ko: a.ko b.ko c.ko\nb.ko: a.ko b.ko c.ko\nc.ko: a.ko b.ko c.ko\n",
	       NAMES("a"), 0, "b c a");
	expect("a way out", "a.ko: ../../etc/b.ko\n", NAMES("a"), -EINVAL, "");
	expect("another", "a.ko: /etc/b.ko\n", NAMES("a"), -EINVAL, "");
	expect("and one by the first word", "../a.ko:\n", NAMES("a"), -EINVAL, "");
	expect("no colon, no colon at all", "a.ko\n\n:\n::\n \n", NAMES("a"), 0, "");
	for (int i = 0; i < 200; i++) {
		len += (size_t)sprintf(chain + len, "m%d.ko: m%d.ko\n", i, i + 1);
		fan_len += (size_t)sprintf(fan + fan_len, " m%d.ko", i + 1);
	}
	expect("a long chain", chain, NAMES("m0"), -E2BIG, "");
	expect("a chain that just fits", chain, NAMES("m190"), 0,
	       "m200 m199 m198 m197 m196 m195 m194 m193 m192 m191 m190");
	expect("a wide one", fan, NAMES("m0"), -E2BIG, "");
	free(chain);
	free(fan);
}

static void test_states(void)
{
	struct module_tree t;

	ok(open_tree(&t, "k/a.ko:\n", "kernel/fs/9p/9p.ko\nkernel/b-c.ko"), "a tree");
	ok(modules_state(&t, "a") == MODULE_FILE, "a file");
	ok(modules_state(&t, "9p") == MODULE_BUILTIN && modules_state(&t, "b_c") == MODULE_BUILTIN,
	   "built in");
	ok(modules_state(&t, "p") == MODULE_NONE && modules_state(&t, "") == MODULE_NONE,
	   "not there");
	modules_close(&t);
	ok(open_tree(&t, "k/a.ko:\n", NULL) && modules_state(&t, "9p") == MODULE_NONE,
	   "without a list of what is built in");
	modules_close(&t);
	ok(!modules_open("/nonexistent", &t), "no tree");
}

/* ---- Files ---- */

static int read_one(const char *name, struct buf *out, struct err *err)
{
	struct module_list list = { .n = 0 };
	struct module_tree t;
	int rc = modules_open(".", &t) ? modules_add(&t, name, &list, err) : -ENOENT;

	if (!rc)
		rc = list.n == 1 ? modules_read(&t, &list.files[0], out, err) : -EDOM;
	modules_close(&t);
	return rc;
}

static void test_files(void)
{
	static const char gone[] = "a.ko:\nb.ko.gz:\nc.ko:\nd.ko.gz:\ne.ko:\n";
	gzFile gz = gzopen("b.ko.gz", "w");
	struct buf out = { 0 };
	struct err err = { "" };

	gzwrite(gz, KO, sizeof(KO));
	gzclose(gz);
	put("modules.dep", gone, strlen(gone));
	put("a.ko", KO, sizeof(KO));
	put("c.ko", "not a module", 12);
	put("d.ko.gz", "\x1f\x8b\x08 damaged", 12);
	ok(!read_one("a", &out, &err) && out.len == sizeof(KO) && !memcmp(out.data, KO, out.len),
	   "a plain file");
	out.len = 0;
	if (unpacker_for_kind(IMAGE_GZIP))
		ok(!read_one("b", &out, &err) && out.len == sizeof(KO) &&
			   !memcmp(out.data, KO, out.len),
		   "a packed one is unpacked");
	ok(read_one("c", &out, &err) == -ENOEXEC && strstr(err.text, "c.ko"), "no module: %s",
	   err.text);
	ok(read_one("d", &out, &err) < 0 && strstr(err.text, "d.ko.gz"), "damaged: %s", err.text);
	ok(read_one("e", &out, &err) == -ENOENT && strstr(err.text, "e.ko"), "gone: %s", err.text);
	buf_free(&out);
}

/* ---- Releases ---- */

static void test_releases(void)
{
	static const char image[] =
		"....Linux version %s (%s) ....Linux version 6.1.0-9-x (me@here) #1....";
	static const char long_one[] =
		"Linux version 6.12345678901234567890123456789012345678901234567890123456789012345 ";
	char release[RELEASE_MAX], bz[0x400] = "";

	ok(release_of_image(image, sizeof(image), release) && !strcmp(release, "6.1.0-9-x"),
	   "the banner of an image, not its format");
	ok(!release_of_image(image, 40, release), "cut short: none");
	ok(!release_of_image("Linux version 6.1/../x y", 24, release), "no slash in a release");
	ok(!release_of_image(long_one, sizeof(long_one), release), "none too long");
	ok(!release_of_image("", 0, release), "nothing");
	memcpy(bz + 0x1fe, "\x55\xaa", 2);
	memcpy(bz + 0x202, "HdrS\x0f\x02", 6);
	put_le16(bz + 0x20e, 0x100);
	strcpy(bz + 0x300, "5.10.0-8-amd64 (debian) #1");
	ok(release_of_image(bz, sizeof(bz), release) && !strcmp(release, "5.10.0-8-amd64"),
	   "a bzImage says it in its header");
	put_le16(bz + 0x20e, 0xffff);
	ok(!release_of_image(bz, sizeof(bz), release), "one that points outside");
	put_le16(bz + 0x20e, 0);
	ok(!release_of_image(bz, sizeof(bz), release), "one that has none");
	ok(release_of_name("/boot/vmlinuz-6.1.0-9", release) && !strcmp(release, "6.1.0-9"),
	   "from a name");
	ok(!release_of_name("/a-1/vmlinuz", release) && !release_of_name("vmlinuz-cloud", release),
	   "which has none");
}

int main(void)
{
	char dir[] = "/tmp/kindling-modules-XXXXXX";
	char command[64];

	if (!mkdtemp(dir) || chdir(dir))
		return 1;
	test_order();
	test_hostile_tables();
	test_states();
	test_files();
	test_releases();
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	ok(!chdir("/") && !system(command), "all is cleaned up");
	return done_testing();
}
