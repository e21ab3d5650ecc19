/* SPDX-License-Identifier: MIT */
/*
 * A guest that moves: twenty times to and fro; one that writes faster than the link takes; a move that is
 * cancelled, whose link is cut, whose bytes are flipped, whose target is gone or another machine. Whatever
 * happens one runs, and only one, and it loses nothing.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "tests/payload/x86/moves.h"

static struct guest *new_guest(const char *cmdline)
{
	struct guest *g = calloc(1, sizeof(*g));

	snprintf(g->cmdline, sizeof(g->cmdline), "%s", cmdline);
	return g;
}

/* The target did not run: it has ended by an error, or knows of none yet. */
static bool is_dead(struct side *t)
{
	for (unsigned int i = 0; i < WAIT && !t->over; i++)
		usleep(1000);
	return t->over && t->status < 0;
}

/* ---- To and fro ---- */

static void to_and_fro(const char *what, struct guest *g, unsigned int times)
{
	uint64_t longest = 0, total = 0;
	unsigned int n = 0;

	if (!begin(g))
		return ok(false, "%s: begins", what);
	goes_on(g, 10);
	for (; n < times; n++) {
		struct link l = { .cut = NEVER, .cut_back = NEVER, .flip = NEVER };
		struct machine_migration h = how(&l);
		struct machine_migration_state st;

		if (move(g, &l, &h, NULL, NULL, &st) != MIGRATION_COMPLETED) {
			printf("# move %u: status %d: %s\n", n, st.status, st.err.text);
			break;
		}
		link_down(&l);
		longest = MAX(longest, st.progress.downtime);
		total += st.ended - st.begun;
		/* (And the link is let go of.) */
		if (!goes_on(g, 3) || g->at->channel.in)
			break;
	}
	ok(n == times, "%s: moved %u times of %u: still for %llu us at most, %llu us each", what, n,
	   times, (unsigned long long)longest, (unsigned long long)(total / 1000 / times));
	ok(end_well(g), "%s: and has lost nothing", what);
	free(g);
}

static void make_disk(void)
{
	int fd;

	snprintf(disk, sizeof(disk), "/tmp/kindling-migrate-XXXXXX");
	fd = mkstemp(disk);
	if (fd < 0 || ftruncate(fd, MIB))
		abort();
	close(fd);
}

static void all_kinds(void)
{
	struct guest *g = new_guest("");

	to_and_fro("split", g, 20);
	g = new_guest("");
	g->disk = g->pci = true;
	g->cpus = 2;
	make_disk();
	to_and_fro("pci, a disk, two CPUs", g, 20);
	unlink(disk);
	g = new_guest("");
	g->irqchip = "full";
	to_and_fro("full", g, 5);
}

/* ---- What fails ---- */

/* One runs, and it is here; or nobody knows, and none does until somebody says so. */
static bool stays(struct guest *g, struct side *t, enum migration_status status)
{
	bool dead = is_dead(t);

	if (status == MIGRATION_UNKNOWN && dead) {
		uint64_t before = g->lines.lines;
		struct err err = { "" };

		usleep(50000);
		if (g->lines.lines > before + 1 || machine_migrate_take_back(g->at->m, &err)) {
			printf("# taken back: %s\n", err.text);
			return false;
		}
	} else if (status != MIGRATION_FAILED && status != MIGRATION_CANCELLED) {
		return false;
	}
	return dead && goes_on(g, 2);
}

static struct side *target_of_move; /* what during() was told of */

static void remember(struct guest *g, struct side *t)
{
	(void)g;
	target_of_move = t;
}

struct tally {
	unsigned int moved, stayed, unknown, wrong;
	struct err last;
};

/*
 * The source does not know whether its GO has arrived. The target that has none is about to end; what the source had
 * printed before has been read by then, too.
 */
