/* SPDX-License-Identifier: MIT */
/*
 * Direct entry, without firmware: what a boot loader leaves in memory beside the image
 * (x86/load.c), and in registers.
 *
 * A bzImage is entered at its 64-bit entry point with RSI at the zero page (Documentation/arch/x86/
 * boot.rst); so is the kernel inside it, and an ELF file, unless it has a PVH note: then at that
 * address in 32-bit protected mode with EBX at the start info (Xen's docs/misc/pvh.pandoc). Multiboot
 * enters in the same mode, and has another start info (x86/multiboot.c). A raw image begins in real
 * mode, and finds nothing.
 */
#include <asm/bootparam.h>
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "guest/multiboot.h"
#include "util/util.h"
#include "vm/kvm.h"
#include "x86/boot.h"
#include "x86/map.h"
#include "x86/x86.h"

#define PVH_MAGIC 0x336ec578u
#define E820_RAM_TYPE 1
#define E820_RESERVED_TYPE 2
#define LOADER_UNDEFINED 0xff
#define GDT_ENTRIES 5
#define RAW_STACK 0x8000 /* SP of a raw image, as kvmtool has it */

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

unsigned int x86_memory_map(const struct mem *mem, struct x86_range out[X86_RANGES])
{
	unsigned int n = 0;

	out[n++] = (struct x86_range){ 0, X86_LOW_RAM_END, E820_RAM_TYPE };
	out[n++] = (struct x86_range){ X86_ACPI, X86_HIGH_RAM - X86_ACPI, E820_RESERVED_TYPE };
	out[n++] = (struct x86_range){ X86_HIGH_RAM, mem->slots[0].size - X86_HIGH_RAM,
				       E820_RAM_TYPE };
	if (mem->n_slots > 1)
		out[n++] = (struct x86_range){ mem->slots[1].gpa, mem->slots[1].size,
					       E820_RAM_TYPE };
	return n;
}

static int write_cmdline(struct vm *vm, const struct x86_boot *boot, struct err *err)
{
	size_t len = strlen(boot->cmdline);

	if (len > boot->cmdline_max || len >= X86_CMDLINE_MAX)
		return err_set(err, E2BIG,
			       "the command line has %zu characters; this kernel takes %llu", len,
			       (unsigned long long)MIN(boot->cmdline_max, X86_CMDLINE_MAX - 1));
	return mem_write(&vm->mem, X86_CMDLINE, boot->cmdline, len + 1);
}

static int write_zero_page(struct vm *vm, const struct x86_boot *boot)
{
	struct boot_params *bp = mem_at(&vm->mem, X86_ZERO_PAGE, sizeof(*bp), MEM_W);
	struct x86_range map[X86_RANGES];

	if (!bp)
		return -EFAULT;
	memset(bp, 0, sizeof(*bp));
	if (boot->header_len) {
		memcpy((uint8_t *)bp + offsetof(struct boot_params, hdr), boot->header,
		       boot->header_len);
	} else {
		bp->hdr.boot_flag = 0xaa55;
		bp->hdr.header = 0x53726448; /* "HdrS" */
		bp->hdr.version = 0x20c;
		bp->hdr.kernel_alignment = 0x1000000;
	}
	bp->hdr.type_of_loader = LOADER_UNDEFINED;
	bp->hdr.cmd_line_ptr = X86_CMDLINE;
	bp->hdr.cmdline_size = (uint32_t)strlen(boot->cmdline);
	bp->hdr.ramdisk_image = (uint32_t)boot->initrd;
	bp->hdr.ramdisk_size = (uint32_t)boot->initrd_size;
	bp->acpi_rsdp_addr = X86_ACPI;
	bp->e820_entries = (uint8_t)x86_memory_map(&vm->mem, map);
	for (unsigned int i = 0; i < bp->e820_entries; i++) {
		bp->e820_table[i].addr = map[i].gpa;
		bp->e820_table[i].size = map[i].size;
		bp->e820_table[i].type = map[i].type;
	}
	mem_dirty(&vm->mem, X86_ZERO_PAGE, sizeof(*bp));
	return 0;
}

