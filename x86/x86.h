/* SPDX-License-Identifier: MIT */
/* What the files of the x86 port share: vm->arch, and one function or two of each file. */
#ifndef X86_X86_H
#define X86_X86_H

#include <linux/kvm.h>

#include "vm/arch.h"
#include "x86/ioapic.h"

enum x86_irqchip {
	X86_IRQCHIP_SPLIT, /* local APICs in KVM, IOAPIC here: starts in a quarter of the time */
	X86_IRQCHIP_FULL,  /* IOAPIC, PIC and PIT in KVM too */
	X86_IRQCHIP_NONE,
};

enum x86_entry {
	X86_ENTRY_BZIMAGE,   /* Linux's 64-bit entry point */
	X86_ENTRY_ELF64,     /* the same for an ELF file */
	X86_ENTRY_PVH,	     /* 32-bit protected mode, by a note */
	X86_ENTRY_MULTIBOOT, /* 32-bit protected mode, by a header */
	X86_ENTRY_RAW,	     /* real mode */
};

struct arch_vm {
	int vm_fd;
	struct irq *irq; /* the VM's */
	enum x86_irqchip irqchip;
	struct ioapic *ioapic;	  /* split */
	struct irq_chip kvm_chip; /* full, or one without lines */
	struct kvm_cpuid2 *cpuid; /* what KVM supports, read once */
	_Atomic uint8_t cmos_index;
	_Atomic uint32_t pci_address; /* port 0xcf8 */
	int nowhere;		      /* x86_legacy_drop()'s, or 0 */

	enum x86_entry entry;
	uint64_t entry_gpa;
	bool loaded;
	bool own_image; /* it asks nothing of the processor's ID */

	/* x86/state.c, between a vCPU and the VM: the guest's TSC to its old host's */
	bool has_tsc_offset;
	uint64_t tsc_offset;

	/* x86/halt.c */
	bool sleeps_unseen; /* a vCPU that halts does, and nothing wakes it */
	bool has_halt_timer;
	timer_t halt_timer;
};

/* x86/boot.c: registers of the boot CPU at the image's entry. */
int x86_set_entry(struct vcpu *vcpu, struct err *err);

/*
 * The same for others: registers that travel with the first KVM_RUN, or are set now where KVM is too old
 * for that.
 */
int x86_set_registers(struct vcpu *vcpu, const struct kvm_regs *regs, const struct kvm_sregs *sregs,
		      struct err *err);

/* A segment of 4 GiB from 0, of a code (11) or data (3) type. */
struct kvm_segment x86_flat_segment(uint16_t selector, uint8_t type, bool is_64);

/* x86/hvt.c: all that the vCPU of such a machine needs. */
int x86_hvt_create_vcpu(struct vcpu *vcpu, struct err *err);

/* x86/halt.c: without a local APIC nothing can wake it, so this is how such an image ends. */
void x86_halted(struct vcpu *vcpu);

/* x86/cpuid.c: what KVM supports, patched for this vCPU. */
int x86_cpuid_set(struct vcpu *vcpu, struct err *err);

#define X86_CPUID_ENTRIES 256u

/* What KVM supports, asked once for a VM: in vm->arch->cpuid. And an empty table with room for all; free() it. */
int x86_cpuid_ask(struct vm *vm, struct err *err);
struct kvm_cpuid2 *x86_cpuid_alloc(void);

/* x86/acpi.c: writes all tables at X86_ACPI. -ENOSPC: too many devices. */
int x86_acpi_write(struct vm *vm, const struct device_list *devices, struct err *err);

/* x86/cmos.c: two ports, index and data; a bus_fn whose `opaque` is the VM. */
void x86_cmos_ports(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write);

/* x86/pci-ports.c: claims port 0xcf9, and with PCI, for an image that is no Linux kernel, those around it. */
int x86_pci_ports_claim(struct vm *vm, struct err *err);

/* x86/legacy.c: claims the ports that are no device's. */
int x86_legacy_claim(struct vm *vm, struct err *err);

/*
 * KVM drops writes to the address register of PCI's old configuration space, which nobody has here, and they are
 * no exits to user space. Where that can't be had they are dropped on the bus.
 */
void x86_legacy_drop(struct vm *vm);

#endif
