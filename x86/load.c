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
 *
 * Of all other images x86/way.c says how they are entered.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "guest/initrd.h"
#include "guest/unpack.h"
#include "util/file.h"
#include "util/util.h"
#include "x86/boot.h"
#include "x86/map.h"
#include "x86/way.h"
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
	int fd;		     /* the image's, to be shared; -1: it is copied */
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
	return l->image->kernel ? l->image->kernel : l->image->own ? "(built in)" : "(in memory)";
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

/* ---- Modules ---- */

/* Behind one another from *gpa on, each at the beginning of a page; `args` may be NULL. */
static int load_module(struct load *l, const char *path, const char *args, uint64_t *gpa)
{
	struct x86_module *m = &l->boot.modules[l->boot.n_modules];
	struct file_map file;
	int rc;

	if (l->boot.n_modules == X86_MODULES_MAX)
		return err_set(l->err, E2BIG, "module %s: %d are the most", path, X86_MODULES_MAX);
	rc = file_map(path, "module", &file, l->err);
	if (rc)
		return rc;
	*m = (struct x86_module){ align_up(*gpa, MEM_PAGE), file.size, path, args };
	if (m->gpa < ram_end(l) && range_in(m->gpa, m->size, ram_end(l)))
		rc = mem_write(&l->vm->mem, m->gpa, file.data, file.size);
	else
		rc = err_set(l->err, ENOMEM,
			     "module %s (%zu KiB) does not fit in RAM behind the image; give more "
			     "with -m",
			     path, file.size / 1024);
	file_unmap(&file);
	*gpa = m->gpa + m->size;
	l->boot.n_modules += !rc;
	return rc;
}

/* For multiboot: what -i names are modules, too, and all lie right behind the image, as QEMU has them. */
static int load_files(struct load *l)
{
	const struct arch_image *image = l->image;
	uint64_t gpa = MAX(l->end, X86_HIGH_RAM);
	int rc = 0;

	for (const char *const *path = image->initrds; !rc && path && *path; path++)
		rc = load_module(l, *path, NULL, &gpa);
	for (unsigned int i = 0; !rc && i < image->n_modules; i++)
		rc = load_module(l, image->modules[i].path, image->modules[i].args, &gpa);
	return rc;
}

/* For PVH: behind the initrd, which is the first of them, in the list; in RAM, behind the image. */
static int load_modules(struct load *l)
{
	const struct arch_image *image = l->image;
	uint64_t gpa = l->end;
	int rc = 0;

	if (!image->n_modules)
		return 0;
	if (l->vm->arch->entry != X86_ENTRY_PVH)
		return err_set(
			l->err, EINVAL,
			"module %s: kernel %s is not entered by multiboot or PVH, which know "
			"modules; an initrd goes to -i",
			image->modules[0].path, name_of(l));
	if (l->boot.initrd_size)
		l->boot.modules[l->boot.n_modules++] =
			(struct x86_module){ l->boot.initrd, l->boot.initrd_size, NULL, NULL };
	for (unsigned int i = 0; !rc && i < image->n_modules; i++)
		rc = load_module(l, image->modules[i].path, image->modules[i].args, &gpa);
	if (!rc && l->boot.initrd_size && gpa > l->boot.initrd)
		rc = err_set(l->err, ENOMEM,
			     "the modules and the initrd do not fit in RAM; give more with -m");
	return rc;
}

