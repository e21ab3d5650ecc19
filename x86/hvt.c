/* SPDX-License-Identifier: MIT */
/*
 * The entry state of Solo5's hvt interface (its tenders/hvt): 64-bit mode, memory mapped one to one.
 *
 *   0x0000_1000  GDT
 *   0x0000_2000  PML4; 0x3000 PDPT; 0x4000..0x7fff page directories; 0x8000 the first 2 MiB's page table
 *   0x0001_0000  the boot information; from here the guest has its memory mapped, to 0xf_ffff for reading
 */
#include <cpuid.h>
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "guest/solo5.h"
#include "util/util.h"
#include "vm/kvm.h"
#include "x86/map.h"
#include "x86/x86.h"

#define GDT 0x1000ull
#define PML4 0x2000ull
#define PDPT 0x3000ull
#define PAGE_DIRS 0x4000ull
#define PAGE_TABLE 0x8000ull

#define PRESENT 1ull
#define WRITABLE 2ull
#define LARGE 0x80ull

#define CODE 0x08
#define DATA 0x10
#define CODE_DESCRIPTOR 0x00af99000000ffffull /* may not be read as data */
#define DATA_DESCRIPTOR 0x00cf93000000ffffull

/* RAM is zero: what maps nothing need not be written, and stays untouched. */
static int write_tables(struct mem *mem)
{
	uint64_t *pml4 = mem_at(mem, PML4, HVT_INFO - PML4, MEM_W);
	uint64_t *pdpt, *dirs, *table;

	if (!pml4)
		return -EFAULT;
	pdpt = pml4 + (PDPT - PML4) / sizeof(*pml4);
	dirs = pml4 + (PAGE_DIRS - PML4) / sizeof(*pml4);
	table = pml4 + (PAGE_TABLE - PML4) / sizeof(*pml4);
	pml4[0] = PDPT | WRITABLE | PRESENT;
	for (uint64_t i = 0; i < 4; i++)
		pdpt[i] = (PAGE_DIRS + i * MEM_PAGE) | WRITABLE | PRESENT;
	dirs[0] = PAGE_TABLE | WRITABLE | PRESENT;
	for (uint64_t at = 2 * MIB; at < mem->slots[0].size; at += 2 * MIB)
		dirs[at / (2 * MIB)] = at | LARGE | WRITABLE | PRESENT;
	for (uint64_t at = HVT_INFO; at < 2 * MIB; at += MEM_PAGE)
		table[at / MEM_PAGE] = at | (at < HVT_BASE ? 0 : WRITABLE) | PRESENT;
	mem_dirty(mem, PML4, HVT_INFO - PML4);
	return 0;
}

int arch_load_hvt(struct vm *vm, uint64_t entry, bool identify, struct err *err)
{
	const uint64_t gdt[] = { 0, CODE_DESCRIPTOR, DATA_DESCRIPTOR };

	if (vm->config.cpus != 1)
		return err_set(err, EINVAL, "-c %u: a Solo5 guest has one CPU", vm->config.cpus);
	if (mem_write(&vm->mem, GDT, gdt, sizeof(gdt)) || write_tables(&vm->mem))
		return err_set(err, ENOMEM, "boot data does not fit in RAM; give more with -m");
	vm->arch->entry_gpa = entry;
	vm->arch->own_image = !identify;
	vm->arch->loaded = true;
	return 0;
}

/* ---- The processor that the guest sees ---- */

/* The leaves that such a guest gets, and what of each. */
static const struct leaf {
	uint32_t leaf, eax, ebx, ecx, edx;
} leaves[] = {
	{ 0, ~0u, ~0u, ~0u, ~0u }, /* the last leaf; the maker's name */
	/* Model; CLFLUSH's line; SSE3, PCLMULQDQ, SSSE3, CX16, SSE4, MOVBE, POPCNT, AES, RDRAND; FPU to SSE2 */
	{ 1, ~0u, 0xff00, 0x42d82203, 0x0789a97d },
	{ 7, 0, 0x208c0308, 0, 0 }, /* BMI1, BMI2, ERMS, RDSEED, ADX, CLFLUSHOPT, SHA */
	{ 0x80000000, ~0u, 0, 0, 0 },
	{ 0x80000001, 0, 0, 0x121, 0x20100800 }, /* LAHF, LZCNT, PREFETCHW; SYSCALL, NX, LM */
	{ 0x80000007, 0, 0, 0, 0x100 },		 /* an invariant TSC */
	{ 0x80000008, 0xffff, 0, 0, 0 },	 /* bits of addresses */
};

