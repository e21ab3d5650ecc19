/* SPDX-License-Identifier: MIT */
/*
 * Direct entry, without firmware: what a boot loader leaves in memory and registers.
 *
 * A bzImage is entered at its 64-bit entry point with RSI at the zero page (Documentation/arch/x86/
 * boot.rst); so is an ELF file, unless it has a PVH note: then at that address in 32-bit protected
 * mode with EBX at the start info (Xen's docs/misc/pvh.pandoc).
 */
#include <asm/bootparam.h>
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "guest/bzimage.h"
#include "guest/elf.h"
#include "guest/image.h"
#include "util/file.h"
#include "util/util.h"
#include "x86/map.h"
#include "x86/x86.h"

#define PVH_MAGIC 0x336ec578u
#define E820_RAM_TYPE 1
#define E820_RESERVED_TYPE 2
#define LOADER_UNDEFINED 0xff
#define GDT_ENTRIES 5
#define LARGE_ELF (8 * MIB) /* a Linux kernel, or as hungry as one */

/* xen/interface/hvm/start_info.h, version 1 */
struct pvh_start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modlist, cmdline, rsdp, memmap;
	uint32_t memmap_entries, reserved;
};

struct pvh_module {
	uint64_t address, size, cmdline, reserved;
};

struct pvh_memmap_entry {
	uint64_t address, size;
	uint32_t type, reserved;
};

struct range {
	uint64_t gpa, size;
	uint32_t type;
};

#define RANGES 4

/* The guest's memory map, for e820 and for PVH alike. */
static unsigned int memory_map(const struct mem *mem, struct range out[RANGES])
{
	unsigned int n = 0;

	out[n++] = (struct range){ 0, X86_LOW_RAM_END, E820_RAM_TYPE };
	out[n++] = (struct range){ X86_ACPI, X86_HIGH_RAM - X86_ACPI, E820_RESERVED_TYPE };
	out[n++] = (struct range){ X86_HIGH_RAM, mem->slots[0].size - X86_HIGH_RAM, E820_RAM_TYPE };
	if (mem->n_slots > 1)
		out[n++] = (struct range){ mem->slots[1].gpa, mem->slots[1].size, E820_RAM_TYPE };
	return n;
}

struct initrd {
	uint64_t gpa, size;
};

/* As high below 4 GiB as the kernel allows, so that it is out of the way of what unpacks itself. */
static int load_initrd(struct vm *vm, const char *path, uint64_t kernel_end, uint64_t max,
		       struct initrd *initrd, struct err *err)
{
	uint64_t end = MIN(vm->mem.slots[0].size, max);
	struct file_map file;
	int rc;

	if (!path)
		return 0;
	rc = file_map(path, "initrd", &file, err);
	if (rc)
		return rc;
	if (kernel_end > end || end - kernel_end < align_up(file.size, MEM_PAGE)) {
		rc = err_set(err, ENOMEM,
			     "initrd %s (%zu KiB) does not fit in RAM beside the kernel; "
			     "give more with -m",
			     path, file.size / 1024);
	} else {
		initrd->gpa = align_down(end - file.size, MEM_PAGE);
		initrd->size = file.size;
		rc = mem_write(&vm->mem, initrd->gpa, file.data, file.size);
	}
	file_unmap(&file);
	return rc;
}

static int write_cmdline(struct vm *vm, const char *cmdline, uint64_t max, struct err *err)
{
	size_t len = strlen(cmdline);

	if (len > max || len >= X86_CMDLINE_MAX)
		return err_set(err, E2BIG,
			       "the command line has %zu characters; this kernel takes %llu", len,
			       (unsigned long long)MIN(max, X86_CMDLINE_MAX - 1));
	return mem_write(&vm->mem, X86_CMDLINE, cmdline, len + 1);
}

/* `header` is a bzImage's own setup header, or NULL for an ELF file. */
static int write_zero_page(struct vm *vm, const void *header, size_t header_len,
			   const struct initrd *initrd, size_t cmdline_len)
{
	struct boot_params bp = { 0 };
	struct range map[RANGES];

	if (header) {
		memcpy((uint8_t *)&bp + BZ_HEADER, header, header_len);
	} else {
		bp.hdr.boot_flag = 0xaa55;
		bp.hdr.header = 0x53726448; /* "HdrS" */
		bp.hdr.version = 0x20c;
		bp.hdr.kernel_alignment = 0x1000000;
	}
	bp.hdr.type_of_loader = LOADER_UNDEFINED;
	bp.hdr.cmd_line_ptr = X86_CMDLINE;
	bp.hdr.cmdline_size = (uint32_t)cmdline_len;
	bp.hdr.ramdisk_image = (uint32_t)initrd->gpa;
	bp.hdr.ramdisk_size = (uint32_t)initrd->size;
	bp.acpi_rsdp_addr = X86_ACPI;
	bp.e820_entries = (uint8_t)memory_map(&vm->mem, map);
	for (unsigned int i = 0; i < bp.e820_entries; i++) {
		bp.e820_table[i].addr = map[i].gpa;
		bp.e820_table[i].size = map[i].size;
		bp.e820_table[i].type = map[i].type;
	}
	return mem_write(&vm->mem, X86_ZERO_PAGE, &bp, sizeof(bp));
}

