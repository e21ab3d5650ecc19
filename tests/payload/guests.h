/* SPDX-License-Identifier: MIT */
/* A machine with a payload in it, for tests that drive it from the same process. */
#ifndef TESTS_PAYLOAD_GUESTS_H
#define TESTS_PAYLOAD_GUESTS_H

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine.h"
#include "tests/unit/tap.h"
#include "util/util.h"

struct run {
	struct machine_config config;
	struct machine *m;
	int status;
	int output[2];
};

/* The console goes to r->output. */
static inline void set_up(struct run *r, const char *payload, const char *cmdline)
{
	memset(r, 0, sizeof(*r));
	if (pipe(r->output))
		abort();
	r->config = (struct machine_config){
		.vm = { .cpus = 1,
			.mem = 64 * MIB,
			.log = { .fd = 2, .level = LOG_ERROR, .name = "test" } },
		.image = { .cmdline = cmdline },
		.payload = payload,
		.in = -1,
		.out = r->output[1],
		.log_fd = -1,
	};
}

static inline const char *name_of(const struct run *r)
{
	return r->config.payload ? r->config.payload : "the guest";
}

static inline bool create(struct run *r)
{
	struct err err = { "" };
	int rc = machine_create(&r->config, &r->m, &err);

	ok(!rc, "%s is created: %s", name_of(r), rc ? err.text : "yes");
	return !rc;
}

static inline void *run_main(void *arg)
{
	struct run *r = arg;
	struct err err;

	r->status = machine_run(r->m, &err);
	return NULL;
}

static inline void output_is(struct run *r, const char *wanted)
{
	char text[256] = "";

	close(r->output[1]);
	if (read(r->output[0], text, sizeof(text) - 1) < 0)
		text[0] = 0;
	close(r->output[0]);
	ok(!strcmp(text, wanted), "%s wrote its own output", name_of(r));
}

/* Reads up to `lines` line ends, so that the test knows where the guest is. */
static inline void wait_lines(struct run *r, int lines)
{
	char c;

	while (lines && read(r->output[0], &c, 1) == 1)
		lines -= c == '\n';
}

/*
 * The rest of the irq payload's life, after its first edge was raised: one edge by eventfd, one by
 * hand.
 */
static inline void two_more_edges(struct run *r, pthread_t thread, const struct irq_line *line)
{
	uint64_t one = 1;
	int fd;

	wait_lines(r, 1);
	usleep(20000);
	fd = irq_fd(line);
	ok(fd >= 0, "an eventfd for the line: %d", fd);
	ok(write(fd, &one, sizeof(one)) == sizeof(one), "is written to");
	wait_lines(r, 1);
	usleep(20000);
	irq_fd_close(line, fd);
	irq_raise(line);
	pthread_join(thread, NULL);
	ok(r->status == 0, "an edge latched, one by eventfd, one by hand: %d", r->status);
	machine_destroy(r->m);
	close(r->output[0]);
	close(r->output[1]);
}

#endif