/* "FILE", "FILE ARGS" or "". */
int x86_write_words(struct mem *mem, const struct x86_module *m, uint64_t *gpa, uint64_t end)
{
	size_t path = m->path ? strlen(m->path) : 0, args = m->args ? strlen(m->args) : 0;
	char *to;

	if (*gpa > end || path + args + 2 > end - *gpa)
		return -ENOSPC;
	to = mem_at(mem, *gpa, path + args + 2, MEM_W);
	if (!to)
		return -ENOSPC;
	memcpy(to, m->path ? m->path : "", path);
	if (args)
		to[path++] = ' ';
	memcpy(to + path, m->args ? m->args : "", args);
	to[path + args] = 0;
	mem_dirty(mem, *gpa, path + args + 1);
	*gpa += path + args + 1;
	return 0;
}

/* An initrd alone is a module without words. */
static int write_pvh_modules(struct vm *vm, const struct x86_boot *boot)
{
	struct x86_module initrd = { boot->initrd, boot->initrd_size, NULL, NULL };
	const struct x86_module *m = boot->n_modules ? boot->modules : &initrd;
	unsigned int n = boot->n_modules ? boot->n_modules : 1;
	uint64_t words = X86_MODULES + X86_MODULES_MAX * sizeof(struct pvh_module);
	int rc = 0;

	for (unsigned int i = 0; !rc && i < n; i++) {
		struct pvh_module module = { .address = m[i].gpa, .size = m[i].size };

		if (m[i].path) {
			module.cmdline = words;
			rc = x86_write_words(&vm->mem, &m[i], &words, X86_MODULES_END);
		}
		if (!rc)
			rc = mem_write(&vm->mem, X86_MODULES + i * sizeof(module), &module,
				       sizeof(module));
	}
	return rc;
}

static int write_pvh_info(struct vm *vm, const struct x86_boot *boot)
{
	struct {
		struct pvh_start_info info;
		struct pvh_memmap_entry map[X86_RANGES];
	} pvh = { 0 };
	struct x86_range map[X86_RANGES];
	bool modules = boot->n_modules || boot->initrd_size;

	pvh.info = (struct pvh_start_info){
		.magic = PVH_MAGIC,
		.version = 1,
		.nr_modules = boot->n_modules ? boot->n_modules : modules,
		.modlist = modules ? X86_MODULES : 0,
		.cmdline = X86_CMDLINE,
		.rsdp = X86_ACPI,
		.memmap = X86_PVH_INFO + offsetof(typeof(pvh), map),
		.memmap_entries = x86_memory_map(&vm->mem, map),
	};
	for (unsigned int i = 0; i < pvh.info.memmap_entries; i++)
		pvh.map[i] = (struct pvh_memmap_entry){ map[i].gpa, map[i].size, map[i].type, 0 };
	if (modules && write_pvh_modules(vm, boot))
		return -ENOSPC;
	return mem_write(&vm->mem, X86_PVH_INFO, &pvh, sizeof(pvh));
}

