/* SPDX-License-Identifier: MIT */
/*
 * Where arm/boot.c puts things: for any size of RAM, kernel and initrd, and whatever a header
 * claims, kernel, device tree and initrd lie in RAM, apart from each other and where their kernel
 * can reach them; or the image is refused with a line for people. Thousands of cases by chance, the
 * same ones each time.
 */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arm/arm.h"
#include "arm/map.h"
#include "tests/unit/tap.h"
#include "util/util.h"

/* What arm/boot.c calls, without the copying and without a KVM. */
static int fake_write(struct mem *mem, uint64_t gpa, const void *from, uint64_t len)
{
	(void)from;
	return mem_at(mem, gpa, len, MEM_W) ? 0 : -EFAULT;
}

static int fake_load(struct mem *mem, uint64_t gpa, const void *from, uint64_t len, int fd,
		     uint64_t offset)
{
	(void)fd;
	(void)offset;
	return fake_write(mem, gpa, from, len);
}

static int fake_check_32(const struct vm *vm, struct err *err)
{
	(void)vm;
	(void)err;
	return 0;
}

#define mem_write fake_write
#define mem_load fake_load
#define arm_check_32 fake_check_32
#include "arm/boot.c"
#include "guest/elf.c"
#include "guest/initrd.c"

#define IMAGE_ROOM (8 * MIB)
#define CASES 4000

static uint64_t below(uint64_t n)
{
	return ((uint64_t)random() << 31 ^ (uint64_t)random()) % n;
}

struct test_case {
	struct vm vm;
	struct arch_vm arch;
	uint8_t *image;
	size_t size;
	uint64_t start, need; /* what the image takes of RAM, by its own word */
	bool tree_behind;     /* the tree must be */
};

static void make_image(struct test_case *c)
{
	uint64_t text_offset = below(2) ? 0 : below(512) * MEM_PAGE;
	uint64_t image_size = below(3) ? c->size + below(600 * MIB) : 0;

	memcpy(c->image + 0x38, "ARM\x64", 4);
	put_le64(c->image + 8, text_offset);
	put_le64(c->image + 16, image_size);
	c->start = ARM_RAM + (image_size ? text_offset : ARM_FLAT_OFFSET_64);
	c->need = MAX(image_size, (uint64_t)c->size);
}

static void make_flat(struct test_case *c)
{
	c->arch.options.aarch32 = below(2);
	c->start = ARM_RAM + (c->arch.options.aarch32 ? ARM_FLAT_OFFSET_32 : ARM_FLAT_OFFSET_64);
	c->need = c->size;
	c->tree_behind = true;
}

static void make_elf(struct test_case *c)
{
	bool is_virtual = !below(3);
	uint64_t at = is_virtual ? 0xffff800008000000 + below(1024) * MEM_PAGE
				 : ARM_RAM + below(c->vm.config.mem);
	Elf64_Ehdr eh = {
		.e_type = ET_EXEC,
		.e_machine = EM_AARCH64,
		.e_entry = at,
		.e_phoff = sizeof(eh),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 1,
	};
	Elf64_Phdr ph = {
		.p_type = PT_LOAD,
		.p_paddr = at,
		.p_offset = 1024,
		.p_filesz = 1 + below(1024),
	};

	ph.p_memsz = ph.p_filesz + below(8 * MIB);
	memcpy(eh.e_ident, ELFMAG, SELFMAG);
	eh.e_ident[EI_CLASS] = ELFCLASS64;
	eh.e_ident[EI_DATA] = ELFDATA2LSB;
	memcpy(c->image, &eh, sizeof(eh));
	memcpy(c->image + sizeof(eh), &ph, sizeof(ph));
	c->start = is_virtual ? ARM_RAM + at % BLOCK : at;
	c->need = ph.p_memsz;
}

