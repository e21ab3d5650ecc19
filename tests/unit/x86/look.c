/* SPDX-License-Identifier: MIT */
/*
 * What an image is said to be, and what becomes of it: arch_look() and lkvm inspect agree with
 * arch_load(), for good images and for ten thousand damaged ones.
 */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/inspect.h"
#include "guest/bzimage.h"
#include "tests/unit/tap.h"
#include "util/util.h"
#include "x86/map.h"
#include "x86/x86.h"

#define RAM (32 * MIB)
#define SIZE 12288
#define AT (2 * MIB)
#define CODE 4096 /* where the first segment is in the file */
#define DAMAGED 10000
#define MULTIBOOT_AT 1024

#define LINUX "Linux version 6.1.0 (me@here) #1\n"

/* ---- Good images, on the heap and no longer than they say ---- */

enum seed {
	ELF64,
	ELF64_PVH,
	ELF64_BAD_NOTE,
	ELF64_HIGH,
	ELF64_MULTIBOOT,
	ELF32_MULTIBOOT,
	ADDRESSES,
	BZIMAGE,
	SEEDS
};

static void put_multiboot(uint8_t *p, uint32_t flags)
{
	put_le32(p, 0x1badb002);
	put_le32(p + 4, flags);
	put_le32(p + 8, 0u - 0x1badb002u - flags);
}

static void put_elf64(uint8_t *p, bool pvh, uint64_t virtual)
{
	Elf64_Ehdr eh = { .e_type = ET_EXEC,
			  .e_machine = EM_X86_64,
			  .e_entry = AT + virtual + 16,
			  .e_phoff = sizeof(eh),
			  .e_phentsize = sizeof(Elf64_Phdr),
			  .e_phnum = pvh ? 3 : 2 };
	Elf64_Phdr ph[3] = {
		{ .p_type = PT_LOAD,
		  .p_flags = PF_R | PF_X,
		  .p_offset = CODE,
		  .p_vaddr = AT + virtual,
		  .p_paddr = AT,
		  .p_filesz = 4096,
		  .p_memsz = 4096 },
		{ .p_type = PT_LOAD,
		  .p_flags = PF_R | PF_W,
		  .p_offset = 2 * CODE,
		  .p_vaddr = AT + virtual + 8192,
		  .p_paddr = AT + 8192,
		  .p_filesz = 4096,
		  .p_memsz = MIB },
		{ .p_type = PT_NOTE, .p_offset = 512, .p_filesz = 20, .p_memsz = 0 },
	};

	memcpy(eh.e_ident, "\177ELF\2\1\1", 7);
	memcpy(p, &eh, sizeof(eh));
	memcpy(p + sizeof(eh), ph, sizeof(ph));
	put_le32(p + 512, 4);
	put_le32(p + 516, 4);
	put_le32(p + 520, 18);
	memcpy(p + 524, "Xen", 4);
	put_le32(p + 528, AT + 32);
}

static void put_elf32(uint8_t *p)
{
	Elf32_Ehdr eh = { .e_type = ET_EXEC,
			  .e_machine = EM_386,
			  .e_entry = AT + 16,
			  .e_phoff = sizeof(eh),
			  .e_phentsize = sizeof(Elf32_Phdr),
			  .e_phnum = 2 };
	Elf32_Phdr ph[2] = {
		{ .p_type = PT_LOAD,
		  .p_offset = CODE,
		  .p_paddr = AT,
		  .p_filesz = 4096,
		  .p_memsz = 4096 },
		{ .p_type = PT_LOAD,
		  .p_offset = 2 * CODE,
		  .p_paddr = AT + 8192,
		  .p_filesz = 4096,
		  .p_memsz = MIB },
	};

	memcpy(eh.e_ident, "\177ELF\1\1\1", 7);
	memcpy(p, &eh, sizeof(eh));
	memcpy(p + sizeof(eh), ph, sizeof(ph));
}

static void put_addresses(uint8_t *p)
{
	put_multiboot(p + 16, 0x10003);
	put_le32(p + 28, AT + 16);	 /* the header */
	put_le32(p + 32, AT);		 /* load */
	put_le32(p + 36, AT + SIZE);	 /* its end */
	put_le32(p + 40, AT + 2 * SIZE); /* bss */
	put_le32(p + 44, AT + 64);	 /* entry */
}

