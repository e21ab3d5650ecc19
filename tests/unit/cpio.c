/* SPDX-License-Identifier: MIT */
/* The archive that we write, read by the walker that reads everybody's; and by cpio, if it is here. */
#include "guest/cpio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest/initramfs.h"
#include "guest/initrd.h"
#include "tests/unit/tap.h"
#include "util/util.h"

struct seen {
	char names[256];
	size_t bytes;
	uint8_t sum;
};

static bool see(void *opaque, const char *path, const uint8_t *data, size_t size)
{
	struct seen *s = opaque;

	strcat(strcat(s->names, path), " ");
	s->bytes += size;
	for (size_t i = 0; i < size; i++)
		s->sum += data[i];
	return true;
}

static void make(struct buf *b)
{
	cpio_folder(b, "dev", 0755);
	cpio_device(b, "dev/console", 0600, 5, 1);
	cpio_file(b, "/init", 0755, "abc", 3);
	cpio_file(b, "a", 0644, "", 0);
	cpio_file(b, "ab", 0644, "1234", 4);
	cpio_end(b);
}

static void test_archive(void)
{
	struct seen s = { .bytes = 0 };
	struct buf b = { 0 };

	make(&b);
	ok(!b.failed && b.len % 4 == 0, "its length is a multiple of 4");
	ok(!initramfs_walk(b.data, b.len, MIB, see, &s), "it can be read");
	ok(!strcmp(s.names, "dev dev/console init a ab "), "all is in it: %s", s.names);
	ok(s.bytes == 7 && s.sum == (uint8_t)('a' + 'b' + 'c' + '1' + '2' + '3' + '4'),
	   "with what is in them");
	buf_free(&b);
}

/* Another reader's opinion. */
static void test_cpio_program(void)
{
	struct buf b = { 0 };
	char line[256] = "", command[128];
	char path[] = "/tmp/kindling-cpio-XXXXXX";
	int fd = mkstemp(path);
	FILE *p;

	if (system("command -v cpio >/dev/null")) {
		close(fd);
		unlink(path);
		return;
	}
	make(&b);
	ok(fd >= 0 && !write_full(fd, b.data, b.len), "written to %s", path);
	snprintf(command, sizeof(command), "cpio -tv --quiet <%s 2>&1 | tr -s '\\n ' ' '", path);
	p = popen(command, "r");
	ok(p && fgets(line, sizeof(line), p) && strstr(line, "drwxr-xr-x 1 root root 0") &&
		   strstr(line, "crw------- 1 root root 5, 1") &&
		   strstr(line, "-rwxr-xr-x 1 root root 3"),
	   "cpio reads it: %s", line);
	pclose(p);
	close(fd);
	unlink(path);
	buf_free(&b);
}

/* ---- Behind files ---- */

static void test_many_initrds(const char *path)
{
	const char *paths[INITRDS_MAX + 2] = { path, path, path };
	struct initrd i;
	struct err err = { "" };
	static const char all[] = "12345\0\0\0\0\0\0\0"
				  "12345\0\0\0\0\0\0\0"
				  "12345\0\0\0\0\0\0\0"
				  "more";
	struct mem mem;

	ok(!initrd_open(paths, "more", 4, &i, &err) && i.n_files == 3 && i.files[1].at == 12 &&
		   i.files[2].at == 24 && i.more_at == 36 && i.size == 40,
	   "three files, in order, and ours is the last");
	if (mem_create(&mem, MEM_ANON, -1, 2 * MIB, &err))
		abort();
	mem_add_slot(&mem, 0, 0, 2 * MIB);
	ok(!initrd_write(&i, &mem, 0) && !memcmp(mem_at(&mem, 0, 40, MEM_R), all, 40),
	   "and so they are written");
	mem_destroy(&mem);
	initrd_close(&i);
	for (unsigned int n = 0; n <= INITRDS_MAX; n++)
		paths[n] = path;
	ok(initrd_open(paths, NULL, 0, &i, &err) == -E2BIG && err.text[0], "too many: %s",
	   err.text);
	paths[1] = "/nonexistent";
	ok(initrd_open(paths, NULL, 0, &i, &err) == -ENOENT && strstr(err.text, paths[1]),
	   "the second is not there: %s", err.text);
}

static void test_initrd(void)
{
	char path[] = "/tmp/kindling-initrd-XXXXXX";
	const char *const paths[] = { path, NULL };
	int fd = mkstemp(path);
	struct initrd i;
	struct err err = { "" };

	ok(fd >= 0 && !write_full(fd, "12345", 5), "a file of 5 bytes");
	ok(!initrd_open(paths, "more", 4, &i, &err) && i.more_at == 12 && i.size == 16,
	   "what comes behind it begins at a multiple of 4, a word of zeros before it");
	initrd_close(&i);
	ok(!initrd_open(paths, NULL, 0, &i, &err) && i.size == 5, "the file alone");
	initrd_close(&i);
	ok(!initrd_open(NULL, "more", 4, &i, &err) && i.more_at == 0 && i.size == 4, "ours alone");
	initrd_close(&i);
	ok(!initrd_open(NULL, NULL, 0, &i, &err) && !i.size, "neither");
	initrd_close(&i);
	test_many_initrds(path);
	unlink(path);
	ok(initrd_open(paths, "more", 4, &i, &err) == -ENOENT && strstr(err.text, path), "gone: %s",
	   err.text);
	close(fd);
}

int main(void)
{
	test_archive();
	test_cpio_program();
	test_initrd();
	return done_testing();
}
