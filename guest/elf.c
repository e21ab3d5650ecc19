/* SPDX-License-Identifier: MIT */
#include "guest/elf.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "util/util.h"

#define MAX_SEGMENTS 64
#define NOTE_XEN_PHYS32_ENTRY 18 /* xen/interface/elfnote.h */
#define NOTE_GNU_ABI_TAG 1	 /* glibc's start-up code brings it */

/* What both classes have, in the wider form. */
struct header {
	uint16_t type, machine, phentsize, phnum;
	uint64_t entry, phoff;
};

#define TAKE_HEADER(from)                                                                      \
	((struct header){ (from).e_type, (from).e_machine, (from).e_phentsize, (from).e_phnum, \
			  (from).e_entry, (from).e_phoff })

/* The file is as long as such a header. */
static struct header get_header(const struct elf_image *elf)
{
	Elf32_Ehdr narrow;
	Elf64_Ehdr wide;

	if (elf->is_32) {
		memcpy(&narrow, elf->data, sizeof(narrow));
		return TAKE_HEADER(narrow);
	}
	memcpy(&wide, elf->data, sizeof(wide));
	return TAKE_HEADER(wide);
}

static size_t header_size(const struct elf_image *elf)
{
	return elf->is_32 ? sizeof(Elf32_Ehdr) : sizeof(Elf64_Ehdr);
}

static size_t phdr_size(const struct elf_image *elf)
{
	return elf->is_32 ? sizeof(Elf32_Phdr) : sizeof(Elf64_Phdr);
}

/* With p_paddr where it is to be loaded. */
static void get_phdr(const struct elf_image *elf, unsigned int i, Elf64_Phdr *ph)
{
	const uint8_t *at = elf->data + get_header(elf).phoff + i * phdr_size(elf);
	Elf32_Phdr narrow;

	if (elf->is_32) {
		memcpy(&narrow, at, sizeof(narrow));
		*ph = (Elf64_Phdr){
			.p_type = narrow.p_type,
			.p_flags = narrow.p_flags,
			.p_offset = narrow.p_offset,
			.p_vaddr = narrow.p_vaddr,
			.p_paddr = narrow.p_paddr,
			.p_filesz = narrow.p_filesz,
			.p_memsz = narrow.p_memsz,
			.p_align = narrow.p_align,
		};
	} else {
		memcpy(ph, at, sizeof(*ph));
	}
	ph->p_paddr += elf->displacement;
	/* Where nothing of a segment is in the file its offset may be anything: Unikraft's TLS is past the end. */
	if (!ph->p_filesz)
		ph->p_offset = 0;
}

static unsigned int n_phdrs(const struct elf_image *elf)
{
	return get_header(elf).phnum;
}

static int check_header(const struct elf_image *elf, uint16_t machine, struct err *err)
{
	const uint8_t *ident = elf->data;
	struct header h;

	if (elf->size < header_size(elf))
		return err_set(err, EINVAL,
			       "it is truncated: %zu bytes are less than an ELF header", elf->size);
	h = get_header(elf);
	/* (ELF32 for EM_X86_64 is what x32's tools make: the same code.) */
	if (memcmp(ident, ELFMAG, SELFMAG) != 0 || ident[EI_DATA] != ELFDATA2LSB ||
	    ident[EI_CLASS] != (elf->is_32 ? ELFCLASS32 : ELFCLASS64) ||
	    (h.machine != machine && !(elf->is_32 && h.machine == EM_X86_64)))
		return err_set(err, EINVAL, "it is not a %s-bit ELF image for this machine",
			       elf->is_32 ? "32" : "64");
	if (h.type != ET_EXEC && h.type != ET_DYN)
		return err_set(err, EINVAL, "it is an ELF object file, not an executable");
	if (h.phentsize != phdr_size(elf) || !h.phnum || h.phnum > MAX_SEGMENTS)
		return err_set(err, EINVAL, "its ELF header has %u program headers of %u bytes",
			       h.phnum, h.phentsize);
	if (!range_in(h.phoff, (uint64_t)h.phnum * phdr_size(elf), elf->size))
		return err_set(err, EINVAL,
			       "it is truncated: its program headers are past its end");
	return 0;
}

