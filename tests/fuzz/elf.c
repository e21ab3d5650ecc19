/* SPDX-License-Identifier: MIT */
/* ELF images (guest/elf.h) for both machines: what is loaded stays where its header says. */
#include "guest/elf.h"

#include <elf.h>
#include <errno.h>

#include "guest/image.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/lib/ram.h"

/* What it loads lies in [elf->low, elf->high): all other pages are clean. */
static void check_loaded(struct mem *mem, const struct elf_image *elf)
{
	for (unsigned int i = 0; i < mem->n_slots; i++) {
		const struct mem_slot *s = &mem->slots[i];

		for (uint64_t at = 0; at < s->size; at += MEM_PAGE)
			CHECK(!mem_test_dirty(mem, s->gpa + at, false) ||
			      range_overlap(s->gpa + at, MEM_PAGE, elf->low, elf->high - elf->low));
	}
	ram_check_dirty();
}

static void check(const struct elf_image *elf)
{
	CHECK(elf->low < elf->high);
	if (!elf->has_pvh)
		CHECK(elf->entry - elf->low < elf->high - elf->low);
	else
		CHECK(elf->pvh_entry >= elf->low && elf->pvh_entry < elf->high);
}

static void load(struct input *in, struct elf_image *elf)
{
	struct mem *mem = ram_fresh();
	uint64_t low = LOW, high = HIGH + SLOT_SIZE;
	struct err err = { "" };
	int rc;

	check(elf);
	switch (take_below(in, 4)) {
	case 0:
		low = 0;
		high = UINT64_MAX;
		break;
	case 1: /* as arm/boot.c does */
		elf_relocate(elf, LOW + take_u16(in));
		break;
	case 2:
		rc = elf_relocate(elf, take_u64(in));
		CHECK(!rc || rc == -EINVAL);
		break;
	case 3:
		break;
	}
	CHECK(elf->low < elf->high);
	rc = elf_load(elf, mem, low, high, &err);
	CHECK(!rc == !err.text[0] && (!rc || rc == -EINVAL || rc == -ENOMEM));
	if (!rc)
		CHECK(elf->low >= low && elf->high <= high);
	check_loaded(mem, elf);
}

/* The first bytes say what is done, the rest is the file. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, MIN(size, (size_t)16) };
	uint8_t *file = heap_copy(data + in.left, size - in.left);
	uint16_t machine = take_u8(&in) & 1 ? EM_AARCH64 : EM_X86_64;
	struct elf_image elf;
	struct err err = { "" };
	int rc = elf_parse(file, size - MIN(size, (size_t)16), machine, &elf, &err);

	CHECK(!rc || (rc == -EINVAL && err.text[0]));
	if (!rc) {
		CHECK(image_sniff(file, elf.size) ==
		      (machine == EM_X86_64 ? IMAGE_ELF64_X86 : IMAGE_ELF_ARM64));
		load(&in, &elf);
	}
	free(file);
	return 0;
}
