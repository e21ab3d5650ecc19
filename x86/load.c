/* SPDX-License-Identifier: MIT */
/*
 * What is loaded: a kernel, packed or not, and its initrd.
 *
 * A bzImage is a small program with the kernel proper, an ELF file, packed inside: it moves itself
 * out of the way, unpacks that, moves it to its place and jumps to its 64-bit entry, RSI still at
 * the zero page. All of this is done here, unless --unpack guest is given: there is no KASLR then,
 * nor 5-level paging.
 *
 * What it is worth: Debian's cloud kernel (LZ4) is ready after 19 ms where copying the bzImage
 * takes 3; 46 exits of 1,976 are gone, and 60 MB of moves. The generic one (XZ) is ready after 0.5
 * s; what Linux has for XZ takes half as long again (busybox's, from the same source, on the same
 * data). In the lab's software CPU, which is slow at liblzma and at writing over old code, a boot
 * takes as long both ways.
 *
 * The kernel's PVH note would do as well, but for 250 exits more: there Linux asks CPUID for Xen.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "guest/bzimage.h"
#include "guest/elf.h"
#include "guest/image.h"
#include "guest/initrd.h"
#include "guest/unpack.h"
#include "util/file.h"
#include "util/util.h"
#include "x86/boot.h"
#include "x86/map.h"
#include "x86/x86.h"

#define HEADERS (2 * MIB)   /* of a vmlinux: a page, and what aligns the rest of it */
#define LARGE_ELF (8 * MIB) /* a Linux kernel, or as hungry as one */

/* Of a bzImage; BY_CHANCE: here, if this binary can. */
enum unpack_by { BY_CHANCE, BY_HOST, BY_GUEST };

/* One image on its way into RAM. */
struct load {
	struct vm *vm;
	const struct arch_image *image;
	struct err *err;
	enum unpack_by unpack_by;
	uint64_t end;	     /* of what the kernel uses before it reads its memory map */
	uint64_t initrd_end; /* where it wants an initrd to end at most */
	struct x86_boot boot;
};

/* RAM below the hole: kernels and initrds lie there. */
static uint64_t ram_end(const struct load *l)
{
	return l->vm->mem.slots[0].size;
}

static const char *name_of(const struct load *l)
{
	return l->image->kernel ? l->image->kernel : "(built in)";
}

/* Loaders say "it is truncated"; a person must hear which file. */
static int bad_image(const struct load *l, int rc, const struct err *why)
{
	return err_set(l->err, -rc, "kernel %s: %s", name_of(l),
		       why->text[0] ? why->text : strerror(-rc));
}

/* As high below 4 GiB as the kernel allows, so that it is out of the way of what unpacks itself. */
static int load_initrd(struct load *l)
{
	uint64_t end = MIN(ram_end(l), l->initrd_end);
	uint64_t kernel_end = align_up(l->end, MEM_PAGE);
	struct initrd initrd;
	int rc;

	rc = initrd_open(l->image->initrds, l->image->initrd_more, l->image->initrd_more_size,
			 &initrd, l->err);
	if (rc || !initrd.size)
		return rc;
	if (kernel_end > end || end - kernel_end < align_up(initrd.size, MEM_PAGE)) {
		rc = err_set(l->err, ENOMEM,
			     "initrd %s (%zu KiB) does not fit in RAM beside the kernel; "
			     "give more with -m",
			     l->image->initrds ? l->image->initrds[0] : "(lkvm's own)",
			     initrd.size / 1024);
	} else {
		l->boot.initrd = align_down(end - initrd.size, MEM_PAGE);
		l->boot.initrd_size = initrd.size;
		rc = initrd_write(&initrd, &l->vm->mem, l->boot.initrd);
	}
	initrd_close(&initrd);
	return rc;
}

static void enter(struct load *l, enum x86_entry entry, uint64_t gpa)
{
	l->vm->arch->entry = entry;
	l->vm->arch->entry_gpa = gpa;
	log_at(&l->vm->config.log, LOG_INFO, "kernel %s: entered at 0x%llx%s", name_of(l),
	       (unsigned long long)gpa, entry == X86_ENTRY_PVH ? " by its PVH note" : "");
}

/* ---- bzImage ---- */

