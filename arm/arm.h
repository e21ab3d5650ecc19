/* SPDX-License-Identifier: MIT */
/* What the files of the arm port share. Nobody outside of arm/ includes this. */
#ifndef ARM_ARM_H
#define ARM_ARM_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "guest/elf.h"
#include "guest/image.h"
#include "vm/arch.h"
#include "vm/vm.h"

/* Debian 12's headers are of Linux 6.1; these came later (6.4, 6.16). */
#define ARM_CAP_COUNTER_OFFSET 227
#define ARM_CAP_EL2 240
#define ARM_VCPU_HAS_EL2 7
#define ARM_SET_COUNTER_OFFSET _IOW(KVMIO, 0xb5, struct arm_counter_offset)

struct arm_counter_offset {
	uint64_t offset, reserved;
};

/* A 64-bit general register's place in struct kvm_regs, and a system register's by its encoding. */
#define ARM_CORE_REG(member) \
	(KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(member))
#define ARM_MPIDR_EL1 ARM64_SYS_REG(3, 0, 0, 0, 5)
#define ARM_ID_AA64MMFR0_EL1 ARM64_SYS_REG(3, 0, 0, 7, 0)

/* Ticks a second: the processor's, and no guest can be shown another. */
static inline uint64_t arm_counter_hz(void)
{
	uint64_t hz;

	__asm__ volatile("mrs %0, cntfrq_el0" : "=r"(hz));
	return hz;
}

enum arm_gic { ARM_GIC_V2, ARM_GIC_V3, ARM_GIC_V3_ITS };

#define ARM_GIC_INTIDS 1024u /* a GIC's interrupts at most, SPIs among them */

/*
 * arm/features.c: what KVM may offer a guest, beside its GIC and timers: what it is called, what
 * for, and what would bring it where it is missing.
 */
enum {
	ARM_HAS_32BIT,
	ARM_HAS_PMU,
	ARM_HAS_SVE,
	ARM_HAS_PTRAUTH,
	ARM_HAS_MTE,
	ARM_HAS_EL2,
	ARM_HAS_STEAL_TIME,
	ARM_HAS_OFFSET,
	ARM_FEATURES,
};

struct arm_feature {
	int cap;
	const char *cap_name, *name, *what, *lack;
};

extern const struct arm_feature arm_features[ARM_FEATURES];

/* arm/options.c: what config.options asks for, each checked against what this KVM offers. */
struct arm_options {
	bool aarch32, pmu, mte, nested, pvtime;
	bool has_offset, has_seed;
	uint64_t counter_offset, kaslr_seed;
	int sve_bits; /* the longest vector; 0: no SVE, -1: as the host has it */
	const char *dtb, *dump_dtb;
};

/* How vCPU 0 begins. */
struct arm_entry {
	uint64_t gpa;
	bool is_32;
	bool big_endian;       /* the image's own claims, checked against the processor */
	unsigned int page_kib; /* 0: not told */
};

struct arch_vm {
	int vm_fd;
	struct irq *irq; /* the VM's */
	struct arm_options options;

	enum arm_gic gic;
	int gic_fd, its_fd; /* KVM devices, or -1 */
	bool has_v2m;	    /* beside a GICv2 */
	uint32_t gic_intids;
	/* A bit for each SPI whose level is up: of a GICv2 KVM does not tell. */
	_Atomic uint32_t lines_up[ARM_GIC_INTIDS / 32];
	struct irq_chip chip;

	bool loaded;
	struct arm_entry entry;
	const char *cmdline;	/* borrowed */
	uint64_t dtb, dtb_size; /* where the tree goes, and the room there */
	uint64_t initrd, initrd_size;
};

int arm_options_read(struct vm *vm, struct err *err);
bool arm_has_pvtime(const struct vm *vm);		/* before the options are read, too */
int arm_check_32(const struct vm *vm, struct err *err); /* can the guest be 32-bit? */

