/* SPDX-License-Identifier: MIT */
/*
 * hops IRQCHIP TRANSPORT CPUS KERNEL INITRD DISK CMDLINE: Linux works on a disk, and moves to another machine, four
 * times, while it does: once more with each line that it prints with "hop" in it. What is restored is saved again,
 * and compared. Meanwhile, with act=clocks in CMDLINE, it tells of them (tests/lab/guest/clock.c).
 */
#ifndef TESTS_LAB_HOPS_H
#define TESTS_LAB_HOPS_H

#include <signal.h>
#include <time.h>

#include "state/state.h"
#include "tests/payload/guests.h"
#include "vm/arch.h"

#define HOPS 4
#define LINES 8	      /* of the clocks', in each machine */
#define MOST_LINES 60 /* if each of them came late */
#define HOP_LINES 4   /* of hops, at most: the guest is not over before it has moved HOPS times */
#define NS_PER_MS 1000000ll
#define RIGHT (100 * NS_PER_MS)

/* What differs between the ports. */
struct port {
	/* Fields that go on with time between two saves are zeroed. */
	void (*still)(const struct saved *s, unsigned int cpus);
	bool keeps_time; /* the guest's clocks count the time between two machines, too */
};

/* What the clocks' lines have told. */
struct clocks {
	unsigned int lines, lost;
	unsigned int back;
	/* ns: how far CLOCK_REALTIME is behind the host's, by this machine's lines; the least in the first */
	int64_t least, most, offset;
	bool has_offset;
	bool late; /* what is read now was printed before a pause: it tells nothing of that */
	unsigned int judged;  /* machines */
	int64_t first, drift; /* REALTIME - MONOTONIC, at first; most that it was else */
};

struct state {
	struct buf bytes;
	struct saved stream;
	uint8_t *ram;
};

/* Linux, in one machine after the other. */
struct linux_guest {
	const struct port *port;
	char **words;
	cpu_set_t one_cpu;
	const char *initrds[2]; /* NULL ends */
	struct run run;
	pthread_t thread;
	struct state *from; /* NULL: from its beginning */
	struct err err;
	char line[512];
	size_t len;
	struct clocks clocks;
	bool over, complained;
	unsigned int hop, forks; /* as it has counted them */
};

/* ---- What it prints ---- */

static inline int64_t host_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static inline void take_clocks(struct clocks *c, const char *line)
{
	int64_t behind, between;
	long long real, mono;
	unsigned int number, back;

	if (sscanf(line, "clock %u %lld %lld %u", &number, &real, &mono, &back) != 4)
		return;
	behind = host_now() - real;
	between = real - mono;
	if (!c->lines)
		c->first = between;
	c->lost += number != c->lines;
	c->lines = number + 1;
	c->back = back;
	if (!c->late) {
		c->least = MIN(c->least, behind);
		c->most = MAX(c->most, behind);
	}
	c->drift = MAX(c->drift, between > c->first ? between - c->first : c->first - between);
}

static inline void take_line(struct linux_guest *g)
{
	static const char *const complaints[] = {
		"the kernel complains",
		"the clock leaps",
		"vda holds something else",
		"vda is not written",
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(complaints); i++)
		g->complained |= strstr(g->line, complaints[i]) != NULL;
	sscanf(g->line, "guest: hop %u", &g->hop);
	sscanf(g->line, "guest: forks %u", &g->forks);
	g->over |= strstr(g->line, "guest: it is over") != NULL;
	if (!strncmp(g->line, "clock ", 6)) {
		take_clocks(&g->clocks, g->line);
	} else {
		printf("# %s\n", g->line);
		fflush(stdout);
	}
}

/* The next line, when it is whole. False: none will come any more. */
static inline bool hear_line(struct linux_guest *g)
{
	char c;

	while (read(g->run.output[0], &c, 1) == 1) {
		if (c == '\n') {
			g->line[g->len] = 0;
			g->len = 0;
			take_line(g);
			return true;
		}
		if (c != '\r' && g->len < sizeof(g->line) - 1)
			g->line[g->len++] = c;
	}
	return false;
}

/* Until a line with `word` in it. Who is over says nothing but its last words, which NULL is for. */
static inline bool listen_for(struct linux_guest *g, const char *word)
{
	bool wanted = false;

	while (!wanted && (!word || !g->over) && hear_line(g))
		wanted = word && strstr(g->line, word);
	return wanted;
}

/* ---- A machine ---- */

