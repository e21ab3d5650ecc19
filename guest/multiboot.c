/* SPDX-License-Identifier: MIT */
#include "guest/multiboot.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "util/util.h"

#define MAGIC 0x1badb002u
#define MAGIC_2 0xe85250d6u /* of multiboot 2, which is another protocol */
#define ALIGN 4
#define HEADER_SIZE 12 /* magic, flags, checksum: what every header has */

/* Flags. The loader must know each of the lower 16, or refuse. */
#define FLAG_PAGE_ALIGN 1u /* of modules: they always are */
#define FLAG_MEMORY 2u	   /* tell of memory: always told */
#define FLAG_VIDEO 4u
#define FLAGS_REQUIRED 0xffffu
#define FLAG_ADDRESSES (1u << 16)

/* Behind the checksum, with FLAG_ADDRESSES. */
struct addresses {
	uint32_t header, load, load_end, bss_end, entry;
};

static bool header_at(const uint8_t *data, size_t size, size_t at)
{
	return range_in(at, HEADER_SIZE, size) && get_le32(data + at) == MAGIC &&
	       MAGIC + get_le32(data + at + 4) + get_le32(data + at + 8) == 0;
}

/* From `from` up to `end`, in steps. False: none. */
static bool find(const uint8_t *data, size_t size, size_t from, size_t end, size_t step, size_t *at)
{
	for (size_t i = from; i < end && i + HEADER_SIZE <= size; i += step) {
		if (header_at(data, size, i)) {
			*at = i;
			return true;
		}
	}
	return false;
}

static bool find_header(const uint8_t *data, size_t size, size_t *at)
{
	return find(data, size, 0, MULTIBOOT_SEARCH - HEADER_SIZE + 1, ALIGN, at);
}

bool multiboot_is(const void *data, size_t size)
{
	size_t at;

	return find_header(data, size, &at);
}

static bool has_header_2(const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < 32768 && i + 16 <= size; i += 8) {
		if (get_le32(data + i) == MAGIC_2 && MAGIC_2 + get_le32(data + i + 4) +
								     get_le32(data + i + 8) +
								     get_le32(data + i + 12) ==
							     0)
			return true;
	}
	return false;
}

/* There is none where it belongs. */
static int refuse(const uint8_t *data, size_t size, struct err *err)
{
	size_t at;

	if (find(data, size, 0, MULTIBOOT_SEARCH, 1, &at))
		return err_set(err, EINVAL,
			       "its multiboot header is at byte %zu, which is no multiple of %d",
			       at, ALIGN);
	if (find(data, size, MULTIBOOT_SEARCH - HEADER_SIZE, size, 1, &at))
		return err_set(err, EINVAL,
			       "its multiboot header is at byte %zu; it must be in the first 8 KiB",
			       at);
	if (has_header_2(data, size))
		return err_set(err, EINVAL,
			       "its header is that of multiboot 2; only multiboot 1 is known here");
	return err_set(err, EINVAL, "it has no multiboot header");
}

/* ---- By the header's own addresses ---- */

static int check_addresses(const struct multiboot *mb, const struct addresses *a, struct err *err)
{
	if (a->load > a->header)
		return err_set(err, EINVAL,
			       "its multiboot header is loaded at 0x%x, below what it says is its "
			       "beginning, 0x%x",
			       a->header, a->load);
	if (a->header - a->load > mb->header)
		return err_set(err, EINVAL,
			       "its multiboot header says that %u bytes stand before it; %zu do",
			       a->header - a->load, mb->header);
	if (a->load_end && a->load_end <= a->load)
		return err_set(err, EINVAL,
			       "its multiboot header says that it ends at 0x%x and begins at 0x%x",
			       a->load_end, a->load);
	return 0;
}

