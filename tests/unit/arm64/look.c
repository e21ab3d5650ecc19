/* SPDX-License-Identifier: MIT */
/*
 * What an image is said to be on this machine, by arch_look() and lkvm inspect; and of thousands of
 * damaged ones each is either told or refused with a line.
 */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "arm/map.h"
#include "cmd/inspect.h"
#include "tests/unit/tap.h"
#include "util/util.h"

#define SIZE 8192
#define BANNER "Linux version 6.1.0 (me@here) #1\n"
#define DAMAGED 4000

enum seed { IMAGE, LINUX_IMAGE, ELF, VMLINUX, FLAT, SEEDS };

static void put_elf(uint8_t *p, uint64_t at)
{
	Elf64_Ehdr eh = { .e_type = ET_EXEC,
			  .e_machine = EM_AARCH64,
			  .e_entry = at + 64,
			  .e_phoff = sizeof(eh),
			  .e_phentsize = sizeof(Elf64_Phdr),
			  .e_phnum = 1 };
	Elf64_Phdr ph = { .p_type = PT_LOAD,
			  .p_offset = 4096,
			  .p_paddr = at,
			  .p_filesz = 4096,
			  .p_memsz = 65536 };

	memcpy(eh.e_ident, "\177ELF\2\1\1", 7);
	memcpy(p, &eh, sizeof(eh));
	memcpy(p + sizeof(eh), &ph, sizeof(ph));
}

static uint8_t *make(enum seed seed)
{
	uint8_t *p = calloc(1, SIZE);

	if (!p)
		abort();
	if (seed == IMAGE || seed == LINUX_IMAGE) {
		put_le64(p + 16, MIB);
		memcpy(p + 56, "ARM\x64", 4);
	}
	if (seed == LINUX_IMAGE)
		strcpy((char *)p + 5000, BANNER);
	if (seed == ELF)
		put_elf(p, ARM_RAM + MIB);
	if (seed == VMLINUX)
		put_elf(p, 0xffff800008000000);
	if (seed == FLAT)
		memset(p, 0xd5, SIZE);
	return p;
}

static int look_at(const uint8_t *data, size_t size, const char *option, const char *value,
		   struct arch_look *look, struct err *err)
{
	struct vm_option given = { option, value };
	struct vm_config config = { .options = &given, .n_options = option ? 1 : 0 };
	struct arch_image image = { .data = data, .size = size, .cmdline = "" };
	FILE *null = fopen("/dev/null", "w");
	int rc = arch_look(&config, &image, true, look, err);

	if (inspect_image(&config, &image, "it", null) == !!rc)
		abort(); /* they never disagree */
	fclose(null);
	return rc;
}

static void told(enum seed seed, const char *option, const char *value, bool is_linux,
		 uint64_t start, enum arch_argv0 argv0)
{
	uint8_t *p = make(seed);
	struct arch_look look;
	struct err err = { "" };
	int rc = look_at(p, SIZE, option, value, &look, &err);

	ok(!rc && look.is_linux == is_linux && look.start == start && look.argv0 == argv0 &&
		   look.cmdline && look.way,
	   "image %d with --%s %s: %s at 0x%llx %s", seed, option ? option : "(nothing)",
	   option ? value : "", look.is_linux ? "Linux" : "not Linux",
	   (unsigned long long)look.start, err.text);
	free(p);
}

static void refused(uint8_t *p, const char *option, const char *value, const char *word)
{
	struct arch_look look;
	struct err err = { "" };
	int rc = look_at(p, SIZE, option, value, &look, &err);

	ok(rc < 0 && strstr(err.text, word), "refused: %s", err.text);
	free(p);
}

static uint8_t *program(void)
{
	uint8_t *p = make(ELF);

	put_elf(p, 0x400000);
	put_le16(p + offsetof(Elf64_Ehdr, e_phnum), 2);
	put_le32(p + sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr), PT_INTERP);
	return p;
}

static void damaged(void)
{
	unsigned int fine = 0;
	bool right = true;

	srandom(1);
	for (unsigned int i = 0; i < DAMAGED; i++) {
		uint8_t *p = make((enum seed)(i % SEEDS));
		struct arch_look look;
		struct err err = { "" };
		int rc;

		for (long n = random() % 4; n >= 0; n--)
			p[random() % 200] = (uint8_t)random();
		rc = look_at(p, SIZE, NULL, NULL, &look, &err);
		right &= rc ? err.text[0] != 0 : look.way != NULL;
		fine += !rc;
		free(p);
	}
	ok(right && fine > DAMAGED / 10 && fine < DAMAGED, "%u of %d damaged ones are taken", fine,
	   DAMAGED);
}

int main(void)
{
	uint8_t *low = make(ELF);

	told(IMAGE, NULL, NULL, false, ARM_RAM, ARCH_ARGV0_UNLESS);
	told(LINUX_IMAGE, NULL, NULL, true, ARM_RAM, ARCH_ARGV0_NONE);
	told(ELF, NULL, NULL, false, ARM_RAM + MIB + 64, ARCH_ARGV0_UNLESS);
	told(VMLINUX, NULL, NULL, true, ARM_RAM + 64, ARCH_ARGV0_NONE);
	told(FLAT, NULL, NULL, false, ARM_RAM + ARM_FLAT_OFFSET_64, ARCH_ARGV0_NONE);
	told(ELF, "entry", "raw", false, ARM_RAM + ARM_FLAT_OFFSET_64, ARCH_ARGV0_NONE);
	told(FLAT, "aarch32", "1", true, ARM_RAM + ARM_FLAT_OFFSET_32, ARCH_ARGV0_NONE);
	refused(make(ELF), "entry", "pvh", "on arm64 it is raw");
	refused(program(), NULL, NULL, "a program");
	put_elf(low, 0x400000);
	refused(low, NULL, NULL, "RAM begins at");
	damaged();
	return done_testing();
}