/*
 * Linux links the first segment 2 MiB into the file: unpacked so that this one comes to lie where
 * it belongs, so does most of the rest. Where that would be below RAM it is unpacked as high as the
 * kernel's own memory reaches, and everything is moved down.
 */
static uint64_t unpack_at(const struct bzimage *bz)
{
	if (bz->pref_address >= X86_HIGH_RAM + HEADERS)
		return bz->pref_address - HEADERS;
	return align_down(bz->pref_address + bz->init_size - bz->unpacked_size, MEM_PAGE);
}

/*
 * To no more than it claims, and it may not claim more than the RAM that its header asks for: what
 * is there fits, whatever it holds.
 */
static int unpack_payload(struct load *l, const struct bzimage *bz, const struct unpacker *u,
			  uint64_t at, struct err *err)
{
	uint64_t max = bz->unpacked_size;
	size_t size;
	int rc;

	if (!max || max > bz->init_size)
		return err_set(
			err, EINVAL,
			"it is damaged: %u bytes are said to be packed in it, and %llu to be "
			"all it needs",
			bz->unpacked_size, (unsigned long long)bz->init_size);
	rc = unpack_to(u, bz->payload, bz->payload_size, mem_at(&l->vm->mem, at, max, MEM_W), max,
		       &size, err);
	mem_dirty(&l->vm->mem, at, max);
	if (rc == -E2BIG)
		rc = err_set(err, EINVAL, "it is damaged: more is packed in it than its %u bytes",
			     bz->unpacked_size);
	if (!rc && size != max)
		rc = err_set(err, EINVAL, "it is damaged: %zu of %u bytes packed in it are there",
			     size, bz->unpacked_size);
	return rc;
}

/*
 * *done: it is in its place. Else it is no kernel as this file knows them, and only the program
 * around it can tell what to do with it: it is left to the guest.
 */
static int load_payload(struct load *l, const struct bzimage *bz, const struct unpacker *u,
			bool *done, struct err *err)
{
	uint64_t at = unpack_at(bz);
	struct err why;
	struct elf_image elf;
	int rc = unpack_payload(l, bz, u, at, err);

	if (rc)
		return rc;
	*done = !elf_parse(mem_at(&l->vm->mem, at, bz->unpacked_size, MEM_R), bz->unpacked_size,
			   EM_X86_64, &elf, &why) &&
		elf.entry >= elf.low && elf.entry < elf.high &&
		elf_settle(&elf, &l->vm->mem, at, bz->pref_address,
			   bz->pref_address + bz->init_size);
	if (!*done)
		return 0;
	log_at(&l->vm->config.log, LOG_INFO, "kernel %s: unpacked here (%s), without KASLR",
	       name_of(l), u->name);
	enter(l, X86_ENTRY_BZIMAGE, elf.entry);
	return 0;
}

/* NULL: the guest does it. */
static const struct unpacker *choose_unpacker(const struct load *l, const struct bzimage *bz)
{
	enum image_kind kind;

	if (l->unpack_by == BY_GUEST || !bz->payload)
		return NULL;
	kind = image_sniff(bz->payload, bz->payload_size);
	return unpacker_for_kind(kind);
}

static int load_bzimage(struct load *l, const struct file_map *file)
{
	struct err why = { "" };
	const struct unpacker *u;
	struct bzimage bz;
	bool done = false;
	int rc = bzimage_parse(file->data, file->size, &bz, &why);

	if (!rc)
		rc = bzimage_fits(&bz, ram_end(l), &why);
	if (rc)
		return bad_image(l, rc, &why);
	mem_use_huge_pages(&l->vm->mem);
	u = choose_unpacker(l, &bz);
	if (u)
		rc = load_payload(l, &bz, u, &done, &why);
	if (!rc && !done) {
		rc = bzimage_load(&bz, &l->vm->mem);
		log_at(&l->vm->config.log, l->unpack_by == BY_HOST ? LOG_WARNING : LOG_INFO,
		       "kernel %s: unpacks itself%s", name_of(l),
		       u || l->unpack_by == BY_GUEST ? "" : "; here is no unpacker for it");
		enter(l, X86_ENTRY_BZIMAGE, bz.pref_address + BZ_ENTRY64);
	}
	if (rc)
		return bad_image(l, rc, &why);
	l->end = bz.pref_address + bz.init_size;
	l->initrd_end = bz.initrd_max + 1;
	l->boot.cmdline_max = bz.cmdline_max;
	l->boot.header_len = bz.header_len;
	memcpy(l->boot.header, bz.data + BZ_HEADER, bz.header_len);
	return 0;
}

