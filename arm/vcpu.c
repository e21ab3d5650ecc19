/* SPDX-License-Identifier: MIT */
/*
 * One vCPU: its features, in the order that KVM wants them. KVM_ARM_VCPU_INIT, SVE's vector
 * lengths, KVM_ARM_VCPU_FINALIZE, the entry state; and once the vGIC is there the PMU and stolen
 * time.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "arm/arm.h"
#include "arm/map.h"
#include "util/util.h"
#include "vm/kvm.h"

#define PPI_INTID 16 /* INTID of the tree's PPI 0 */

static void want(struct kvm_vcpu_init *init, unsigned int feature)
{
	init->features[feature / 32] |= 1u << feature % 32;
}

static bool has_sve(const struct vm *vm)
{
	const struct arch_vm *arch = vm->arch;

	return !arch->entry.is_32 && arch->options.sve_bits && kvm_cap(vm->fd, KVM_CAP_ARM_SVE);
}

/* Those of 64-bit guests that cost nothing are on wherever KVM has them. */
static void choose_features(const struct vcpu *vcpu, struct kvm_vcpu_init *init)
{
	const struct vm *vm = vcpu->vm;
	const struct arch_vm *arch = vm->arch;

	want(init, KVM_ARM_VCPU_PSCI_0_2);
	if (vcpu->id)
		want(init, KVM_ARM_VCPU_POWER_OFF);
	if (arch->options.pmu)
		want(init, KVM_ARM_VCPU_PMU_V3);
	if (arch->entry.is_32) {
		want(init, KVM_ARM_VCPU_EL1_32BIT);
		return;
	}
	if (has_sve(vm))
		want(init, KVM_ARM_VCPU_SVE);
	if (kvm_cap(vm->fd, KVM_CAP_ARM_PTRAUTH_ADDRESS) &&
	    kvm_cap(vm->fd, KVM_CAP_ARM_PTRAUTH_GENERIC)) {
		want(init, KVM_ARM_VCPU_PTRAUTH_ADDRESS);
		want(init, KVM_ARM_VCPU_PTRAUTH_GENERIC);
	}
	if (arch->options.nested)
		want(init, ARM_VCPU_HAS_EL2);
}

static int init_vcpu(struct vcpu *vcpu, struct err *err)
{
	struct kvm_vcpu_init init = { 0 };

	if (ioctl(vcpu->vm->fd, KVM_ARM_PREFERRED_TARGET, &init))
		return err_set(err, errno, "KVM_ARM_PREFERRED_TARGET: %s", strerror(errno));
	choose_features(vcpu, &init);
	if (ioctl(vcpu->fd, KVM_ARM_VCPU_INIT, &init))
		return err_set(err, errno, "KVM_ARM_VCPU_INIT of vCPU %u, features 0x%x: %s",
			       vcpu->id, init.features[0], strerror(errno));
	return 0;
}

/*
 * Takes the vector lengths away that are longer than the user wants; bit n stands for 128 * (n + 1)
 * bits.
 */
static int limit_sve(struct vcpu *vcpu, int bits, struct err *err)
{
	uint64_t lengths[KVM_ARM64_SVE_VLS_WORDS] = { 0 };
	struct kvm_one_reg reg = { .id = KVM_REG_ARM64_SVE_VLS, .addr = (uintptr_t)lengths };

	if (ioctl(vcpu->fd, KVM_GET_ONE_REG, &reg))
		return err_set(err, errno, "KVM does not tell its SVE vector lengths: %s",
			       strerror(errno));
	lengths[0] &= (1ull << bits / 128) - 1; /* 2048 bits at most, so the other words are 0 */
	if (!lengths[0])
		return err_set(err, EINVAL,
			       "--sve-max-vl %d: this host's shortest SVE vector is longer", bits);
	if (ioctl(vcpu->fd, KVM_SET_ONE_REG, &reg))
		return err_set(err, errno, "--sve-max-vl %d: KVM refuses it: %s", bits,
			       strerror(errno));
	return 0;
}

