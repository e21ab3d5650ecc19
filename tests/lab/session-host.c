/* SPDX-License-Identifier: MIT */
/*
 * session-host PORT LOG END: the host's end of tests/lab/guest/session.c, for one connection. Each record goes back, and
 * of each there is a line in LOG: its number, by how many microseconds its clock is behind ours, and by how many more
 * its two clocks are apart than in the first. When there is a file END no more goes back. Ends with 0 if they came one
 * by one.
 */
#include <arpa/inet.h>
#include <err.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define RECORD 1024

static long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static int accept_one(uint16_t port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
	int server = socket(AF_INET, SOCK_STREAM, 0), yes = 1, fd;

	setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(server, (struct sockaddr *)&at, sizeof(at)) || listen(server, 1))
		err(1, "port %u", port);
	fd = accept(server, NULL, NULL);
	if (fd < 0)
		err(1, "accept");
	close(server);
	return fd;
}

/* False: the end, between two records. */
static bool take(int fd, char record[RECORD + 1], unsigned int number)
{
	size_t n = 0;

	while (n < RECORD) {
		ssize_t more = read(fd, record + n, RECORD - n);

		if (more < 0)
			err(1, "record %u", number);
		if (!more && n)
			errx(1, "the end came within record %u", number);
		if (!more)
			return false;
		n += (size_t)more;
	}
	return true;
}

int main(int argc, char **argv)
{
	char record[RECORD + 1] = "";
	long long apart = 0;
	bool over = false;
	FILE *log;
	int fd;

	if (argc != 4)
		errx(2, "session-host PORT LOG END");
	fd = accept_one((uint16_t)atoi(argv[1]));
	log = fopen(argv[2], "w");
	if (!log)
		err(1, "%s", argv[2]);
	setlinebuf(log);
	for (unsigned int next = 0; take(fd, record, next); next++) {
		long long real, mono;
		unsigned int number;

		if (sscanf(record, "%u %lld %lld ", &number, &real, &mono) != 3 || number != next)
			errx(1, "record %u is another: %.60s", next, record);
		if (over)
			continue;
		if (!next)
			apart = real - mono;
		fprintf(log, "%u %lld %lld\n", number, (now() - real) / 1000,
			(real - mono - apart) / 1000);
		over = !access(argv[3], F_OK);
		if (over)
			shutdown(fd, SHUT_WR);
		else if (send(fd, record, RECORD, MSG_NOSIGNAL) != RECORD)
			err(1, "record %u does not go back", number);
	}
	if (!over)
		errx(1, "the guest has ended it");
	return 0;
}
