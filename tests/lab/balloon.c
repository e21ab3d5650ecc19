/* SPDX-License-Identifier: MIT */
/*
 * balloon KERNEL INITRD DISK mmio|pci STEP...: a Linux guest with a balloon, and a host that asks
 * it for this and that, in one process, which knows what resides of it. Prints TAP. The guest runs
 * commands from its console (guest.sh, act=commands).
 *
 * Steps: stats, inflate, report, hints, all.
 */
#include "virtio/balloon.h"

#include <linux/virtio_balloon.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "machine.h"
#include "tests/unit/tap.h"
#include "util/util.h"

#define MEM (256 * MIB)
#define WAIT_S 60

struct guest {
	struct machine_config config;
	struct machine *m;
	struct device *balloon;
	pthread_t thread;
	int status;
	int to, from; /* its console */
	char params[128];
	const char *initrds[2];
	char text[4096]; /* what came of it, and was not waited for yet */
	unsigned int commands;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* What resides of this process, in MiB: the guest's memory, and little beside it. */
static int resident(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	char line[256];
	int kib = 0;

	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "Rss:", 4))
			kib = atoi(line + 4);
	}
	if (f)
		fclose(f);
	return kib / 1024;
}

/* ---- The guest's console ---- */

static bool wait_text(struct guest *g, const char *wanted, int seconds)
{
	double end_at = now() + seconds;
	struct pollfd pfd = { .fd = g->from, .events = POLLIN };
	size_t len = strlen(g->text);

	while (!strstr(g->text, wanted)) {
		ssize_t n;

		if (len > sizeof(g->text) / 2) {
			memmove(g->text, g->text + len - 512, 513);
			len = 512;
		}
		if (now() > end_at || poll(&pfd, 1, 1000) < 0)
			return false;
		if (!(pfd.revents & POLLIN))
			continue;
		n = read(g->from, g->text + len, sizeof(g->text) - 1 - len);
		if (n <= 0)
			return false;
		len += (size_t)n;
		g->text[len] = 0;
	}
	g->text[0] = 0;
	return true;
}

/* Runs a command in the guest: did it end, with 0? */
static bool does(struct guest *g, const char *command)
{
	char line[256];

	g->commands++;
	snprintf(line, sizeof(line), "%s\n", command);
	if (write(g->to, line, strlen(line)) != (ssize_t)strlen(line))
		return false;
	snprintf(line, sizeof(line), "guest: command %u: 0", g->commands);
	if (wait_text(g, line, WAIT_S))
		return true;
	printf("# %s: no \"%s\" in: %s\n", command, line, g->text);
	return false;
}

/* ---- The balloon ---- */

static struct balloon_info info(struct guest *g)
{
	struct balloon_info i;

	balloon_get_info(g->balloon, &i);
	return i;
}

static bool wait_actual(struct guest *g, uint64_t bytes)
{
	for (double end = now() + WAIT_S; now() < end; usleep(50000)) {
		if (info(g).actual == bytes)
			return true;
	}
	printf("# it has %llu MiB\n", (unsigned long long)(info(g).actual / MIB));
	return false;
}

static bool wait_told(struct guest *g, uint64_t times)
{
	for (double end = now() + WAIT_S; now() < end; usleep(10000)) {
		if (info(g).told >= times)
			return true;
	}
	return false;
}

/* Waits until no more than so many MiB reside; how long that took, or more than can be. */
static double wait_resident(int most)
{
	double begun = now();

	while (now() < begun + WAIT_S && resident() > most)
		usleep(50000);
	return now() - begun;
}

static void ask(struct guest *g)
{
	uint64_t before = info(g).told;

	ok(!balloon_ask_stats(g->balloon) && wait_told(g, before + 1), "statistics are told anew");
}

/* ---- Steps ---- */

