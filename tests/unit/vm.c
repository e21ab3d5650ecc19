/* SPDX-License-Identifier: MIT */
/* Memory, bus and verdict: the contracts that everything stands on. */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/tap.h"
#include "util/util.h"
#include "vm/bus.h"
#include "vm/mem.h"
#include "vm/verdict.h"

/* From which page to which of the slot at 0, and neither more nor less. */
static bool marks(struct mem *mem, uint64_t first, uint64_t last)
{
	bool right = true;

	mem_dirty(mem, first * MEM_PAGE + 4095, (last - first) * MEM_PAGE + 1);
	for (uint64_t page = 0; page < 4 * MIB / MEM_PAGE; page++)
		right &= mem_test_dirty(mem, page * MEM_PAGE, true) ==
			 (page >= first && page <= last);
	return right && !mem_test_dirty(mem, GIB, false);
}

/* Another VM goes on with `first`. */
static void test_adopted(struct mem *first)
{
	int other = memfd_create("other", MFD_CLOEXEC);
	struct mem mem;
	struct err err;

	first->ram[MIB - 1] = 0x5a;
	ok(!mem_create(&mem, MEM_SHARED, first->fd, MIB, &err) && mem.ram[MIB - 1] == 0x5a,
	   "another has the same memory");
	mem.ram[0] = 0xa5;
	ok(first->ram[0] == 0xa5, "and writes to it");
	ok(ftruncate(mem.fd, 0) && ftruncate(mem.fd, 2 * MIB),
	   "nobody makes it shorter, or longer");
	mem_destroy(&mem);
	ok(mem_create(&mem, MEM_SHARED, first->fd, 2 * MIB, &err) == -EINVAL, "refused: %s",
	   err.text);
	ok(!ftruncate(other, MIB) && mem_create(&mem, MEM_SHARED, other, MIB, &err) == -EINVAL,
	   "refused, as it could be cut: %s", err.text);
	ok(mem_create(&mem, MEM_SHARED, STDIN_FILENO, MIB, &err) == -EINVAL, "refused, no memory");
	close(other);
	ok(first->ram[MIB - 1] == 0x5a, "the first has its own still");
}

static void log_page(_Atomic uint64_t *log, uint64_t gpa)
{
	((uint8_t *)log)[gpa / MEM_PAGE / 8] |= (uint8_t)(1 << gpa / MEM_PAGE % 8);
}

/* Two slots with a word of the log in common, and one far from them. */
static void logged(void)
{
	const uint64_t low = GIB + 3 * MEM_PAGE, next = low + 4 * MEM_PAGE, high = 64 * GIB;
	_Atomic uint64_t *log;
	struct mem mem;

	ok(!mem_create(&mem, MEM_ANON, -1, 8 * MIB, NULL) &&
		   !mem_add_slot(&mem, low, 0, 4 * MEM_PAGE) &&
		   !mem_add_slot(&mem, next, MIB, 4 * MEM_PAGE) &&
		   !mem_add_slot(&mem, high, 4 * MIB, 4 * MIB),
	   "three slots");
	mem_take_log(&mem);
	ok(!mem_test_dirty(&mem, low, false), "nobody has a log");
	log = mem_log(&mem);
	ok(log && mem_log(&mem) == log, "it is one");
	log_page(log, low);
	log_page(log, next + 3 * MEM_PAGE);
	log_page(log, high + MIB);
	log_page(log, high + 4 * MIB - MEM_PAGE);
	mem_take_log(&mem);
	ok(mem_test_dirty(&mem, low, true) && mem_test_dirty(&mem, next + 3 * MEM_PAGE, true) &&
		   mem_test_dirty(&mem, high + MIB, true) &&
		   mem_test_dirty(&mem, high + 4 * MIB - MEM_PAGE, true),
	   "what is marked there is marked");
	ok(!mem_test_dirty(&mem, next, false) && !mem_test_dirty(&mem, high, false),
	   "and nothing else");
	mem_take_log(&mem);
	ok(!mem_test_dirty(&mem, low, false) && !mem_test_dirty(&mem, high + MIB, false), "once");
	mem_destroy(&mem);
}

