/* SPDX-License-Identifier: MIT */
/* util/json, util/utf8 and what cmd/result makes of them. */
#include "util/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/result.h"
#include "tests/unit/tap.h"
#include "util/utf8.h"
#include "util/util.h"

static const struct {
	const char *bytes;
	size_t len;
	const char *wanted;
} strings[] = {
#define S(bytes, wanted) bytes, sizeof(bytes) - 1, "\"" wanted "\""
	{ S("", "") },
	{ S("plain", "plain") },
	{ S("\"\\/", "\\\"\\\\/") },
	{ S("\n\t\r\x01\x1f\x7f", "\\n\\t\\u000d\\u0001\\u001f\\u007f") },
	{ S("a\0b", "a\\u0000b") },
	{ S("\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xa7", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xa7") },
	{ S("\xff", "\\ufffd") },
	{ S("\xc3", "\\ufffd") },
	{ S("\xc0\x80", "\\ufffd\\ufffd") },		/* overlong */
	{ S("\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd") }, /* a surrogate */
	{ S("\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd") },
	{ S("\xe2\x82x", "\\ufffd\\ufffdx") },
};

static void test_strings(void)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(strings); i++) {
		struct buf b = { 0 };
		struct json j = { .out = &b };

		json_bytes(&j, NULL, strings[i].bytes, strings[i].len);
		ok(b.len == strlen(strings[i].wanted) && !memcmp(b.data, strings[i].wanted, b.len),
		   "string %u", i);
		buf_free(&b);
	}
}

static void test_line(void)
{
	static const char wanted[] = "{\"a\": [1, {}], \"b\": [ 2 ]}\n";
	struct buf b = { 0 };
	struct json j = { .out = &b, .line = true };

	json_object(&j, NULL);
	json_array(&j, "a");
	json_int(&j, NULL, 1);
	json_object(&j, NULL);
	json_end_object(&j);
	json_end_array(&j);
	json_raw(&j, "b", "[ 2 ]", 5);
	json_end_object(&j);
	ok(b.len == strlen(wanted) && !memcmp(b.data, wanted, b.len), "on one line");
	buf_free(&b);
}

static void test_structure(void)
{
	static const char wanted[] =
		"{\n\t\"a\": -9223372036854775808,\n\t\"b\": [\n\t\ttrue,\n\t\t"
		"null,\n\t\t{}\n\t],\n\t\"c\": []\n}\n";
	struct buf b = { 0 };
	struct json j = { .out = &b };

	json_object(&j, NULL);
	json_int(&j, "a", INT64_MIN);
	json_array(&j, "b");
	json_bool(&j, NULL, true);
	json_null(&j, NULL);
	json_object(&j, NULL);
	json_end_object(&j);
	json_end_array(&j);
	json_array(&j, "c");
	json_end_array(&j);
	json_end_object(&j);
	ok(b.len == strlen(wanted) && !memcmp(b.data, wanted, b.len), "objects and arrays");
	buf_free(&b);
}

/* Every sequence that begins a text is as long as the standard says, by counting. */
static void test_utf8(void)
{
	uint32_t valid = 0;

	for (uint32_t lead = 0; lead < 0x1000000; lead += 0x40) {
		uint8_t p[4] = { (uint8_t)(lead >> 16), (uint8_t)(lead >> 8), (uint8_t)lead, 0 };
		uint32_t code;

		/* Of three bytes: code points from 0x800, without surrogates. */
		valid += utf8_next(p, 3, &code) == 3;
	}
	ok(valid == (0x10000 - 0x800 - 0x800) / 0x40, "three bytes: %u", valid);
}

static char *const words[] = { (char *)"run", (char *)"-p", (char *)"a b", (char *)"it's",
			       (char *)"",    (char *)"$x", NULL };

static void test_replay(void)
{
	static const char wanted[] = " run -p 'a b' 'it'\\''s' '' '$x'";
	struct buf b = { 0 };
	const char *text;

	result_put_replay(&b, (char **)words);
	buf_put_u8(&b, 0);
	text = (char *)b.data;
	ok(!strncmp(text, "cd ", 3) && strlen(text) > strlen(wanted) &&
		   !strcmp(text + strlen(text) - strlen(wanted), wanted),
	   "words are quoted as a shell needs it");
	buf_free(&b);
}

static int write_to(const char *path, const struct buf *text, struct err *err)
{
	struct result_file f = { "--result", path, -1 };

	return result_write(&f, text, -1, err);
}

/* Into a pipe, of which nothing is read before it is full. */
static void test_stuck(const struct buf *b)
{
	static char fill[65536];
	struct result_file f = { "--result", "/dev/fd/9", -1 };
	struct err err;
	int fds[2];

	if (pipe(fds))
		return;
	f.fd = fds[1];
	ok(!result_replaces(&f) && !result_write(&f, b, 0, &err) && read(fds[0], fill, 64) == 5,
	   "a descriptor");
	fcntl(fds[1], F_SETPIPE_SZ, sizeof(fill));
	ok(write(fds[1], fill, sizeof(fill)) == sizeof(fill) &&
		   result_write(&f, b, 0, &err) == -ETIMEDOUT,
	   "one that nobody reads is not waited for, where that is said");
	close(fds[0]);
	close(fds[1]);
}

static void test_files(void)
{
	char folder[] = "/tmp/result.XXXXXX", path[64], link[64];
	struct buf b = { 0 };
	struct stat st;
	struct err err;

	if (!mkdtemp(folder)) {
		ok(false, "a folder");
		return;
	}
	buf_put(&b, "text\n", 5);
	snprintf(path, sizeof(path), "%s/file", folder);
	umask(022);
	ok(!write_to(path, &b, &err) && !stat(path, &st) && st.st_size == 5 &&
		   (st.st_mode & 0777) == 0644,
	   "a file, of the mode that is usual");
	ok(!write_to(path, &b, &err) && !stat(path, &st) && st.st_size == 5,
	   "put in place of the old one");
	ok(write_to("/dev/full", &b, &err) == -28 && strstr(err.text, "space"),
	   "a full disk is said");
	ok(!write_to("/dev/null", &b, &err) && !stat("/dev/null", &st) && S_ISCHR(st.st_mode),
	   "what is no file stays what it is");
	ok(write_to("/dev/null/file", &b, &err) == -20, "a folder that is not there");
	snprintf(link, sizeof(link), "%s/link", folder);
	ok(!symlink("file", link) && !write_to(link, &b, &err) && !lstat(link, &st) &&
		   S_ISLNK(st.st_mode) && !lstat(path, &st) && S_ISREG(st.st_mode),
	   "a link stays one, too");
	unlink(link);
	test_stuck(&b);
	unlink(path);
	ok(!rmdir(folder), "nothing else is left in the folder");
	buf_free(&b);
}

int main(void)
{
	test_strings();
	test_structure();
	test_line();
	test_utf8();
	test_replay();
	test_files();
	return done_testing();
}
