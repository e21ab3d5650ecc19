/* SPDX-License-Identifier: MIT */
/* Solo5 images that lie: each is refused by name, and nothing outside of the file is read. */
#include "guest/solo5.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest/image.h"
#include "tests/unit/tap.h"
#include "util/util.h"

#define PAGE 0x10000ull
#define N 3 /* entries of its manifest */

struct file {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[5];
	struct {
		Elf64_Nhdr nh;
		char name[8];
		uint32_t target, version, reserved[2];
	} abi;
	uint32_t pad;
	struct {
		Elf64_Nhdr nh;
		char name[8];
		uint32_t pad, version, entries;
		struct hvt_manifest_entry entry[N];
	} manifest;
	uint8_t bytes[64];
};

/* On the heap, and no larger than it says, so that ASan sees a read past its end. */
static struct file *good(uint16_t machine)
{
	struct file *f = calloc(1, sizeof(*f));

	memcpy(f->eh.e_ident, ELFMAG, SELFMAG);
	f->eh.e_ident[EI_CLASS] = ELFCLASS64;
	f->eh.e_ident[EI_DATA] = ELFDATA2LSB;
	f->eh.e_type = ET_EXEC;
	f->eh.e_machine = machine;
	f->eh.e_entry = HVT_BASE + 16;
	f->eh.e_phoff = offsetof(struct file, ph);
	f->eh.e_phentsize = sizeof(Elf64_Phdr);
	f->eh.e_phnum = 5;
	for (unsigned int i = 0; i < 3; i++)
		f->ph[i] = (Elf64_Phdr){ .p_type = PT_LOAD,
					 .p_flags = i == 0   ? PF_X
						    : i == 1 ? PF_R
							     : PF_R | PF_W,
					 .p_vaddr = HVT_BASE + 2 * i * PAGE,
					 .p_offset = offsetof(struct file, bytes),
					 .p_filesz = 64,
					 .p_memsz = i == 2 ? 100000 : 64,
					 .p_align = PAGE };
	f->ph[3] = (Elf64_Phdr){ .p_type = PT_NOTE,
				 .p_offset = offsetof(struct file, abi),
				 .p_filesz = sizeof(f->abi) };
	f->ph[4] = (Elf64_Phdr){ .p_type = PT_NOTE,
				 .p_offset = offsetof(struct file, manifest),
				 .p_filesz = sizeof(f->manifest) };
	f->abi.nh = (Elf64_Nhdr){ 6, 16, 0x31494241 };
	f->abi.target = SOLO5_HVT;
	f->abi.version = SOLO5_HVT_VERSION;
	strcpy(f->abi.name, "Solo5");
	f->manifest.nh = (Elf64_Nhdr){ 6, sizeof(f->manifest) - 20, 0x3154464d };
	strcpy(f->manifest.name, "Solo5");
	f->manifest.version = 1;
	f->manifest.entries = N;
	f->manifest.entry[0].type = SOLO5_RESERVED;
	f->manifest.entry[1].type = SOLO5_BLOCK;
	strcpy(f->manifest.entry[1].name, "storage");
	f->manifest.entry[2].type = SOLO5_NET;
	memset(f->manifest.entry[2].name, 'n', SOLO5_NAME - 1);
	return f;
}

static void good_ones(void)
{
	static const uint16_t machines[] = { EM_X86_64, EM_AARCH64 };

	for (unsigned int i = 0; i < ARRAY_SIZE(machines); i++) {
		struct file *f = good(machines[i]);
		struct solo5_image image;
		struct err err = { "" };
		int rc = solo5_parse(f, sizeof(*f), &image, &err);

		ok(!rc, "a good file: %s", err.text);
		ok(image_sniff(f, sizeof(*f)) == IMAGE_SOLO5, "is seen to be one");
		ok(image.machine == machines[i] && image.entry == HVT_BASE + 16 &&
			   image.n_segments == 3 && image.end == HVT_BASE + 6 * PAGE,
		   "its segments");
		ok(image.segments[0].executable && !image.segments[0].writable &&
			   image.segments[1].first == HVT_BASE + 2 * PAGE &&
			   image.segments[1].end == HVT_BASE + 3 * PAGE &&
			   image.segments[2].writable && image.segments[2].size == 100000,
		   "and what is in them");
		ok(image.n_devices == N && image.devices[1].type == SOLO5_BLOCK &&
			   !strcmp(image.devices[1].name, "storage") &&
			   strlen(image.devices[2].name) == SOLO5_NAME - 1,
		   "its manifest");
		ok(!solo5_fits(&image, 2 * MIB, &err) && !solo5_fits(&image, 4 * GIB, &err),
		   "fits into 2 MiB");
		ok(solo5_fits(&image, 0, &err) && solo5_fits(&image, MIB, &err) &&
			   solo5_fits(&image, 3 * MIB, &err) &&
			   solo5_fits(&image, 4 * GIB + 2 * MIB, &err),
		   "not into what no guest has");
		image.end = 2 * MIB + 1;
		ok(solo5_fits(&image, 2 * MIB, &err) == -ENOMEM, "nor into less than it is");
		free(f);
	}
}