static bool runs_there(struct guest *g, struct side *t)
{
	uint64_t end = clock_now() + WAIT * CLOCK_MS, wanted;

	usleep(50000);
	wanted = g->lines.lines + 3;
	while (!t->over && g->lines.lines < wanted && clock_now() < end)
		usleep(1000);
	return t->made && !t->over;
}

/* A move over this link: exactly one runs afterwards. */
static void try_move(struct guest *g, struct link *l, struct tally *tally)
{
	struct machine_migration h = how(l);
	struct machine_migration_state st;
	enum migration_status status = move(g, l, &h, NULL, remember, &st);
	struct side *t = target_of_move;

	if (status == MIGRATION_COMPLETED) {
		tally->moved++;
		tally->wrong += !goes_on(g, 2);
		link_down(l);
		return;
	}
	if (status == MIGRATION_UNKNOWN && runs_there(g, t)) {
		/* It was told to go on, and does: this side never does, not even if it is told to. */
		bool runs = goes_on(g, 3) && !g->at->over;
		struct side *s = g->at;
		struct err err;

		tally->unknown++;
		tally->wrong += !runs || machine_migrate_take_back(s->m, &err) != -EBUSY;
		machine_stop(s->m, SIGTERM);
		forget(s);
		g->at = t;
		link_down(l);
		return;
	}
	tally->unknown += status == MIGRATION_UNKNOWN;
	tally->stayed++;
	tally->last = st.err;
	if (!st.err.text[0] || !stays(g, t, status)) {
		printf("# status %d (%s), target %d (%s)\n", status, st.err.text, t->status,
		       t->err.text);
		tally->wrong++;
	}
	forget(t);
	link_down(l);
}

/* How many bytes a move is, there and back. */
static void measure(struct guest *g, uint64_t *there, uint64_t *back)
{
	struct link l = { .cut = NEVER, .cut_back = NEVER, .flip = NEVER };
	struct tally tally = { 0 };

	try_move(g, &l, &tally);
	*there = l.passed[0];
	*back = l.passed[1];
}

#define TIMES 50

static void cuts(void)
{
	struct guest *g = new_guest("");
	struct tally tally = { 0 };
	uint64_t there, back;

	g->disk = true;
	make_disk();
	if (!begin(g))
		return ok(false, "a guest begins");
	goes_on(g, 10);
	measure(g, &there, &back);
	printf("# a move is %llu bytes, and %llu back\n", (unsigned long long)there,
	       (unsigned long long)back);
	for (unsigned int i = 0; i < TIMES; i++) {
		struct link l = { .cut = (uint64_t)random() % there,
				  .cut_back = NEVER,
				  .flip = NEVER };

		try_move(g, &l, &tally);
	}
	ok(!tally.wrong && tally.stayed > TIMES / 2,
	   "cut at %u bytes: stayed %u times, moved %u (%s)", TIMES, tally.stayed, tally.moved,
	   tally.last.text);
	tally = (struct tally){ 0 };
	for (uint64_t at = 0; at <= back; at += 16) {
		struct link l = { .cut = NEVER, .cut_back = at, .flip = NEVER };

		try_move(g, &l, &tally);
	}
	ok(!tally.wrong && tally.unknown,
	   "cut at each half of an answer: stayed %u times, moved %u, not known %u", tally.stayed,
	   tally.moved, tally.unknown);
	ok(end_well(g), "after all of which the guest has lost nothing");
	unlink(disk);
	free(g);
}

static void flips(void)
{
	struct guest *g = new_guest("");
	struct tally tally = { 0 };
	uint64_t there, back;
	unsigned int beyond = 0;

	if (!begin(g))
		return ok(false, "a guest begins");
	goes_on(g, 10);
	measure(g, &there, &back);
	for (unsigned int i = 0; i < TIMES; i++) {
		/* (How many bytes there are depends on what the guest does.) */
		struct link l = { .cut = NEVER,
				  .cut_back = NEVER,
				  .flip = i < 16 ? i * 4 : (uint64_t)random() % (there * 3 / 4) };

		try_move(g, &l, &tally);
		beyond += l.flip >= l.passed[0];
	}
	ok(!tally.wrong && tally.stayed == TIMES - beyond && beyond < TIMES / 2,
	   "a flipped bit is refused: %u of %u (%s)", tally.stayed, TIMES - beyond,
	   tally.last.text);
	ok(end_well(g), "and the guest has lost nothing");
	free(g);
}

