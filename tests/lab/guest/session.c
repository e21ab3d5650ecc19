/* SPDX-License-Identifier: MIT */
/*
 * session ADDRESS PORT: in a guest that is moved, the one end of a TCP connection, the other end of which is on the host
 * (tests/lab/session-host.c). Twenty times a second a record goes there and comes back: "NUMBER REALTIME MONOTONIC" (clocks in
 * nanoseconds), then bytes that depend on the number. When the other side ends it, says "guest: session: NUMBER
 * records" and ends with 0; with 1 when anything else happened, which it says.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define RECORD 1024
#define HEAD 80

static long long ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static int complain(const char *what, unsigned int number)
{
	printf("guest: session: %s at record %u: %s\n", what, number, strerror(errno));
	return 1;
}

static void make(char record[RECORD], unsigned int number)
{
	memset(record, ' ', HEAD);
	for (unsigned int i = HEAD; i < RECORD; i++)
		record[i] = (char)(number * 31 + i * 7 + i / 256);
	record[snprintf(record, HEAD, "%u %lld %lld", number, ns(CLOCK_REALTIME),
			ns(CLOCK_MONOTONIC))] = ' ';
}

/* How much came: less than all of it at the end. -1: an error. */
static ssize_t take(int fd, char record[RECORD])
{
	size_t n = 0;

	while (n < RECORD) {
		ssize_t more = read(fd, record + n, RECORD - n);

		if (more < 0)
			return -1;
		if (!more)
			break;
		n += (size_t)more;
	}
	return (ssize_t)n;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char record[RECORD], back[RECORD];

	if (argc != 3 || !inet_aton(argv[1], &to.sin_addr))
		return 2;
	to.sin_port = htons((uint16_t)atoi(argv[2]));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
		return complain("no connection", 0);
	for (unsigned int number = 0;; number++) {
		ssize_t n;

		make(record, number);
		if (write(fd, record, RECORD) != RECORD)
			return complain("it does not go", number);
		n = take(fd, back);
		if (!n) {
			printf("guest: session: %u records\n", number);
			return 0;
		}
		errno = n < 0 ? errno : 0;
		if (n != RECORD)
			return complain("nothing comes back", number);
		if (memcmp(record, back, RECORD))
			return complain("something else comes back", number);
		usleep(50000);
	}
}
