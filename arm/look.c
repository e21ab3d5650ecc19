/* SPDX-License-Identifier: MIT */
/* What an image is to this machine, by the rules of arm/boot.c, before there is a VM. */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "arm/arm.h"
#include "arm/map.h"
#include "guest/arm64-image.h"
#include "guest/elf.h"
#include "guest/release.h"
#include "guest/unpack.h"
#include "guest/zboot.h"
#include "guest/zimage.h"
#include "util/file.h"
#include "util/util.h"

#define BLOCK (2 * MIB)
#define PACKED_MOST (512 * MIB)

static const char bare_way[] = "at its entry point at EL1, x0 at the device tree";

int arm_kind(const struct vm_config *config, const void *data, size_t size, enum image_kind *kind,
	     struct err *err)
{
	const char *entry = vm_option(config, "entry");

	*kind = image_sniff(data, size);
	if (!entry)
		return 0;
	if (strcmp(entry, "raw") != 0)
		return err_set(err, EINVAL, "--entry %s: on arm64 it is raw", entry);
	*kind = IMAGE_UNKNOWN;
	return 0;
}

int arm_refuse(enum image_kind kind, struct err *err)
{
	switch (kind) {
	case IMAGE_BZIMAGE:
	case IMAGE_BZIMAGE_OLD:
	case IMAGE_ELF64_X86:
	case IMAGE_ELF32_X86:
		return err_set(err, ENOEXEC, "it is %s, and this machine is arm64",
			       image_describe(kind));
	case IMAGE_CPIO:
		return err_set(err, ENOEXEC, "it is %s; a kernel is wanted, an initrd goes to -i",
			       image_describe(kind));
	case IMAGE_ELF_TRUNCATED:
		return err_set(err, ENOEXEC, "it is truncated: less than an ELF header");
	default:
		return err_set(err, ENOEXEC,
			       "it is %s; an Image, a zImage, an arm64 ELF file or a flat image is "
			       "wanted",
			       image_describe(kind));
	}
}

static void span(struct arch_look *look, uint64_t gpa, uint64_t size, uint64_t start)
{
	look->low = gpa;
	look->high = gpa + size;
	look->start = start;
	look->memory = MAX(align_up(look->high - ARM_RAM, MIB), 2 * MIB);
}

static int look_image(const void *data, size_t size, struct arch_look *look, struct err *err)
{
	struct arm64_image image;
	int rc = arm64_image_parse(data, size, &image, err);

	if (rc)
		return rc;
	look->way = "at its first byte at EL1, x0 at the device tree";
	look->is_linux = release_is_linux(data, size);
	look->argv0 = look->is_linux ? ARCH_ARGV0_NONE : ARCH_ARGV0_UNLESS;
	span(look, ARM_RAM + image.text_offset, image.image_size, ARM_RAM + image.text_offset);
	return 0;
}

int arm_place_elf(struct elf_image *elf, bool *vmlinux, struct err *err)
{
	int rc = 0;

	*vmlinux = elf->low >> 63;
	if (*vmlinux)
		rc = elf_relocate(elf, ARM_RAM + elf->low % BLOCK);
	if (rc || elf->low >= ARM_RAM)
		return rc;
	return elf->is_program ? err_set(err, ENOEXEC, ELF_PROGRAM)
			       : err_set(err, EINVAL, "it loads at 0x%llx; RAM begins at 0x%llx",
					 (unsigned long long)elf->low, ARM_RAM);
}

static int look_elf(const void *data, size_t size, struct arch_look *look, struct err *err)
{
	struct elf_image elf;
	bool vmlinux;
	int rc = elf_parse(data, size, EM_AARCH64, &elf, err);

	if (!rc)
		rc = arm_place_elf(&elf, &vmlinux, err);
	if (rc)
		return rc;
	look->way = bare_way;
	look->is_linux = vmlinux || elf.has_linux || release_is_linux(data, size);
	look->argv0 = look->is_linux ? ARCH_ARGV0_NONE : ARCH_ARGV0_UNLESS;
	span(look, elf.low, elf.high - elf.low, elf.entry);
	return 0;
}