static void memory(void)
{
	struct mem mem;
	struct err err;

	ok(mem_create(&mem, MEM_ANON, -1, 0, &err) < 0, "no memory at all is refused");
	ok(mem_create(&mem, MEM_ANON, -1, 4097, &err) < 0, "an odd size is refused");
	ok(!mem_create(&mem, MEM_ANON, -1, 8 * MIB, &err), "8 MiB");
	ok(!mem_add_slot(&mem, 0, 0, 4 * MIB) && !mem_add_slot(&mem, GIB, 4 * MIB, 4 * MIB),
	   "two slots");
	ok(mem_add_slot(&mem, GIB + MIB, 0, MIB) == -EINVAL, "an overlapping slot is refused");
	ok(mem_add_slot(&mem, UINT64_MAX - 4095, 0, 8192) == -EINVAL, "a wrapping slot is refused");
	ok(mem_add_slot(&mem, 2 * GIB, 8 * MIB, MIB) == -EINVAL, "a slot past RAM is refused");
	ok((uintptr_t)mem_at(&mem, 0, 1, MEM_R) % (2 * MIB) == 0, "hva and gpa agree modulo 2 MiB");
	ok(mem_at(&mem, 4 * MIB - 1, 1, MEM_W) && !mem_at(&mem, 4 * MIB - 1, 2, MEM_W),
	   "an access may not leave its slot");
	ok(!mem_at(&mem, 4 * MIB, 1, MEM_R) && !mem_at(&mem, 0, 0, MEM_R),
	   "nor begin outside, nor be empty");
	ok(!mem_at(&mem, UINT64_MAX, 2, MEM_R) && !mem_at(&mem, 1, UINT64_MAX, MEM_R), "nor wrap");
	ok(marks(&mem, 0, 63) && marks(&mem, 0, 64) && marks(&mem, 1, 64) && marks(&mem, 63, 128) &&
		   marks(&mem, 64, 126) && marks(&mem, 130, 800) && marks(&mem, 0, 1023),
	   "many pages are marked, each");
	mem_dirty(&mem, GIB + 4095, 2);
	ok(mem_test_dirty(&mem, GIB, false) && mem_test_dirty(&mem, GIB + 4096, false) &&
		   !mem_test_dirty(&mem, GIB + 8192, false) && !mem_test_dirty(&mem, 0, false),
	   "two bytes across pages mark two pages");
	ok(mem_test_dirty(&mem, GIB, true) && !mem_test_dirty(&mem, GIB, false),
	   "a mark is cleared");
	ok(!mem_write(&mem, 4095, "ab", 2) && mem_test_dirty(&mem, 0, false) &&
		   mem_test_dirty(&mem, 4096, false),
	   "mem_write() marks");
	ok(mem_write(&mem, 4 * MIB - 1, "ab", 2) == -EFAULT, "and refuses");
	mem_destroy(&mem);
	ok(!mem_create(&mem, MEM_SHARED, -1, MIB, &err) && mem.fd >= 0, "shared memory has an fd");
	test_adopted(&mem);
	mem_destroy(&mem);
}

/* How many of the slot's pages the host has in memory. */
static unsigned int resident(const struct mem *mem, uint64_t gpa, unsigned int pages)
{
	unsigned char in_core[64];
	unsigned int n = 0;

	if (mincore(mem_at(mem, gpa, pages * MEM_PAGE, MEM_R), pages * MEM_PAGE, in_core))
		return ~0u;
	for (unsigned int i = 0; i < pages; i++)
		n += in_core[i] & 1;
	return n;
}

static bool filled(const struct mem *mem, uint64_t gpa, unsigned int pages, int byte)
{
	const uint8_t *p = mem_at(mem, gpa, pages * MEM_PAGE, MEM_R);

	for (size_t i = 0; i < pages * MEM_PAGE; i++) {
		if (p[i] != byte)
			return false;
	}
	return true;
}

