/* SPDX-License-Identifier: MIT */
/* Kernel files that lie: each is refused, and nothing outside of the file or of RAM is touched. */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest/bzimage.h"
#include "guest/elf.h"
#include "guest/image.h"
#include "tests/unit/tap.h"
#include "util/util.h"

#define FILE_SIZE 8192

struct elf_file {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[3];
	struct {
		Elf64_Nhdr nh;
		char name[4];
		uint32_t desc;
	} note;
};

/* On the heap, and no larger than it says, so that ASan sees a read past its end. */
static struct elf_file *good_elf(void)
{
	struct elf_file *f = calloc(1, FILE_SIZE);

	memcpy(f->eh.e_ident, ELFMAG, SELFMAG);
	f->eh.e_ident[EI_CLASS] = ELFCLASS64;
	f->eh.e_ident[EI_DATA] = ELFDATA2LSB;
	f->eh.e_type = ET_EXEC;
	f->eh.e_machine = EM_X86_64;
	f->eh.e_entry = 2 * MIB + 16;
	f->eh.e_phoff = offsetof(struct elf_file, ph);
	f->eh.e_phentsize = sizeof(Elf64_Phdr);
	f->eh.e_phnum = 3;
	f->ph[0] = (Elf64_Phdr){
		.p_type = PT_LOAD, .p_paddr = 2 * MIB, .p_filesz = 4096, .p_memsz = 8192
	};
	f->ph[1] = (Elf64_Phdr){ .p_type = PT_LOAD,
				 .p_paddr = 3 * MIB,
				 .p_offset = 4096,
				 .p_filesz = 4096,
				 .p_memsz = 4096 };
	f->ph[2] = (Elf64_Phdr){ .p_type = PT_NOTE,
				 .p_offset = offsetof(struct elf_file, note),
				 .p_filesz = sizeof(f->note),
				 .p_memsz = sizeof(f->note) };
	f->note.nh = (Elf64_Nhdr){ .n_namesz = 4, .n_descsz = 4, .n_type = 18 };
	memcpy(f->note.name, "Xen", 4);
	f->note.desc = 2 * MIB + 32;
	return f;
}

static int parse(struct elf_file *f, size_t size)
{
	struct elf_image elf;
	struct err err;
	int rc = elf_parse(f, size, EM_X86_64, &elf, &err);

	free(f);
	return rc;
}

#define REFUSED(change, what)                            \
	do {                                             \
		struct elf_file *f = good_elf();         \
		change;                                  \
		ok(parse(f, FILE_SIZE) < 0, "%s", what); \
	} while (0)

static void elf_headers(void)
{
	struct elf_file *f = good_elf();
	struct elf_image elf;
	struct mem mem;
	struct err err;
	bool refused = true;

	ok(!elf_parse(f, FILE_SIZE, EM_X86_64, &elf, &err) && elf.has_pvh &&
		   elf.pvh_entry == 2 * MIB + 32 && elf.low == 2 * MIB &&
		   elf.high == 3 * MIB + 4096,
	   "a good file");
	mem_create(&mem, MEM_ANON, -1, 4 * MIB, &err);
	mem_add_slot(&mem, 0, 0, 4 * MIB);
	ok(!elf_load(&elf, &mem, MIB, 4 * MIB, &err), "is loaded");
	ok(elf_load(&elf, &mem, MIB, 3 * MIB, &err) < 0, "not past the end of RAM");
	ok(elf_load(&elf, &mem, 2 * MIB + 1, 4 * MIB, &err) < 0, "nor over boot data");
	mem_destroy(&mem);
	f->ph[1].p_offset = UINT64_MAX;
	f->ph[1].p_filesz = 0;
	ok(!elf_parse(f, FILE_SIZE, EM_X86_64, &elf, &err) && elf.high == 3 * MIB + 4096,
	   "a segment of which nothing is in the file, wherever that would be");
	free(f);

	for (size_t size = 0; size < FILE_SIZE; size += size < 400 ? 1 : 97) {
		struct elf_file *whole = good_elf();
		struct elf_file *cut = malloc(size ? size : 1);

		memcpy(cut, whole, size);
		free(whole);
		refused &= parse(cut, size) < 0;
	}
	ok(refused, "every truncation is refused");
}