static int look_zimage(const void *data, size_t size, struct arch_look *look, struct err *err)
{
	struct zimage z;
	int rc = zimage_parse(data, size, &z, err);

	if (rc)
		return rc;
	look->way = "at its first byte in 32-bit mode, r2 at the device tree";
	look->is_linux = true;
	look->memory = align_up(z.memory, MIB);
	return 0;
}

static void look_flat(const struct vm_config *config, const void *data, size_t size,
		      struct arch_look *look)
{
	const char *aarch32 = vm_option(config, "aarch32");
	bool is_32 = aarch32 && *aarch32 == '1';
	uint64_t gpa = ARM_RAM + (is_32 ? ARM_FLAT_OFFSET_32 : ARM_FLAT_OFFSET_64);

	look->what = "a flat image, without a header";
	look->way = is_32 ? "at its first byte in 32-bit mode, r2 at the device tree"
			  : "at its first byte at EL1, x0 at the device tree";
	look->entry = "raw";
	look->is_linux = is_32 || release_is_linux(data, size);
	span(look, gpa, size, gpa);
}

static int look_into(const struct vm_config *config, const void *data, size_t size,
		     struct arch_look *look, struct err *err)
{
	enum image_kind kind;
	int rc = arm_kind(config, data, size, &kind, err);

	look->what = image_describe(kind);
	if (rc)
		return rc;
	look->initrd = look->cmdline = true;
	switch (kind) {
	case IMAGE_ARM64:
		return look_image(data, size, look, err);
	case IMAGE_ELF_ARM64:
		return look_elf(data, size, look, err);
	case IMAGE_ZIMAGE:
		return look_zimage(data, size, look, err);
	case IMAGE_UNKNOWN:
		look_flat(config, data, size, look);
		return 0;
	default:
		return arm_refuse(kind, err);
	}
}

/* Packed files are Linux's, as far as is known without unpacking; but where --entry says more. */
static int look_packed(const struct vm_config *config, const struct unpacker *u, const void *data,
		       size_t size, bool deep, struct arch_look *look, struct err *err)
{
	bool insists = vm_option(config, "entry");
	struct unpacked out;
	int rc;

	look->is_linux = look->initrd = look->cmdline = true;
	if (!deep && !insists)
		return 0;
	rc = unpack(u, data, size, PACKED_MOST, &out, err);
	if (rc)
		return rc;
	rc = look_into(config, out.data, out.size, look, err);
	look->is_linux |= !insists;
	unpacked_free(&out);
	return rc;
}

static int look_zboot(const struct vm_config *config, const struct file_map *file, bool deep,
		      struct arch_look *look, struct err *err)
{
	struct zboot z;
	int rc = zboot_parse(file->data, file->size, &z, err);
	const struct unpacker *u = rc ? NULL : unpacker_by_name(z.compression);

	if (rc)
		return rc;
	return u ? look_packed(config, u, z.payload, z.size, deep, look, err)
		 : err_set(err, ENOTSUP,
			   "it is packed by %s, which this lkvm does not know or was left out",
			   z.compression);
}

int arch_look(const struct vm_config *config, const struct arch_image *image, bool deep,
	      struct arch_look *look, struct err *err)
{
	const struct unpacker *u;
	struct file_map file;
	enum image_kind kind;
	int rc;

	*look = (struct arch_look){ 0 };
	if (!image->kernel)
		file = (struct file_map){ .data = image->data, .size = image->size };
	else if ((rc = file_map(image->kernel, "kernel", &file, err)))
		return rc;
	kind = image_sniff(file.data, file.size);
	u = unpacker_for_kind(kind);
	look->what = image_describe(kind);
	if (kind == IMAGE_ZBOOT)
		rc = look_zboot(config, &file, deep, look, err);
	else if (u)
		rc = look_packed(config, u, file.data, file.size, deep, look, err);
	else
		rc = look_into(config, file.data, file.size, look, err);
	if (image->kernel)
		file_unmap(&file);
	return rc;
}