static int write_pvh_info(struct vm *vm, const struct initrd *initrd)
{
	struct {
		struct pvh_start_info info;
		struct pvh_module module;
		struct pvh_memmap_entry map[RANGES];
	} pvh = { 0 };
	struct range map[RANGES];

	pvh.info = (struct pvh_start_info){
		.magic = PVH_MAGIC,
		.version = 1,
		.nr_modules = initrd->size ? 1 : 0,
		.modlist = X86_PVH_INFO + offsetof(typeof(pvh), module),
		.cmdline = X86_CMDLINE,
		.rsdp = X86_ACPI,
		.memmap = X86_PVH_INFO + offsetof(typeof(pvh), map),
		.memmap_entries = memory_map(&vm->mem, map),
	};
	pvh.module = (struct pvh_module){ .address = initrd->gpa, .size = initrd->size };
	for (unsigned int i = 0; i < pvh.info.memmap_entries; i++)
		pvh.map[i] = (struct pvh_memmap_entry){ map[i].gpa, map[i].size, map[i].type, 0 };
	return mem_write(&vm->mem, X86_PVH_INFO, &pvh, sizeof(pvh));
}

/* 4 GiB, mapped one to one by pages of 2 MiB: some images edit these tables. */
static int write_page_tables(struct mem *mem)
{
	uint64_t table[512] = { X86_PDPT | 3 };
	int rc = mem_write(mem, X86_PML4, table, sizeof(table));

	memset(table, 0, sizeof(table));
	for (uint64_t i = 0; i < 4; i++)
		table[i] = (X86_PAGE_DIRS + i * MEM_PAGE) | 3;
	rc = rc ? rc : mem_write(mem, X86_PDPT, table, sizeof(table));
	for (uint64_t dir = 0; dir < 4; dir++) {
		for (uint64_t i = 0; i < 512; i++)
			table[i] = (dir * 512 + i) * 2 * MIB | 0x83; /* present, writable, large */
		rc = rc ? rc : mem_write(mem, X86_PAGE_DIRS + dir * MEM_PAGE, table, sizeof(table));
	}
	return rc;
}

/* Loaders say "it is truncated"; a person must hear which file. */
static int bad_image(const struct arch_image *image, int rc, const struct err *why, struct err *err)
{
	return err_set(err, -rc, "kernel %s: %s", image->kernel ? image->kernel : "(built in)",
		       why->text[0] ? why->text : strerror(-rc));
}

/*
 * All the firmware there is. Linux on hardware-reduced ACPI without EFI reboots neither by ACPI nor
 * by the keyboard controller but goes back to real mode and jumps to where a BIOS begins.
 */
static int write_reset_vector(struct mem *mem)
{
	static const uint8_t code[] = {
		0xb0, 0xfe,		    /* mov $0xfe, %al */
		0xe6, X86_PORT_KBD_COMMAND, /* out %al, $0x64 */
		0xf4,			    /* 1: hlt */
		0xeb, 0xfd,		    /* jmp 1b */
	};

	return mem_write(mem, X86_RESET_VECTOR, code, sizeof(code));
}

static int load_bzimage(struct vm *vm, const struct file_map *file, const struct arch_image *image,
			struct err *err)
{
	struct initrd initrd = { 0 };
	struct err why = { "" };
	struct bzimage bz;
	int rc = bzimage_parse(file->data, file->size, &bz, &why);

	mem_use_huge_pages(&vm->mem);
	if (!rc)
		rc = bzimage_load(&bz, &vm->mem, vm->mem.slots[0].size, &why);
	if (rc)
		return bad_image(image, rc, &why, err);
	rc = load_initrd(vm, image->initrd, align_up(bz.pref_address + bz.init_size, MEM_PAGE),
			 bz.initrd_max + 1, &initrd, err);
	if (!rc)
		rc = write_cmdline(vm, image->cmdline, bz.cmdline_max, err);
	if (!rc)
		rc = write_zero_page(vm, bz.data + BZ_HEADER, bz.header_len, &initrd,
				     strlen(image->cmdline));
	vm->arch->entry = X86_ENTRY_BZIMAGE;
	vm->arch->entry_gpa = bz.pref_address + BZ_ENTRY64;
	return rc;
}

static int load_elf(struct vm *vm, const struct file_map *file, const struct arch_image *image,
		    struct err *err)
{
	struct initrd initrd = { 0 };
	struct err why = { "" };
	struct elf_image elf;
	int rc = elf_parse(file->data, file->size, EM_X86_64, &elf, &why);

