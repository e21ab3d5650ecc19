/* SPDX-License-Identifier: MIT */
/*
 * The whole contract of a port. Another architecture is a folder that implements these functions
 * and a line in the Makefile. Called on the thread that builds the VM, but for arch_vcpu_exit(). Errors are
 * -errno, and one line in `err` for a person.
 */
#ifndef VM_ARCH_H
#define VM_ARCH_H

#include "util/buf.h"
#include "vm/device.h"
#include "vm/vm.h"

/* ---- The machine ---- */

/* RAM's place in the guest-physical map: adds mem's slots for all of mem->size. */
int arch_layout(struct mem *mem, struct err *err);

/*
 * After vm->fd and RAM exist, before any vCPU: makes the interrupt controller that config.irqchip names, sets
 * vm->chip, claims the registers that belong to the architecture (reset, clock, ...). Refuses what
 * this KVM can't do by the name of the capability.
 */
int arch_create(struct vm *vm, struct err *err);
void arch_destroy(struct vm *vm); /* also after a failed arch_create() */

/* Where machine.c puts devices: base address or I/O port, and interrupt line. */
struct arch_place {
	bool is_pio;
	uint64_t base;
	uint32_t gsi;
};

struct arch_map {
	struct arch_place serial; /* the 16550A */
	struct arch_place virtio; /* slot 0; the others follow */
	uint64_t virtio_step;	  /* bytes from slot to slot, one GSI each */
	unsigned int virtio_slots;
	struct arch_place debug_exit; /* where payloads write their exit status */
};

extern const struct arch_map arch_map;

struct arch_image {
	const char *kernel; /* a path, or NULL and then ... */
	const void *data;   /* ... the image itself, borrowed until arch_load() returns */
	size_t size;
	const char *initrd; /* a path or NULL */
	const char *cmdline;
};

/* Puts image, initrd and command line into RAM and remembers the entry state for the boot vCPU. */
int arch_load(struct vm *vm, const struct arch_image *image, struct err *err);

/* Describes the machine to the guest (ACPI, device tree), once: all devices exist. After arch_load(). */
int arch_describe(struct vm *vm, const struct device_list *devices, struct err *err);

/* ---- The vCPU ---- */

/* Makes vcpu->fd ready to run: features, topology, and the entry state for vCPU 0. After arch_load(). */
int arch_vcpu_create(struct vcpu *vcpu, struct err *err);
void arch_vcpu_destroy(struct vcpu *vcpu);

/* An exit that vm/vcpu.c does not know, on the vCPU's thread. False: nobody knows it; the VM ends. */
bool arch_vcpu_exit(struct vcpu *vcpu);

/* Registers, and the bytes at the program counter, as lines of text. The vCPU is stopped, or it is this thread's. */
void arch_vcpu_dump(struct vcpu *vcpu, const struct log *log);

/* ---- The reports ---- */

/* The port's part of `lkvm doctor`: lines on stdout. Returns how many needed things are missing. */
int arch_doctor(int kvm_fd);

extern const char *const arch_name;	      /* "x86_64", as uname says it */
extern const char *const arch_kernel_paths[]; /* where a kernel tree leaves its image; NULL ends */

#endif