static int finalize_sve(struct vcpu *vcpu, struct err *err)
{
	int bits = vcpu->vm->arch->options.sve_bits;
	int feature = KVM_ARM_VCPU_SVE;
	int rc = 0;

	if (!has_sve(vcpu->vm))
		return 0;
	if (bits > 0)
		rc = limit_sve(vcpu, bits, err);
	if (!rc && ioctl(vcpu->fd, KVM_ARM_VCPU_FINALIZE, &feature))
		rc = err_set(err, errno, "KVM_ARM_VCPU_FINALIZE of SVE: %s", strerror(errno));
	return rc;
}

/* The tree is written before vCPUs exist, from what KVM has always done: make sure that it does. */
static int check_mpidr(struct vcpu *vcpu, struct err *err)
{
	const uint64_t affinity = 0xff00ffffffull;
	uint64_t mpidr;

	if (arm_get_reg(vcpu->fd, ARM_MPIDR_EL1, &mpidr) ||
	    (mpidr & affinity) == arm_mpidr(vcpu->id))
		return 0;
	return err_set(err, EPROTO, "KVM numbers vCPU %u as 0x%llx, the device tree as 0x%llx",
		       vcpu->id, (unsigned long long)(mpidr & affinity),
		       (unsigned long long)arm_mpidr(vcpu->id));
}

int arch_vcpu_create(struct vcpu *vcpu, struct err *err)
{
	int rc;

	if (vcpu->vm->config.hvt)
		return arm_hvt_create_vcpu(vcpu, err);
	rc = init_vcpu(vcpu, err);
	if (!rc)
		rc = finalize_sve(vcpu, err);
	if (!rc)
		rc = check_mpidr(vcpu, err);
	/* The others wait for PSCI's CPU_ON. */
	if (!rc && vcpu->id == 0 && vcpu->vm->arch->loaded)
		rc = arm_set_entry(vcpu, err);
	return rc;
}

void arch_vcpu_destroy(struct vcpu *vcpu)
{
	(void)vcpu; /* nothing beside the fd */
}

static int start_pmu(struct vcpu *vcpu, struct err *err)
{
	int intid = PPI_INTID + ARM_PPI_PMU;
	int rc = arm_set_attr(vcpu->fd, KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_IRQ, &intid);

	if (!rc)
		rc = arm_set_attr(vcpu->fd, KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_INIT,
				  NULL);
	return rc ? err_set(err, -rc, "--pmu: vCPU %u: %s", vcpu->id, strerror(-rc)) : 0;
}

/* Stolen time (Arm DEN0057): KVM writes it here, the guest asks by hypercall where that is. */
static int start_pvtime(struct vcpu *vcpu, struct err *err)
{
	uint64_t gpa = ARM_PVTIME + vcpu->id * ARM_PVTIME_STEP;
	int rc = arm_set_attr(vcpu->fd, KVM_ARM_VCPU_PVTIME_CTRL, KVM_ARM_VCPU_PVTIME_IPA, &gpa);

	return rc ? err_set(err, -rc, "stolen time of vCPU %u: %s; try --no-pvtime", vcpu->id,
			    strerror(-rc))
		  : 0;
}

void arch_vcpu_begin(struct vcpu *vcpu)
{
	(void)vcpu;
}

void arch_vcpu_interrupted(struct vcpu *vcpu)
{
	(void)vcpu;
}

void arch_vcpu_end(struct vcpu *vcpu)
{
	(void)vcpu;
}

static int set_counter_offset(struct vm *vm, struct err *err)
{
	struct arm_counter_offset arg = { .offset = vm->arch->options.counter_offset };

	if (vm->arch->options.has_offset && ioctl(vm->fd, ARM_SET_COUNTER_OFFSET, &arg))
		return err_set(err, errno, "--counter-offset: %s", strerror(errno));
	return 0;
}

