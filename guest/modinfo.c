/* SPDX-License-Identifier: MIT */
#include "guest/modinfo.h"

#include <elf.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "util/util.h"

#define SECTION ".modinfo"

struct file {
	const uint8_t *data;
	size_t size;
	Elf64_Ehdr header;
};

static bool take_header(struct file *f)
{
	const Elf64_Ehdr *h = &f->header;

	if (f->size < sizeof(*h))
		return false;
	memcpy(&f->header, f->data, sizeof(*h));
	return !memcmp(h->e_ident, ELFMAG, SELFMAG) && h->e_ident[EI_CLASS] == ELFCLASS64 &&
	       h->e_ident[EI_DATA] == ELFDATA2LSB && h->e_shentsize == sizeof(Elf64_Shdr) &&
	       range_in(h->e_shoff, (uint64_t)h->e_shnum * sizeof(Elf64_Shdr), f->size);
}

/* The section's bytes lie in the file. */
static bool take_section(const struct file *f, unsigned int i, Elf64_Shdr *section)
{
	if (i >= f->header.e_shnum)
		return false;
	memcpy(section, f->data + f->header.e_shoff + i * sizeof(*section), sizeof(*section));
	return section->sh_type != SHT_NOBITS &&
	       range_in(section->sh_offset, section->sh_size, f->size);
}

static bool is_called(const struct file *f, const Elf64_Shdr *names, const Elf64_Shdr *section)
{
	return range_in(section->sh_name, sizeof(SECTION), names->sh_size) &&
	       !memcmp(f->data + names->sh_offset + section->sh_name, SECTION, sizeof(SECTION));
}

static bool find_section(const struct file *f, Elf64_Shdr *section)
{
	Elf64_Shdr names;

	if (!take_section(f, f->header.e_shstrndx, &names))
		return false;
	for (unsigned int i = 0; i < f->header.e_shnum; i++) {
		if (take_section(f, i, section) && is_called(f, &names, section))
			return true;
	}
	return false;
}

const char *modinfo_get(const void *data, size_t size, const char *key)
{
	struct file f = { .data = data, .size = size };
	size_t key_len = strlen(key), left, len;
	Elf64_Shdr section;
	const char *word;

	if (!take_header(&f) || !find_section(&f, &section))
		return NULL;
	word = (const char *)f.data + section.sh_offset;
	for (left = section.sh_size; left; word += len + 1, left -= len + 1) {
		len = strnlen(word, left);
		if (len == left)
			return NULL; /* it has no end */
		if (len > key_len && word[key_len] == '=' && !memcmp(word, key, key_len))
			return word + key_len + 1;
	}
	return NULL;
}