static void refused(struct file *f, size_t size, const char *regex, const char *what)
{
	struct solo5_image image;
	struct err err = { "" };
	int rc = solo5_parse(f, size, &image, &err);

	ok(rc == -EINVAL && strstr(err.text, regex), "%s: %s", what, err.text);
	free(f);
}

#define REFUSED(change, why, what)                     \
	do {                                           \
		struct file *f = good(EM_X86_64);      \
		change;                                \
		refused(f, sizeof(*f), (why), (what)); \
	} while (0)

static void headers(void)
{
	bool all = true;

	for (size_t size = 0; size < sizeof(struct file); size++) {
		struct file *whole = good(EM_X86_64);
		struct solo5_image image;
		void *cut = malloc(size ? size : 1);

		memcpy(cut, whole, size);
		all &= solo5_parse(cut, size, &image, NULL) == -EINVAL;
		image_sniff(cut, size);
		free(cut);
		free(whole);
	}
	ok(all, "every truncation is refused");
	REFUSED(f->eh.e_machine = EM_386, "another architecture", "of another machine");
	REFUSED(f->eh.e_ident[EI_CLASS] = ELFCLASS32, "64-bit", "of 32 bits");
	REFUSED(f->eh.e_type = ET_DYN, "executable", "no executable");
	REFUSED(f->eh.e_phnum = 0, "number", "no headers");
	REFUSED(f->eh.e_phnum = 65535, "number", "too many");
	REFUSED(f->eh.e_phentsize = 32, "size", "of another size");
	REFUSED(f->eh.e_phoff = UINT64_MAX - 8, "past its end", "that wrap");
}

static void notes(void)
{
	REFUSED(f->ph[3].p_type = PT_NULL, "no Solo5 ABI note", "no ABI");
	REFUSED(f->abi.nh.n_type = 1, "no Solo5 ABI note", "another type");
	REFUSED(f->abi.name[0] = 's', "no Solo5 ABI note", "another name");
	REFUSED(f->abi.nh.n_descsz = 7, "too short", "a short one");
	REFUSED(f->abi.nh.n_descsz = UINT32_MAX, "no Solo5 ABI note", "a long one");
	REFUSED(f->abi.nh.n_namesz = UINT32_MAX, "no Solo5 ABI note", "a long name");
	REFUSED(f->abi.target = SOLO5_SPT, "spt", "for another tender");
	REFUSED(f->abi.target = 77, "unknown (77)", "for none");
	REFUSED(f->abi.version = 3, "version 3", "of a later version");
	REFUSED((f->manifest.nh.n_type = f->abi.nh.n_type), "2 Solo5 ABI notes", "two of them");
	REFUSED((f->abi.nh.n_type = f->manifest.nh.n_type), "no Solo5 ABI note", "two manifests");
	REFUSED(f->ph[4].p_type = PT_NULL, "no Solo5 manifest", "no manifest");
	REFUSED(f->ph[2] = f->ph[4], "2 Solo5 manifests", "a manifest twice");
	REFUSED(f->manifest.nh.n_descsz = 4, "too short", "a short manifest");
	REFUSED(f->manifest.nh.n_descsz -= 1, "not the size", "a byte less");
	REFUSED(f->manifest.version = 2, "version 2", "of a later version");
	REFUSED(f->manifest.entries = 0, "0 entries", "of none");
	REFUSED(f->manifest.entries = N - 1, "not the size", "of one less");
	REFUSED(f->manifest.entries = N + 1, "not the size", "of one more");
	REFUSED(f->manifest.entries = 65, "65 entries", "of too many");
	REFUSED(f->manifest.entries = UINT32_MAX, "entries", "of 2^32");
	REFUSED(f->manifest.entry[0].type = SOLO5_BLOCK, "reserved", "a first that is a disk");
	REFUSED(f->manifest.entry[0].name[0] = 'x', "reserved", "and with a name");
	REFUSED(f->manifest.entry[1].type = 3, "unknown type", "a type there is none of");
	REFUSED(f->manifest.entry[1].type = SOLO5_RESERVED, "unknown type",
		"a second reserved one");
	REFUSED(f->manifest.entry[1].name[0] = 0, "letters and digits", "no name");
	REFUSED(f->manifest.entry[1].name[3] = '=', "letters and digits",
		"a name of other letters");
	REFUSED(f->manifest.entry[2].name[67] = 'n', "does not end", "a name without an end");
	REFUSED(f->manifest.entry[2].attached = 1, "attached", "a device that is attached");
	REFUSED(strcpy(f->manifest.entry[2].name, "storage"), "two devices", "a name twice");
}

