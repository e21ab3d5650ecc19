/* SPDX-License-Identifier: MIT */
/* Trees of modules, honest and not; and which kernel an image is. */
#include "guest/modules.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "guest/modinfo.h"
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

/* ---- Trees that were built, and not installed ---- */

#define NAMES_AT 64	/* of the sections; the words are behind them */
#define SECTIONS_AT 512 /* three: none, names, words */
#define MODULE_SIZE (SECTIONS_AT + 3 * sizeof(Elf64_Shdr))

struct module {
	Elf64_Ehdr header;
	Elf64_Shdr sections[3];
	uint8_t data[MODULE_SIZE];
};

/* `words` end in a NUL each. */
static void begin_module(struct module *m, const char *words, size_t len)
{
	static const char names[] = "\0.shstrtab\0.modinfo";

	*m = (struct module){ .header = { .e_ident = ELFMAG,
					  .e_type = ET_REL,
					  .e_shoff = SECTIONS_AT,
					  .e_shentsize = sizeof(Elf64_Shdr),
					  .e_shnum = 3,
					  .e_shstrndx = 1 } };
	m->header.e_ident[EI_CLASS] = ELFCLASS64;
	m->header.e_ident[EI_DATA] = ELFDATA2LSB;
	m->sections[1] = (Elf64_Shdr){
		.sh_name = 1, .sh_type = SHT_STRTAB, .sh_offset = NAMES_AT, .sh_size = sizeof(names)
	};
	m->sections[2] = (Elf64_Shdr){ .sh_name = 11,
				       .sh_type = SHT_PROGBITS,
				       .sh_offset = NAMES_AT + sizeof(names),
				       .sh_size = len };
	memcpy(m->data + NAMES_AT, names, sizeof(names));
	memcpy(m->data + NAMES_AT + sizeof(names), words, len);
}

static const uint8_t *end_module(struct module *m)
{
	memcpy(m->data, &m->header, sizeof(m->header));
	memcpy(m->data + SECTIONS_AT, m->sections, sizeof(m->sections));
	return m->data;
}

/* What a copy that is as long as it says tells of `key`, or "(none)". */
static const char *told(struct module *m, size_t size, const char *key)
{
	static char text[256];
	uint8_t *copy = malloc(size ? size : 1);
	const char *value;

	memcpy(copy, end_module(m), size);
	value = modinfo_get(copy, size, key);
	snprintf(text, sizeof(text), "%s", value ? value : "(none)");
	free(copy);
	return text;
}

#define WORDS "license=GPL\0depends=b,c-d\0\0name=a\0depends=x"

static void test_modinfo(void)
{
	struct module m;
	unsigned int found = 0;

	begin_module(&m, WORDS, sizeof(WORDS));
	ok(!strcmp(told(&m, MODULE_SIZE, "depends"), "b,c-d"), "what a module needs");
	ok(!strcmp(told(&m, MODULE_SIZE, "name"), "a"), "its name");
	ok(!strcmp(told(&m, MODULE_SIZE, "nam"), "(none)") &&
		   !strcmp(told(&m, MODULE_SIZE, "epends"), "(none)"),
	   "a key is a whole one");
	for (size_t size = 0; size < MODULE_SIZE; size++)
		found += strcmp(told(&m, size, "depends"), "(none)") != 0;
	ok(!found, "cut short anywhere it says nothing");
}

#define HOSTILE(what, change)                                                        \
	do {                                                                         \
		begin_module(&m, WORDS, sizeof(WORDS));                              \
		change;                                                              \
		ok(!strcmp(told(&m, MODULE_SIZE, "depends"), "(none)"), "%s", what); \
	} while (0)