static void elf_lies(void)
{
	REFUSED(f->eh.e_machine = EM_AARCH64, "another architecture");
	REFUSED(f->eh.e_phoff = UINT64_MAX - 8, "program headers that wrap");
	REFUSED(f->eh.e_phnum = 65535, "too many of them");
	REFUSED(f->eh.e_phnum = 0, "none");
	REFUSED(f->eh.e_phentsize = 1, "tiny ones");
	REFUSED(f->ph[0].p_offset = UINT64_MAX - 16, "a segment's offset that wraps");
	REFUSED(f->ph[0].p_filesz = UINT64_MAX, "a segment larger than the file");
	REFUSED(f->ph[0].p_memsz = 16, "a segment smaller in memory than in the file");
	REFUSED((f->ph[1].p_memsz = 0, f->ph[1].p_paddr = 4096),
		"a segment with bytes, and no memory");
	REFUSED(f->ph[0].p_paddr = UINT64_MAX - 100, "a segment that wraps memory");
	REFUSED(f->ph[1].p_paddr = 2 * MIB + 4096, "segments that overlap");
	REFUSED((f->note.desc = 4096, f->eh.e_entry = 5 * MIB), "both entries outside");
	REFUSED((f->note.nh.n_type = 1, f->eh.e_entry = 5 * MIB), "an entry outside");
	REFUSED((f->ph[0].p_type = PT_NULL, f->ph[1].p_type = PT_NULL), "nothing to load");
}

static void elf_notes(void)
{
	struct elf_image elf;
	struct err err;

	for (uint64_t n = 0; n < 64; n++) {
		struct elf_file *f = good_elf();

		f->note.nh.n_namesz = n % 2 ? UINT32_MAX - (uint32_t)n / 2 : (uint32_t)n;
		f->note.nh.n_descsz = n % 3 ? UINT32_MAX - (uint32_t)n / 3 : (uint32_t)n;
		elf_parse(f, FILE_SIZE, EM_X86_64, &elf, &err);
		free(f);
	}
	ok(true, "notes with lying lengths");
}

#define KERNEL_HALF 0xffff800080000000ull

/* As arm64's vmlinux is: its kernel addresses are called physical. */
static struct elf_file *good_vmlinux(void)
{
	struct elf_file *f = good_elf();

	f->eh.e_machine = EM_AARCH64;
	f->eh.e_type = ET_DYN;
	f->eh.e_entry = KERNEL_HALF + 16;
	f->ph[0].p_paddr = KERNEL_HALF;
	f->ph[1].p_paddr = KERNEL_HALF + MIB;
	memcpy((uint8_t *)f + 4096, "second", 6);
	return f;
}

static void elf_moved(void)
{
	struct elf_file *f = good_vmlinux();
	struct elf_image elf;
	struct mem mem;
	struct err err;
	char read[6] = "";

	f->note.nh.n_type = 1; /* no PVH */
	ok(!elf_parse(f, FILE_SIZE, EM_AARCH64, &elf, &err) && elf.low == KERNEL_HALF,
	   "a vmlinux of arm64");
	mem_create(&mem, MEM_ANON, -1, 4 * MIB, &err);
	mem_add_slot(&mem, GIB, 0, 4 * MIB);
	ok(elf_load(&elf, &mem, GIB, GIB + 4 * MIB, &err) < 0, "has no RAM where it says");
	ok(!elf_relocate(&elf, GIB + MIB) && elf.low == GIB + MIB && elf.entry == GIB + MIB + 16 &&
		   elf.high == GIB + 2 * MIB + 4096,
	   "is moved");
	ok(!elf_load(&elf, &mem, GIB, GIB + 4 * MIB, &err) &&
		   !mem_read(&mem, GIB + 2 * MIB, read, 6) && !memcmp(read, "second", 6),
	   "and loaded there");
	ok(elf_relocate(&elf, UINT64_MAX - MIB) == -EINVAL && elf.low == GIB + MIB,
	   "not where it would wrap");
	ok(!elf_relocate(&elf, GIB) && elf.low == GIB && elf.entry == GIB + 16, "moved again");
	ok(!elf_load(&elf, &mem, GIB, GIB + 4 * MIB, &err) && !mem_read(&mem, GIB + MIB, read, 6) &&
		   !memcmp(read, "second", 6),
	   "and loaded there");
	mem_destroy(&mem);
	free(f);
}