/* ---- Others ---- */

static int load_elf(struct load *l, const struct file_map *file)
{
	struct err why = { "" };
	struct elf_image elf;
	int rc = elf_parse(file->data, file->size, EM_X86_64, &elf, &why);

	if (!rc && elf.high - elf.low >= LARGE_ELF)
		mem_use_huge_pages(&l->vm->mem);
	if (!rc)
		rc = elf_load(&elf, &l->vm->mem, X86_HIGH_RAM, ram_end(l), &why);
	if (rc)
		return bad_image(l, rc, &why);
	l->end = elf.high;
	l->initrd_end = X86_HOLE;
	l->boot.cmdline_max = X86_CMDLINE_MAX - 1;
	if (elf.has_pvh)
		enter(l, X86_ENTRY_PVH, elf.pvh_entry);
	else
		enter(l, X86_ENTRY_ELF64, elf.entry);
	return 0;
}

static int refuse(struct load *l, enum image_kind kind)
{
	struct err why;

	switch (kind) {
	case IMAGE_ARM64:
	case IMAGE_ZIMAGE:
	case IMAGE_ELF_ARM64:
	case IMAGE_ELF_OTHER:
		err_set(&why, ENOEXEC, "it is %s, and this machine is x86", image_describe(kind));
		break;
	case IMAGE_CPIO:
		err_set(&why, ENOEXEC, "it is %s; a kernel is wanted, an initrd goes to -i",
			image_describe(kind));
		break;
	default:
		err_set(&why, ENOEXEC, "it is %s; a bzImage or a 64-bit ELF file is wanted",
			image_describe(kind));
	}
	return bad_image(l, -ENOEXEC, &why);
}

static int load_plain(struct load *l, const struct file_map *file)
{
	enum image_kind kind = image_sniff(file->data, file->size);

	switch (kind) {
	case IMAGE_BZIMAGE:
	case IMAGE_BZIMAGE_OLD:
		return load_bzimage(l, file);
	case IMAGE_ELF64_X86:
		return load_elf(l, file);
	default:
		return refuse(l, kind);
	}
}

/* A vmlinux.gz and the like: to no more than RAM, as more could not be loaded. */
static int load_packed(struct load *l, const struct unpacker *u, const struct file_map *file)
{
	struct unpacked out;
	struct err why = { "" };
	int rc = unpack(u, file->data, file->size, ram_end(l), &out, &why);

	if (rc)
		return bad_image(l, rc, &why);
	rc = load_plain(l, &(struct file_map){ .data = out.data, .size = out.size });
	unpacked_free(&out);
	return rc;
}

static int load_any(struct load *l, const struct file_map *file)
{
	const struct unpacker *u = unpacker_for_kind(image_sniff(file->data, file->size));

	return u ? load_packed(l, u, file) : load_plain(l, file);
}

static int read_options(struct load *l)
{
	const char *value = vm_option(&l->vm->config, "unpack");

	if (!value)
		l->unpack_by = BY_CHANCE;
	else if (!strcmp(value, "host"))
		l->unpack_by = BY_HOST;
	else if (!strcmp(value, "guest"))
		l->unpack_by = BY_GUEST;
	else
		return err_set(l->err, EINVAL, "--unpack %s: it is host or guest", value);
	return 0;
}

int arch_load(struct vm *vm, const struct arch_image *image, struct err *err)
{
	struct load l = { .vm = vm, .image = image, .err = err, .boot.cmdline = image->cmdline };
	struct file_map file = { .data = image->data, .size = image->size };
	int rc = read_options(&l);

	if (!rc && image->kernel)
		rc = file_map(image->kernel, "kernel", &file, err);
	if (rc)
		return rc;
	rc = load_any(&l, &file);
	if (image->kernel)
		file_unmap(&file);
	if (!rc)
		rc = load_initrd(&l);
	if (!rc)
		rc = x86_write_boot_data(vm, &l.boot, err);
	vm->arch->own_image = !image->kernel;
	vm->arch->loaded = !rc;
	return rc;
}