/* In 64 pages that are full of 'x', and that read as `after` where they were discarded. */
static void discard(enum mem_backing backing, const char *name, int fd, int after)
{
	const uint64_t gpa = GIB;
	struct mem mem;
	uint8_t *p;

	if (mem_create(&mem, backing, fd, MIB, NULL) || mem_add_slot(&mem, gpa, 0, MIB / 4)) {
		ok(false, "%s memory", name);
		return;
	}
	p = mem_at(&mem, gpa, MIB / 4, MEM_W);
	memset(p, 'x', MIB / 4);
	ok(!mem_discard(&mem, gpa + 1, MEM_PAGE) && !mem_discard(&mem, gpa + 4095, 4098) &&
		   !mem_discard(&mem, gpa, 4095) && filled(&mem, gpa, 1, 'x') &&
		   filled(&mem, gpa + 2 * MEM_PAGE, 62, 'x') && filled(&mem, gpa + 4096, 1, after),
	   "%s: only whole pages are discarded", name);
	ok(mem_test_dirty(&mem, gpa + 4096, true) && !mem_test_dirty(&mem, gpa, false) &&
		   !mem_test_dirty(&mem, gpa + 8192, false),
	   "%s: and those are dirty", name);
	p[4096] = 'y';
	ok(!mem_discard(&mem, gpa, 64 * MEM_PAGE) && !mem_discard(&mem, gpa, 64 * MEM_PAGE) &&
		   (backing == MEM_FILE || !resident(&mem, gpa, 64)) &&
		   filled(&mem, gpa, 64, after),
	   "%s: all of it, twice", name);
	ok(mem_discards_to_zeros(&mem) == !after, "%s: zeros: %d", name, !after);
	memset(p, 'z', MIB / 4);
	ok(filled(&mem, gpa, 64, 'z'), "%s: and it can be used again", name);
	ok(mem_discard(&mem, gpa - 4096, 8192) == -EFAULT &&
		   mem_discard(&mem, gpa + MIB / 4 - 4096, 8192) == -EFAULT &&
		   mem_discard(&mem, 0, 4096) == -EFAULT && mem_discard(&mem, gpa, 0) == -EFAULT &&
		   mem_discard(&mem, UINT64_MAX - 4095, 4096) == -EFAULT &&
		   mem_discard(&mem, gpa, UINT64_MAX) == -EFAULT &&
		   mem_discard(&mem, UINT64_MAX, UINT64_MAX) == -EFAULT,
	   "%s: nothing but RAM", name);
	ok(filled(&mem, gpa, 64, 'z'), "%s: and nothing is lost by that", name);
	mem_destroy(&mem);
}

static void discards(void)
{
	int fd = memfd_create("file", MFD_CLOEXEC);
	char text[4096];

	memset(text, 'f', sizeof(text));
	for (unsigned int i = 0; i < MIB / sizeof(text); i++) {
		if (write(fd, text, sizeof(text)) != sizeof(text))
			ok(false, "a file is written");
	}
	discard(MEM_ANON, "anonymous", -1, 0);
	discard(MEM_SHARED, "shared", -1, 0);
	discard(MEM_FILE, "a file's", fd, 'f');
	close(fd);
}

static void device(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	*(uint64_t *)opaque = offset;
	if (!is_write)
		memset(data, 0x11, len);
}

static struct bus shared;

static void *churn(void *arg)
{
	for (int i = 0; i < 2000; i++) {
		bus_claim(&shared, 0x1000, 16, device, arg, "moving", NULL);
		bus_release(&shared, 0x1000);
	}
	return NULL;
}

static void buses(void)
{
	uint64_t a, b, other = 0;
	struct bus bus;
	struct err err;
	uint32_t v;
	pthread_t t;

	bus_init(&bus);
	ok(!bus_claim(&bus, 0x100, 8, device, &a, "a", &err) &&
		   !bus_claim(&bus, 0x108, 8, device, &b, "b", &err),
	   "neighbours");
	ok(bus_claim(&bus, 0x107, 1, device, &a, "c", &err) == -EEXIST &&
		   strstr(err.text, "overlaps a"),
	   "overlap is refused by name");
	ok(bus_claim(&bus, 0x10, 0, device, &a, "c", &err) == -EINVAL &&
		   bus_claim(&bus, UINT64_MAX, 2, device, &a, "c", &err) == -EINVAL,
	   "empty and wrapping ranges are refused");
	ok(bus_access(&bus, 0x10c, &v, 4, false) && b == 4 && v == 0x11111111,
	   "found, with its offset");
	ok(!bus_access(&bus, 0x106, &v, 4, false) && v == 0xffffffff,
	   "an access across two devices reads ones");
	ok(!bus_access(&bus, UINT64_MAX, &v, 4, false) && atomic_load(&bus.unclaimed) == 2,
	   "and is counted");
	bus_release(&bus, 0x100);
	ok(!bus_access(&bus, 0x100, &v, 4, false), "released");
	bus_destroy(&bus);

	bus_init(&shared);
	bus_claim(&shared, 0, 16, device, &other, "fixed", NULL);
	pthread_create(&t, NULL, churn, &a);
	v = 1;
	for (int i = 0; i < 20000; i++)
		v &= bus_access(&shared, 8, &b, 4, false);
	pthread_join(t, NULL);
	ok(v == 1, "look-ups go on while the table is replaced");
	bus_destroy(&shared);
}