/* ---- Cancelled, too fast, another machine ---- */

static void cancel(struct guest *g, struct side *t)
{
	target_of_move = t;
	usleep(30000);
	machine_migrate_cancel(g->at->m);
}

static void cancelled(void)
{
	struct guest *g = new_guest("dirty=64");
	struct link l = { .cut = NEVER, .cut_back = NEVER, .flip = NEVER, .slow = 5000 };
	struct machine_migration h = how(&l);
	struct machine_migration_state st;
	enum migration_status status;

	if (!begin(g))
		return ok(false, "a guest begins");
	goes_on(g, 10);
	status = move(g, &l, &h, NULL, cancel, &st);
	ok(status == MIGRATION_CANCELLED && stays(g, target_of_move, status),
	   "cancelled, and goes on: %s", st.err.text);
	forget(target_of_move);
	link_down(&l);
	ok(end_well(g), "and has lost nothing");
	free(g);
}

/* The link takes a few MiB a second, and the guest writes to 16 MiB as fast as it can. ms that moving it would take. */
static uint64_t too_fast(unsigned int throttle, uint64_t downtime, bool moves)
{
	struct guest *g = new_guest("dirty=4096");
	struct link l = { .cut = NEVER, .cut_back = NEVER, .flip = NEVER, .slow = 100 };
	struct machine_migration h = how(&l);
	struct machine_migration_state st;
	enum migration_status status;

	h.throttle = throttle;
	h.downtime = downtime;
	if (!begin(g)) {
		ok(false, "a guest begins");
		return 0;
	}
	goes_on(g, 10);
	status = move(g, &l, &h, NULL, remember, &st);
	printf("# %llu rounds, slowed down by %u%%, still for %llu us; %s\n",
	       (unsigned long long)st.progress.rounds, st.progress.throttle,
	       (unsigned long long)st.progress.downtime, st.err.text);
	if (moves) {
		ok(status == MIGRATION_COMPLETED && goes_on(g, 2),
		   "a guest that is too fast is slowed down, and moves");
	} else if (status == MIGRATION_COMPLETED) {
		ok(!st.progress.throttle && goes_on(g, 2),
		   "on a host this busy it was not too fast, and moved");
	} else {
		ok(status == MIGRATION_FAILED && stays(g, target_of_move, status),
		   "one that may not be slowed down stays, and says why");
		forget(target_of_move);
	}
	link_down(&l);
	ok(end_well(g), "and has lost nothing");
	free(g);
	return st.progress.expected / 1000;
}

static void more_memory(struct machine_config *c)
{
	c->vm.mem *= 2;
}

static void more_cpus(struct machine_config *c)
{
	c->vm.cpus++;
}

static void more_devices(struct machine_config *c)
{
	c->balloon = true;
}

static void other_irqchip(struct machine_config *c)
{
	c->vm.irqchip = "full";
}

static void others(void)
{
	void (*const changes[])(struct machine_config * c) = { more_memory, more_cpus, more_devices,
							       other_irqchip };
	struct guest *g = new_guest("");

	if (!begin(g))
		return ok(false, "a guest begins");
	goes_on(g, 10);
	for (unsigned int i = 0; i < ARRAY_SIZE(changes); i++) {
		struct link l = { .cut = NEVER, .cut_back = NEVER, .flip = NEVER };
		struct machine_migration h = how(&l);
		struct machine_migration_state st;
		enum migration_status status = move(g, &l, &h, changes[i], remember, &st);

		ok(status == MIGRATION_FAILED && stays(g, target_of_move, status), "refused: %s",
		   st.err.text);
		forget(target_of_move);
		link_down(&l);
	}
	ok(end_well(g), "and the guest has lost nothing");
	free(g);
}

