/* SPDX-License-Identifier: MIT */
/*
 * A guest (guest/payload/x86/migrate.c) that moves between machines of this process, over a link that can be
 * made to fail, and somebody who reads all that it prints: number after number, whoever runs it.
 */
#ifndef TESTS_PAYLOAD_X86_MOVES_H
#define TESTS_PAYLOAD_X86_MOVES_H

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "machine-parts.h"
#include "state/receive.h"
#include "tests/payload/guests.h"
#include "util/clock.h"

#define NEVER UINT64_MAX
#define WAIT 30000 /* ms at most, for anything */

static char image[4096], disk[64];

/* ---- The console that all of them share ---- */

struct reader_of_lines {
	int fds[2];
	pthread_t thread;
	_Atomic uint64_t lines, wrong;
};

static inline void *read_lines(void *opaque)
{
	struct reader_of_lines *r = opaque;
	char line[64];
	size_t used = 0;
	char c;

	while (read(r->fds[0], &c, 1) == 1) {
		if (used < sizeof(line) - 1)
			line[used++] = c;
		if (c != '\n')
			continue;
		line[used] = 0;
		used = 0;
		if (strtoul(line, NULL, 16) != r->lines) {
			printf("# line %llu is %s", (unsigned long long)r->lines, line);
			r->wrong++;
		}
		r->lines++;
	}
	return NULL;
}

/* ---- The guest, wherever it is ---- */

struct side {
	struct machine_config config;
	struct machine *m;
	pthread_t thread;
	struct channel channel;
	struct receive *receive; /* of a target */
	bool no_threads;	 /* it gets none more, when it is to run */
	int status;
	struct err err;
	_Atomic bool made, over;
};

struct guest {
	struct reader_of_lines lines;
	char cmdline[64];
	unsigned int cpus;
	uint64_t mem; /* bytes; 0: 64 MiB */
	bool pci, disk;
	const char *irqchip;
	void (*stuck)(void *opaque, struct machine *m);
	struct side *at;
};

static inline void configure(struct guest *g, struct side *s)
{
	s->config = (struct machine_config){
		.vm = { .cpus = g->cpus ? g->cpus : 1,
			.mem = g->mem ? g->mem : 64 * MIB,
			.irqchip = g->irqchip,
			.not_linux = true,
			.log = { .fd = 2, .level = LOG_ERROR, .name = "test" } },
		.image = { .cmdline = g->cmdline, .kernel = image },
		.in = -1,
		.out = g->lines.fds[1],
		.log_fd = -1,
		.rng = true,
		.virtio_pci = g->pci,
		.stuck = g->stuck,
		.stuck_ms = g->stuck ? 300 : 0,
	};
	if (g->disk) {
		s->config.n_disks = 1;
		s->config.disks[0].path = disk;
	}
}

static inline void *run_source(void *opaque)
{
	struct side *s = opaque;

	s->status = machine_run(s->m, &s->err);
	s->over = true;
	return NULL;
}

static inline bool begin(struct guest *g)
{
	struct side *s = calloc(1, sizeof(*s));

	if (pipe(g->lines.fds))
		abort();
	pthread_create(&g->lines.thread, NULL, read_lines, &g->lines);
	configure(g, s);
	g->at = s;
	if (machine_create(&s->config, &s->m, &s->err)) {
		printf("# %s\n", s->err.text);
		return false;
	}
	s->made = true;
	pthread_create(&s->thread, NULL, run_source, s);
	return true;
}

/* It prints so many more lines. */
static inline bool goes_on(struct guest *g, unsigned int more)
{
	uint64_t wanted = g->lines.lines + more, end = clock_now() + WAIT * CLOCK_MS;

	while (g->lines.lines < wanted && clock_now() < end)
		usleep(1000);
	return g->lines.lines >= wanted;
}

static inline void forget(struct side *s)
{
	pthread_join(s->thread, NULL);
	if (s->m)
		machine_destroy(s->m);
	channel_close(&s->channel);
	if (s->receive)
		receive_end(s->receive);
	free(s->receive);
	free(s);
}

