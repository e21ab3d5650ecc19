/* SPDX-License-Identifier: MIT */
/*
 * Direct entry, without firmware (Linux's Documentation/arch/arm64/booting.rst,
 * arch/arm/booting.rst).
 *
 *   RAM + 0            an arm64 Image, at its text_offset; a vmlinux likewise
 *   RAM + 0x8000       a flat 32-bit image; + 0x80000 a flat 64-bit one, as QEMU has them
 *   RAM + 32 MiB       a zImage, out of the way of what it unpacks
 *   below the device   initrd; where that is too small, at the end of RAM (64-bit images only)
 *   tree
 *   RAM + 512 MiB      end of the device tree's 2 MiB (32-bit: 256 MiB; the end of smaller RAM):
 *                      old arm64 kernels read it only so near and in one 2 MiB block, a 32-bit one
 *                      must have it in low memory, whatever the split
 *
 * For an ELF file that is no vmlinux, with room below it, the tree is at the beginning of RAM, where
 * QEMU's virt has it and such programs look for it. For a flat image it is behind that, as QEMU and kvmtool have
 * it: kvm-unit-tests want it above their end.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "arm/arm.h"
#include "arm/map.h"
#include "guest/arm64-image.h"
#include "guest/elf.h"
#include "guest/image.h"
#include "guest/initrd.h"
#include "guest/unpack.h"
#include "guest/zboot.h"
#include "guest/zimage.h"
#include "util/file.h"
#include "util/util.h"

#define BLOCK (2 * MIB)
#define ZIMAGE_OFFSET (32 * MIB)
#define ZIMAGE_OFFSET_SMALL 0x10000 /* where RAM is too small for that */
#define LOW_RAM_64 (512 * MIB)
#define LOW_RAM_32 (256 * MIB)
#define INITRD_WINDOW (32 * GIB)
#define SMALL_RAM (64 * MIB)
#define SMALL_DTB (256 * KIB)

#define PSTATE_EL1H 0x3c5 /* all masked */
#define PSTATE_EL2H 0x3c9
#define PSTATE_SVC 0x1d3
#define NO_MACHINE 0xffffffffu /* r1 of a 32-bit kernel that has a device tree */

/* One image on its way into RAM. */
struct load {
	struct vm *vm;
	const struct arch_image *image;
	struct err *err;
	uint64_t start, end;  /* of what it uses before it reads its device tree */
	bool bare;	      /* no Linux kernel */
	bool tree_first;      /* the device tree is before it, if there is room */
	int fd;		      /* the image's, to be shared; -1: it is copied */
	const uint8_t *bytes; /* all of that file */
};

static uint64_t ram_end(const struct vm *vm)
{
	return ARM_RAM + vm->config.mem;
}

static const char *name_of(const struct load *l)
{
	return l->image->kernel ? l->image->kernel : l->image->own ? "(built in)" : "(in memory)";
}

/* Loaders say "it is truncated"; a person must hear which file. */
static int bad_image(const struct load *l, int rc, const struct err *why)
{
	return err_set(l->err, -rc, "kernel %s: %s", name_of(l),
		       why->text[0] ? why->text : strerror(-rc));
}

/* ---- Device tree and initrd ---- */

static int no_room(struct load *l, uint64_t low)
{
	bool small = l->vm->config.mem <= low;

	return err_set(l->err, ENOMEM,
		       "kernel %s takes RAM up to %llu MiB from its beginning, and its device tree "
		       "must lie %s%s",
		       name_of(l), (unsigned long long)((l->end - ARM_RAM) / MIB + 1),
		       small		   ? "behind that"
		       : low == LOW_RAM_32 ? "below 256 MiB"
					   : "below 512 MiB",
		       small ? "; give more with -m" : "");
}