static void put_bzimage(uint8_t *p)
{
	p[0x1f1] = 1;
	put_le32(p + 0x1f4, (SIZE - 1024) / 16);
	memcpy(p + 0x201, "\x6aHdrS", 5);
	put_le16(p + 0x206, 0x20f);
	p[0x211] = 1;
	put_le32(p + 0x22c, 0x7fffffff);
	put_le16(p + 0x236, 1);
	put_le32(p + 0x238, 2047);
	put_le64(p + 0x258, 16 * MIB);
	put_le32(p + 0x260, 2 * MIB);
}

static uint8_t *make(enum seed seed)
{
	uint8_t *p = calloc(1, SIZE);

	if (!p)
		abort();
	if (seed <= ELF64_MULTIBOOT)
		put_elf64(p, seed == ELF64_PVH || seed == ELF64_BAD_NOTE,
			  seed == ELF64_HIGH ? 0xffffffff80000000 : 0);
	if (seed == ELF64_BAD_NOTE)
		put_le32(p + 528, AT + 64 * MIB);
	if (seed == ELF32_MULTIBOOT)
		put_elf32(p);
	if (seed == ELF64_MULTIBOOT || seed == ELF32_MULTIBOOT)
		put_multiboot(p + MULTIBOOT_AT, 3);
	if (seed == ADDRESSES)
		put_addresses(p);
	if (seed == BZIMAGE)
		put_bzimage(p);
	return p;
}

/* ---- Looked at, and loaded into a machine that never runs ---- */

struct trial {
	struct arch_look look;
	int look_rc, load_rc;
	struct err look_err, load_err;
	enum x86_entry entry;
	uint64_t start;
	bool ok_to_inspect;
};

static void try(struct trial *t, const uint8_t *data, size_t size, const char *entry, FILE *out)
{
	struct vm_option option = { "entry", entry };
	struct arch_image image = { .data = data, .size = size, .cmdline = "" };
	struct arch_vm arch = { 0 };
	struct vm vm = { .arch = &arch };

	*t = (struct trial){ 0 };
	vm.config.log.fd = -1;
	vm.config.options = &option;
	vm.config.n_options = entry ? 1 : 0;
	t->look_rc = arch_look(&vm.config, &image, true, &t->look, &t->look_err);
	t->ok_to_inspect = inspect_image(&vm.config, &image, "it", out);
	if (mem_create(&vm.mem, MEM_ANON, -1, RAM, &t->load_err) || arch_layout(&vm, &t->load_err))
		abort();
	t->load_rc = arch_load(&vm, &image, &t->load_err);
	t->entry = arch.entry;
	t->start = arch.entry_gpa;
	mem_destroy(&vm.mem);
}

static void good(enum seed seed, const char *entry, enum x86_entry wanted, uint64_t start)
{
	uint8_t *p = make(seed);
	struct trial t;
	FILE *null = fopen("/dev/null", "w");

	try(&t, p, SIZE, entry, null);
	ok(!t.look_rc && !t.load_rc && t.ok_to_inspect && t.entry == wanted && t.start == start &&
		   t.look.start == start && t.look.low && t.look.high > t.look.low,
	   "image %d with --entry %s: way %d at 0x%llx %s%s", seed, entry ? entry : "(none)",
	   (int)t.entry, (unsigned long long)t.start, t.look_err.text, t.load_err.text);
	fclose(null);
	free(p);
}

static void refused(uint8_t *p, size_t size, const char *entry, const char *word)
{
	struct trial t;
	FILE *null = fopen("/dev/null", "w");

	try(&t, p, size, entry, null);
	ok(t.look_rc && t.load_rc && !t.ok_to_inspect && strstr(t.look_err.text, word) &&
		   strstr(t.load_err.text, word),
	   "refused: %s", t.load_err.text);
	fclose(null);
	free(p);
}

