/* SPDX-License-Identifier: MIT */
/* Multiboot images (guest/multiboot.h): what is loaded stays where header or ELF file say. */
#include "guest/multiboot.h"

#include <errno.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/lib/ram.h"

static void check(const struct multiboot *mb, size_t size)
{
	CHECK(mb->low < mb->high && mb->high <= UINT32_MAX);
	CHECK(mb->entry >= mb->low && mb->entry < mb->high);
	CHECK(mb->header % 4 == 0 && mb->header + 12 <= MULTIBOOT_SEARCH &&
	      mb->header + 12 <= size);
	CHECK(mb->is_elf || (range_in(mb->load_offset, mb->load_size, size) && mb->load_size &&
			     mb->load_size <= mb->high - mb->low));
	CHECK(multiboot_touches(mb, mb->low, mb->high - mb->low));
	CHECK(!multiboot_touches(mb, mb->high, 1) && !multiboot_touches(mb, 0, mb->low));
}

static void load(struct input *in, const struct multiboot *mb)
{
	struct mem *mem = ram_fresh();
	bool any = take_u8(in) & 1;
	uint64_t low = any ? 0 : LOW, high = any ? UINT64_MAX : LOW + SLOT_SIZE;
	struct err err = { "" };
	int rc = multiboot_load(mb, mem, low, high, &err);

	CHECK(!rc == !err.text[0] && (!rc || rc == -EINVAL || rc == -ENOMEM));
	for (unsigned int i = 0; i < mem->n_slots; i++) {
		const struct mem_slot *s = &mem->slots[i];

		for (uint64_t at = 0; at < s->size; at += MEM_PAGE)
			CHECK(!mem_test_dirty(mem, s->gpa + at, false) ||
			      range_overlap(s->gpa + at, MEM_PAGE, mb->low, mb->high - mb->low));
	}
	ram_check_dirty();
}

/* The first byte says what is done, the rest is the file. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, MIN(size, (size_t)1) };
	size_t left = size - in.left;
	uint8_t *file = heap_copy(data + in.left, left);
	struct multiboot mb;
	struct err err = { "" };
	int rc = multiboot_parse(file, left, &mb, &err);

	CHECK(!rc || (rc == -EINVAL && err.text[0]));
	CHECK(rc || multiboot_is(file, left));
	if (!rc) {
		check(&mb, left);
		load(&in, &mb);
	}
	free(file);
	return 0;
}
