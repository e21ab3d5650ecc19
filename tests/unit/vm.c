/* SPDX-License-Identifier: MIT */
/* Memory, bus and verdict: the contracts that everything stands on. */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "tests/unit/tap.h"
#include "util/util.h"
#include "vm/bus.h"
#include "vm/mem.h"
#include "vm/verdict.h"

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
	mem_destroy(&mem);
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
	ok(status(R(HOST) | R(PANIC), false) == 125, "the host's failure");
	ok(status(R(SIGNAL) | R(HOST) | R(PANIC), false) == 143, "a person's signal above all");
#undef R
}

int main(void)
{
	memory();
	buses();
	verdicts();
	return done_testing();
}