static void stats(struct guest *g)
{
	const uint32_t wanted = 1u << VIRTIO_BALLOON_S_MEMFREE | 1u << VIRTIO_BALLOON_S_MEMTOT |
				1u << VIRTIO_BALLOON_S_AVAIL | 1u << VIRTIO_BALLOON_S_CACHES |
				1u << VIRTIO_BALLOON_S_MINFLT;
	struct balloon_info i;

	ok(wait_told(g, 1), "the driver tells its statistics");
	ask(g);
	i = info(g);
	ok((i.known & wanted) == wanted, "all of them: %x", i.known);
	ok(i.stats[VIRTIO_BALLOON_S_MEMTOT] > MEM * 3 / 4 &&
		   i.stats[VIRTIO_BALLOON_S_MEMTOT] <= MEM &&
		   i.stats[VIRTIO_BALLOON_S_MEMFREE] < i.stats[VIRTIO_BALLOON_S_MEMTOT],
	   "it has %llu MiB, %llu free",
	   (unsigned long long)(i.stats[VIRTIO_BALLOON_S_MEMTOT] / MIB),
	   (unsigned long long)(i.stats[VIRTIO_BALLOON_S_MEMFREE] / MIB));
}

/* Nothing is free: the disk that was read is in the page cache, and goes for the balloon. */
static void inflate(struct guest *g)
{
	int before, after;
	bool done = does(g, "exec 3</dev/vda; cat /dev/vda >/dev/null");

	before = resident();
	ok(done && before > 200, "the guest fills its page cache: %d MiB reside", before);
	balloon_set_target(g->balloon, 128 * MIB);
	ok(wait_actual(g, 128 * MIB), "the balloon takes 128 MiB");
	after = resident();
	ok(before - after >= 120, "of %d MiB resident %d are left", before, after);
	ask(g);
	balloon_set_target(g->balloon, 0);
	ok(wait_actual(g, 0), "and gives them back");
}

/* What is freed goes by 2 MiB that are free altogether: not all of it does. */
static void report(struct guest *g)
{
	int before, full;
	double took;

	ok(does(g, "exec 3<&-; echo 3 >/proc/sys/vm/drop_caches; sleep 5"), "it drops its caches");
	before = resident();
	ok(does(g, "dd if=/dev/zero of=/mnt/file bs=1M count=100 2>/dev/null"),
	   "the guest has a file of 100 MiB in a tmpfs");
	full = resident();
	ok(full - before >= 90, "of %d MiB resident come %d", before, full);
	ok(does(g, "rm /mnt/file"), "the file is removed");
	took = wait_resident(full - 80);
	ok(took <= 10, "and after %.1f s there are %d", took, resident());
}

struct seen {
	_Atomic uint64_t bytes, wrong;
	_Atomic unsigned int ranges, ends;
	struct guest *g;
};

static void see(void *opaque, uint64_t gpa, uint64_t len)
{
	struct seen *s = opaque;

	s->ranges++;
	s->bytes += len;
	s->wrong += !mem_at(&machine_vm(s->g->m)->mem, gpa, len, MEM_R);
}

static void see_end(void *opaque)
{
	((struct seen *)opaque)->ends++;
}

static void hints_once(struct guest *g)
{
	struct seen s = { .g = g };
	const struct balloon_hints user = { see, see_end, &s };
	uint64_t free_before;

	ask(g);
	free_before = info(g).stats[VIRTIO_BALLOON_S_MEMFREE];
	ok(!balloon_start_hints(g->balloon, &user), "hints are asked for");
	for (double end = now() + WAIT_S; now() < end && !s.ends; usleep(10000))
		continue;
	ok(s.ends == 1, "the guest has told what is free");
	ask(g);
	ok(!s.wrong && s.bytes > free_before / 2 && s.bytes <= MEM,
	   "of %llu MiB that were free %llu in %u ranges; and keeps it: %llu are",
	   (unsigned long long)(free_before / MIB), (unsigned long long)(s.bytes / MIB), s.ranges,
	   (unsigned long long)(info(g).stats[VIRTIO_BALLOON_S_MEMFREE] / MIB));
	balloon_end_hints(g->balloon);
	for (double end = now() + WAIT_S; now() < end; usleep(100000)) {
		uint64_t told = info(g).told;

		if (balloon_ask_stats(g->balloon) || !wait_told(g, told + 1) ||
		    info(g).stats[VIRTIO_BALLOON_S_MEMFREE] > free_before * 3 / 4)
			break;
	}
	ok(info(g).stats[VIRTIO_BALLOON_S_MEMFREE] > free_before * 3 / 4,
	   "until it may have it again: %llu MiB",
	   (unsigned long long)(info(g).stats[VIRTIO_BALLOON_S_MEMFREE] / MIB));
}

