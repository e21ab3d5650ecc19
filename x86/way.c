/* SPDX-License-Identifier: MIT */
/*
 * Which way into an image:
 *
 *   bzImage           Linux's 64-bit entry point
 *   64-bit ELF file   by its PVH note; else by a multiboot header; else at its entry, as Linux's is
 *   32-bit ELF file   by a multiboot header, or a PVH note
 *   any other file    by a multiboot header; as raw code only if --entry says so, as no file says
 *                     that of itself
 *
 * --entry insists. What an image asks for, and how it can be refused, is known from here, so that
 * `lkvm inspect` and a run agree.
 */
#include "x86/way.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "guest/release.h"
#include "guest/unpack.h"
#include "util/file.h"
#include "util/util.h"
#include "x86/map.h"

#define PACKED_MOST (512 * MIB)

static const char *const words[] = {
	[X86_ENTRY_ELF64] = "linux64",
	[X86_ENTRY_PVH] = "pvh",
	[X86_ENTRY_MULTIBOOT] = "multiboot",
	[X86_ENTRY_RAW] = "raw",
};

/* -1: --entry is not given. */
static int read_option(const struct vm_config *config, int *entry, struct err *err)
{
	const char *value = vm_option(config, "entry");

	*entry = -1;
	for (unsigned int i = 0; value && i < ARRAY_SIZE(words); i++) {
		if (words[i] && !strcmp(value, words[i]))
			*entry = (int)i;
	}
	return !value || *entry >= 0
		       ? 0
		       : err_set(err, EINVAL, "--entry %s: it is linux64, pvh, multiboot or raw",
				 value);
}

/* ---- Each way ---- */

static int take_bzimage(const void *data, size_t size, struct x86_way *way, struct err *err)
{
	int rc = bzimage_parse(data, size, &way->bz, err);

	way->entry = X86_ENTRY_BZIMAGE;
	if (rc)
		return rc;
	way->low = way->bz.pref_address;
	way->high = way->low + way->bz.init_size;
	way->start = way->low + BZ_ENTRY64;
	return 0;
}

static int take_elf(const void *data, size_t size, bool pvh, struct x86_way *way, struct err *err)
{
	struct elf_image *elf = &way->elf;
	int rc = elf_parse(data, size, way->kind == IMAGE_ELF32_X86 ? EM_386 : EM_X86_64, elf, err);

	if (rc)
		return rc;
	if (pvh && !elf->has_pvh)
		return err_set(err, EINVAL, "it has no PVH note");
	if (!pvh && elf->is_32)
		return err_set(err, EINVAL,
			       "it is 32-bit code, which Linux's 64-bit entry is not for");
	way->entry = pvh ? X86_ENTRY_PVH : X86_ENTRY_ELF64;
	way->start = pvh ? elf->pvh_entry : elf->entry;
	if (!elf_holds(elf, way->start))
		return err_set(err, EINVAL, "its entry 0x%llx is outside of what it loads",
			       (unsigned long long)way->start);
	way->low = elf->low;
	way->high = elf->high;
	return elf_fits(way->low, way->high, X86_HIGH_RAM, UINT64_MAX, err);
}

/*
 * A multiboot image may use the low memory that the others have boot data in, but not where its own
 * is, nor the ports' and tables' places above it.
 */
static int take_multiboot(const void *data, size_t size, struct x86_way *way, struct err *err)
{
	struct multiboot *mb = &way->multiboot;
	int rc = multiboot_parse(data, size, mb, err);

	if (rc)
		return rc;
	way->entry = X86_ENTRY_MULTIBOOT;
	way->low = mb->low;
	way->high = mb->high;
	way->start = mb->entry;
	if (mb->low < X86_MULTIBOOT_LOW ||
	    multiboot_touches(mb, X86_MULTIBOOT, X86_HIGH_RAM - X86_MULTIBOOT))
		return err_set(
			err, EINVAL,
			"it loads at 0x%llx to 0x%llx, where boot data lies; 0x%llx to 0x%llx "
			"and from 0x%llx on is free",
			(unsigned long long)mb->low, (unsigned long long)mb->high,
			X86_MULTIBOOT_LOW, X86_MULTIBOOT, X86_HIGH_RAM);
	return 0;
}

