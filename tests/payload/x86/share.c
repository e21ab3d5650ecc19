/* SPDX-License-Identifier: MIT */
/* Pages of an image's file that are a guest's memory: shared, not written back, and what comes of it when the file changes. */
#include <elf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/lkvm.h"
#include "tests/unit/tap.h"

#define PAGE 4096u
#define PAGES 64u
#define ODD 0x234u /* bytes of the segment before its first whole page, and behind its last */

#define CODE 0x200000u /* guest-physical: the code, then the pages */
#define DATA 0x201000u
#define CODE_AT PAGE /* the same in the file */
#define DATA_AT (3 * PAGE)
#define WRITTEN (DATA_AT + PAGE) /* what the guest writes to */

/*
 * Prints the sum of the first bytes of all pages plus 'A'; writes a 1 to one of them, and adds what it reads there;
 * prints again. Then it powers off, or begins again.
 */
static const uint8_t code[] = {
	0x31, 0xc0,					 /*  0: xor %eax, %eax */
	0xbe, 0x00,  0x10, 0x20, 0x00,			 /*  2: mov $DATA, %esi */
	0xb9, PAGES, 0x00, 0x00, 0x00,			 /*  7: mov $PAGES, %ecx */
	0x02, 0x06,					 /* 12: add (%rsi), %al */
	0x81, 0xc6,  0x00, 0x10, 0x00, 0x00,		 /* 14: add $PAGE, %esi */
	0xff, 0xc9,					 /* 20: dec %ecx */
	0x75, 0xf4,					 /* 22: jne 12 */
	0x04, 'A',					 /* 24: add $'A', %al */
	0x66, 0xba,  0xf8, 0x03,			 /* 26: mov $0x3f8, %dx */
	0xee,						 /* 30: out %al, %dx */
	0xc6, 0x04,  0x25, 0x00, 0x20, 0x20, 0x00, 0x01, /* 31: movb $1, DATA + PAGE */
	0x8a, 0x1c,  0x25, 0x00, 0x20, 0x20, 0x00,	 /* 39: mov DATA + PAGE, %bl */
	0x00, 0xd8,					 /* 46: add %bl, %al */
	0xee,						 /* 48: out %al, %dx */
	0x90, 0x90,					 /* 49: nop; nop, or what follows */
	0x66, 0xba,  0x00, 0x06,			 /* 51: mov $0x600, %dx */
	0xb0, 0x34,					 /* 55: mov $0x34, %al: off */
	0xee,						 /* 57: out %al, %dx */
	0xf4,						 /* 58: hlt */
};

static const uint8_t again[] = { 0xeb, 0xcd }; /* 49: jmp 0 */

static void make_image(const char *path, bool loop)
{
	static uint8_t file[DATA_AT + PAGES * PAGE + ODD];
	Elf64_Ehdr eh = {
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_version = 1,
		.e_entry = CODE,
		.e_phoff = sizeof(eh),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 2,
		.e_ehsize = sizeof(eh),
	};
	const Elf64_Phdr ph[] = {
		{ .p_type = PT_LOAD,
		  .p_offset = CODE_AT,
		  .p_paddr = CODE,
		  .p_filesz = sizeof(code),
		  .p_memsz = sizeof(code) },
		{ .p_type = PT_LOAD,
		  .p_offset = DATA_AT - ODD,
		  .p_paddr = DATA - ODD,
		  .p_filesz = ODD + PAGES * PAGE + ODD,
		  .p_memsz = ODD + PAGES * PAGE + PAGE },
	};
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	memcpy(eh.e_ident, ELFMAG, SELFMAG);
	eh.e_ident[EI_CLASS] = ELFCLASS64;
	eh.e_ident[EI_DATA] = ELFDATA2LSB;
	memcpy(file, &eh, sizeof(eh));
	memcpy(file + sizeof(eh), ph, sizeof(ph));
	memcpy(file + CODE_AT, code, sizeof(code));
	if (loop)
		memcpy(file + CODE_AT + 49, again, sizeof(again));
	for (unsigned int i = 0; i < PAGES; i += 8)
		file[DATA_AT + i * PAGE] = 1; /* eight of them */
	if (fd < 0 || write(fd, file, sizeof(file)) != sizeof(file))
		abort();
	close(fd);
}

struct said {
	char text[64];
	size_t len;
	const char *path;
	void (*act)(const char *path); /* at the third byte */
};