/* In RAM, its data at 1 MiB: the segments must go to 2 and 3 MiB. */
static bool settles(struct elf_file *f, uint64_t high)
{
	struct elf_image elf;
	struct mem mem;
	struct err err;
	char *first, *second;
	bool settled;

	mem_create(&mem, MEM_ANON, -1, 4 * MIB, &err);
	mem_add_slot(&mem, 0, 0, 4 * MIB);
	memset(mem_at(&mem, 0, 4 * MIB, MEM_W), 0xee, 4 * MIB);
	memcpy((char *)f + 4096, "second", 6);
	mem_write(&mem, MIB, f, FILE_SIZE);
	free(f);
	settled = !elf_parse(mem_at(&mem, MIB, FILE_SIZE, MEM_R), FILE_SIZE, EM_X86_64, &elf,
			     &err) &&
		  elf_settle(&elf, &mem, MIB, MIB, high);
	first = mem_at(&mem, 2 * MIB, 8192, MEM_R);
	second = mem_at(&mem, 3 * MIB, 4096, MEM_R);
	ok(!settled || (!memcmp(first, ELFMAG, SELFMAG) && !first[4096] && !first[8191] &&
			!memcmp(second, "second", 6)),
	   "segments in place are whole, and zero behind");
	mem_destroy(&mem);
	return settled;
}

static void elf_settled(void)
{
	struct elf_file *f = good_elf();

	ok(settles(f, 4 * MIB), "a file in RAM is moved to its place");
	ok(!settles(good_elf(), 3 * MIB), "not past the end");
	f = good_elf();
	f->ph[0].p_paddr = f->eh.e_entry = MIB - 4096;
	f->note.nh.n_type = 1;
	ok(!settles(f, 4 * MIB), "nor below the lowest");
	f = good_elf();
	f->ph[0].p_paddr = MIB + 4096;
	f->note.desc = MIB + 4096;
	ok(!settles(f, 4 * MIB), "nor over what is still to be moved");
	f = good_elf();
	f->ph[1].p_paddr = MIB + sizeof(Elf64_Ehdr);
	ok(!settles(f, 4 * MIB), "nor over the headers");
}

static uint8_t *good_bzimage(void)
{
	uint8_t *p = calloc(1, FILE_SIZE);

	p[0x1f1] = 1;
	put_le32(p + 0x1f4, (FILE_SIZE - 1024) / 16);
	memcpy(p + 0x201,
	       "\x6a"
	       "HdrS",
	       5);
	put_le16(p + 0x206, 0x20f);
	p[0x211] = 1;
	put_le32(p + 0x22c, 0x7fffffff);
	put_le16(p + 0x236, 1);
	put_le32(p + 0x238, 2047);
	put_le64(p + 0x258, 16 * MIB);
	put_le32(p + 0x260, 2 * MIB);
	return p;
}

static int bz_parse(uint8_t *p, size_t size)
{
	struct bzimage bz;
	struct err err;
	int rc = bzimage_parse(p, size, &bz, &err);

	free(p);
	return rc;
}

#define BZ_REFUSED(change, what)                            \
	do {                                                \
		uint8_t *p = good_bzimage();                \
		change;                                     \
		ok(bz_parse(p, FILE_SIZE) < 0, "%s", what); \
	} while (0)

static void bzimages(void)
{
	uint8_t *p = good_bzimage();
	struct bzimage bz;
	struct mem mem;
	struct err err;
	bool refused = true;

	ok(!bzimage_parse(p, FILE_SIZE, &bz, &err) && bz.init_size == 2 * MIB && !bz.payload,
	   "a good bzImage");
	put_le32(p + 0x248, FILE_SIZE - 1024 - 16);
	put_le32(p + 0x24c, 16);
	put_le32(p + FILE_SIZE - 4, 4711);
	ok(!bzimage_parse(p, FILE_SIZE, &bz, &err) && bz.payload == p + FILE_SIZE - 16 &&
		   bz.payload_size == 16 && bz.unpacked_size == 4711,
	   "with a packed kernel");
	mem_create(&mem, MEM_ANON, -1, 32 * MIB, &err);
	mem_add_slot(&mem, 0, 0, 32 * MIB);
	ok(!bzimage_fits(&bz, 32 * MIB, &err) && !bzimage_load(&bz, &mem), "is loaded");
	ok(bzimage_fits(&bz, 17 * MIB, &err) < 0, "only with room to unpack itself");
	mem_destroy(&mem);
	free(p);
	for (size_t size = 0; size < FILE_SIZE - 16; size += size < 1100 ? 1 : 61) {
		uint8_t *whole = good_bzimage();
		uint8_t *cut = malloc(size ? size : 1);

		memcpy(cut, whole, size);
		free(whole);
		refused &= bz_parse(cut, size) < 0;
	}
	ok(refused, "every truncation is refused");
}

