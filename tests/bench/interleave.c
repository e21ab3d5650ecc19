/* SPDX-License-Identifier: MIT */
/*
 * interleave ROUNDS COMMAND... [-- COMMAND...]...: runs each command in turn, ROUNDS times over,
 * and prints a line for each: median wall time in microseconds, its ratio to the first command's,
 * the median of peak resident memory in KiB. Their output goes to /dev/null; a status that is not 0
 * ends it.
 */
#include <err.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#define COMMANDS 16
#define ROUNDS 1000

extern char **environ;

struct command {
	char **argv;
	double us[ROUNDS], kib[ROUNDS];
};

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void run(struct command *c, int round)
{
	posix_spawn_file_actions_t files;
	struct rusage usage;
	double start;
	int status, rc;
	pid_t pid;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
	start = now_us();
	rc = posix_spawnp(&pid, c->argv[0], &files, NULL, c->argv, environ);
	if (rc)
		errx(125, "%s: %s", c->argv[0], strerror(rc));
	if (wait4(pid, &status, 0, &usage) != pid)
		err(125, "wait4");
	c->us[round] = now_us() - start;
	c->kib[round] = (double)usage.ru_maxrss;
	if (status)
		errx(1, "%s ended with %s %d", c->argv[0], WIFEXITED(status) ? "status" : "signal",
		     WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	posix_spawn_file_actions_destroy(&files);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof(*v), compare);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

int main(int argc, char **argv)
{
	static struct command commands[COMMANDS];
	int rounds = argc > 1 ? atoi(argv[1]) : 0, n = 0;
	double first = 0;

	if (rounds < 1 || rounds > ROUNDS || argc < 3)
		errx(125, "usage: interleave ROUNDS COMMAND... [-- COMMAND...]...");
	commands[n++].argv = &argv[2];
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--"))
			continue;
		argv[i] = NULL;
		if (n == COMMANDS)
			errx(125, "%d commands at most", COMMANDS);
		commands[n++].argv = &argv[i + 1];
	}
	for (int round = 0; round < rounds; round++) {
		for (int i = 0; i < n; i++)
			run(&commands[i], round);
	}
	for (int i = 0; i < n; i++) {
		double us = median(commands[i].us, rounds);

		first = i ? first : us;
		printf("%.0f us  %.2f  %.0f KiB ", us, us / first, median(commands[i].kib, rounds));
		for (char **word = commands[i].argv; *word; word++)
			printf(" %s", *word);
		printf("\n");
	}
	return 0;
}
