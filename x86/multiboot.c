/* SPDX-License-Identifier: MIT */
/*
 * What a multiboot 1 loader tells of the machine (Multiboot Specification 0.6.96, section 3.3), all of
 * it in one block at X86_MULTIBOOT: the information, the memory map, the list of modules, the words.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "util/util.h"
#include "x86/boot.h"
#include "x86/map.h"

#define LOADER "Kindling"

/* Which fields are there. */
#define HAS_MEMORY 1u
#define HAS_CMDLINE 4u
#define HAS_MODULES 8u
#define HAS_MAP 0x40u
#define HAS_LOADER 0x200u

struct info {
	uint32_t flags;
	uint32_t mem_lower, mem_upper; /* KiB from 0 and from 1 MiB on */
	uint32_t boot_device;
	uint32_t cmdline;
	uint32_t n_modules, modules;
	uint32_t symbols[4];
	uint32_t map_size, map;
	uint32_t drives_size, drives, config, loader, apm;
	uint32_t video[11]; /* VBE's and the frame buffer's fields, which are not there */
};

_Static_assert(sizeof(struct info) == 116 && offsetof(struct info, loader) == 64, "as specified");

struct map_entry {
	uint32_t size; /* of what follows */
	uint64_t gpa, len;
	uint32_t type;
} __attribute__((packed));

struct module {
	uint32_t start, end, words, reserved;
};

/* From low to high addresses. */
struct block {
	struct info info;
	struct map_entry map[X86_RANGES];
	struct module modules[X86_MODULES_MAX];
};

#define PLACE(field) ((uint32_t)(X86_MULTIBOOT + offsetof(struct block, field)))
#define WORDS (X86_MULTIBOOT + sizeof(struct block))

static unsigned int fill_map(const struct mem *mem, struct map_entry *map)
{
	struct x86_range ranges[X86_RANGES];
	unsigned int n = x86_memory_map(mem, ranges);

	for (unsigned int i = 0; i < n; i++)
		map[i] = (struct map_entry){ sizeof(map[i]) - sizeof(map[i].size), ranges[i].gpa,
					     ranges[i].size, ranges[i].type };
	return n;
}

/* As a module's are, at *at; *words is where they begin. */
static int write_string(struct mem *mem, const char *text, uint64_t *at, uint32_t *words)
{
	*words = (uint32_t)*at;
	return x86_write_words(mem, &(struct x86_module){ .path = text }, at, X86_LOW_RAM_END);
}

static int fill_modules(struct mem *mem, const struct x86_boot *boot, struct module *modules,
			uint64_t *words)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < boot->n_modules; i++) {
		const struct x86_module *m = &boot->modules[i];

		modules[i] = (struct module){ (uint32_t)m->gpa, (uint32_t)(m->gpa + m->size),
					      (uint32_t)*words, 0 };
		rc = x86_write_words(mem, m, words, X86_LOW_RAM_END);
	}
	return rc;
}

int x86_write_multiboot(struct vm *vm, const struct x86_boot *boot, struct err *err)
{
	struct mem *mem = &vm->mem;
	struct block block = {
		.info = {
			.flags = HAS_MEMORY | HAS_CMDLINE | HAS_MODULES | HAS_MAP | HAS_LOADER,
			.mem_lower = X86_LOW_RAM_END / KIB,
			.mem_upper = (uint32_t)((mem->slots[0].size - X86_HIGH_RAM) / KIB),
			.n_modules = boot->n_modules,
			.modules = PLACE(modules),
			.map = PLACE(map),
		},
	};
	uint64_t words = WORDS;
	int rc;

	block.info.map_size = (uint32_t)(fill_map(mem, block.map) * sizeof(block.map[0]));
	rc = write_string(mem, LOADER, &words, &block.info.loader);
	if (!rc)
		rc = write_string(mem, boot->cmdline, &words, &block.info.cmdline);
	if (!rc)
		rc = fill_modules(mem, boot, block.modules, &words);
	if (!rc)
		rc = mem_write(mem, X86_MULTIBOOT, &block, sizeof(block));
	return rc ? err_set(err, E2BIG,
			    "the command line and the words of the modules are too long: multiboot "
			    "has %llu bytes for them",
			    (unsigned long long)(X86_LOW_RAM_END - WORDS))
		  : 0;
}