static void bzimage_lies(void)
{
	BZ_REFUSED(p[0x1f1] = 255, "a setup longer than the file");
	BZ_REFUSED(put_le32(p + 0x1f4, UINT32_MAX), "a kernel longer than the file");
	BZ_REFUSED(put_le64(p + 0x258, 0), "a load address of 0");
	BZ_REFUSED(put_le64(p + 0x258, UINT64_MAX), "one that wraps");
	BZ_REFUSED(put_le16(p + 0x206, 0x20b), "an old protocol");
	BZ_REFUSED(put_le16(p + 0x236, 0), "no 64-bit entry");
	BZ_REFUSED((put_le32(p + 0x248, 16), put_le32(p + 0x24c, UINT32_MAX)),
		   "a payload longer than the file");
	BZ_REFUSED((put_le32(p + 0x248, UINT32_MAX), put_le32(p + 0x24c, 16)), "one outside");
	BZ_REFUSED((put_le32(p + 0x248, FILE_SIZE - 1024 - 15), put_le32(p + 0x24c, 16)),
		   "one that ends a byte behind");
	BZ_REFUSED((put_le32(p + 0x248, 16), put_le32(p + 0x24c, 3)),
		   "one shorter than its own size");
}

static void sniffed(const char *start, size_t at, const char *bytes, size_t len,
		    enum image_kind kind)
{
	uint8_t *data = calloc(1, at + len);

	memcpy(data, start, strlen(start));
	memcpy(data + at, bytes, len);
	ok(image_sniff(data, at + len) == kind, "sniffed: %s", image_describe(kind));
	free(data);
}

static void sniffing(void)
{
	uint8_t data[64] = { 0 };
	bool quiet = true;

	for (size_t size = 0; size < sizeof(data); size++)
		quiet &= image_sniff(data, size) == IMAGE_UNKNOWN;
	ok(quiet, "zeros of any length are no image");
	for (int kind = IMAGE_UNKNOWN; kind <= IMAGE_SCRIPT; kind++)
		quiet &= image_describe((enum image_kind)kind) != NULL;
	ok(quiet, "every kind has words");
	sniffed("MZ", 0x38, "ARM\x64", 4, IMAGE_ARM64);
	sniffed("", 0x24, "\x18\x28\x6f\x01", 4, IMAGE_ZIMAGE);
	sniffed("", 0x24, "\x01\x6f\x28\x18", 4, IMAGE_ZIMAGE);
	sniffed("MZ", 4, "zimg", 4, IMAGE_ZBOOT);
	sniffed("MZ", 4, "zim", 3, IMAGE_EFI);
	sniffed("", 0, "\x02\x21\x4c\x18", 4, IMAGE_LZ4);
	sniffed("", 0, "\x28\xb5\x2f\xfd", 4, IMAGE_ZSTD);
}

static void sniffed_elf(uint8_t class, uint8_t data, uint16_t machine, enum image_kind kind)
{
	uint8_t p[20] = ELFMAG;
	enum image_kind cut = IMAGE_ELF_TRUNCATED;

	p[EI_CLASS] = class;
	p[EI_DATA] = data;
	put_le16(p + 18, machine);
	for (size_t size = SELFMAG; size < sizeof(p); size++) {
		uint8_t *short_one = malloc(size);

		memcpy(short_one, p, size);
		cut = image_sniff(short_one, size) == IMAGE_ELF_TRUNCATED ? cut : IMAGE_UNKNOWN;
		free(short_one);
	}
	ok(image_sniff(p, sizeof(p)) == kind && cut == IMAGE_ELF_TRUNCATED,
	   "machine %u, class %u, byte order %u: %s, unless cut short", machine, class, data,
	   image_describe(kind));
}

static void sniffing_elf(void)
{
	sniffed_elf(ELFCLASS64, ELFDATA2LSB, EM_X86_64, IMAGE_ELF64_X86);
	sniffed_elf(ELFCLASS32, ELFDATA2LSB, EM_X86_64, IMAGE_ELF32_X86);
	sniffed_elf(ELFCLASS32, ELFDATA2LSB, EM_386, IMAGE_ELF32_X86);
	sniffed_elf(ELFCLASS64, ELFDATA2LSB, EM_AARCH64, IMAGE_ELF_ARM64);
	sniffed_elf(ELFCLASS32, ELFDATA2LSB, EM_ARM, IMAGE_ELF32_ARM);
	sniffed_elf(ELFCLASS64, ELFDATA2LSB, EM_ARM, IMAGE_ELF_OTHER);
	sniffed_elf(ELFCLASS32, ELFDATA2MSB, EM_ARM, IMAGE_ELF_OTHER);
	sniffed_elf(ELFCLASS64, ELFDATA2LSB, EM_RISCV, IMAGE_ELF_OTHER);
}

int main(void)
{
	elf_headers();
	elf_lies();
	elf_notes();
	elf_moved();
	elf_settled();
	bzimages();
	bzimage_lies();
	sniffing();
	sniffing_elf();
	return done_testing();
}