	if (!rc && elf.high - elf.low >= LARGE_ELF)
		mem_use_huge_pages(&vm->mem);
	if (!rc)
		rc = elf_load(&elf, &vm->mem, X86_HIGH_RAM, vm->mem.slots[0].size, &why);
	if (rc)
		return bad_image(image, rc, &why, err);
	rc = load_initrd(vm, image->initrd, align_up(elf.high, MEM_PAGE), X86_HOLE, &initrd, err);
	if (!rc)
		rc = write_cmdline(vm, image->cmdline, X86_CMDLINE_MAX - 1, err);
	if (!rc)
		rc = write_zero_page(vm, NULL, 0, &initrd, strlen(image->cmdline));
	if (!rc && elf.has_pvh)
		rc = write_pvh_info(vm, &initrd);
	vm->arch->entry = elf.has_pvh ? X86_ENTRY_PVH : X86_ENTRY_ELF64;
	vm->arch->entry_gpa = elf.has_pvh ? elf.pvh_entry : elf.entry;
	return rc;
}

static int refuse(const struct arch_image *image, enum image_kind kind, struct err *err)
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
	return bad_image(image, -ENOEXEC, &why, err);
}

static int load_any(struct vm *vm, const struct file_map *file, const struct arch_image *image,
		    struct err *err)
{
	enum image_kind kind = image_sniff(file->data, file->size);

	switch (kind) {
	case IMAGE_BZIMAGE:
	case IMAGE_BZIMAGE_OLD:
		return load_bzimage(vm, file, image, err);
	case IMAGE_ELF64_X86:
		return load_elf(vm, file, image, err);
	default:
		return refuse(image, kind, err);
	}
}

int arch_load(struct vm *vm, const struct arch_image *image, struct err *err)
{
	struct file_map file = { .data = image->data, .size = image->size };
	int rc = 0;

	if (image->kernel)
		rc = file_map(image->kernel, "kernel", &file, err);
	if (!rc)
		rc = load_any(vm, &file, image, err);
	if (!rc && (write_page_tables(&vm->mem) || write_reset_vector(&vm->mem)))
		rc = err_set(err, ENOMEM, "boot data does not fit in RAM; give more with -m");
	if (image->kernel)
		file_unmap(&file);
	vm->arch->own_image = !image->kernel;
	vm->arch->loaded = !rc;
	return rc;
}

/* ---- Registers ---- */

static struct kvm_segment flat_segment(uint16_t selector, uint8_t type, bool is_64)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.l = is_64,
		.db = !is_64,
		.g = 1,
	};
}

/*
 * The same segments as descriptors: an interrupt or a far return reloads them from here. Linux's
 * boot protocol wants its code at 0x10 and data at 0x18; the other images know Firecracker's 8 and
 * 0x10. The TSS, which VMX demands, comes last.
 */
static int write_gdt(struct mem *mem, const struct kvm_sregs *s)
{
	uint64_t gdt[GDT_ENTRIES] = { 0 };

	gdt[s->cs.selector / 8] = s->cs.l ? 0x00af9b000000ffffull : 0x00cf9b000000ffffull;
	gdt[s->ds.selector / 8] = 0x00cf93000000ffffull;
	gdt[s->tr.selector / 8] = 0x00008b0000000067ull;
	return mem_write(mem, X86_GDT, gdt, sizeof(gdt));
}

static void set_mode(struct kvm_sregs *s, enum x86_entry entry)
{
	bool is_64 = entry != X86_ENTRY_PVH;
	uint16_t code = entry == X86_ENTRY_BZIMAGE ? 0x10 : 0x08;

	s->cs = flat_segment(code, 11, is_64);
	s->ds = flat_segment((uint16_t)(code + 8), 3, false);
	s->es = s->fs = s->gs = s->ss = s->ds;
	s->tr = (struct kvm_segment){ .limit = 0x67, .selector = 0x20, .type = 11, .present = 1 };
	s->gdt.base = X86_GDT;
	s->gdt.limit = GDT_ENTRIES * 8 - 1;
	s->idt.base = 0;
	s->idt.limit = 0;
	s->cr0 = 1 | 1u << 4; /* PE, ET */
	if (is_64) {
		s->cr0 |= 1u << 31 | 1u << 5; /* PG, NE */
		s->cr4 = 1u << 5;	      /* PAE */
		s->cr3 = X86_PML4;
		s->efer = 1u << 8 | 1u << 10; /* LME, LMA */
	}
}

int x86_set_entry(struct vcpu *vcpu, struct err *err)
{
	struct arch_vm *arch = vcpu->vm->arch;
	bool is_64 = arch->entry != X86_ENTRY_PVH;
	struct kvm_regs regs = {
		.rip = arch->entry_gpa,
		.rflags = 2,
		.rsp = X86_LOW_RAM_END - 8,
		.rbp = X86_LOW_RAM_END - 8,
		.rsi = is_64 ? X86_ZERO_PAGE : 0,
		.rbx = is_64 ? 0 : X86_PVH_INFO,
	};
	struct kvm_sregs sregs;

	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs))
		return err_set(err, errno, "KVM_GET_SREGS: %s", strerror(errno));
	set_mode(&sregs, arch->entry);
	if (write_gdt(&vcpu->vm->mem, &sregs))
		return err_set(err, ENOMEM, "boot data does not fit in RAM; give more with -m");
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs))
		return err_set(err, errno, "KVM_SET_SREGS: %s", strerror(errno));
	if (ioctl(vcpu->fd, KVM_SET_REGS, &regs))
		return err_set(err, errno, "KVM_SET_REGS: %s", strerror(errno));
	return 0;
}