static void test_hostile_modules(void)
{
	struct module m;

	HOSTILE("sections outside", m.header.e_shoff = UINT64_MAX - 63);
	HOSTILE("sections at the very end", m.header.e_shoff = MODULE_SIZE - 1);
	HOSTILE("more sections than there are", m.header.e_shnum = 0xffff);
	HOSTILE("none", m.header.e_shnum = 0);
	HOSTILE("names in no section", m.header.e_shstrndx = 3);
	HOSTILE("sections of another size", m.header.e_shentsize = 1);
	HOSTILE("names outside", m.sections[1].sh_offset = UINT64_MAX);
	HOSTILE("names without an end", m.sections[1].sh_size = UINT64_MAX);
	HOSTILE("names that end before this one does", m.sections[1].sh_size = 19);
	HOSTILE("names that are not in the file", m.sections[1].sh_type = SHT_NOBITS);
	HOSTILE("a name outside", m.sections[2].sh_name = UINT32_MAX);
	HOSTILE("words outside", m.sections[2].sh_offset = MODULE_SIZE);
	HOSTILE("words without an end", m.sections[2].sh_size = UINT64_MAX);
	HOSTILE("a word without an end", m.sections[2].sh_size = 15);
	HOSTILE("no words", m.sections[2].sh_size = 0);
	HOSTILE("32 bits", m.header.e_ident[EI_CLASS] = ELFCLASS32);
	HOSTILE("big-endian", m.header.e_ident[EI_DATA] = ELFDATA2MSB);
	HOSTILE("no ELF file", m.header.e_ident[0] = 0);
}

static void put_module_file(const char *path, const char *depends)
{
	struct module m;
	char words[200];
	int len = snprintf(words, sizeof(words), "depends=%s", depends) + 1;

	begin_module(&m, words, (size_t)len);
	put(path, end_module(&m), MODULE_SIZE);
}

static void expect_built(const char *what, const char *name, int rc, const char *order)
{
	struct module_list list = { .n = 0 };
	struct module_tree t;
	struct err err = { "" };
	char text[256] = "", one[32];
	int got = modules_open(".", &t) ? modules_add(&t, name, &list, &err) : -ENOENT;

	for (unsigned int i = 0; !got && i < list.n; i++) {
		modules_name(&list.files[i], one, sizeof(one));
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "",
			 one);
	}
	ok(got == rc && (rc || !strcmp(text, order)), "%s", what);
	if (err.text[0])
		printf("# %s\n", err.text);
	if (got != rc || strcmp(text, order) != 0)
		printf("# %d \"%s\"\n", got, text);
	modules_close(&t);
}

static void put_text(const char *path, const char *text)
{
	put(path, text, strlen(text));
}

static void test_built(void)
{
	struct module_tree t;
	gzFile gz;
	struct module m;

	unlink("modules.dep");
	unlink("modules.builtin");
	put_text("modules.order",
		 "d/a.o\nd/b-x.ko\nkernel/d/c.ko\nd/loop.o\nd/gone.o\nd/packed.ko\n"
		 "d/not.o\n../out.o\nd/way.o\nd/long.o\n");
	ok(!modules_open(".", &t), "modules.order alone is no tree");
	put_text("modules.builtin", "kernel/d/inside.ko\n");
	ok(!mkdir("d", 0700), "a folder");
	put_module_file("d/a.ko", "b_x,c");
	put_module_file("d/b-x.ko", "c,inside");
	put_module_file("d/c.ko", "");
	put_module_file("d/loop.ko", "loop,a,loop");
	put_module_file("d/way.ko", "out");
	put_text("d/not.ko", "not a module");
	begin_module(&m, "depends=c", 10);
	gz = gzopen("d/packed.ko.gz", "w");
	gzwrite(gz, end_module(&m), MODULE_SIZE);
	gzclose(gz);
	expect_built("files say what they need, - is _", "a", 0, "c b-x a");
	expect_built("in kernel/ as older kernels have it", "c", 0, "c");
	expect_built("a circle", "loop", 0, "c b-x a loop");
	expect_built("built in", "inside", 0, "");
	expect_built("not there at all", "none", 0, "");
	expect_built("a file that is gone", "gone", -ENOENT, "");
	expect_built("no module", "not", -ENOEXEC, "");
	expect_built("a way out", "way", -EINVAL, "");
	if (unpacker_for_kind(IMAGE_GZIP))
		expect_built("packed", "packed", 0, "c packed");
	put_text("modules.dep", "d/a.ko:\n");
	expect_built("modules.dep goes before", "a", 0, "a");
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
	test_modinfo();
	test_hostile_modules();
	test_built();
	test_releases();
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	ok(!chdir("/") && !system(command), "all is cleaned up");
	return done_testing();
}