static void ways(void)
{
	good(ELF64, NULL, X86_ENTRY_ELF64, AT + 16);
	good(ELF64_PVH, NULL, X86_ENTRY_PVH, AT + 32);
	good(ELF64_PVH, "linux64", X86_ENTRY_ELF64, AT + 16);
	good(ELF64_BAD_NOTE, "linux64", X86_ENTRY_ELF64, AT + 16);
	good(ELF64_HIGH, NULL, X86_ENTRY_ELF64, AT + 16);
	good(ELF64_MULTIBOOT, NULL, X86_ENTRY_MULTIBOOT, AT + 16);
	good(ELF64_MULTIBOOT, "linux64", X86_ENTRY_ELF64, AT + 16);
	good(ELF32_MULTIBOOT, NULL, X86_ENTRY_MULTIBOOT, AT + 16);
	good(ADDRESSES, NULL, X86_ENTRY_MULTIBOOT, AT + 64);
	good(ADDRESSES, "raw", X86_ENTRY_RAW, X86_RAW);
	good(BZIMAGE, NULL, X86_ENTRY_BZIMAGE, 16 * MIB + BZ_ENTRY64);
}

static uint8_t *changed(enum seed seed, size_t at, uint32_t value)
{
	uint8_t *p = make(seed);

	put_le32(p + at, value);
	return p;
}

#define PHDR64(i, field) \
	(sizeof(Elf64_Ehdr) + (i) * sizeof(Elf64_Phdr) + offsetof(Elf64_Phdr, field))
#define PHDR32(i, field) \
	(sizeof(Elf32_Ehdr) + (i) * sizeof(Elf32_Phdr) + offsetof(Elf32_Phdr, field))

static void lies(void)
{
	uint8_t *p = make(ELF32_MULTIBOOT);

	refused(make(ELF64), SIZE, "pvh", "no PVH note");
	refused(make(ELF64), SIZE, "multiboot", "no multiboot header");
	refused(make(ELF32_MULTIBOOT), SIZE, "linux64", "32-bit code");
	refused(make(BZIMAGE), SIZE, "pvh", "can't be entered");
	refused(changed(ELF64, PHDR64(1, p_paddr) + 4, 1), SIZE, NULL,
		"is the end of what images can have");
	refused(make(ELF32_MULTIBOOT), SIZE, "efi", "it is linux64");
	refused(changed(ELF32_MULTIBOOT, MULTIBOOT_AT, 0), SIZE, NULL, "no multiboot header");
	refused(changed(ELF32_MULTIBOOT, PHDR32(0, p_paddr), 0x94000), SIZE, NULL,
		"its entry 0x200010 is outside");
	refused(changed(ELF32_MULTIBOOT, PHDR32(1, p_paddr), AT + 100), SIZE, NULL, "overlap");
	refused(changed(ELF32_MULTIBOOT, PHDR32(1, p_paddr), UINT32_MAX - 100), SIZE, NULL,
		"can't reach");
	refused(changed(ELF32_MULTIBOOT, PHDR32(1, p_memsz), 16), SIZE, NULL, "larger in the file");
	refused(changed(ELF32_MULTIBOOT, PHDR32(1, p_offset), SIZE), SIZE, NULL, "past its end");
	refused(changed(ELF32_MULTIBOOT, PHDR32(1, p_paddr), 0x90000), SIZE, NULL, "boot data");
	refused(changed(ELF32_MULTIBOOT, PHDR32(1, p_paddr), 0), SIZE, NULL, "boot data");
	put_multiboot(p + MULTIBOOT_AT, 3 | 1u << 5);
	refused(p, SIZE, NULL, "asks for what is not known");
	p = make(ADDRESSES);
	put_multiboot(p + 16, 3);
	refused(p, SIZE, NULL, "no addresses");
	refused(make(ADDRESSES), 40, NULL, "truncated within its multiboot header");
	refused(make(ADDRESSES), SIZE - 1, NULL, "truncated");
	refused(changed(ADDRESSES, 44, AT + SIZE), SIZE, NULL, "entry 0x203000 is outside");
	refused(changed(ADDRESSES, 28, AT + 17), SIZE, NULL, "17 bytes stand before it; 16 do");
	refused(changed(ADDRESSES, 32, AT + 17), SIZE, NULL, "below what it says");
	refused(changed(ADDRESSES, 40, AT + 1), SIZE, NULL, "bss ends at");
	refused(changed(ADDRESSES, 36, AT), SIZE, NULL, "says that it ends");
}