static void take(void *opaque, const void *data, size_t len)
{
	struct said *s = opaque;

	for (size_t i = 0; i < len; i++) {
		if (s->len < sizeof(s->text) - 1)
			s->text[s->len] = ((const char *)data)[i];
		s->len++;
		if (s->len == 3 && s->act)
			s->act(s->path);
	}
}

static struct lkvm *guest(const char *path, bool share, struct said *said)
{
	struct lkvm *vm = lkvm_new();

	lkvm_set_image(vm, path);
	lkvm_set_memory(vm, 16 << 20);
	lkvm_on_console(vm, take, said);
	lkvm_set_timeout(vm, 20000);
	if (share)
		lkvm_share_image(vm);
	return vm;
}

/* KiB of writable mappings of that file: in memory, and of that its own. False: there are none. */
static bool mapped(const char *path, long *resident, long *dirty)
{
	char line[512], perms[8];
	bool ours = false, any = false;
	FILE *f = fopen("/proc/self/smaps", "r");

	*resident = *dirty = 0;
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*x-%*x %7s ", perms) == 1)
			ours = perms[1] == 'w' && strstr(line, path);
		any |= ours;
		if (ours && !strncmp(line, "Rss:", 4))
			*resident += atol(line + 4);
		if (ours && !strncmp(line, "Anonymous:", 10))
			*dirty += atol(line + 10);
	}
	if (f)
		fclose(f);
	return any;
}

static void runs(const char *path, bool share)
{
	struct said said = { .len = 0 };
	struct lkvm *vm = guest(path, share, &said);
	long resident, dirty;
	uint8_t first = 1;
	bool any;
	int fd;

	lkvm_run(vm);
	any = mapped(path, &resident, &dirty);
	ok(lkvm_status(vm) == 0 && !strcmp(said.text, "IJ"), "%s: \"%s\", %s",
	   share ? "shared" : "copied", said.text, lkvm_why(vm));
	ok(any == share, "its file is %s", any ? "its memory" : "not mapped");
	if (share)
		ok(resident >= (long)(PAGES * PAGE / 1024) && dirty == PAGE / 1024,
		   "of its %ld KiB only the page that it wrote to is its own: %ld KiB", resident,
		   dirty);
	lkvm_free(vm);
	fd = open(path, O_RDONLY);
	ok(!mapped(path, &resident, &dirty) && pread(fd, &first, 1, WRITTEN) == 1 && !first,
	   "nothing is left, nor written back");
	close(fd);
}

/* ---- What is done to the file meanwhile ---- */

static void nothing(const char *path)
{
	(void)path;
}

static void cut(const char *path)
{
	if (truncate(path, 0))
		abort();
}

static void write_over(const char *path)
{
	int fd = open(path, O_WRONLY);

	if (pwrite(fd, "\1", 1, WRITTEN + PAGE) != 1)
		abort();
	close(fd);
}

static void replace(const char *path)
{
	char other[256];

	snprintf(other, sizeof(other), "%s.new", path);
	make_image(other, false);
	if (rename(other, path))
		abort();
}

/* 124 is what becomes of a guest that goes on. */
static void changes(const char *path, bool share, void (*act)(const char *), const char *what,
		    int status)
{
	struct said said = { .path = path, .act = act };
	struct lkvm *vm;

	make_image(path, true);
	usleep(20000); /* a file system's clock may tick slowly */
	vm = guest(path, share, &said);
	lkvm_set_timeout(vm, 200);
	lkvm_run(vm);
	ok(said.len >= 3 && lkvm_status(vm) == status, "%s, %s: %d, %s, %zu bytes", what,
	   share ? "shared" : "copied", lkvm_status(vm), lkvm_why(vm), said.len);
	lkvm_free(vm);
}

/* share FILE: makes the image that goes on, for a test of the program. */
int main(int argc, char **argv)
{
	char dir[] = "/tmp/kindling-share-XXXXXX", path[64];

	if (argc > 1) {
		make_image(argv[1], true);
		return 0;
	}
	if (!mkdtemp(dir))
		abort();
	snprintf(path, sizeof(path), "%s/image", dir);
	make_image(path, false);
	runs(path, false);
	runs(path, true);
	changes(path, true, nothing, "a file that stays", 124);
	changes(path, false, cut, "a file that is cut short", 124);
	changes(path, true, cut, "a file that is cut short", 125);
	changes(path, true, write_over, "a file that is written over", 125);
	changes(path, true, replace, "a file that is replaced by another", 124);
	unlink(path);
	rmdir(dir);
	return done_testing();
}