/* arm/gic.c: before any vCPU exists, and when all do. */
int arm_gic_create(struct vm *vm, struct err *err);
int arm_gic_ready(struct vm *vm, struct err *err);
bool arm_gic_offered(int vm_fd, uint32_t type); /* KVM_DEV_TYPE_ARM_VGIC_* */
void arm_gic_destroy(struct arch_vm *arch);
void arm_gic_set_line(struct arch_vm *arch, uint32_t spi, unsigned int level);

/*
 * arm/gic-state.c: all that KVM has of its GIC and ITS, whose tables go to guest RAM where the guest
 * wants them. All vCPUs exist and stand. As in vm/arch.h, "State".
 */
int arm_gic_save(struct vm *vm, struct buf *out, struct err *err);
int arm_gic_restore(struct vm *vm, struct reader *in, struct err *err);

/*
 * arm/counter.c: the counters of all vCPUs, which exist and stand, and when they were read; as in vm/arch.h,
 * "State". arm_counters_restore() comes last: by then the guest has the time that has passed.
 */
struct arm_counters {
	uint64_t virt, phys; /* in ticks */
	bool has_phys;
	uint64_t when; /* ns, by the host's CLOCK_REALTIME */
	uint64_t hz;
};

int arm_counters_save(const struct vm *vm, struct buf *out, struct err *err);
int arm_counters_read(struct reader *in, struct arm_counters *c, struct err *err);
int arm_counters_restore(const struct vm *vm, const struct arm_counters *c, struct err *err);

/* arm/v2m.c: the frame by which a GICv2 takes messages; its SPIs are the chip's. */
int arm_v2m_claim(struct vm *vm, struct err *err);
void arm_v2m_send(struct irq_chip *chip, const struct msi *msi);

/*
 * arm/regs.c: an attribute of a KVM device, VM or vCPU (`value` points to what the attribute wants,
 * or is NULL), and a register of 64 bits by its id in KVM_GET_ONE_REG. 0 or -errno.
 */
int arm_set_attr(int fd, uint32_t group, uint64_t attr, void *value);
int arm_get_attr(int fd, uint32_t group, uint64_t attr, void *value);
bool arm_has_attr(int fd, uint32_t group, uint64_t attr);
int arm_get_reg(int vcpu_fd, uint64_t id, uint64_t *value);
int arm_set_reg(int vcpu_fd, uint64_t id, uint64_t value);

/* The MPIDR affinity that KVM gives a vCPU: 16 to a cluster, as GICv3's SGIs want it. */
static inline uint64_t arm_mpidr(unsigned int vcpu)
{
	return (vcpu & 15) | (uint64_t)(vcpu >> 4 & 255) << 8 | (uint64_t)(vcpu >> 12) << 16;
}

/* arm/look.c: the kind that an unpacked image is, or that --entry makes of it; and why none is known. */
int arm_kind(const struct vm_config *config, const void *data, size_t size, enum image_kind *kind,
	     struct err *err);
int arm_refuse(enum image_kind kind, struct err *err);

/* A vmlinux, which calls the kernel's virtual addresses physical, is moved to where its Image would go. */
int arm_place_elf(struct elf_image *elf, bool *vmlinux, struct err *err);

/* arm/boot.c */
int arm_set_entry(struct vcpu *vcpu, struct err *err);

/* arm/hvt.c: all that the vCPU of such a machine needs. */
int arm_hvt_create_vcpu(struct vcpu *vcpu, struct err *err);

/* arm/fdt.c: the machine's own tree, without /chosen, into `size` bytes. 0 or libfdt's error. */
int arm_fdt_make(const struct vm *vm, const struct device_list *devices, void *fdt, size_t size);

/* arm/dtb.c: the tree, whoever made it, finished and put where arch->dtb says. */
int arm_dtb_write(struct vm *vm, const struct device_list *devices, struct err *err);

#endif
