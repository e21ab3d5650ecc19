/* SPDX-License-Identifier: MIT */
/* ELF images (guest/elf.h) of both classes, for both machines: what is loaded stays where its header says. */
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
	CHECK(elf_holds(elf, elf->entry) || (elf->has_pvh && elf_holds(elf, elf->pvh_entry)));
}

/* Are the segments of the file at `file` at their places, as `elf` has them? */
static void check_settled(struct mem *mem, const struct elf_image *elf, const uint8_t *file)
{
	Elf64_Ehdr eh;
	Elf64_Phdr ph;

	memcpy(&eh, file, sizeof(eh));
	for (unsigned int i = 0; i < eh.e_phnum; i++) {
		const uint8_t *there;

		memcpy(&ph, file + eh.e_phoff + i * sizeof(ph), sizeof(ph));
		if (ph.p_type != PT_LOAD || !ph.p_memsz)
			continue;
		there = mem_at(mem, ph.p_paddr + elf->displacement, ph.p_memsz, MEM_R);
		CHECK(there);
		/* What has nothing in the file may say that it is anywhere. */
		CHECK(!ph.p_filesz || !memcmp(there, file + ph.p_offset, ph.p_filesz));
		for (uint64_t at = ph.p_filesz; at < ph.p_memsz; at++)
			CHECK(!there[at]);
	}
}

/* The file is unpacked into RAM, and settles there. */
static void settle(struct input *in, const uint8_t *file, size_t size, uint16_t machine)
{
	uint64_t at = LOW + take_below(in, 8) * MEM_PAGE / 2;
	struct mem *mem = ram_fresh();
	struct elf_image elf;
	struct err err = { "" };
	uint8_t *there = mem_at(mem, at, size, MEM_W);

	if (!there)
		return;
	memcpy(there, file, size);
	mem_dirty(mem, at, size);
	if (elf_parse(there, size, machine, &elf, &err))
		return;
	if (take_u8(in) & 1)
		elf_relocate(&elf, LOW + take_u16(in));
	if (elf_settle(&elf, mem, at, LOW, LOW + SLOT_SIZE))
		check_settled(mem, &elf, file);
	else
		CHECK(!memcmp(there, file, size));
	ram_check_dirty();
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
	uint8_t how = take_u8(&in);
	uint16_t machine = how & 4 ? EM_386 : how & 1 ? EM_AARCH64 : EM_X86_64;
	struct elf_segment segment;
	struct elf_image elf;
	struct err err = { "" };
	int rc = elf_parse(file, size - MIN(size, (size_t)16), machine, &elf, &err);

	CHECK(!rc || (rc == -EINVAL && err.text[0]));
	if (!rc) {
		enum image_kind kind = image_sniff(file, elf.size);

		CHECK(kind == (machine == EM_386      ? IMAGE_ELF32_X86
			       : machine == EM_X86_64 ? IMAGE_ELF64_X86
						      : IMAGE_ELF_ARM64) ||
		      (kind == IMAGE_SOLO5 && machine != EM_386));
		for (unsigned int i = 0; elf_segment(&elf, i, &segment); i++)
			CHECK(!segment.size ||
			      (segment.gpa >= elf.low && segment.gpa + segment.size <= elf.high));
		if (how & 2 && machine != EM_386)
			settle(&in, file, elf.size, machine);
		else
			load(&in, &elf);
	}
	free(file);
	return 0;
}