static void linux_or_not(void)
{
	uint8_t *p = make(ELF64);
	struct trial t;
	FILE *null = fopen("/dev/null", "w");

	try(&t, p, SIZE, NULL, null);
	ok(!t.look.is_linux && t.look.argv0 == ARCH_ARGV0_UNLESS, "an ELF file without the banner");
	strcpy((char *)p + CODE + 100, "Linux version %s (%s)");
	try(&t, p, SIZE, NULL, null);
	ok(!t.look.is_linux, "with its format only");
	strcpy((char *)p + CODE + 200, LINUX);
	try(&t, p, SIZE, NULL, null);
	ok(t.look.is_linux && t.look.argv0 == ARCH_ARGV0_NONE, "with the banner");
	free(p);
	p = make(ELF64_PVH);
	put_le32(p + 512, 6);
	memcpy(p + 524, "Linux\0\0", 8);
	put_le32(p + sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr) + offsetof(Elf64_Phdr, p_filesz),
		 24);
	try(&t, p, SIZE, NULL, null);
	ok(!t.look_rc && t.look.is_linux, "with a note of Linux's");
	memcpy(p + 524, "GNU\0", 4);
	put_le32(p + 512, 4);
	put_le32(p + 520, 1);
	try(&t, p, SIZE, NULL, null);
	ok(t.look_rc && strstr(t.look_err.text, "a program"), "a program is none");
	free(p);
	fclose(null);
}

/* ---- Damaged ones ---- */

/* The same ones each time. */
static uint32_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*state >> 33);
}

static void damage(uint8_t *p, size_t size, uint64_t *random)
{
	static const uint32_t odd[] = { 0,	    1,		0xff,	    0xfff,
					0x1000,	    0x7fffffff, 0x80000000, UINT32_MAX,
					0xfffff000, 0x90000,	0x100000,   AT + 4096 };
	unsigned int n = 1 + next_random(random) % 4;

	while (n--) {
		size_t at = next_random(random) % (next_random(random) % 4 ? 640 : SIZE);
		uint32_t value = next_random(random) % 2
					 ? odd[next_random(random) % ARRAY_SIZE(odd)]
					 : next_random(random);
		size_t width = 1u << next_random(random) % 3;

		for (size_t i = 0; i < width && at + i < size; i++)
			p[at + i] = (uint8_t)(value >> 8 * i);
	}
}

/* Why a load may fail that the look did not see coming. */
static bool is_foreseen(const char *why)
{
	return strstr(why, "with -m") || strstr(why, "damaged") || strstr(why, "memory");
}

static void damaged(void)
{
	uint64_t random = 1;
	unsigned int fine = 0, refusals = 0, lacking = 0, wrong = 0;
	FILE *null = fopen("/dev/null", "w");

	for (unsigned int i = 0; i < DAMAGED; i++) {
		uint8_t *whole = make((enum seed)(i % SEEDS));
		size_t size = next_random(&random) % 8 ? SIZE : next_random(&random) % SIZE + 1;
		uint8_t *p = malloc(size);
		struct trial t;
		bool bad;

		memcpy(p, whole, size);
		free(whole);
		damage(p, size, &random);
		try(&t, p, size, NULL, null);
		bad = t.ok_to_inspect == !!t.look_rc || (t.look_rc && !t.load_rc) ||
		      (t.look_rc && !t.look_err.text[0]) || (!t.look_rc && !t.look.way) ||
		      (!t.look_rc && t.load_rc && !is_foreseen(t.load_err.text));
		if (bad && wrong++ < 5)
			printf("# %u: look %d %s, load %d %s\n", i, t.look_rc, t.look_err.text,
			       t.load_rc, t.load_err.text);
		fine += !t.look_rc && !t.load_rc;
		lacking += !t.look_rc && t.load_rc;
		refusals += !!t.look_rc;
		free(p);
	}
	ok(!wrong && fine > 100 && refusals > 100,
	   "%d damaged images: %u are loaded still, %u refused, %u lack RAM or are damaged inside; %u wrong",
	   DAMAGED, fine, refusals, lacking, wrong);
	fclose(null);
}

int main(void)
{
	ways();
	lies();
	linux_or_not();
	damaged();
	return done_testing();
}