/* Before anything is written: the image's span must be known, and lie in RAM. */
static int place_dtb(struct load *l)
{
	struct vm *vm = l->vm;
	uint64_t most = vm->arch->entry.is_32 ? LOW_RAM_32 : LOW_RAM_64;
	uint64_t low = MIN(vm->config.mem, most);
	uint64_t room = low >= SMALL_RAM ? BLOCK : SMALL_DTB;

	if (l->tree_first && l->start - ARM_RAM >= SMALL_DTB) {
		vm->arch->dtb = ARM_RAM;
		vm->arch->dtb_size = MIN(align_down(l->start - ARM_RAM, MEM_PAGE), BLOCK);
		return 0;
	}
	vm->arch->dtb_size = room;
	vm->arch->dtb = align_down(ARM_RAM + low - room, room);
	return l->end <= vm->arch->dtb ? 0 : no_room(l, most);
}

/* Below the tree, else behind image and tree. */
static bool fits_initrd(const struct load *l, uint64_t size, uint64_t *gpa)
{
	const struct arch_vm *arch = l->vm->arch;
	uint64_t room = align_up(size, MEM_PAGE);
	uint64_t start = align_up(MAX(l->end, arch->dtb + arch->dtb_size), MEM_PAGE);
	uint64_t end = MIN(ram_end(l->vm), ARM_RAM + INITRD_WINDOW);

	if (arch->dtb >= l->end && room <= arch->dtb - align_up(l->end, MEM_PAGE)) {
		*gpa = arch->dtb - room;
		return true;
	}
	if (arch->entry.is_32 || end <= start || room > end - start)
		return false;
	*gpa = align_down(end - room, MEM_PAGE);
	return true;
}

static int load_initrd(struct load *l)
{
	struct arch_vm *arch = l->vm->arch;
	struct initrd initrd;
	int rc;

	rc = initrd_open(l->image->initrds, l->image->initrd_more, l->image->initrd_more_size,
			 &initrd, l->err);
	if (rc || !initrd.size)
		return rc;
	if (fits_initrd(l, initrd.size, &arch->initrd)) {
		arch->initrd_size = initrd.size;
		rc = initrd_write(&initrd, &l->vm->mem, arch->initrd);
	} else {
		rc = err_set(l->err, ENOMEM,
			     "initrd %s (%zu KiB) does not fit in %sRAM beside the kernel%s",
			     l->image->initrds ? l->image->initrds[0] : "(lkvm's own)",
			     initrd.size / 1024, arch->entry.is_32 ? "the first 256 MiB of " : "",
			     arch->entry.is_32 && l->vm->config.mem >= LOW_RAM_32
				     ? ""
				     : "; give more with -m");
	}
	initrd_close(&initrd);
	return rc;
}

/* ---- Kernels ---- */

/* `memory`: bytes from `gpa` on that are the image's, what follows the file (bss) counted in. */
static int claim(struct load *l, uint64_t gpa, uint64_t memory)
{
	if (!range_in(gpa - ARM_RAM, memory, l->vm->config.mem))
		return err_set(l->err, ENOMEM, "kernel %s needs %llu MiB of RAM; give more with -m",
			       name_of(l),
			       (unsigned long long)((gpa - ARM_RAM + memory) / MIB + 1));
	if (!l->bare && l->fd < 0)
		mem_use_huge_pages(&l->vm->mem);
	l->start = gpa;
	l->end = MAX(l->end, gpa + memory);
	l->vm->arch->entry.gpa = gpa;
	return place_dtb(l);
}

static int put_kernel(struct load *l, const void *data, size_t size, uint64_t gpa, uint64_t memory)
{
	int rc = claim(l, gpa, memory);

	return rc ? rc
		  : mem_load(&l->vm->mem, gpa, data, size, l->fd,
			     l->fd < 0 ? 0 : (uint64_t)((const uint8_t *)data - l->bytes));
}

static int load_arm64(struct load *l, const struct file_map *file)
{
	struct arm_entry *entry = &l->vm->arch->entry;
	struct arm64_image image;
	struct err why = { "" };
	int rc = arm64_image_parse(file->data, file->size, &image, &why);

	if (!rc && entry->is_32)
		rc = err_set(&why, EINVAL, "it is a 64-bit kernel, and --aarch32 is given");
	if (rc)
		return bad_image(l, rc, &why);
	entry->big_endian = image.big_endian;
	entry->page_kib = image.page_kib;
	return put_kernel(l, image.data, image.size, ARM_RAM + image.text_offset, image.image_size);
}

