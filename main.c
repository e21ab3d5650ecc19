/* SPDX-License-Identifier: MIT */
/* lkvm: one table serves dispatch and usage alike. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "vm/verdict.h"

#define NAMES "[-n] NAME... | -a"
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
	{ "list", cmd_list, "List the guests that run and have a name (lkvm run --name NAME)",
	  "[--json]", NULL },
	{ "stat", cmd_stat,
	  "Say what guests use: memory, CPU time and exits to lkvm of each CPU, by their reasons, requests and bytes "
	  "of each device; with --watch each second what that second was",
	  "[-m | --memory] [-w | --watch] [--json] " NAMES, "lkvm stat web" },
	{ "pause", cmd_pause, "Stop all CPUs of a guest", NAMES, "lkvm pause web" },
	{ "resume", cmd_resume, "Let them go on", NAMES, NULL },
	{ "stop", cmd_stop,
	  "Ask a guest to power off; with --force end it at once, as a signal would (status 143)",
	  "[--force] " NAMES, "lkvm stop --force web" },
	{ "balloon", cmd_balloon,
	  "Take so many MiB more from a guest that has a balloon (-i), or give them back (-d)",
	  "-i MIB | -d MIB " NAMES, "lkvm balloon -n web -i 64" },
	{ "debug", cmd_debug,
	  "Show the registers of a guest's CPUs (-d), send Linux a SysRq key (-s), or inject an NMI (-m)",
	  "[-d | --dump] [-s | --sysrq KEY] [-m | --nmi CPU] " NAMES, "lkvm debug -n web --dump" },
	{ "snapshot", cmd_snapshot,
	  "Write a running guest into the folder DIR, which is made, and let it go on; it stands while its memory "
	  "is written. Its disks are not in it: see SNAPSHOTS. Or of its memory only what it has written to since the last "
	  "whole one (--diff)",
	  "[--diff] [-n] NAME DIR", "lkvm snapshot -n web web.saved" },
	{ "migrate", cmd_migrate,
	  "Move a running guest to another lkvm, which waits for it: lkvm restore tcp:HOST:PORT, unix:PATH or -, or "
	  "there is ssh://[USER@]HOST, where lkvm is started; or to this lkvm, here (--local). Its disks are at both, or are sent along (--disks). See MIGRATION",
	  "[--disks] [--downtime MS] [--bandwidth BYTES] [--throttle PERCENT] [--timeout MS] [-n] NAME WHERE | --local [-n] NAME | --cancel [-n] NAME",
	  "lkvm migrate -n web ssh://other-host" },
	{ "restore", cmd_restore,
	  "Let a guest go on as lkvm snapshot wrote it into DIR, as often as you like. It is the same machine; what "
	  "options of run say of it beside that wins, and those of one run (--name, --timeout, --result ...) are "
	  "said anew. Or wait for one that is migrated to tcp:HOST:PORT, unix:PATH or - (see MIGRATION). --trust: though "
	  "another user could have written DIR, or may come there",
	  "[--trust] [OPTION]... DIR | PLACE", "lkvm restore web.saved --name web2" },
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

static int unknown(const char *word)
{
	const char *names[sizeof(commands) / sizeof(commands[0]) + 1];
	const char *near;
	unsigned int n = 0;

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