/* 4 GiB, mapped one to one by pages of 2 MiB: some images edit these tables. */
static int write_page_tables(struct mem *mem)
{
	const uint64_t size = X86_PAGE_DIRS + 4 * MEM_PAGE - X86_PML4;
	uint64_t *pml4 = mem_at(mem, X86_PML4, size, MEM_W);
	uint64_t *pdpt, *dirs;

	if (!pml4)
		return -EFAULT;
	pdpt = pml4 + (X86_PDPT - X86_PML4) / sizeof(*pml4);
	dirs = pml4 + (X86_PAGE_DIRS - X86_PML4) / sizeof(*pml4);
	memset(pml4, 0, X86_PAGE_DIRS - X86_PML4);
	pml4[0] = X86_PDPT | 3;
	for (uint64_t i = 0; i < 4; i++)
		pdpt[i] = (X86_PAGE_DIRS + i * MEM_PAGE) | 3;
	for (uint64_t i = 0; i < 4ull * 512; i++)
		dirs[i] = i * 2 * MIB | 0x83; /* present, writable, large */
	mem_dirty(mem, X86_PML4, size);
	return 0;
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

int x86_write_boot_data(struct vm *vm, const struct x86_boot *boot, struct err *err)
{
	int rc;

	if (vm->arch->entry == X86_ENTRY_RAW)
		return write_reset_vector(&vm->mem);
	if (vm->arch->entry == X86_ENTRY_MULTIBOOT) {
		rc = x86_write_multiboot(vm, boot, err);
		return rc ? rc : write_reset_vector(&vm->mem);
	}
	rc = write_cmdline(vm, boot, err);
	if (rc)
		return rc;
	if (write_zero_page(vm, boot) || write_page_tables(&vm->mem) ||
	    write_reset_vector(&vm->mem) ||
	    (vm->arch->entry == X86_ENTRY_PVH && write_pvh_info(vm, boot)))
		return err_set(err, ENOMEM, "boot data does not fit in RAM; give more with -m");
	return 0;
}

/* ---- Registers ---- */

struct kvm_segment x86_flat_segment(uint16_t selector, uint8_t type, bool is_64)
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

static bool is_64_bit(enum x86_entry entry)
{
	return entry == X86_ENTRY_BZIMAGE || entry == X86_ENTRY_ELF64;
}

/* As a processor begins, but for the place. */
static void set_real_mode(struct kvm_sregs *s)
{
	s->cs = (struct kvm_segment){ .base = X86_RAW,
				      .limit = 0xffff,
				      .selector = X86_RAW >> 4,
				      .type = 11,
				      .present = 1,
				      .s = 1 };
	s->ds = s->cs;
	s->ds.type = 3;
	s->es = s->fs = s->gs = s->ss = s->ds;
	s->tr = (struct kvm_segment){ .limit = 0xffff, .type = 11, .present = 1 };
	s->ldt = (struct kvm_segment){ .limit = 0xffff, .type = 2, .present = 1 };
	s->gdt.limit = s->idt.limit = 0xffff;
	s->cr0 = 1u << 4; /* ET */
}

static void set_mode(struct kvm_sregs *s, enum x86_entry entry)
{
	bool is_64 = is_64_bit(entry);
	uint16_t code = entry == X86_ENTRY_BZIMAGE ? 0x10 : 0x08;

	s->cs = x86_flat_segment(code, 11, is_64);
	s->ds = x86_flat_segment((uint16_t)(code + 8), 3, false);
	s->es = s->fs = s->gs = s->ss = s->ds;
	s->tr = (struct kvm_segment){ .limit = 0x67, .selector = 0x20, .type = 11, .present = 1 };
	s->ldt = (struct kvm_segment){ .limit = 0xffff, .type = 2, .present = 1 };
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

/*
 * They travel with the first KVM_RUN: an ioctl of a vCPU loads and unloads it, 8 us each where the
 * host is a guest. KVM before 4.17 knows no such way.
 */
int x86_set_registers(struct vcpu *vcpu, const struct kvm_regs *regs, const struct kvm_sregs *sregs,
		      struct err *err)
{
	const int both = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;

	if ((kvm_cap(vcpu->vm->kvm_fd, KVM_CAP_SYNC_REGS) & both) == both) {
		vcpu->run->s.regs.regs = *regs;
		vcpu->run->s.regs.sregs = *sregs;
		vcpu->run->kvm_dirty_regs = both;
		return 0;
	}
	if (ioctl(vcpu->fd, KVM_SET_SREGS, sregs))
		return err_set(err, errno, "KVM_SET_SREGS: %s", strerror(errno));
	if (ioctl(vcpu->fd, KVM_SET_REGS, regs))
		return err_set(err, errno, "KVM_SET_REGS: %s", strerror(errno));
	return 0;
}

static struct kvm_regs entry_registers(enum x86_entry entry, uint64_t gpa)
{
	struct kvm_regs regs = {
		.rip = gpa, .rflags = 2, .rsp = X86_LOW_RAM_END - 8, .rbp = X86_LOW_RAM_END - 8
	};

	switch (entry) {
	case X86_ENTRY_PVH:
		regs.rbx = X86_PVH_INFO;
		break;
	case X86_ENTRY_MULTIBOOT:
		regs.rax = MULTIBOOT_BOOT_MAGIC;
		regs.rbx = X86_MULTIBOOT;
		break;
	case X86_ENTRY_RAW:
		regs.rip = gpa - X86_RAW;
		regs.rsp = regs.rbp = RAW_STACK;
		break;
	default:
		regs.rsi = X86_ZERO_PAGE;
	}
	return regs;
}

int x86_set_entry(struct vcpu *vcpu, struct err *err)
{
	struct arch_vm *arch = vcpu->vm->arch;
	struct kvm_regs regs = entry_registers(arch->entry, arch->entry_gpa);
	struct kvm_sregs sregs = { .apic_base = X86_APIC_BASE_AT_RESET };

	if (arch->entry == X86_ENTRY_RAW)
		set_real_mode(&sregs);
	else
		set_mode(&sregs, arch->entry);
	if (arch->entry != X86_ENTRY_RAW && write_gdt(&vcpu->vm->mem, &sregs))
		return err_set(err, ENOMEM, "boot data does not fit in RAM; give more with -m");
	return x86_set_registers(vcpu, &regs, &sregs, err);
}
