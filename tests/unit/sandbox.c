/* SPDX-License-Identifier: MIT */
/* What a sandbox makes of its command, and options of directories. */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/setup.h"
#include "tests/unit/tap.h"
#include "util/util.h"

#define WORDS 12

/* The words of the command that these options come to, a blank between; or the error. */
static const char *command_of(const char *const words[])
{
	static char text[PATH_MAX];
	struct run_options *o = calloc(1, sizeof(*o));
	char *argv[WORDS + 1] = { NULL };
	struct err err = { "" };
	int argc = 0;

	for (; words[argc] && argc < WORDS; argc++)
		argv[argc] = strdup(words[argc]);
	text[0] = 0;
	if (options_parse(argc, argv, o, &err))
		snprintf(text, sizeof(text), "%s", err.text);
	for (char **word = o->command; !err.text[0] && word && *word; word++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s",
			 text[0] ? " " : "", *word);
	options_free(o);
	free(o);
	while (argc)
		free(argv[--argc]);
	return text;
}

static void expect(const char *wanted, const char *const words[], const char *what)
{
	const char *got = command_of(words);

	ok(!strcmp(got, wanted), "%s", what);
	if (strcmp(got, wanted) != 0)
		printf("# got '%s', wanted '%s'\n", got, wanted);
}

#define COMMAND(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void make_file(const char *path, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);

	ok(fd >= 0 && !fchmod(fd, mode), "the file %s", path);
	close(fd);
}

static void test_programs(const char *here)
{
	char at_host[PATH_MAX], file[PATH_MAX];

	snprintf(file, sizeof(file), "%s/bin/prog", here);
	snprintf(at_host, sizeof(at_host), "/host%s/bin/prog a b", here);
	expect(at_host, COMMAND("sandbox", "-d", "X", "--", "bin/prog", "a", "b"),
	       "a program here is at /host there");
	expect(at_host, COMMAND("sandbox", "-d", "X", "--", file, "a", "b"),
	       "by its whole path, too");
	expect(at_host, COMMAND("sandbox", "-d", "img", "--", "bin/prog", "a", "b"),
	       "and where the root is a disk");
	expect("bin/prog a", COMMAND("sandbox", "--", "bin/prog", "a"),
	       "with the host's root all is where it was");
	expect("bin/prog a", COMMAND("run", "-d", "X", "--", "bin/prog", "a"),
	       "and without a sandbox");
	expect("prog", COMMAND("sandbox", "-d", "X", "--", "prog"),
	       "a bare name is looked up there");
	expect("bin/none", COMMAND("sandbox", "-d", "X", "--", "bin/none"),
	       "what is not here is there");
	expect("/bin/sh -c x", COMMAND("sandbox", "-d", "X", "--", "/bin/sh", "-c", "x"),
	       "/bin is the root's");
	expect("/bin/sh", COMMAND("sandbox", "-d", "img", "--", "/bin/sh"), "a disk's, too");
	expect("/bin/sh", COMMAND("sandbox", "--root", "/dev/vda", "-d", "img", "--", "/bin/sh"),
	       "also where it is named");
}

static void test_scripts(const char *here)
{
	char text[PATH_MAX];

	snprintf(text, sizeof(text), "/host%s/bin/prog", here);
	expect(text, COMMAND("run", "-d", "X", "--sandbox", "bin/prog"),
	       "a script that can be run");
	snprintf(text, sizeof(text), "/bin/sh /host%s/text", here);
	expect(text, COMMAND("sandbox", "--sandbox", "link"), "one that can't, by a link");
}

int main(void)
{
	char dir[] = "/tmp/kindling-sandbox-XXXXXX", command[64];
	char *setup[] = { "setup", "./X", NULL };

	if (!mkdtemp(dir) || chdir(dir))
		return 1;
	ok(!mkdir("bin", 0700) && !symlink("text", "link"), "a folder and a link");
	make_file("bin/prog", 0700);
	make_file("text", 0600);
	make_file("img", 0600);
	ok(!cmd_setup(2, setup, NULL) && setup_is_made("X") && !setup_is_made("bin"), "a root");
	test_programs(dir);
	test_scripts(dir);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	ok(!chdir("/") && !system(command), "all is cleaned up");
	return done_testing();
}