int arch_vcpus_ready(struct vm *vm, struct err *err)
{
	const struct arm_options *o = &vm->arch->options;
	int rc;

	if (vm->config.hvt)
		return 0;
	rc = arm_gic_ready(vm, err);
	if (!rc)
		rc = set_counter_offset(vm, err);
	for (unsigned int i = 0; !rc && i < vm->n_vcpus; i++) {
		if (o->pmu)
			rc = start_pmu(&vm->vcpus[i], err);
		if (!rc && o->pvtime)
			rc = start_pvtime(&vm->vcpus[i], err);
	}
	return rc;
}

/*
 * An access outside of RAM by an instruction that the processor does not decode for us (a pair, a
 * write-back): no device can serve it, so the guest gets the abort of an address where nothing is.
 */
static void abort_access(struct vcpu *vcpu)
{
	struct kvm_vcpu_events events = { .exception.ext_dabt_pending = 1 };

	if (ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events))
		vm_end(vcpu->vm, VERDICT_KVM, 0);
	log_guest(&vcpu->vm->config.log, &vcpu->vm->complaints,
		  "vCPU %u: an access to 0x%llx that can't be emulated", vcpu->id,
		  (unsigned long long)vcpu->run->arm_nisv.fault_ipa);
}

bool arch_vcpu_exit(struct vcpu *vcpu)
{
	if (vcpu->run->exit_reason != KVM_EXIT_ARM_NISV)
		return false;
	abort_access(vcpu);
	return true;
}

/* ---- For people ---- */

static void dump_code(struct vcpu *vcpu, uint64_t pc, const struct log *log)
{
	const uint8_t *code = mem_at(&vcpu->vm->mem, pc, 8, MEM_R);

	/*
	 * A virtual address can't be followed without the guest's tables; at boot it is physical.
	 */
	if (code)
		log_at(log, LOG_ERROR, "  code at pc: %08x %08x", get_le32(code),
		       get_le32(code + 4));
}

/* x0 to x30, three to a line. */
static void dump_general(struct vcpu *vcpu, const struct log *log)
{
	char line[80] = "";
	int at = 0;

	for (unsigned int i = 0; i < 31; i++) {
		uint64_t v = 0;

		arm_get_reg(vcpu->fd, ARM_CORE_REG(regs.regs[i]), &v);
		at += snprintf(line + at, sizeof(line) - (size_t)at, " x%-2u %016llx", i,
			       (unsigned long long)v);
		if (i % 3 == 2 || i == 30) {
			log_at(log, LOG_ERROR, " %s", line);
			at = 0;
		}
	}
}

void arch_vcpu_dump(struct vcpu *vcpu, const struct log *log)
{
	static const struct {
		const char *name;
		uint64_t id;
	} special[] = {
		{ "pstate", ARM_CORE_REG(regs.pstate) },
		{ "sp_el1", ARM_CORE_REG(sp_el1) },
		{ "elr_el1", ARM_CORE_REG(elr_el1) },
		{ "esr_el1", ARM64_SYS_REG(3, 0, 5, 2, 0) },
		{ "far_el1", ARM64_SYS_REG(3, 0, 6, 0, 0) },
		{ "sctlr", ARM64_SYS_REG(3, 0, 1, 0, 0) },
		{ "vbar_el1", ARM64_SYS_REG(3, 0, 12, 0, 0) },
	};
	uint64_t pc = 0, v = 0;

	if (arm_get_reg(vcpu->fd, ARM_CORE_REG(regs.pc), &pc))
		return;
	log_at(log, LOG_ERROR, "  pc %016llx", (unsigned long long)pc);
	dump_general(vcpu, log);
	for (unsigned int i = 0; i < ARRAY_SIZE(special); i++) {
		if (!arm_get_reg(vcpu->fd, special[i].id, &v))
			log_at(log, LOG_ERROR, "  %-8s %016llx", special[i].name,
			       (unsigned long long)v);
	}
	dump_code(vcpu, pc, log);
}