/* It is told to end, and says that nothing was lost. */
static inline bool end_well(struct guest *g)
{
	int status;

	machine_input(g->at->m, "q", 1);
	for (unsigned int i = 0; i < WAIT && !g->at->over; i++)
		usleep(1000);
	if (!g->at->over)
		machine_stop(g->at->m, SIGTERM);
	pthread_join(g->at->thread, NULL);
	status = g->at->status;
	machine_destroy(g->at->m);
	channel_close(&g->at->channel);
	if (g->at->receive)
		receive_end(g->at->receive);
	free(g->at->receive);
	free(g->at);
	close(g->lines.fds[1]);
	pthread_join(g->lines.thread, NULL);
	close(g->lines.fds[0]);
	if (status || g->lines.wrong)
		printf("# status %d, %llu lines wrong of %llu\n", status,
		       (unsigned long long)g->lines.wrong, (unsigned long long)g->lines.lines);
	return !status && !g->lines.wrong;
}

/* ---- The link ---- */

/* What one side sends goes to the other, until something happens at a byte of the source's. */
struct link {
	int ends[2], middle[2];
	pthread_t thread;
	uint64_t cut, cut_back,
		flip; /* at these bytes, of what goes there, and of what comes back */
	uint64_t passed[2];
	unsigned int slow; /* us for each 4 KiB */
	bool direct;	   /* nothing happens to it, and nobody is between */
	/* Who is between makes another of each frame of the source's, and seals it as if it were his own. */
	void (*edit)(const struct frame *f, uint8_t *body);
	struct channel halves[2];
	struct wire in, out;
	uint8_t body[WIRE_BODY];
};

static inline ssize_t pass_frame(struct link *l)
{
	struct frame f;
	struct err err;

	if (wire_get(&l->in, &f, &err) || (f.len && wire_body(&l->in, &f, l->body, &err)))
		return -1;
	l->edit(&f, l->body);
	return wire_put(&l->out, f.type, f.at, f.value, l->body, f.len, &err) ? -1 : 1;
}

static inline ssize_t pass(struct link *l, unsigned int from)
{
	uint8_t bytes[4096];
	uint64_t most = (from ? l->cut_back : l->cut) - l->passed[from];
	ssize_t n = recv(l->middle[from], bytes, MIN(sizeof(bytes), most), 0), done = 0;

	if (n <= 0)
		return -1;
	if (!from && l->flip >= l->passed[0] && l->flip < l->passed[0] + (uint64_t)n)
		bytes[l->flip - l->passed[0]] ^= 1 << l->flip % 8;
	if (l->slow)
		usleep(l->slow);
	for (ssize_t k = 0; done < n && k >= 0; done += k)
		k = send(l->middle[!from], bytes + done, (size_t)(n - done), MSG_NOSIGNAL);
	l->passed[from] += (uint64_t)n;
	return l->passed[from] >= (from ? l->cut_back : l->cut) ? -1 : n;
}

static inline void *link_main(void *opaque)
{
	struct link *l = opaque;
	struct pollfd p[2] = { { .fd = l->middle[0], .events = POLLIN },
			       { .fd = l->middle[1], .events = POLLIN } };
	bool up = l->cut && l->cut_back;

	for (unsigned int i = 0; i < 2; i++)
		channel_of(&l->halves[i], l->middle[i], l->middle[i]);
	l->in = (struct wire){ .channel = &l->halves[0] };
	l->out = (struct wire){ .channel = &l->halves[1] };
	while (up && poll(p, 2, -1) > 0) {
		for (unsigned int i = 0; up && i < 2; i++)
			up = !p[i].revents || (!i && l->edit ? pass_frame(l) : pass(l, i)) > 0;
	}
	shutdown(l->middle[0], SHUT_RDWR);
	shutdown(l->middle[1], SHUT_RDWR);
	return NULL;
}

static inline void link_up(struct link *l)
{
	int a[2], b[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, a) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, b))
		abort();
	l->ends[0] = a[0];
	l->ends[1] = a[1];
	if (l->direct) {
		close(b[0]);
		close(b[1]);
		return;
	}
	l->middle[0] = a[1];
	l->middle[1] = b[0];
	l->ends[1] = b[1];
	pthread_create(&l->thread, NULL, link_main, l);
}