static const char *fault(const struct test_case *c)
{
	const struct arch_vm *a = &c->arch;
	uint64_t ram = c->vm.config.mem;
	uint64_t low = a->entry.is_32 ? LOW_RAM_32 : LOW_RAM_64;
	uint64_t initrd_end = a->initrd + a->initrd_size;

	if (a->entry.gpa != c->start)
		return "the entry";
	if (!range_in(c->start - ARM_RAM, c->need, ram))
		return "the kernel is out of RAM";
	if (a->dtb % 8 || !range_in(a->dtb - ARM_RAM, a->dtb_size, MIN(ram, low)))
		return "the tree is out of low RAM";
	if (a->dtb / BLOCK != (a->dtb + a->dtb_size - 1) / BLOCK)
		return "the tree crosses 2 MiB";
	if (range_overlap(a->dtb, a->dtb_size, c->start, c->need))
		return "tree and kernel";
	if (c->tree_behind && a->dtb < c->start)
		return "the tree before a flat image";
	if (!a->initrd_size)
		return NULL;
	if (!range_in(a->initrd - ARM_RAM, a->initrd_size, MIN(ram, INITRD_WINDOW)) ||
	    (a->entry.is_32 && initrd_end > ARM_RAM + LOW_RAM_32))
		return "the initrd is out of reach";
	if (range_overlap(a->initrd, a->initrd_size, c->start, c->need) ||
	    range_overlap(a->initrd, a->initrd_size, a->dtb, a->dtb_size))
		return "the initrd overlaps";
	return NULL;
}

/* Returns whether it was loaded. */
static bool try_case(uint8_t *image, const char *initrd)
{
	static void (*const make[])(struct test_case * c) = { make_image, make_flat, make_elf };
	static const uint64_t sizes[] = { 2,   4,   16,	 63,   64,   65,    96,	   256,
					  257, 511, 512, 1024, 8192, 32768, 65536, 700 };
	struct test_case c = { .image = image, .size = 4096 + below(IMAGE_ROOM - 4096) };
	struct err err = { "" };
	const char *const initrds[] = { initrd, NULL };
	struct arch_image load;
	const char *what = NULL;
	int rc;

	c.vm.config.mem = sizes[below(ARRAY_SIZE(sizes))] * MIB +
			  (below(3) ? 0 : below(512) * MEM_PAGE);
	c.vm.config.log.fd = -1;
	c.vm.arch = &c.arch;
	/* RAM that nobody touches: see fake_write(). */
	c.vm.mem.n_slots = 1;
	c.vm.mem.slots[0] = (struct mem_slot){ ARM_RAM, c.vm.config.mem, image, NULL };
	memset(image, 0, 4096);
	make[below(ARRAY_SIZE(make))](&c);
	if (truncate(initrd, (off_t)(1 + below(below(2) ? 4 * MIB : 600 * MIB))))
		abort();
	load = (struct arch_image){
		.data = image, .size = c.size, .initrds = below(4) ? initrds : NULL, .cmdline = ""
	};
	if (below(3)) {
		load.initrd_more = image;
		load.initrd_more_size = 1 + below(4 * MIB);
	}
	rc = arch_load(&c.vm, &load, &err);
	if (rc)
		what = err.text[0] ? NULL : "it is refused without a word";
	else
		what = fault(&c);
	if (what)
		ok(false, "%s: RAM %llx, image %llx+%llx, tree %llx, initrd %llx+%llx", what,
		   (unsigned long long)c.vm.config.mem, (unsigned long long)c.start,
		   (unsigned long long)c.need, (unsigned long long)c.arch.dtb,
		   (unsigned long long)c.arch.initrd, (unsigned long long)c.arch.initrd_size);
	return !rc;
}

int main(void)
{
	char initrd[] = "/tmp/kindling-boot-XXXXXX";
	uint8_t *image = calloc(1, IMAGE_ROOM);
	int fd = mkstemp(initrd);
	int loaded = 0;

	if (fd < 0 || !image)
		abort();
	srandom(1);
	for (int i = 0; i < CASES; i++)
		loaded += try_case(image, initrd);
	ok(loaded > CASES / 4 && loaded < CASES,
	   "%d of %d cases are loaded, each part in its place", loaded, CASES);
	unlink(initrd);
	close(fd);
	free(image);
	return done_testing();
}