static void segments(void)
{
	REFUSED(f->ph[0].p_flags = PF_X | PF_W, "writable and executable", "W+X");
	REFUSED(f->ph[1].p_flags = 7, "writable and executable", "R+W+X");
	REFUSED(f->ph[1].p_offset = UINT64_MAX - 16, "past its end", "an offset that wraps");
	REFUSED(f->ph[1].p_filesz = sizeof(*f), "past its end", "larger than the file");
	REFUSED(f->ph[1].p_memsz = 63, "larger in the file", "larger than in memory");
	REFUSED(f->ph[2].p_memsz = UINT64_MAX, "wraps", "a size that wraps");
	REFUSED(f->ph[2].p_vaddr = UINT64_MAX - 63, "wraps", "an address that wraps");
	REFUSED((f->ph[2].p_filesz = 0, f->ph[2].p_vaddr = UINT64_MAX - 100000), "4 GiB",
		"zeros up to the last byte there is");
	REFUSED(f->ph[2].p_memsz = HVT_MEM_MAX, "4 GiB", "more than any such guest has");
	REFUSED(f->ph[0].p_vaddr -= 1, "the lowest", "below what is the guest's");
	REFUSED(f->ph[0].p_vaddr = 0, "the lowest", "at 0");
	REFUSED(f->ph[0].p_align = 0x1000000, "the lowest", "aligned down to below");
	REFUSED(f->ph[1].p_align = 0, "no power of two", "no alignment");
	REFUSED(f->ph[1].p_align = 3 * PAGE, "no power of two", "an odd one");
	REFUSED(f->ph[1].p_align = 16, "with a page", "less than a page");
	REFUSED(f->ph[2].p_align = 1ull << 63, "the lowest", "more than all memory");
	REFUSED(f->ph[1].p_vaddr = HVT_BASE, "overlaps", "at the place of another");
	REFUSED(f->ph[0].p_memsz = 2 * PAGE + 1, "overlaps", "over the next one");
	REFUSED(f->ph[2].p_vaddr = HVT_BASE + PAGE, "ascending order", "in another order");
	REFUSED((f->ph[2].p_filesz = 0, f->ph[2].p_vaddr = HVT_BASE + 2 * PAGE + 100), "overlaps",
		"zeros in the pages of another");
	REFUSED((f->ph[0].p_type = f->ph[1].p_type = f->ph[2].p_type = PT_NULL), "nothing to load",
		"none");
	REFUSED(f->eh.e_entry = 0, "outside", "an entry of 0");
	REFUSED(f->eh.e_entry = HVT_BASE + 64, "outside", "one behind its segment");
	REFUSED(f->eh.e_entry = HVT_BASE + 2 * PAGE, "not executable", "one in data");
	REFUSED(f->eh.e_entry = UINT64_MAX, "outside", "one at the end");
}

static void others(void)
{
	static const enum solo5_target ours[] = { SOLO5_HVT, SOLO5_SPT, SOLO5_MUEN, SOLO5_GENODE };
	struct file *f = good(EM_X86_64);
	struct solo5_image image;
	bool all = true;

	for (unsigned int i = 0; i < ARRAY_SIZE(ours); i++) {
		f->abi.target = ours[i];
		all &= image_sniff(f, sizeof(*f)) == IMAGE_SOLO5;
	}
	ok(all, "images for tenders are seen to be Solo5's");
	f->abi.target = SOLO5_VIRTIO;
	all = image_sniff(f, sizeof(*f)) == IMAGE_ELF64_X86;
	f->abi.target = SOLO5_XEN;
	ok(all && image_sniff(f, sizeof(*f)) == IMAGE_ELF64_X86,
	   "those for virtio and Xen are ELF files as others are");
	f->abi.target = SOLO5_HVT;
	f->bytes[40] = 0xa2;
	ok(!solo5_parse(f, sizeof(*f), &image, NULL) && !solo5_may_identify(&image),
	   "code without CPUID");
	f->bytes[39] = 0x0f;
	ok(solo5_may_identify(&image), "and with it");
	memcpy(f->bytes + 39, "\x80\x00\x00\xc0", 4);
	ok(solo5_may_identify(&image),
	   "code that has to do with EFER, where NX is, needs the same");
	/* As linkers leave them. */
	f->ph[1] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_align = PAGE };
	f->ph[2].p_filesz = 0;
	f->ph[2].p_align = 16;
	f->ph[2].p_vaddr = HVT_BASE + PAGE + 8;
	ok(!solo5_parse(f, sizeof(*f), &image, NULL) && image.n_segments == 2 &&
		   image.segments[1].first == image.segments[1].end &&
		   image.end >= HVT_BASE + PAGE + 8 + 100000,
	   "empty segments, and zeros within a page");
	free(f);
}

int main(void)
{
	good_ones();
	headers();
	notes();
	segments();
	others();
	return done_testing();
}
