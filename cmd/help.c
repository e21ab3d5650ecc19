/* SPDX-License-Identifier: MIT */
/* lkvm help, and the words that all subcommands share. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/options.h"
#include "guest/payloads.h"
#include "util/util.h"
#include "vm/arch.h"

#define TEXT_COLUMN 30
#define COMMAND_COLUMN 13
#define LINE_WIDTH 80

int cmd_fail(const char *fmt, ...)
{
	va_list ap;

	fputs("lkvm: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return STATUS_HOST_FAILED;
}

/* Levenshtein's distance, of words shorter than 32 characters. */
static size_t distance(const char *a, const char *b)
{
	size_t row[33], la = strlen(a), lb = strlen(b);

	if (la > 32 || lb > 32)
		return 99;
	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t change = diagonal + (a[i - 1] != b[j - 1]);
			size_t add_or_drop = MIN(row[j], row[j - 1]) + 1;

			diagonal = row[j];
			row[j] = MIN(change, add_or_drop);
		}
	}
	return row[lb];
}

const char *cmd_nearest(const char *word, const char *const *names)
{
	const char *best = NULL;
	size_t least = strlen(word) / 3 + 2; /* farther than this helps nobody */

	for (; *names; names++) {
		size_t d = distance(word, *names);

		if (d < least) {
			least = d;
			best = *names;
		}
	}
	return best;
}

/* Breaks `text` into lines behind `left`; the cursor stands at `column`, left of that. */
static void print_text(int column, int left, const char *text)
{
	printf("%*s", left - column, "");
	column = left;
	while (*text) {
		int len = (int)strcspn(text, " ");

		if (column > left && column + 1 + len > LINE_WIDTH) {
			printf("\n%*s", left, "");
			column = left;
		}
		column += printf("%s%.*s", column > left ? " " : "", len, text);
		text += len + (text[len] == ' ');
	}
	putchar('\n');
}

static void print_option(const struct option *p)
{
	char left[80];
	int column;

	if (p->letter)
		column = snprintf(left, sizeof(left), "  -%c, --%s", p->letter, p->name);
	else
		column = snprintf(left, sizeof(left), "      --%s", p->name);
	if (p->arg)
		column += snprintf(left + column, sizeof(left) - (size_t)column, "%s%s",
				   left[column - 1] == ':' ? "" : " ", p->arg);
	fputs(left, stdout);
	if (column >= TEXT_COLUMN) {
		putchar('\n');
		column = 0;
	}
	print_text(column, TEXT_COLUMN, p->help);
}

static void print_help(const struct command *c)
{
	print_text(0, 0, c->help);
	putchar('\n');
}

static int help_run(const struct command *c)
{
	printf("usage: lkvm %s %s\n\n", c->name, c->args);
	if (!strcmp(c->name, "sandbox"))
		print_help(c);
	else
		puts("Boots IMAGE (or the kernel of this tree, or the host's own) and ends\n"
		     "with a status that tells the truth: 0 the guest powered off, 123 it died, 124 timeout,\n"
		     "125 nothing was run. In Linux COMMAND is run; for any other image the WORDs are its own.\n");
	for (const struct option *p = run_option_table; p->name; p++) {
		if (p->state == OPTION_WORKS && option_is_ours(p))
			print_option(p);
	}
	printf("\nDefaults: -c %d -m %lluM --console serial, and console=%s panic=-1 for the kernel.\n"
	       "On a terminal Ctrl-a x leaves, Ctrl-a h helps. More in lkvm(1).\n",
	       DEFAULT_CPUS, DEFAULT_MEM / MIB, arch_console);
	return 0;
}

static int help_payloads(void)
{
	for (const struct payload *p = payloads; p->name; p++)
		puts(p->name);
	return 0;
}

/* "NAME<tab>EXAMPLE" for the test that runs them all. */
static int help_examples(void)
{
	for (const struct option *p = run_option_table; p->name; p++) {
		if (p->example && option_is_ours(p))
			printf("%s\t%s\n", p->name, p->example);
	}
	return 0;
}

static void print_command(const struct command *c)
{
	print_text(printf("  %s", c->name), COMMAND_COLUMN, c->help);
}

static int usage(const struct command *table)
{
	puts("usage: lkvm COMMAND [OPTION]...\n\nA small virtual machine monitor for Linux's KVM.\n");
	for (const struct command *c = table; c->name; c++)
		print_command(c);
	puts("\nTry lkvm run --help; lkvm run --payload hello; lkvm run -k bzImage -i initrd.cpio.gz");
	return 0;
}

int cmd_help(int argc, char **argv, const struct command *table)
{
	const char *word = argc > 1 ? argv[1] : NULL;

	if (!word)
		return usage(table);
	if (!strcmp(word, "payloads"))
		return help_payloads();
	if (!strcmp(word, "--examples"))
		return help_examples();
	if (!strcmp(word, "--mdoc"))
		return manual_mdoc(table);
	if (!strcmp(word, "--bash"))
		return manual_bash(table);
	for (const struct command *c = table; c->name; c++) {
		if (strcmp(word, c->name) != 0)
			continue;
		if (c->run == cmd_run)
			return help_run(c);
		printf("usage: lkvm %s%s%s\n\n", c->name, *c->args ? " " : "", c->args);
		print_help(c);
		return 0;
	}
	return cmd_fail("no help on %s; lkvm help lists the commands", word);
}