static int take_raw(size_t size, struct x86_way *way, struct err *err)
{
	way->entry = X86_ENTRY_RAW;
	way->low = way->start = X86_RAW;
	way->high = X86_RAW + size;
	if (size > X86_LOW_RAM_END - X86_RAW)
		return err_set(err, EINVAL, "it is %zu bytes; a raw image has %llu", size,
			       X86_LOW_RAM_END - X86_RAW);
	return 0;
}

/* ---- The choice ---- */

static int refuse(enum image_kind kind, struct err *err)
{
	switch (kind) {
	case IMAGE_ARM64:
	case IMAGE_ZIMAGE:
	case IMAGE_ELF_ARM64:
	case IMAGE_ELF32_ARM:
	case IMAGE_ELF_OTHER:
		return err_set(err, ENOEXEC, "it is %s, and this machine is x86",
			       image_describe(kind));
	case IMAGE_CPIO:
		return err_set(err, ENOEXEC, "it is %s; a kernel is wanted, an initrd goes to -i",
			       image_describe(kind));
	case IMAGE_UNKNOWN:
		return err_set(err, ENOEXEC,
			       "it is %s; a bzImage, an ELF file or a multiboot image is wanted, "
			       "or --entry raw for code that begins in real mode",
			       image_describe(kind));
	default:
		return err_set(err, ENOEXEC,
			       "it is %s; a bzImage, an ELF file or a multiboot image is wanted",
			       image_describe(kind));
	}
}

static bool has_pvh(const void *data, size_t size, enum image_kind kind)
{
	struct elf_image elf;
	struct err ignored;

	return !elf_parse(data, size, kind == IMAGE_ELF32_X86 ? EM_386 : EM_X86_64, &elf,
			  &ignored) &&
	       elf.has_pvh;
}

/* The last resort for a 64-bit ELF file; programs are such files, too, and no kernels. */
static int take_linux64(const void *data, size_t size, struct x86_way *way, struct err *err)
{
	struct elf_image elf;
	int rc = elf_parse(data, size, EM_X86_64, &elf, err);

	if (!rc && elf.is_program)
		return err_set(err, ENOEXEC, ELF_PROGRAM);
	return rc ? rc : take_elf(data, size, false, way, err);
}

static int choose(const void *data, size_t size, struct x86_way *way, struct err *err)
{
	switch (way->kind) {
	case IMAGE_BZIMAGE:
	case IMAGE_BZIMAGE_OLD:
		return take_bzimage(data, size, way, err);
	case IMAGE_ELF64_X86:
		if (has_pvh(data, size, way->kind))
			return take_elf(data, size, true, way, err);
		return multiboot_is(data, size) ? take_multiboot(data, size, way, err)
						: take_linux64(data, size, way, err);
	case IMAGE_ELF32_X86:
		if (!multiboot_is(data, size) && has_pvh(data, size, way->kind))
			return take_elf(data, size, true, way, err);
		return take_multiboot(data, size, way, err);
	default:
		return multiboot_is(data, size) ? take_multiboot(data, size, way, err)
						: refuse(way->kind, err);
	}
}

static int insist(const void *data, size_t size, enum x86_entry entry, struct x86_way *way,
		  struct err *err)
{
	bool is_elf = way->kind == IMAGE_ELF64_X86 || way->kind == IMAGE_ELF32_X86;

	switch (entry) {
	case X86_ENTRY_RAW:
		return take_raw(size, way, err);
	case X86_ENTRY_MULTIBOOT:
		return take_multiboot(data, size, way, err);
	case X86_ENTRY_ELF64:
		if (way->kind == IMAGE_BZIMAGE)
			return take_bzimage(data, size, way, err);
		break;
	default:
		break;
	}
	return is_elf ? take_elf(data, size, entry == X86_ENTRY_PVH, way, err)
		      : err_set(err, ENOEXEC, "it is %s, which can't be entered by --entry %s",
				image_describe(way->kind), words[entry]);
}

int x86_way_find(const struct vm_config *config, const void *data, size_t size, struct x86_way *way,
		 struct err *err)
{
	int entry, rc = read_option(config, &entry, err);