static void hints(struct guest *g)
{
	hints_once(g);
	hints_once(g);
}

/* What the balloon has when it has had no more for two seconds. */
static uint64_t wait_settled(struct guest *g)
{
	uint64_t before, has = 0;
	double end = now() + WAIT_S;

	do {
		before = has;
		sleep(2);
		has = info(g).actual;
	} while (has > before + MIB && now() < end);
	return has;
}

/* More than there is: the guest takes back what it needs. */
static void all(struct guest *g)
{
	uint64_t most, left;
	bool done;

	balloon_set_target(g->balloon, MEM);
	most = wait_settled(g);
	ok(most > MEM / 2, "asked for all, the guest gives %llu MiB; %d reside",
	   (unsigned long long)(most / MIB), resident());
	ok(does(g, "true"), "and lives");
	done = does(g, "dd if=/dev/zero of=/mnt/file bs=1M count=80 2>/dev/null");
	left = info(g).actual;
	ok(done && left + 40 * MIB < most, "it takes back what it needs: the balloon has %llu MiB",
	   (unsigned long long)(left / MIB));
	ok(does(g, "test $(wc -c </mnt/file) = 83886080"), "and has all that was written");
	ok(does(g, "rm /mnt/file; test $(dmesg | grep -c 'Killed process') = 0"),
	   "and nothing was killed for it");
	balloon_set_target(g->balloon, 0);
	ok(wait_actual(g, 0), "it has all again");
}

static const struct step {
	const char *name;
	void (*run)(struct guest *g);
} steps[] = {
	{ "stats", stats }, { "inflate", inflate }, { "report", report },
	{ "hints", hints }, { "all", all },
};

/* ---- The machine ---- */

static void *run_main(void *arg)
{
	struct guest *g = arg;
	struct err err;

	g->status = machine_run(g->m, &err);
	return NULL;
}

static struct device *find_balloon(struct machine *m)
{
	for (struct device *d = machine_devices(m)->first; d; d = d->next) {
		if (!strcmp(d->name, "virtio-balloon.0"))
			return d;
	}
	return NULL;
}

static bool begin(struct guest *g, char **argv)
{
	static struct machine_config config = {
		.vm = { .cpus = 1,
			.mem = MEM,
			.log = { .fd = 2, .level = LOG_INFO, .name = "test" } },
		.balloon = true,
		.log_fd = -1,
		.n_disks = 1,
	};
	struct err err = { "" };
	int in[2], out[2];

	snprintf(g->params, sizeof(g->params), "console=%s panic=-1 quiet act=commands",
		 arch_console);
	if (pipe(in) || pipe(out))
		abort();
	g->config = config;
	g->config.image.cmdline = g->params;
	g->config.image.kernel = argv[0];
	g->initrds[0] = argv[1];
	g->config.image.initrds = g->initrds;
	g->config.disks[0].path = argv[2];
	g->config.virtio_pci = !strcmp(argv[3], "pci");
	g->config.in = in[0];
	g->config.out = out[1];
	g->to = in[1];
	g->from = out[0];
	if (machine_create(&g->config, &g->m, &err)) {
		ok(false, "the machine is made: %s", err.text);
		return false;
	}
	g->balloon = find_balloon(g->m);
	return !pthread_create(&g->thread, NULL, run_main, g);
}

int main(int argc, char **argv)
{
	struct guest g = { .status = -1 };

	if (argc < 5 || !begin(&g, argv + 1))
		return 1;
	ok(wait_text(&g, "guest: ready", WAIT_S), "%s: Linux runs, %d MiB reside", argv[4],
	   resident());
	ok(does(&g, "mount -t tmpfs -o size=300M tmpfs /mnt"), "it has a tmpfs");
	for (int i = 5; i < argc; i++) {
		for (unsigned int k = 0; k < ARRAY_SIZE(steps); k++) {
			if (!strcmp(argv[i], steps[k].name))
				steps[k].run(&g);
		}
	}
	if (write(g.to, "poweroff -f\n", 12) != 12)
		machine_stop(g.m, 15);
	pthread_join(g.thread, NULL);
	ok(g.status == 0, "it powers off: %d", g.status);
	machine_destroy(g.m);
	return done_testing();
}
