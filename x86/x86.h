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

/* A bzImage at its 64-bit entry, an ELF file entered the same way, one by its PVH note. */
enum x86_entry { X86_ENTRY_BZIMAGE, X86_ENTRY_ELF64, X86_ENTRY_PVH };

struct arch_vm {
	int vm_fd;
	struct irq *irq; /* the VM's */
	enum x86_irqchip irqchip;
	struct ioapic *ioapic;	  /* split */
	struct irq_chip kvm_chip; /* full, or one without lines */
	struct kvm_cpuid2 *cpuid; /* what KVM supports, read once */
	_Atomic uint8_t cmos_index;

	enum x86_entry entry;
	uint64_t entry_gpa;
	bool loaded, own_image;
};

/* x86/boot.c: registers of the boot CPU at the image's entry. */
int x86_set_entry(struct vcpu *vcpu, struct err *err);

/* x86/cpuid.c: what KVM supports, patched for this vCPU. */
int x86_cpuid_set(struct vcpu *vcpu, struct err *err);

/* x86/acpi.c: writes all tables at X86_ACPI. -ENOSPC: too many devices. */
int x86_acpi_write(struct vm *vm, const struct device_list *devices, struct err *err);

/* x86/legacy.c: claims the ports that are no device's. */
int x86_legacy_claim(struct vm *vm, struct err *err);

#endif
