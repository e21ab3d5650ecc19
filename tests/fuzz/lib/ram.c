/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/lib/ram.h"

#include <sys/mman.h>

#include "tests/fuzz/fuzz.h"

/* mem_add_slot() wants them apart; what is between is the guard. */
#define STEP (256 * KIB)

static const uint64_t gpas[] = { LOW, HIGH };

/* One for the life of the process: libFuzzer knows no other. */
static struct ram {
	struct mem mem;
	uint8_t known[ARRAY_SIZE(gpas)][SLOT_SIZE];
} ram;

static void make(void)
{
	uint8_t *guard;

	CHECK(!mem_create(&ram.mem, MEM_ANON, -1, ARRAY_SIZE(gpas) * STEP, NULL));
	for (unsigned int i = 0; i < ARRAY_SIZE(gpas); i++) {
		CHECK(!mem_add_slot(&ram.mem, gpas[i], i * STEP, SLOT_SIZE));
		guard = ram.mem.slots[i].hva + SLOT_SIZE;
		CHECK(!mprotect(guard, STEP - SLOT_SIZE, PROT_NONE));
	}
	/* And below, if nothing else is there. */
	mmap(ram.mem.ram - MEM_PAGE, MEM_PAGE, PROT_NONE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
}

struct mem *ram_fresh(void)
{
	if (!ram.mem.ram)
		make();
	memset(ram.known, 0, sizeof(ram.known));
	for (unsigned int i = 0; i < ARRAY_SIZE(gpas); i++) {
		memset(ram.mem.slots[i].hva, 0, SLOT_SIZE);
		for (uint64_t at = 0; at < SLOT_SIZE; at += MEM_PAGE)
			mem_test_dirty(&ram.mem, gpas[i] + at, true);
	}
	return &ram.mem;
}

void ram_guest_write(uint64_t gpa, const void *data, size_t len)
{
	uint8_t *p = mem_at(&ram.mem, gpa, len, MEM_W);

	if (!p)
		return;
	memcpy(p, data, len);
	for (unsigned int i = 0; i < ARRAY_SIZE(gpas); i++) {
		if (gpa >= gpas[i] && gpa - gpas[i] < SLOT_SIZE)
			memcpy(ram.known[i] + (gpa - gpas[i]), data, len);
	}
}

void ram_check_dirty(void)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(gpas); i++) {
		for (uint64_t at = 0; at < SLOT_SIZE; at += MEM_PAGE)
			CHECK(!memcmp(ram.mem.slots[i].hva + at, ram.known[i] + at, MEM_PAGE) ||
			      mem_test_dirty(&ram.mem, gpas[i] + at, false));
	}
}

bool ram_has(const void *p, uint64_t len)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(gpas); i++) {
		uint64_t offset = (uint64_t)((const uint8_t *)p - ram.mem.slots[i].hva);

		if ((const uint8_t *)p >= ram.mem.slots[i].hva && range_in(offset, len, SLOT_SIZE))
			return true;
	}
	return false;
}