/* ---- A target that gets no threads, when all is there; a source that is over ---- */

/* (What it is given before it is made is told of in its configuration.) */
static void no_threads(struct machine_config *c)
{
	struct side *s = (struct side *)(void *)((uint8_t *)c - offsetof(struct side, config));

	s->no_threads = true;
}

static void threadless(unsigned int cpus)
{
	struct guest *g = new_guest("");
	struct link l = { .cut = NEVER, .cut_back = NEVER, .flip = NEVER };
	struct machine_migration h = how(&l);
	struct machine_migration_state st;
	enum migration_status status;

	g->cpus = cpus;
	if (!begin(g))
		return ok(false, "a guest begins");
	goes_on(g, 10);
	status = move(g, &l, &h, no_threads, remember, &st);
	ok(status == MIGRATION_FAILED && stays(g, target_of_move, status),
	   "a target without threads for %u CPUs, or for devices, says so in time: %s", cpus,
	   st.err.text);
	forget(target_of_move);
	link_down(&l);
	ok(end_well(g), "and the guest has lost nothing");
	free(g);
}

static void too_late(void)
{
	struct guest *g = new_guest("");
	struct link l = { .cut = NEVER, .cut_back = NEVER, .flip = NEVER };
	struct machine_migration h = how(&l);
	struct err err = { "" };
	int rc;

	if (!begin(g))
		return ok(false, "a guest begins");
	goes_on(g, 10);
	machine_input(g->at->m, "q", 1);
	for (unsigned int i = 0; i < WAIT && !g->at->over; i++)
		usleep(1000);
	rc = machine_migrate(g->at->m, &h, &err);
	ok(rc == -ESRCH, "one that has ended is not moved: %s", err.text);
	ok(end_well(g), "and has ended well");
	free(g);
}

/* ---- A disk that does not answer who migrates ---- */

static _Atomic bool holds, is_held, is_told;

/* In libc's place. */
int fdatasync(int fd)
{
	while (atomic_load(&holds)) {
		atomic_store(&is_held, true);
		usleep(1000);
	}
	return (int)syscall(SYS_fdatasync, fd);
}

static void told_stuck(void *opaque, struct machine *m)
{
	(void)opaque;
	(void)m;
	atomic_store(&is_told, true);
	atomic_store(&holds, false);
}

static bool becomes(_Atomic bool *what)
{
	for (unsigned int i = 0; i < WAIT && !atomic_load(what); i++)
		usleep(1000);
	return atomic_load(what);
}

static void no_answer(void)
{
	struct guest *g = new_guest("");
	struct link l = { .cut = NEVER, .cut_back = NEVER, .flip = NEVER };
	struct machine_migration h = how(&l);
	struct err err;
	struct side *t;

	g->disk = true;
	g->stuck = told_stuck;
	make_disk();
	if (!begin(g))
		return ok(false, "a guest begins");
	goes_on(g, 10);
	link_up(&l);
	t = start_target(g, &l, NULL);
	atomic_store(&holds, true);
	ok(!machine_migrate(g->at->m, &h, &err) && becomes(&is_held),
	   "a disk does not answer who migrates");
	machine_stop(g->at->m, SIGTERM);
	ok(becomes(&is_told), "the end of the guest does not wait for it in silence");
	atomic_store(&holds, false);
	ok(becomes(&g->at->over) && is_dead(t), "and is one, on both sides");
	forget(t);
	forget(g->at);
	link_down(&l);
	close(g->lines.fds[1]);
	pthread_join(g->lines.thread, NULL);
	close(g->lines.fds[0]);
	unlink(disk);
	free(g);
}

/* ---- What it costs (make bars): an idle guest, beside its pages alone through such a socket ---- */

struct copy {
	int fd;
	uint8_t *memory;
	uint64_t size;
};