	*way = (struct x86_way){ .kind = image_sniff(data, size) };
	if (!rc)
		rc = entry < 0 ? choose(data, size, way, err)
			       : insist(data, size, (enum x86_entry)entry, way, err);
	if (!rc && way->high > X86_HOLE)
		rc = err_set(err, EINVAL,
			     "it loads up to 0x%llx; 0x%llx is the end of what images can have",
			     (unsigned long long)way->high, X86_HOLE);
	return rc;
}

/* ---- For who asks before there is a VM ---- */

static bool is_linux(const struct x86_way *way)
{
	if (way->entry == X86_ENTRY_MULTIBOOT || way->entry == X86_ENTRY_RAW)
		return false;
	return way->entry == X86_ENTRY_BZIMAGE || way->elf.has_linux ||
	       release_is_linux(way->elf.data, way->elf.size);
}

static void tell(const struct x86_way *way, struct arch_look *look)
{
	static const char *const ways[] = {
		[X86_ENTRY_BZIMAGE] = "at Linux's 64-bit entry point",
		[X86_ENTRY_ELF64] = "at its entry point in 64-bit mode, as Linux is",
		[X86_ENTRY_PVH] = "by its PVH note, in 32-bit protected mode",
		[X86_ENTRY_MULTIBOOT] = "by its multiboot header, in 32-bit protected mode",
		[X86_ENTRY_RAW] = "in real mode at 1000:0000",
	};
	bool multiboot = way->entry == X86_ENTRY_MULTIBOOT;

	if (way->kind == IMAGE_UNKNOWN)
		look->what = multiboot ? "a multiboot image" : "code without a header";
	look->way = ways[way->entry];
	look->entry = words[way->entry];
	look->is_linux = is_linux(way);
	look->cmdline = way->entry != X86_ENTRY_RAW;
	look->initrd = way->entry != X86_ENTRY_RAW;
	look->modules = multiboot || way->entry == X86_ENTRY_PVH;
	look->argv0 = multiboot						 ? ARCH_ARGV0_PATH
		      : way->entry == X86_ENTRY_ELF64 && !look->is_linux ? ARCH_ARGV0_UNLESS
									 : ARCH_ARGV0_NONE;
	look->irqchip = multiboot || way->entry == X86_ENTRY_RAW ? "full" : NULL;
	look->low = way->low;
	look->high = way->high;
	look->start = way->start;
	look->memory = MAX(align_up(way->high, MIB), 2 * MIB);
}

static int look_into(const struct vm_config *config, const void *data, size_t size,
		     struct arch_look *look, struct err *err)
{
	struct x86_way way;
	int rc = x86_way_find(config, data, size, &way, err);

	look->what = image_describe(way.kind);
	if (!rc)
		tell(&way, look);
	return rc;
}

/* Packed files are Linux's, as far as is known without unpacking; but where --entry says more. */
static int look_packed(const struct vm_config *config, const struct unpacker *u,
		       const struct file_map *file, bool deep, struct arch_look *look,
		       struct err *err)
{
	bool insists = vm_option(config, "entry");
	struct unpacked out;
	int rc;

	look->what = image_describe(u->kind);
	look->is_linux = look->initrd = look->cmdline = true;
	if (!deep && !insists)
		return 0;
	rc = unpack(u, file->data, file->size, PACKED_MOST, &out, err);
	if (rc)
		return rc;
	rc = look_into(config, out.data, out.size, look, err);
	look->is_linux |= !insists;
	unpacked_free(&out);
	return rc;
}

int arch_look(const struct vm_config *config, const struct arch_image *image, bool deep,
	      struct arch_look *look, struct err *err)
{
	const struct unpacker *u;
	struct file_map file;
	int rc;

	*look = (struct arch_look){ 0 };
	if (!image->kernel)
		file = (struct file_map){ .data = image->data, .size = image->size };
	else if ((rc = file_map(image->kernel, "kernel", &file, err)))
		return rc;
	u = unpacker_for_kind(image_sniff(file.data, file.size));
	rc = u ? look_packed(config, u, &file, deep, look, err)
	       : look_into(config, file.data, file.size, look, err);
	if (image->kernel)
		file_unmap(&file);
	return rc;
}