static inline void configure(struct linux_guest *g)
{
	struct machine_config *c = &g->run.config;

	set_up(&g->run, NULL, g->words[7]);
	c->vm.irqchip = g->words[1];
	c->virtio_pci = !strcmp(g->words[2], "pci");
	c->vm.cpus = (unsigned int)atoi(g->words[3]);
	c->vm.mem = 256 * MIB;
	c->image.kernel = g->words[4];
	c->image.initrds = g->initrds;
	c->timeouts[TIMEOUT_TOTAL] = 120000;
	c->rng = true;
	if (c->vm.cpus == 1) /* 32-bit, perhaps: then QEMU loses SPSRs where CPUs change */
		c->vm.affinity = &g->one_cpu;
	c->n_disks = 1;
	c->disks[0].path = g->words[6];
}

static inline bool take_state(struct machine *m, struct state *s)
{
	struct err err = { "" };
	int rc;

	s->bytes.len = 0;
	rc = state_save(machine_vm(m), machine_devices(m), NULL, &s->bytes, &err);
	if (!rc)
		rc = saved_open(&s->stream, s->bytes.data, s->bytes.len, &err);
	if (rc)
		printf("# %s\n", err.text);
	return !rc;
}

static inline bool is_same(const struct saved_section *x, const struct saved_section *y)
{
	size_t i = 0;

	while (y && i < x->body.left && i < y->body.left && x->body.p[i] == y->body.p[i])
		i++;
	if (y && x->body.left == y->body.left && i == x->body.left)
		return true;
	printf("# section %s.%u of %zu bytes differs at", x->name, x->instance, x->body.left);
	for (unsigned int n = 0; i < x->body.left && i < (y ? y->body.left : 0) && n < 16; i++) {
		if (x->body.p[i] == y->body.p[i])
			continue;
		printf(" %zu: %02x, %02x", i, x->body.p[i], y->body.p[i]);
		n++;
	}
	printf("\n");
	return false;
}

static inline bool all_same(const struct saved *a, const struct saved *b)
{
	bool is = a->n_sections == b->n_sections;

	for (unsigned int i = 0; i < a->n_sections; i++)
		is &= is_same(&a->sections[i],
			      saved_find(b, a->sections[i].name, a->sections[i].instance));
	return is;
}

static inline void is_restored(struct linux_guest *g, struct vm *vm)
{
	struct state *again = calloc(1, sizeof(*again));

	ok(take_state(g->run.m, again), "and saved again");
	g->port->still(&again->stream, vm->n_vcpus);
	g->port->still(&g->from->stream, vm->n_vcpus);
	ok(all_same(&g->from->stream, &again->stream), "and each field is equal");
	buf_free(&again->bytes);
	free(again);
}

static inline int restore(void *opaque, struct vm *vm, struct err *err)
{
	struct linux_guest *g = opaque;
	int rc;

	memcpy(vm->mem.ram, g->from->ram, vm->config.mem + arch_own_ram);
	rc = state_restore(vm, machine_devices(g->run.m), &g->from->stream, err);
	ok(!rc, "Linux is restored: %s", rc ? err->text : "yes");
	if (rc)
		return rc;
	is_restored(g, vm);
	device_list_resume(machine_devices(g->run.m));
	return 0;
}

static inline void *run_guest(void *opaque)
{
	struct linux_guest *g = opaque;

	g->run.status = machine_run(g->run.m, &g->err);
	return NULL;
}

static inline bool start(struct linux_guest *g)
{
	int rc;

	configure(g);
	if (g->from) {
		g->run.config.vm.prepare = restore;
		g->run.config.vm.prepare_opaque = g;
	}
	rc = machine_create(&g->run.config, &g->run.m, &g->err);
	if (rc)
		ok(false, "the machine is created: %s", g->err.text);
	else
		pthread_create(&g->thread, NULL, run_guest, g);
	return !rc;
}

static inline void end(struct linux_guest *g)
{
	pthread_join(g->thread, NULL);
	machine_destroy(g->run.m);
	close(g->run.output[1]);
	g->clocks.late = true;
	listen_for(g, NULL);
	g->clocks.late = false;
	close(g->run.output[0]);
}

/* That was its life in this machine. False: there is nothing to go on from. */
static inline bool stop_and_save(struct linux_guest *g, struct state *s)
{
	struct vm *vm = machine_vm(g->run.m);
	size_t size = vm->config.mem + arch_own_ram;
	bool fine = !vm_pause(vm);

	ok(fine, "Linux is paused");
	if (!fine)
		return false;
	device_list_quiesce(machine_devices(g->run.m));
	fine = take_state(g->run.m, s);
	ok(fine, "and saved");
	s->ram = malloc(size);
	if (!s->ram)
		abort();
	memcpy(s->ram, vm->mem.ram, size);
	/* While the clocks go on. */
	usleep(300000);
	machine_stop(g->run.m, SIGTERM);
	return fine;
}