static void enter(struct load *l, enum x86_entry entry, uint64_t gpa)
{
	l->vm->arch->entry = entry;
	l->vm->arch->entry_gpa = gpa;
	log_at(&l->vm->config.log, LOG_INFO, "kernel %s: entered at 0x%llx%s", name_of(l),
	       (unsigned long long)gpa,
	       entry == X86_ENTRY_PVH	      ? " by its PVH note"
	       : entry == X86_ENTRY_MULTIBOOT ? " by its multiboot header"
	       : entry == X86_ENTRY_RAW	      ? " in real mode"
					      : "");
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

static int load_bzimage(struct load *l, const struct bzimage *bz, struct err *err)
{
	const struct unpacker *u;
	bool done = false;
	int rc = bzimage_fits(bz, ram_end(l), err);

	if (rc)
		return rc;
	mem_use_huge_pages(&l->vm->mem);
	u = choose_unpacker(l, bz);
	if (u)
		rc = load_payload(l, bz, u, &done, err);
	if (!rc && !done) {
		rc = bzimage_load(bz, &l->vm->mem);
		log_at(&l->vm->config.log, l->unpack_by == BY_HOST ? LOG_WARNING : LOG_INFO,
		       "kernel %s: unpacks itself%s", name_of(l),
		       u || l->unpack_by == BY_GUEST ? "" : "; here is no unpacker for it");
		enter(l, X86_ENTRY_BZIMAGE, bz->pref_address + BZ_ENTRY64);
	}
	if (rc)
		return rc;
	l->end = bz->pref_address + bz->init_size;
	l->initrd_end = bz->initrd_max + 1;
	l->boot.cmdline_max = bz->cmdline_max;
	l->boot.header_len = bz->header_len;
	memcpy(l->boot.header, bz->data + BZ_HEADER, bz->header_len);
	return 0;
}

/* ---- Others ---- */

static int load_elf(struct load *l, const struct elf_image *elf, struct err *err)
{
	struct elf_image image = *elf;

	image.fd = l->fd;
	if (elf->high - elf->low >= LARGE_ELF && l->fd < 0)
		mem_use_huge_pages(&l->vm->mem);
	return elf_load(&image, &l->vm->mem, X86_HIGH_RAM, ram_end(l), err);
}

static int load_multiboot(struct load *l, const struct multiboot *mb, struct err *err)
{
	if (mb->wants_video)
		log_at(&l->vm->config.log, LOG_INFO, "kernel %s: asks for a screen, there is none",
		       name_of(l));
	return multiboot_load(mb, &l->vm->mem, X86_MULTIBOOT_LOW, ram_end(l), err);
}

/* Code for real mode knows no command line, and where an initrd would be. */
static int load_raw(struct load *l, const void *data, size_t size, struct err *err)
{
	if (*l->image->cmdline || l->image->initrds || l->image->initrd_more)
		return err_set(err, EINVAL,
			       "a raw image takes neither a command line nor an initrd");
	return mem_write(&l->vm->mem, X86_RAW, data, size);
}

static int load_other(struct load *l, const struct x86_way *way, const struct file_map *file,
		      struct err *err)
{
	l->end = way->high;
	l->initrd_end = X86_HOLE;
	l->boot.cmdline_max = X86_CMDLINE_MAX - 1;
	enter(l, way->entry, way->start);
	switch (way->entry) {
	case X86_ENTRY_MULTIBOOT:
		return load_multiboot(l, &way->multiboot, err);
	case X86_ENTRY_RAW:
		return load_raw(l, file->data, file->size, err);
	default:
		return load_elf(l, &way->elf, err);
	}
}

static int load_plain(struct load *l, const struct file_map *file)
{
	struct err why = { "" };
	struct x86_way way;
	int rc = x86_way_find(&l->vm->config, file->data, file->size, &way, &why);

	if (!rc)
		rc = way.entry == X86_ENTRY_BZIMAGE ? load_bzimage(l, &way.bz, &why)
						    : load_other(l, &way, file, &why);
	return rc ? bad_image(l, rc, &why) : 0;
}

/* A vmlinux.gz and the like: to no more than RAM, as more could not be loaded. */
static int load_packed(struct load *l, const struct unpacker *u, const struct file_map *file)
{
	struct unpacked out;
	struct err why = { "" };
	int rc = unpack(u, file->data, file->size, ram_end(l), &out, &why);

	if (rc)
		return bad_image(l, rc, &why);
	l->fd = -1;
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
	int rc = read_options(&l), fd = -1;

	if (!rc && image->kernel)
		rc = fd = file_map_open(image->kernel, "kernel", &file, err);
	if (rc < 0)
		return rc;
	l.fd = image->share ? fd : -1;
	rc = load_any(&l, &file);
	if (image->kernel)
		file_unmap(&file);
	if (fd >= 0)
		close(fd);
	if (!rc)
		rc = vm->arch->entry == X86_ENTRY_MULTIBOOT ? load_files(&l) : load_initrd(&l);
	if (!rc && vm->arch->entry != X86_ENTRY_MULTIBOOT)
		rc = load_modules(&l);
	if (!rc)
		rc = x86_write_boot_data(vm, &l.boot, err);
	vm->arch->own_image = image->own;
	vm->arch->loaded = !rc;
	return rc;
}