static inline void link_down(struct link *l)
{
	if (l->direct)
		return;
	pthread_join(l->thread, NULL);
	close(l->middle[0]);
	close(l->middle[1]);
}

/* ---- A move ---- */

/* Or not: no such stack can be had. For the whole process. */
static inline void allow_threads(bool allow)
{
	static size_t normal;
	pthread_attr_t attr;

	if (pthread_getattr_default_np(&attr))
		abort();
	if (!normal)
		pthread_attr_getstacksize(&attr, &normal);
	if (pthread_attr_setstacksize(&attr, allow ? normal : (size_t)1 << 60) ||
	    pthread_setattr_default_np(&attr))
		abort();
	pthread_attr_destroy(&attr);
}

static inline void *run_target(void *opaque)
{
	struct side *s = opaque;
	int rc;

	pthread_setname_np(pthread_self(), "target");
	rc = receive_begin(s->receive, &s->channel, &s->err);
	s->config.incoming = s->receive;
	if (!rc)
		rc = machine_create(&s->config, &s->m, &s->err);
	s->made = !rc;
	if (s->no_threads)
		allow_threads(false);
	if (!rc)
		rc = machine_run(s->m, &s->err);
	if (s->no_threads)
		allow_threads(true);
	if (rc)
		machine_refuse(&s->config, s->err.text);
	s->status = rc;
	/* As a process that ends: its disks are anybody's. */
	if (rc < 0) {
		shutdown(s->channel.in, SHUT_RDWR);
		if (s->m)
			machine_destroy(s->m);
		s->m = NULL;
	}
	s->over = true;
	return NULL;
}

static inline int take_end(void *opaque, struct channel *channel, struct err *err)
{
	struct link *l = opaque;
	char place[16];

	snprintf(place, sizeof(place), "fd:%d", l->ends[0]);
	return channel_connect(channel, place, NULL, err);
}

static inline struct side *start_target(struct guest *g, struct link *l,
					void (*change)(struct machine_config *c))
{
	struct side *t = calloc(1, sizeof(*t));

	configure(g, t);
	if (change)
		change(&t->config);
	channel_of(&t->channel, l->ends[1], l->ends[1]);
	t->channel.patience = 15000;
	t->receive = calloc(1, sizeof(*t->receive));
	pthread_create(&t->thread, NULL, run_target, t);
	return t;
}

static inline enum migration_status wait_status(struct machine *m,
						struct machine_migration_state *st)
{
	uint64_t end = clock_now() + WAIT * CLOCK_MS;

	do {
		usleep(500);
		machine_migration_state(m, st);
	} while (st->status <= MIGRATION_ACTIVE && clock_now() < end);
	return st->status;
}

static inline struct machine_migration how(struct link *l)
{
	return (struct machine_migration){ .connect = take_end,
					   .opaque = l,
					   .downtime = MIGRATE_DOWNTIME,
					   .throttle = MIGRATE_THROTTLE };
}

/*
 * Where it has gone, g->at is the target, and the source is over. Else the target is, and g->at is what it was.
 * `during` may do something meanwhile.
 */
static inline enum migration_status move(struct guest *g, struct link *l,
					 const struct machine_migration *h,
					 void (*change)(struct machine_config *c),
					 void (*during)(struct guest *g, struct side *t),
					 struct machine_migration_state *st)
{
	struct side *t;
	enum migration_status status;

	link_up(l);
	t = start_target(g, l, change);
	if (machine_migrate(g->at->m, h, &st->err))
		abort();
	if (during)
		during(g, t);
	status = wait_status(g->at->m, st);
	if (status == MIGRATION_COMPLETED) {
		struct side *s = g->at;

		g->at = t;
		pthread_join(s->thread, NULL);
		if (s->status || verdict_reason(machine_verdict(s->m)) != VERDICT_MOVED)
			printf("# the source ended with %d\n", s->status);
		machine_destroy(s->m);
		channel_close(&s->channel);
		if (s->receive)
			receive_end(s->receive);
		free(s->receive);
		free(s);
	}
	return status;
}

#endif
