/* SPDX-License-Identifier: MIT */
/*
 * follow PREFIX: what a guest prints that is moved from one lkvm to the next, which write it to PREFIX.0, PREFIX.1 and
 * so on: read as it comes, from the line "guest: at work" on, until "guest: it is over" or a signal. Of each
 * line "clock NUMBER REALTIME MONOTONIC BACK" (tests/lab/guest/clock.c) it writes
 *
 *	clock FILE NUMBER BEHIND APART
 *
 * BEHIND: us by which its REALTIME is behind the host's; APART: by which its two clocks are more apart than in the
 * first. "guest: ..." is repeated. All else is wrong, and begins with that word: a line lost or come twice, a clock that
 * went back, a line that nobody printed.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct story {
	bool begun, over;
	unsigned int next; /* number of the line to come */
	unsigned int back; /* how often a clock was behind, as it says */
	long long real, mono, apart;
};

static long long host_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static bool is_clock(struct story *s, const char *line, unsigned int file)
{
	long long real, mono, now = host_now();
	unsigned int number, back;
	char more;

	if (sscanf(line, "clock %u %lld %lld %u%c", &number, &real, &mono, &back, &more) != 4)
		return false;
	if (!number)
		s->apart = real - mono;
	if (number != s->next)
		printf("wrong: line %u of the clock came in file %u for line %u\n", number, file,
		       s->next);
	if (back != s->back || real < s->real || mono < s->mono)
		printf("wrong: a clock went back at line %u, in file %u\n", number, file);
	s->next = number + 1;
	s->back = back;
	s->real = real;
	s->mono = mono;
	printf("clock %u %u %lld %lld\n", file, number, (now - real) / 1000,
	       (real - mono - s->apart) / 1000);
	return true;
}

static void take_line(struct story *s, const char *line, unsigned int file)
{
	if (!s->begun) {
		s->begun = !strcmp(line, "guest: at work");
		return;
	}
	s->over |= !strcmp(line, "guest: it is over");
	if (is_clock(s, line, file))
		return;
	if (!strncmp(line, "guest: ", 7))
		puts(line);
	else
		printf("wrong: nobody printed, in file %u: %s\n", file, line);
}

/* The next file has something in it: then the one before is at its end. */
static bool has_more(const char *prefix, unsigned int file)
{
	char path[4096];
	FILE *f;
	bool has;

	snprintf(path, sizeof(path), "%s.%u", prefix, file);
	f = fopen(path, "r");
	has = f && getc(f) != EOF;
	if (f)
		fclose(f);
	return has;
}

static void open_file(const char *prefix, unsigned int file, FILE **f)
{
	char path[4096];

	if (*f)
		fclose(*f);
	snprintf(path, sizeof(path), "%s.%u", prefix, file);
	while (!(*f = fopen(path, "r")))
		usleep(20000);
}

int main(int argc, char **argv)
{
	struct story s = { 0 };
	unsigned int file = 0;
	bool last = false;
	char line[512];
	size_t len = 0;
	FILE *f = NULL;

	if (argc != 2)
		return 2;
	open_file(argv[1], 0, &f);
	while (!s.over) {
		int c = getc(f);

		if (c == EOF && last) {
			open_file(argv[1], ++file, &f);
			last = false;
		} else if (c == EOF) {
			fflush(stdout);
			last = has_more(argv[1], file + 1);
			usleep(last ? 0 : 2000);
			clearerr(f);
		} else if (c != '\n') {
			if (c != '\r' && len < sizeof(line) - 1)
				line[len++] = (char)c;
		} else {
			line[len] = 0;
			len = 0;
			take_line(&s, line, file);
		}
	}
	return 0;
}