static int status(unsigned int reasons, bool announced)
{
	struct verdict v = { 0 };

	for (unsigned int r = 0; r < VERDICT_NONE; r++) {
		if (reasons >> r & 1)
			verdict_add(&v, (enum verdict_reason)r, r == VERDICT_SIGNAL ? 15 : 7);
	}
	if (announced)
		verdict_announce_reboot(&v);
	return verdict_status(&v);
}

static void verdicts(void)
{
	struct verdict told = { 0 }, meant = { 0 };

#define R(x) (1u << VERDICT_##x)
	ok(status(0, false) == 123 && status(0, true) == 123, "no reason is a failure");
	ok(status(R(POWEROFF), false) == 0, "power-off");
	ok(status(R(RESET), false) == 123 && status(R(RESET), true) == 0,
	   "reset, announced or not");
	ok(status(R(TRIPLE_FAULT), false) == 123 && status(R(TRIPLE_FAULT), true) == 0,
	   "triple fault");
	ok(status(R(PANIC) | R(POWEROFF), true) == 123 && status(R(PANIC) | R(RESET), true) == 123,
	   "a panic outweighs every end");
	ok(status(R(TIMEOUT), false) == 124 && status(R(TIMEOUT) | R(PANIC), false) == 123,
	   "timeout");
	ok(status(R(IMAGE), false) == 7 && status(R(IMAGE) | R(KVM), false) == 123,
	   "the image's status");
	ok(status(R(REPORTED) | R(IMAGE), false) == 122 &&
		   status(R(REPORTED) | R(POWEROFF), false) == 122 &&
		   status(R(REPORTED) | R(RESET), true) == 122,
	   "a report outweighs what ends well");
	ok(status(R(REPORTED) | R(RESET), false) == 123 &&
		   status(R(REPORTED) | R(TIMEOUT), false) == 124,
	   "and nothing else");
	ok(status(R(TIMEOUT) | R(RESET), true) == 124, "a reboot after a timeout is late");
	ok(status(R(ROOT) | R(COMMAND), false) == 123 &&
		   status(R(ROOT) | R(TIMEOUT), false) == 123 &&
		   status(R(ROOT) | R(RESET), true) == 123 &&
		   status(R(ROOT) | R(HOST), false) == 125,
	   "a command whose root has died");
	verdict_add(&told, VERDICT_COMMAND, 7);
	verdict_add(&told, VERDICT_ROOT, 0);
	ok(verdict_status(&told) == 7, "unless its status is known by then");
	verdict_mean(&meant, VERDICT_RESET);
	ok(verdict_status(&meant) == STATUS_GUEST_DIED, "what would be meant has not happened");
	verdict_add(&meant, VERDICT_RESET, 0);
	ok(!verdict_status(&meant), "a reset that is meant is a power-off");
	verdict_add(&meant, VERDICT_IMAGE, 3);
	ok(verdict_status(&meant) == 3, "and leaves the image's own status as it is");
	verdict_add(&meant, VERDICT_TRIPLE_FAULT, 0);
	ok(verdict_status(&meant) == STATUS_GUEST_DIED, "a triple fault is no reset");
	verdict_mean(&meant, VERDICT_TRIPLE_FAULT);
	verdict_add(&meant, VERDICT_PANIC, 0);
	ok(verdict_status(&meant) == STATUS_GUEST_DIED, "and nothing makes up for a panic");
	ok(status(R(HOST) | R(PANIC), false) == 125, "the host's failure");
	ok(status(R(SIGNAL) | R(HOST) | R(PANIC), false) == 143, "a person's signal above all");
#undef R
}

static void bisecting(void)
{
	bool right = true;

	for (int i = 0; i < 256; i++) {
		right &= verdict_bisect(i, true) == (i < 125 ? i : 1);
		right &= verdict_bisect(i, false) == i;
	}
	ok(right, "for git bisect a guest's own 125 and above is bad, and no more");
}

int main(void)
{
	bisecting();
	memory();
	logged();
	discards();
	buses();
	verdicts();
	return done_testing();
}
