/* SPDX-License-Identifier: MIT */
#include "guest/elf.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "util/util.h"

#define MAX_SEGMENTS 64
#define NOTE_XEN_PHYS32_ENTRY 18 /* xen/interface/elfnote.h */

/* With p_paddr where it is to be loaded. */
static void get_phdr(const struct elf_image *elf, unsigned int i, Elf64_Phdr *ph)
{
	Elf64_Ehdr eh;

	memcpy(&eh, elf->data, sizeof(eh));
	memcpy(ph, elf->data + eh.e_phoff + i * sizeof(*ph), sizeof(*ph));
	ph->p_paddr += elf->displacement;
}

static unsigned int n_phdrs(const struct elf_image *elf)
{
	Elf64_Ehdr eh;

	memcpy(&eh, elf->data, sizeof(eh));
	return eh.e_phnum;
}

static int check_header(const struct elf_image *elf, uint16_t machine, struct err *err)
{
	Elf64_Ehdr eh;

	if (elf->size < sizeof(eh))
		return err_set(err, EINVAL,
			       "it is truncated: %zu bytes are less than an ELF header", elf->size);
	memcpy(&eh, elf->data, sizeof(eh));
	if (memcmp(eh.e_ident, ELFMAG, SELFMAG) || eh.e_ident[EI_CLASS] != ELFCLASS64 ||
	    eh.e_ident[EI_DATA] != ELFDATA2LSB || eh.e_machine != machine)
		return err_set(err, EINVAL, "it is not a 64-bit ELF image for this machine");
	if (eh.e_type != ET_EXEC && eh.e_type != ET_DYN)
		return err_set(err, EINVAL, "it is an ELF object file, not an executable");
	if (eh.e_phentsize != sizeof(Elf64_Phdr) || !eh.e_phnum || eh.e_phnum > MAX_SEGMENTS)
		return err_set(err, EINVAL, "its ELF header has %u program headers of %u bytes",
			       eh.e_phnum, eh.e_phentsize);
	if (!range_in(eh.e_phoff, (uint64_t)eh.e_phnum * sizeof(Elf64_Phdr), elf->size))
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
		at = next;
	}
}

static bool in_segment(const struct elf_image *elf, uint64_t gpa)
{
	for (unsigned int i = 0; i < n_phdrs(elf); i++) {
		Elf64_Phdr ph;

		get_phdr(elf, i, &ph);
		if (ph.p_type == PT_LOAD && gpa >= ph.p_paddr && gpa - ph.p_paddr < ph.p_filesz)
			return true;
	}
	return false;
}

int elf_parse(const void *data, size_t size, uint16_t machine, struct elf_image *elf,
	      struct err *err)
{
	Elf64_Ehdr eh;
	int rc;

	*elf = (struct elf_image){ .data = data, .size = size, .low = UINT64_MAX };
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
		if (ph.p_type == PT_LOAD && ph.p_memsz) {
			elf->low = MIN(elf->low, ph.p_paddr);
			elf->high = MAX(elf->high, ph.p_paddr + ph.p_memsz);
		}
	}
	if (!elf->high)
		return err_set(err, EINVAL, "it has nothing to load");
	memcpy(&eh, data, sizeof(eh));
	elf->entry = eh.e_entry;
	if (elf->has_pvh ? !in_segment(elf, elf->pvh_entry) : !in_segment(elf, elf->entry))
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

int elf_load(const struct elf_image *elf, struct mem *mem, uint64_t low, uint64_t high,
	     struct err *err)
{
	if (elf->low < low)
		return err_set(err, EINVAL,
			       "it loads at 0x%llx, where boot data lies; 0x%llx is the lowest",
			       (unsigned long long)elf->low, (unsigned long long)low);
	if (elf->high > high)
		return err_set(err, ENOMEM,
			       "it loads up to 0x%llx, RAM ends at 0x%llx; give more with -m",
			       (unsigned long long)elf->high, (unsigned long long)high);
	for (unsigned int i = 0; i < n_phdrs(elf); i++) {
		Elf64_Phdr ph;

		get_phdr(elf, i, &ph);
		/*
		 * What follows p_filesz is zero already: RAM starts so, and segments don't overlap.
		 */
		if (ph.p_type == PT_LOAD && ph.p_filesz &&
		    mem_write(mem, ph.p_paddr, elf->data + ph.p_offset, ph.p_filesz))
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
	Elf64_Ehdr eh;
	Elf64_Phdr ph, later;

	memcpy(&eh, elf->data, sizeof(eh));
	get_phdr(elf, i, &ph);
	if (range_overlap(ph.p_paddr, ph.p_memsz, at, sizeof(eh)) ||
	    range_overlap(ph.p_paddr, ph.p_memsz, at + eh.e_phoff,
			  n_phdrs(elf) * sizeof(Elf64_Phdr)))
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