static int check_segment(const struct elf_image *elf, unsigned int i, const Elf64_Phdr *ph,
			 struct err *err)
{
	if (!range_in(ph->p_offset, ph->p_filesz, elf->size))
		return err_set(err, EINVAL, "it is truncated: segment %u is past its end", i);
	if (ph->p_type != PT_LOAD)
		return 0;
	if (ph->p_filesz > ph->p_memsz)
		return err_set(err, EINVAL, "segment %u is larger in the file than in memory", i);
	if (!ph->p_memsz)
		return 0;
	if (ph->p_paddr > UINT64_MAX - ph->p_memsz)
		return err_set(err, EINVAL, "segment %u wraps around the end of memory", i);
	for (unsigned int j = 0; j < i; j++) {
		Elf64_Phdr other;

		get_phdr(elf, j, &other);
		if (other.p_type == PT_LOAD &&
		    range_overlap(ph->p_paddr, ph->p_memsz, other.p_paddr, other.p_memsz))
			return err_set(err, EINVAL, "segments %u and %u overlap", j, i);
	}
	return 0;
}

/* Walks the notes of one PT_NOTE, which lies inside the file. */
static void scan_notes(struct elf_image *elf, const Elf64_Phdr *ph)
{
	uint64_t at = ph->p_offset, end = ph->p_offset + ph->p_filesz;

	while (end - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr nh;
		uint64_t name, desc, next;

		memcpy(&nh, elf->data + at, sizeof(nh));
		name = at + sizeof(nh);
		desc = name + align_up(nh.n_namesz, 4);
		next = desc + align_up(nh.n_descsz, 4);
		if (next > end)
			return; /* 32-bit lengths added to an offset in the file: no wrap */
		if (nh.n_type == NOTE_XEN_PHYS32_ENTRY && nh.n_namesz == 4 && nh.n_descsz >= 4 &&
		    !memcmp(elf->data + name, "Xen", 4)) {
			elf->has_pvh = true;
			elf->pvh_entry = get_le32(elf->data + desc);
		}
		if (nh.n_type == NOTE_GNU_ABI_TAG && nh.n_namesz == 4 &&
		    !memcmp(elf->data + name, "GNU", 4))
			elf->is_program = true;
		if (nh.n_namesz == sizeof("Linux") &&
		    !memcmp(elf->data + name, "Linux", sizeof("Linux")))
			elf->has_linux = true;
		at = next;
	}
}

bool elf_holds(const struct elf_image *elf, uint64_t gpa)
{
	for (unsigned int i = 0; i < n_phdrs(elf); i++) {
		Elf64_Phdr ph;

		get_phdr(elf, i, &ph);
		if (ph.p_type == PT_LOAD && gpa >= ph.p_paddr && gpa - ph.p_paddr < ph.p_filesz)
			return true;
	}
	return false;
}

bool elf_segment(const struct elf_image *elf, unsigned int i, struct elf_segment *out)
{
	Elf64_Phdr ph;

	if (i >= n_phdrs(elf))
		return false;
	get_phdr(elf, i, &ph);
	*out = (struct elf_segment){
		.gpa = ph.p_paddr,
		.size = ph.p_type == PT_LOAD ? ph.p_memsz : 0,
		.file_size = ph.p_filesz,
		.readable = ph.p_flags & PF_R,
		.writable = ph.p_flags & PF_W,
		.executable = ph.p_flags & PF_X,
	};
	return true;
}

bool elf_touches(const struct elf_image *elf, uint64_t gpa, uint64_t len)
{
	for (unsigned int i = 0; i < n_phdrs(elf); i++) {
		Elf64_Phdr ph;

		get_phdr(elf, i, &ph);
		if (ph.p_type == PT_LOAD && range_overlap(ph.p_paddr, ph.p_memsz, gpa, len))
			return true;
	}
	return false;
}

/* Kernels that are linked high may name their entry so; until paging is on it is elsewhere. */
static uint64_t physical_entry(const struct elf_image *elf)
{
	uint64_t entry = get_header(elf).entry;

	for (unsigned int i = 0; !elf_holds(elf, entry) && i < n_phdrs(elf); i++) {
		Elf64_Phdr ph;

		get_phdr(elf, i, &ph);
		if (ph.p_type == PT_LOAD && entry >= ph.p_vaddr && entry - ph.p_vaddr < ph.p_filesz)
			return entry - ph.p_vaddr + ph.p_paddr;
	}
	return entry;
}

int elf_parse(const void *data, size_t size, uint16_t machine, struct elf_image *elf,
	      struct err *err)
{
	int rc;