static int load_elf(struct load *l, const struct file_map *file)
{
	struct err why = { "" };
	struct elf_image elf;
	bool vmlinux;
	int rc = elf_parse(file->data, file->size, EM_AARCH64, &elf, &why);

	if (!rc && l->vm->arch->entry.is_32)
		rc = err_set(&why, EINVAL, "it is a 64-bit image, and --aarch32 is given");
	if (!rc)
		rc = arm_place_elf(&elf, &vmlinux, &why);
	if (rc)
		return bad_image(l, rc, &why);
	l->bare = l->tree_first = !vmlinux;
	rc = claim(l, elf.low, elf.high - elf.low);
	if (rc)
		return rc;
	l->vm->arch->entry.gpa = elf.entry;
	elf.fd = l->fd;
	rc = elf_load(&elf, &l->vm->mem, ARM_RAM, ram_end(l->vm), &why);
	return rc ? bad_image(l, rc, &why) : 0;
}

static int load_zimage(struct load *l, const struct file_map *file)
{
	bool small = l->vm->config.mem < ZIMAGE_OFFSET + SMALL_RAM;
	uint64_t gpa = ARM_RAM + (small ? ZIMAGE_OFFSET_SMALL : ZIMAGE_OFFSET);
	struct err why = { "" };
	struct zimage z;
	int rc = zimage_parse(file->data, file->size, &z, &why);

	if (rc)
		return bad_image(l, rc, &why);
	/* It says itself that it is 32-bit: --aarch32 is for images that can't. */
	l->vm->arch->entry.is_32 = true;
	l->vm->config.found = "aarch32";
	l->end = ARM_RAM + z.memory;
	return put_kernel(l, z.data, z.size, gpa, z.size);
}

static int load_flat(struct load *l, const struct file_map *file)
{
	uint64_t offset = l->vm->arch->entry.is_32 ? ARM_FLAT_OFFSET_32 : ARM_FLAT_OFFSET_64;

	l->bare = !l->vm->arch->entry.is_32;
	return put_kernel(l, file->data, file->size, ARM_RAM + offset, file->size);
}

static int load_plain(struct load *l, const struct file_map *file)
{
	enum image_kind kind;
	struct err why;

	if (arm_kind(&l->vm->config, file->data, file->size, &kind, l->err))
		return -EINVAL;
	log_at(&l->vm->config.log, LOG_INFO, "kernel %s: %s", name_of(l),
	       kind == IMAGE_UNKNOWN ? "a flat image, without a header" : image_describe(kind));
	switch (kind) {
	case IMAGE_ARM64:
		return load_arm64(l, file);
	case IMAGE_ELF_ARM64:
		return load_elf(l, file);
	case IMAGE_ZIMAGE:
		return load_zimage(l, file);
	case IMAGE_UNKNOWN:
		return load_flat(l, file);
	default:
		return bad_image(l, arm_refuse(kind, &why), &why);
	}
}

/* ---- Packed ones ---- */

static int load_packed(struct load *l, const struct unpacker *u, const void *data, size_t size)
{
	struct unpacked out;
	struct err why = { "" };
	uint64_t most = MIN(l->vm->config.mem, LOW_RAM_64); /* what is larger has no place anyway */
	int rc = unpack(u, data, size, most, &out, &why);

	if (rc)
		return bad_image(l, rc, &why);
	l->fd = -1;
	rc = load_plain(l, &(struct file_map){ .data = out.data, .size = out.size });
	unpacked_free(&out);
	return rc;
}

static int load_zboot(struct load *l, const struct file_map *file)
{
	struct err why = { "" };
	const struct unpacker *u;
	struct zboot z;
	int rc = zboot_parse(file->data, file->size, &z, &why);

	if (rc)
		return bad_image(l, rc, &why);
	u = unpacker_by_name(z.compression);
	if (u)
		return load_packed(l, u, z.payload, z.size);
	err_set(&why, ENOTSUP, "it is packed by %s, which this lkvm does not know or was left out",
		z.compression);
	return bad_image(l, -ENOTSUP, &why);
}