static int take_addresses(struct multiboot *mb, const struct addresses *a, struct err *err)
{
	int rc = check_addresses(mb, a, err);
	uint64_t end;

	if (rc)
		return rc;
	mb->load_offset = mb->header - (a->header - a->load);
	mb->load_size = a->load_end ? a->load_end - a->load : mb->size - mb->load_offset;
	if (!range_in(mb->load_offset, mb->load_size, mb->size))
		return err_set(err, EINVAL,
			       "it is truncated: its multiboot header wants %zu bytes from %zu on",
			       mb->load_size, mb->load_offset);
	end = (uint64_t)a->load + mb->load_size;
	if (a->bss_end && a->bss_end < end)
		return err_set(err, EINVAL,
			       "its multiboot header says that its bss ends at 0x%x, in what is "
			       "loaded up to 0x%llx",
			       a->bss_end, (unsigned long long)end);
	mb->low = a->load;
	mb->high = MAX(end, (uint64_t)a->bss_end);
	mb->entry = a->entry;
	if (a->entry < a->load || a->entry >= end)
		return err_set(err, EINVAL, "its entry 0x%x is outside of what it loads", a->entry);
	return mb->high > UINT32_MAX ? err_set(err, EINVAL, "it wraps around the end of 4 GiB") : 0;
}

static int parse_addresses(struct multiboot *mb, struct err *err)
{
	const uint8_t *p = mb->data + mb->header + HEADER_SIZE;
	struct addresses a;

	if (!range_in(mb->header, HEADER_SIZE + sizeof(a), mb->size))
		return err_set(err, EINVAL, "it is truncated within its multiboot header");
	a = (struct addresses){ get_le32(p), get_le32(p + 4), get_le32(p + 8), get_le32(p + 12),
				get_le32(p + 16) };
	return take_addresses(mb, &a, err);
}

/* ---- As an ELF file ---- */

static int parse_elf(struct multiboot *mb, struct err *err)
{
	bool is_64 = mb->size > EI_CLASS && mb->data[EI_CLASS] == ELFCLASS64;
	int rc;

	if (mb->size < SELFMAG || memcmp(mb->data, ELFMAG, SELFMAG) != 0)
		return err_set(err, EINVAL,
			       "its multiboot header has no addresses (flag 16), and it is no ELF "
			       "file, which would have them");
	rc = elf_parse(mb->data, mb->size, is_64 ? EM_X86_64 : EM_386, &mb->elf, err);
	if (rc)
		return rc;
	mb->low = mb->elf.low;
	mb->high = mb->elf.high;
	if (mb->high > UINT32_MAX)
		return err_set(err, EINVAL, "it loads up to 0x%llx, which multiboot can't reach",
			       (unsigned long long)mb->high);
	mb->entry = (uint32_t)mb->elf.entry;
	return elf_holds(&mb->elf, mb->elf.entry)
		       ? 0
		       : err_set(err, EINVAL, "its entry 0x%llx is outside of what it loads",
				 (unsigned long long)mb->elf.entry);
}

int multiboot_parse(const void *data, size_t size, struct multiboot *out, struct err *err)
{
	uint32_t flags;

	*out = (struct multiboot){ .data = data, .size = size };
	if (!find_header(data, size, &out->header))
		return refuse(data, size, err);
	flags = get_le32(out->data + out->header + 4);
	if (flags & FLAGS_REQUIRED & ~(FLAG_PAGE_ALIGN | FLAG_MEMORY | FLAG_VIDEO))
		return err_set(err, EINVAL,
			       "its multiboot header asks for what is not known here (flags 0x%x)",
			       flags);
	out->wants_video = flags & FLAG_VIDEO;
	out->is_elf = !(flags & FLAG_ADDRESSES);
	return out->is_elf ? parse_elf(out, err) : parse_addresses(out, err);
}

int multiboot_load(const struct multiboot *mb, struct mem *mem, uint64_t low, uint64_t high,
		   struct err *err)
{
	int rc = elf_fits(mb->low, mb->high, low, high, err);

	if (rc)
		return rc;
	if (mb->is_elf)
		return elf_load(&mb->elf, mem, low, high, err);
	rc = mem_write(mem, mb->low, mb->data + mb->load_offset, mb->load_size);
	return rc ? err_set(err, ENOMEM, "it does not fit in RAM") : 0;
}

bool multiboot_touches(const struct multiboot *mb, uint64_t gpa, uint64_t len)
{
	return mb->is_elf ? elf_touches(&mb->elf, gpa, len)
			  : range_overlap(mb->low, mb->high - mb->low, gpa, len);
}
