/* SPDX-License-Identifier: MIT */
/* lkvm: one table serves dispatch and usage alike. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "vm/verdict.h"

#define RUN_ARGS "[OPTION]... [IMAGE] [-- COMMAND | WORD...]"

static const struct command commands[] = {
	{ "run", cmd_run, "Boot a kernel or another image", RUN_ARGS, NULL },
	{ "sandbox", cmd_run,
	  "Run a command, or by --sandbox a script, in a guest that has the host's root at /host: otherwise "
	  "as run does, with its options",
	  RUN_ARGS, "lkvm sandbox -d NAME -- sh -c \"ls /host$PWD\"" },
	{ "setup", cmd_setup,
	  "Make a small root file system for -d NAME, in LKVM_HOME or ~/.lkvm, or at a path; the programs in it "
	  "are the host's",
	  "NAME", "lkvm setup NAME" },
	{ "inspect", cmd_inspect,
	  "Say what an image is, how lkvm run would enter it and what it asks for, or why it would be refused "
	  "(status 1)",
	  "[--entry WAY] IMAGE", "lkvm inspect kernel.elf" },
	{ "doctor", cmd_doctor,
	  "Say what this host's KVM (or --dev PATH) can do, what is missing, how to mend it",
	  "[--dev PATH]", NULL },
	{ "version", cmd_version, "Say which lkvm this is", "", NULL },
	{ "help", cmd_help, "Say how to use lkvm", "[COMMAND]", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

/*
 * A closed 0, 1 or 2 would become the next file that is opened: a disk, say, that output goes to.
 */
static int open_standard_fds(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return -1;
	}
	return 0;
}

/* What kvmtool has and this lkvm has not yet. */
static int later(const char *word)
{
	static const char *const names[] = { "list", "stat",	"pause", "resume",
					     "stop", "balloon", "debug", NULL };

	for (const char *const *p = names; *p; p++) {
		if (!strcmp(word, *p))
			return cmd_fail("%s is not built yet", word);
	}
	return 0;
}

static int unknown(const char *word)
{
	const char *names[sizeof(commands) / sizeof(commands[0]) + 1];
	const char *near;
	unsigned int n = 0;

	if (later(word))
		return STATUS_HOST_FAILED;
	for (const struct command *c = commands; c->name; c++)
		names[n++] = c->name;
	names[n] = NULL;
	near = cmd_nearest(word, names);
	if (near)
		return cmd_fail("unknown command %s; did you mean %s?", word, near);
	return cmd_fail("unknown command %s; lkvm help lists them", word);
}

static int dispatch(int argc, char **argv)
{
	static char *help[] = { "help", NULL, NULL };
	const char *word = argc > 1 ? argv[1] : NULL;

	if (!word)
		return cmd_fail("no command; try lkvm help, or lkvm run --payload hello");
	if (!strcmp(word, "--help") || !strcmp(word, "-h"))
		return cmd_help(1, help, commands);
	if (argc == 3 && (!strcmp(argv[2], "--help") || !strcmp(argv[2], "-h"))) {
		help[1] = argv[1];
		return cmd_help(2, help, commands);
	}
	if (!strcmp(word, "--version"))
		word = "version";
	for (const struct command *c = commands; c->name; c++) {
		if (!strcmp(word, c->name))
			return c->run(argc - 1, argv + 1, commands);
	}
	return unknown(word);
}

int main(int argc, char **argv)
{
	int status;

	if (open_standard_fds())
		return STATUS_HOST_FAILED;
	status = dispatch(argc, argv);
	/* What was to be read and could not be written was not done. */
	if (fflush(stdout) && !status)
		status = cmd_fail("standard output: %s", strerror(errno));
	return status;
}