static int load_any(struct load *l, const struct file_map *file)
{
	enum image_kind kind = image_sniff(file->data, file->size);
	const struct unpacker *u = unpacker_for_kind(kind);

	if (kind == IMAGE_ZBOOT)
		return load_zboot(l, file);
	return u ? load_packed(l, u, file->data, file->size) : load_plain(l, file);
}

static void log_places(const struct vm *vm)
{
	const struct arch_vm *arch = vm->arch;

	log_at(&vm->config.log, LOG_INFO,
	       "%s-bit entry at 0x%llx, device tree at 0x%llx, initrd at 0x%llx (%llu bytes)",
	       arch->entry.is_32 ? "32" : "64", (unsigned long long)arch->entry.gpa,
	       (unsigned long long)arch->dtb, (unsigned long long)arch->initrd,
	       (unsigned long long)arch->initrd_size);
}

int arch_load(struct vm *vm, const struct arch_image *image, struct err *err)
{
	struct load l = { .vm = vm, .image = image, .err = err };
	struct file_map file = { .data = image->data, .size = image->size };
	int rc = 0, fd = -1;

	vm->arch->entry.is_32 = vm->arch->options.aarch32;
	vm->arch->cmdline = image->cmdline;
	if (image->kernel)
		rc = fd = file_map_open(image->kernel, "kernel", &file, err);
	if (rc < 0)
		return rc;
	/* A page with tags can't be a file's. */
	l.fd = image->share && !vm->arch->options.mte ? fd : -1;
	l.bytes = file.data;
	rc = load_any(&l, &file);
	if (image->kernel)
		file_unmap(&file);
	if (fd >= 0)
		close(fd);
	if (!rc && vm->arch->entry.is_32)
		rc = arm_check_32(vm, err);
	if (!rc)
		rc = load_initrd(&l);
	vm->arch->loaded = !rc;
	if (!rc)
		log_places(vm);
	return rc;
}

/* ---- Registers ---- */

/* ID_AA64MMFR0_EL1: what the image's header asks for must be there, else it dies in silence. */
static int check_processor(struct vcpu *vcpu, struct err *err)
{
	const struct arm_entry *entry = &vcpu->vm->arch->entry;
	uint64_t mmfr0;
	bool pages = true;

	if (entry->is_32 || arm_get_reg(vcpu->fd, ARM_ID_AA64MMFR0_EL1, &mmfr0))
		return 0;
	if (entry->page_kib == 4)
		pages = (mmfr0 >> 28 & 15) != 15;
	else if (entry->page_kib == 16)
		pages = (mmfr0 >> 20 & 15) != 0;
	else if (entry->page_kib == 64)
		pages = (mmfr0 >> 24 & 15) != 15;
	if (!pages)
		return err_set(
			err, ENOTSUP,
			"this kernel is built for pages of %u KiB, which the processor lacks",
			entry->page_kib);
	if (entry->big_endian && !(mmfr0 >> 8 & 15))
		return err_set(err, ENOTSUP,
			       "this kernel is big-endian, which the processor can't be");
	return 0;
}

int arm_set_entry(struct vcpu *vcpu, struct err *err)
{
	const struct arch_vm *arch = vcpu->vm->arch;
	bool is_32 = arch->entry.is_32;
	const struct {
		uint64_t id, value;
	} regs[] = {
		{ ARM_CORE_REG(regs.pstate), is_32		    ? PSTATE_SVC
					     : arch->options.nested ? PSTATE_EL2H
								    : PSTATE_EL1H },
		{ ARM_CORE_REG(regs.pc), arch->entry.gpa },
		{ ARM_CORE_REG(regs.regs[0]), is_32 ? 0 : arch->dtb },
		{ ARM_CORE_REG(regs.regs[1]), is_32 ? NO_MACHINE : 0 },
		{ ARM_CORE_REG(regs.regs[2]), is_32 ? arch->dtb : 0 },
		{ ARM_CORE_REG(regs.regs[3]), 0 },
	};
	int rc = check_processor(vcpu, err);

	for (unsigned int i = 0; !rc && i < ARRAY_SIZE(regs); i++) {
		rc = arm_set_reg(vcpu->fd, regs[i].id, regs[i].value);
		if (rc)
			err_set(err, -rc, "KVM refuses the entry state: %s", strerror(-rc));
	}
	return rc;
}