	*elf = (struct elf_image){
		.data = data,
		.size = size,
		.fd = -1,
		.is_32 = machine == EM_386,
		.low = UINT64_MAX,
	};
	rc = check_header(elf, machine, err);
	if (rc)
		return rc;
	for (unsigned int i = 0; i < n_phdrs(elf); i++) {
		Elf64_Phdr ph;

		get_phdr(elf, i, &ph);
		rc = check_segment(elf, i, &ph, err);
		if (rc)
			return rc;
		if (ph.p_type == PT_NOTE)
			scan_notes(elf, &ph);
		elf->is_program |= ph.p_type == PT_INTERP;
		if (ph.p_type == PT_LOAD && ph.p_memsz) {
			elf->low = MIN(elf->low, ph.p_paddr);
			elf->high = MAX(elf->high, ph.p_paddr + ph.p_memsz);
		}
	}
	if (!elf->high)
		return err_set(err, EINVAL, "it has nothing to load");
	elf->entry = physical_entry(elf);
	elf->has_pvh &= machine != EM_AARCH64;
	/* Of two it is its user's to choose, and to look at. */
	if (!elf_holds(elf, elf->entry) && !(elf->has_pvh && elf_holds(elf, elf->pvh_entry)))
		return err_set(err, EINVAL, "its entry 0x%llx is outside of what it loads",
			       (unsigned long long)(elf->has_pvh ? elf->pvh_entry : elf->entry));
	return 0;
}

int elf_relocate(struct elf_image *elf, uint64_t to)
{
	uint64_t by = to - elf->low; /* modulo 2^64: most often it is downwards */

	if (to > UINT64_MAX - (elf->high - elf->low))
		return -EINVAL;
	elf->displacement += by;
	elf->low += by;
	elf->high += by;
	elf->entry += by;
	elf->has_pvh = false;
	return 0;
}

int elf_fits(uint64_t from, uint64_t to, uint64_t low, uint64_t high, struct err *err)
{
	if (from < low)
		return err_set(err, EINVAL,
			       "it loads at 0x%llx, where boot data lies; 0x%llx is the lowest",
			       (unsigned long long)from, (unsigned long long)low);
	if (to > high)
		return err_set(err, ENOMEM,
			       "it loads up to 0x%llx, RAM ends at 0x%llx; give more with -m",
			       (unsigned long long)to, (unsigned long long)high);
	return 0;
}

int elf_load(const struct elf_image *elf, struct mem *mem, uint64_t low, uint64_t high,
	     struct err *err)
{
	int rc = elf_fits(elf->low, elf->high, low, high, err);

	if (rc)
		return rc;
	for (unsigned int i = 0; i < n_phdrs(elf); i++) {
		Elf64_Phdr ph;

		get_phdr(elf, i, &ph);
		/*
		 * What follows p_filesz is zero already: RAM starts so, and segments don't overlap.
		 */
		if (ph.p_type == PT_LOAD && ph.p_filesz &&
		    mem_load(mem, ph.p_paddr, elf->data + ph.p_offset, ph.p_filesz, elf->fd,
			     ph.p_offset))
			return err_set(err, ENOMEM, "segment %u does not fit in RAM", i);
	}
	return 0;
}

/*
 * Where segment `i` goes is not read any more once it is moved: by no segment behind it, nor as
 * headers.
 */
static bool can_settle(const struct elf_image *elf, unsigned int i, uint64_t at)
{
	Elf64_Phdr ph, later;

	get_phdr(elf, i, &ph);
	if (range_overlap(ph.p_paddr, ph.p_memsz, at, header_size(elf)) ||
	    range_overlap(ph.p_paddr, ph.p_memsz, at + get_header(elf).phoff,
			  n_phdrs(elf) * phdr_size(elf)))
		return false;
	for (unsigned int j = i + 1; j < n_phdrs(elf); j++) {
		get_phdr(elf, j, &later);
		if (later.p_type == PT_LOAD &&
		    range_overlap(ph.p_paddr, ph.p_memsz, at + later.p_offset, later.p_filesz))
			return false;
	}
	return true;
}

bool elf_settle(const struct elf_image *elf, struct mem *mem, uint64_t at, uint64_t low,
		uint64_t high)
{
	Elf64_Phdr ph;

	if (elf->low < low || elf->high > high ||
	    !mem_at(mem, elf->low, elf->high - elf->low, MEM_W))
		return false;
	for (unsigned int i = 0; i < n_phdrs(elf); i++) {
		get_phdr(elf, i, &ph);
		if (ph.p_type == PT_LOAD && !can_settle(elf, i, at))
			return false;
	}
	for (unsigned int i = 0; i < n_phdrs(elf); i++) {
		uint8_t *to;

		get_phdr(elf, i, &ph);
		if (ph.p_type != PT_LOAD || !ph.p_memsz)
			continue;
		to = mem_at(mem, ph.p_paddr, ph.p_memsz, MEM_W);
		memmove(to, elf->data + ph.p_offset, ph.p_filesz);
		memset(to + ph.p_filesz, 0, ph.p_memsz - ph.p_filesz);
		mem_dirty(mem, ph.p_paddr, ph.p_memsz);
	}
	return true;
}