static inline void release(struct state *s)
{
	buf_free(&s->bytes);
	free(s->ram);
	free(s);
}

/* ---- Its life ---- */

/*
 * A line may come late: the best in a machine says what the clock is worth. In the first that may be any: Linux counts
 * ticks before it has a better clock, and some get lost.
 */
static inline void clocks_are_right(struct linux_guest *g)
{
	struct clocks *c = &g->clocks;
	int64_t off = c->least - c->offset;

	if (c->least == INT64_MAX) {
		if (c->lines)
			printf("# none of the clocks' lines came in time\n");
		return;
	}
	printf("# behind the host by %lld to %lld us\n", (long long)c->least / 1000,
	       (long long)c->most / 1000);
	if (!c->has_offset)
		c->offset = c->least;
	else if (g->port->keeps_time)
		ok(off > -RIGHT && off < RIGHT, "the clock is as right as it was, but for %lld us",
		   (long long)off / 1000);
	c->judged++;
	c->has_offset = true;
	c->least = INT64_MAX;
	c->most = INT64_MIN;
}

/* As many lines as make one likely that was not held up: more in the first machine, of which all others are judged. */
static inline bool has_enough(const struct clocks *c, unsigned int lines)
{
	if (!c->has_offset)
		return lines >= 4 * LINES;
	return lines >= MOST_LINES || (lines >= LINES && c->least - c->offset < RIGHT);
}

/* But no more hops than this machine's: none of the clocks' lines may come for as long. */
static inline bool listen_for_clocks(struct linux_guest *g, unsigned int last_hop)
{
	unsigned int lines = 0;
	bool lives = true;

	while (lives && g->hop < last_hop && !has_enough(&g->clocks, lines)) {
		lives = !g->over && hear_line(g);
		lines += lives && !strncmp(g->line, "clock ", 6);
	}
	return lives;
}

static inline bool hop(struct linux_guest *g, unsigned int machine)
{
	struct state *s = calloc(1, sizeof(*s));
	bool lives = listen_for(g, "hop");

	if (lives && strstr(g->words[7], "clocks"))
		lives = listen_for_clocks(g, (machine + 1) * HOP_LINES);
	ok(lives, "Linux got on");
	/* In the midst of what comes then. */
	usleep(150000);
	lives = lives && stop_and_save(g, s);
	end(g);
	clocks_are_right(g);
	if (g->from)
		release(g->from);
	g->from = s;
	return lives && start(g);
}

static inline void it_was_well(struct linux_guest *g)
{
	const struct clocks *c = &g->clocks;

	ok(g->over, "Linux gets to its end");
	ok(!g->complained, "without a complaint");
	if (strstr(g->words[7], "clocks")) {
		ok(c->lines > 20 && !c->lost, "%u lines of its clocks, of which %u went missing",
		   c->lines, c->lost);
		ok(c->judged > HOPS / 2, "the clocks of %u machines were judged", c->judged);
	}
	if (strstr(g->words[7], "forks"))
		ok(g->forks == HOPS, "VMGenID told it %u times of that", g->forks);
	ok(!c->back, "no clock went back (%u)", c->back);
	ok(c->drift < RIGHT, "both clocks go alike, but for %lld us", (long long)c->drift / 1000);
	ok(g->run.status == 0, "Linux ends as it should: %d %s", g->run.status, g->err.text);
}

static inline int hops_main(int argc, char **argv, const struct port *port)
{
	struct linux_guest g = { .port = port, .words = argv };
	bool lives;

	setvbuf(stdout, NULL, _IOLBF, 0); /* where it hangs is behind what it has said */
	signal(SIGPIPE, SIG_IGN);
	if (argc != 8)
		return 2;
	CPU_SET(0, &g.one_cpu);
	g.initrds[0] = argv[5];
	g.clocks.least = INT64_MAX;
	g.clocks.most = INT64_MIN;
	lives = start(&g);
	for (unsigned int i = 0; lives && i < HOPS; i++)
		lives = hop(&g, i);
	if (lives) {
		listen_for(&g, "guest: it is over");
		end(&g);
		clocks_are_right(&g);
		it_was_well(&g);
	}
	if (g.from)
		release(g.from);
	return done_testing();
}

#endif