static void *take_copy(void *opaque)
{
	struct copy *c = opaque;

	pthread_setname_np(pthread_self(), "alone");
	for (uint64_t at = 0; at < c->size;) {
		ssize_t n = recv(c->fd, c->memory + at, MIN(c->size - at, 256 * KIB), 0);

		if (n <= 0)
			abort();
		at += (uint64_t)n;
	}
	return NULL;
}

static void *map(uint64_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		abort();
	madvise(p, size, MADV_NOHUGEPAGE);
	return p;
}

/* In us: from memory that is there to memory that is not yet. */
static uint64_t copy_alone(uint64_t size)
{
	uint8_t *from = map(size);
	struct copy c = { .memory = map(size), .size = size };
	uint64_t begin;
	pthread_t t;
	struct channel same;
	int ends[2];

	memset(from, 1, size);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		abort();
	channel_of(&same, ends[0], ends[0]); /* its room, as well */
	c.fd = ends[1];
	begin = clock_now();
	pthread_create(&t, NULL, take_copy, &c);
	for (uint64_t at = 0; at < size;) {
		ssize_t n = send(ends[0], from + at, MIN(size - at, 256 * KIB), 0);

		if (n <= 0)
			abort();
		at += (uint64_t)n;
	}
	pthread_join(t, NULL);
	begin = clock_now() - begin;
	close(ends[0]);
	close(ends[1]);
	munmap(from, size);
	munmap(c.memory, size);
	return begin / 1000;
}

#define RUNS 10

static void cost(const char *fill)
{
	struct guest *g = new_guest(fill);
	uint64_t downtime = UINT64_MAX, total = UINT64_MAX, alone = UINT64_MAX;

	g->mem = GIB;
	if (!begin(g))
		return ok(false, "a guest begins");
	goes_on(g, 20);
	for (unsigned int i = 0; i < RUNS; i++) {
		struct link l = { .direct = true };
		struct machine_migration h = how(&l);
		struct machine_migration_state st;

		if (move(g, &l, &h, NULL, NULL, &st) != MIGRATION_COMPLETED)
			return ok(false, "an idle guest moves: %s", st.err.text);
		goes_on(g, 3);
		downtime = MIN(downtime, st.progress.downtime);
		total = MIN(total, (st.ended - st.begun) / 1000);
		alone = MIN(alone, copy_alone(st.progress.pages * MEM_PAGE));
		printf("# %llu pages: %llu us, still for %llu us; alone %llu us\n",
		       (unsigned long long)st.progress.pages, (unsigned long long)total,
		       (unsigned long long)downtime, (unsigned long long)alone);
	}
	ok(downtime <= 20000, "an idle 1 GiB guest (%s) stands for %llu us", fill,
	   (unsigned long long)downtime);
	ok(total * 10 <= alone * 13, "and moves in %llu us, its pages alone in %llu: %.2f",
	   (unsigned long long)total, (unsigned long long)alone, (double)total / (double)alone);
	ok(end_well(g), "and has lost nothing");
	free(g);
}

int main(void)
{
	const char *build = getenv("KINDLING_BUILD");
	const char *seed = getenv("SEED");

	srandom(seed ? (unsigned int)atoi(seed) : 1);
	setvbuf(stdout, NULL, _IOLBF, 0);
	snprintf(image, sizeof(image), "%s/payload/migrate.elf", build ? build : "build");
	if (getenv("KINDLING_BARS") && !strcmp(getenv("KINDLING_BARS"), "cost")) {
		cost("fill=256");
		return done_testing();
	}
	all_kinds();
	others();
	threadless(2);
	threadless(1);
	too_late();
	no_answer();
	cancelled();
	/* Slowing down has to help, however slow this host is. */
	too_fast(MIGRATE_THROTTLE, MAX(200u, 3 * too_fast(0, 20, false) / 4), true);
	flips();
	cuts();
	return done_testing();
}
