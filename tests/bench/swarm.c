/* SPDX-License-Identifier: MIT */
/*
 * swarm COUNT MIB COMMAND...: that many copies of the command at once. Each prints a line when it is there, and
 * stays; guests of it have MIB of memory. When all have: how long that took, and what they cost, in the mean: memory
 * that is theirs alone or their share of what several have (Pss), with what lies in the guest's memory apart. Then
 * they are ended by SIGTERM. Prints names and figures.
 */
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST 1000

extern char **environ;

static pid_t pids[MOST];

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void start(char **argv, int n, int out)
{
	posix_spawn_file_actions_t files;
	int rc;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, out, 1);
	for (int i = 0; i < n; i++) {
		rc = posix_spawnp(&pids[i], argv[0], &files, NULL, argv, environ);
		if (rc)
			errx(125, "%s: %s", argv[0], strerror(rc));
	}
	posix_spawn_file_actions_destroy(&files);
}

static void wait_lines(int in, int n)
{
	char text[4096];
	ssize_t got;

	while (n > 0) {
		got = read(in, text, sizeof(text));
		if (got <= 0)
			errx(1, "%d of them said nothing", n);
		for (ssize_t i = 0; i < got; i++)
			n -= text[i] == '\n';
	}
}

/* In KiB. *guest: of mappings that hold at least `mib`. */
static void measure(pid_t pid, unsigned long mib, double *all, double *guest)
{
	unsigned long from, to, size = 0;
	char path[64], line[512];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	f = fopen(path, "r");
	if (!f)
		err(1, "%s", path);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			size = to - from;
		if (strncmp(line, "Pss:", 4))
			continue;
		*all += atof(line + 4);
		if (size >= mib << 20)
			*guest += atof(line + 4);
	}
	fclose(f);
}

int main(int argc, char **argv)
{
	int n = argc > 3 ? atoi(argv[1]) : 0, ends[2], status, bad = 0;
	double begin, all = 0, guest = 0;

	if (n < 1 || n > MOST)
		errx(125, "usage: swarm COUNT MIB COMMAND...");
	if (pipe2(ends, O_CLOEXEC))
		err(125, "pipe");
	begin = now_ms();
	start(argv + 3, n, ends[1]);
	close(ends[1]);
	wait_lines(ends[0], n);
	printf("started-ms %.0f\n", now_ms() - begin);
	for (int i = 0; i < n; i++)
		measure(pids[i], strtoul(argv[2], NULL, 10), &all, &guest);
	printf("pss-kib %.0f\nguest-kib %.0f\n", all / n, guest / n);
	begin = now_ms();
	for (int i = 0; i < n; i++)
		kill(pids[i], SIGTERM);
	for (int i = 0; i < n; i++)
		bad += waitpid(pids[i], &status, 0) != pids[i] ||
		       (WIFEXITED(status) ? WEXITSTATUS(status) != 128 + SIGTERM
					  : WTERMSIG(status) != SIGTERM);
	printf("ended-ms %.0f\nbad-ends %d\n", now_ms() - begin, bad);
	return bad != 0;
}
