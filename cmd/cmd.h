/* SPDX-License-Identifier: MIT */
/*
 * Subcommands. Only here and in main.c does the process exit, print for people, or own signals.
 * A subcommand returns lkvm's exit status (DESIGN.md, section 2, Verdict).
 */
#ifndef CMD_CMD_H
#define CMD_CMD_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "util/log.h"

struct command {
	const char *name;
	/* argv[0] is the subcommand's name; `table` is the whole table, for help. */
	int (*run)(int argc, char **argv, const struct command *table);
	const char *help;
	const char *args;    /* what follows its name, for people; "" */
	const char *example; /* a whole command line, or NULL */
};

int cmd_run(int argc, char **argv, const struct command *table);
int cmd_snapshot(int argc, char **argv, const struct command *table);
int cmd_migrate(int argc, char **argv, const struct command *table);
int cmd_restore(int argc, char **argv, const struct command *table);
int cmd_setup(int argc, char **argv, const struct command *table);
int cmd_inspect(int argc, char **argv, const struct command *table);
int cmd_list(int argc, char **argv, const struct command *table);
int cmd_stat(int argc, char **argv, const struct command *table);
int cmd_pause(int argc, char **argv, const struct command *table);
int cmd_resume(int argc, char **argv, const struct command *table);
int cmd_stop(int argc, char **argv, const struct command *table);
int cmd_balloon(int argc, char **argv, const struct command *table);
int cmd_debug(int argc, char **argv, const struct command *table);
int cmd_doctor(int argc, char **argv, const struct command *table);
int cmd_version(int argc, char **argv, const struct command *table);
int cmd_help(int argc, char **argv, const struct command *table);

/* "lkvm: TEXT" on stderr; returns STATUS_HOST_FAILED, for `return cmd_fail(...)`. */
int cmd_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * The entry of `names` (NULL ends) that `word` was most likely meant to be; NULL if none is near.
 */
const char *cmd_nearest(const char *word, const char *const *names);

/* cmd/version.c: "0.1-gabcdef" */
extern const char cmd_version_string[];

/* cmd/manual.c: the man page in mdoc and the bash completion, on stdout; the exit status. */
int manual_mdoc(const struct command *table);
int manual_bash(const struct command *table);

/* Finds the kernel as a kernel developer expects; NULL: nowhere. `buf` holds the last candidate. */
const char *kernel_find(char *buf, size_t size);

/*
 * The tree that a kernel lies in where it was built, TREE/arch/x86/boot/bzImage or TREE/vmlinux, with a
 * slash behind it; "" is the current one. False: it lies elsewhere.
 */
bool kernel_tree(const char *kernel, char tree[PATH_MAX]);

#endif