/*
 * No x2APIC, no other vCPU, no state that needs XSAVE: what is left are instructions that the processor
 * runs by itself. KVM's own list, KVM_GET_SUPPORTED_CPUID, costs it some seventy CPUID instructions; where
 * the host is a guest, each is an exit to its host. These seven take a tenth of that; to tell KVM of them
 * takes long, too, so an image that does not ask is told nothing.
 */
static int set_cpuid(struct vcpu *vcpu, struct err *err)
{
	union {
		struct kvm_cpuid2 head;
		uint8_t room[sizeof(struct kvm_cpuid2) +
			     ARRAY_SIZE(leaves) * sizeof(struct kvm_cpuid_entry2)];
	} c = { .head = { 0 } };
	uint32_t last = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(leaves); i++) {
		const struct leaf *l = &leaves[i];
		struct kvm_cpuid_entry2 e = { .function = l->leaf };

		if (l->leaf & 0x7fffffff && l->leaf > last) /* the processor has it not */
			continue;
		__cpuid_count(l->leaf, 0, e.eax, e.ebx, e.ecx, e.edx);
		if (l->leaf == 0x80000000)
			e.eax = MIN(e.eax, 0x80000008u);
		else if (!l->leaf)
			e.eax = MIN(e.eax, 7u);
		else
			e.eax &= l->eax;
		if (!(l->leaf & 0x7fffffff))
			last = e.eax;
		e.ebx &= l->ebx;
		e.ecx &= l->ecx;
		e.edx &= l->edx;
		if (l->leaf == 1)
			e.ecx |= 1u << 31; /* a hypervisor is present */
		if (l->leaf == 7)
			e.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
		c.head.entries[c.head.nent++] = e;
	}
	if (ioctl(vcpu->fd, KVM_SET_CPUID2, &c.head))
		return err_set(err, errno, "KVM_SET_CPUID2: %s", strerror(errno));
	return 0;
}

/* The VM's is asked without the vCPU, which would have to be loaded for it; Linux 5.18 has that. */
static int write_frequency(struct vcpu *vcpu, struct err *err)
{
	int khz = ioctl(vcpu->vm->fd, KVM_GET_TSC_KHZ, 0);
	uint64_t hz;

	if (khz <= 0)
		khz = ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0);
	if (khz <= 0)
		return err_set(
			err, khz ? errno : EIO,
			"KVM_GET_TSC_KHZ: %s: this host's TSC is not stable, a Solo5 guest's "
			"clock would be wrong",
			khz ? strerror(errno) : "none");
	hz = (uint64_t)khz * 1000;
	return mem_write(&vcpu->vm->mem, HVT_INFO + offsetof(struct hvt_boot_info, cycle_freq), &hz,
			 sizeof(hz));
}

/* ---- Registers ---- */

static int set_entry(struct vcpu *vcpu, struct err *err)
{
	struct kvm_regs regs = {
		.rip = vcpu->vm->arch->entry_gpa,
		.rflags = 2,
		.rsp = vcpu->vm->config.mem - 8,
		.rdi = HVT_INFO,
	};
	struct kvm_sregs s = {
		.cs = x86_flat_segment(CODE, 9, true),
		.ds = x86_flat_segment(DATA, 3, false),
		.tr = { .type = 11, .present = 1 },
		.ldt = { .unusable = 1 },
		.gdt = { .base = GDT, .limit = 3 * 8 - 1 },
		.cr0 = 1u << 31 | 1u << 16 | 1u << 5 | 1, /* PG, WP, NE, PE */
		.cr3 = PML4,
		.cr4 = 1u << 10 | 1u << 9 | 1u << 5, /* OSXMMEXCPT, OSFXSR, PAE */
		.efer = 1u << 10 | 1u << 8,	     /* LMA, LME */
	};

	if (vcpu->vm->arch->sleeps_unseen) /* to switch it off makes KVM patch its code, too */
		s.apic_base = X86_APIC_BASE_AT_RESET;
	s.es = s.fs = s.gs = s.ss = s.ds;
	return x86_set_registers(vcpu, &regs, &s, err);
}

int x86_hvt_create_vcpu(struct vcpu *vcpu, struct err *err)
{
	int rc = 0;

	if (!vcpu->vm->arch->loaded)
		return 0;
	rc = write_frequency(vcpu, err);
	if (!rc && !vcpu->vm->arch->own_image)
		rc = set_cpuid(vcpu, err);
	return rc ? rc : set_entry(vcpu, err);
}
