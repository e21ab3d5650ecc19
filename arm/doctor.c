/* SPDX-License-Identifier: MIT */
/* What `lkvm doctor` tells of an Arm host: for each thing that is missing, what would bring it. */
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "arm/arm.h"
#include "util/util.h"
#include "vm/kvm.h"

static void line(const char *name, bool has, const char *what, const char *lack)
{
	printf("  %-16s %-4s %s%s%s\n", name, has ? "yes" : "no", what, has ? "" : ": ",
	       has ? "" : lack);
}

/* Returns 1 when there is none at all. */
static int report_gic(int vm_fd)
{
	bool v2 = arm_gic_offered(vm_fd, KVM_DEV_TYPE_ARM_VGIC_V2);
	bool v3 = arm_gic_offered(vm_fd, KVM_DEV_TYPE_ARM_VGIC_V3);

	line("GICv3", v3, "interrupts, any number of vCPUs",
	     "the board has a GICv2, or its device tree hides the GICv3's virtual interface");
	line("GICv3 ITS", arm_gic_offered(vm_fd, KVM_DEV_TYPE_ARM_VGIC_ITS),
	     "PCI message interrupts",
	     "it comes with a GICv3, where the kernel has CONFIG_ARM_GIC_V3_ITS");
	line("GICv2", v2, "interrupts, up to 8 vCPUs",
	     "the board's GICv3 can't show itself as a GICv2");
	if (v2 || v3)
		return 0;
	puts("  KVM offers no interrupt controller: the kernel must be entered at EL2, and its\n"
	     "  device tree give the GIC's virtual interface (GICH and GICV, or the maintenance\n"
	     "  interrupt).");
	return 1;
}

/* The longest SVE vector, in bits; 0: not told. */
static unsigned int sve_bits(int vm_fd, int vcpu_fd)
{
	struct kvm_vcpu_init init = { 0 };
	uint64_t lengths[KVM_ARM64_SVE_VLS_WORDS] = { 0 };
	struct kvm_one_reg reg = { .id = KVM_REG_ARM64_SVE_VLS, .addr = (uintptr_t)lengths };

	if (ioctl(vm_fd, KVM_ARM_PREFERRED_TARGET, &init))
		return 0;
	init.features[0] |= 1u << KVM_ARM_VCPU_SVE;
	if (ioctl(vcpu_fd, KVM_ARM_VCPU_INIT, &init) || ioctl(vcpu_fd, KVM_GET_ONE_REG, &reg))
		return 0;
	return lengths[0] ? 128 * (64 - (unsigned int)__builtin_clzll(lengths[0])) : 0;
}

static void report_features(int vm_fd, int vcpu_fd)
{
	line("timers",
	     arm_has_attr(vcpu_fd, KVM_ARM_VCPU_TIMER_CTRL, KVM_ARM_VCPU_TIMER_IRQ_VTIMER),
	     "architected, virtual and physical", "Linux 4.13 tells of them");
	for (unsigned int i = 0; i < ARM_FEATURES; i++) {
		const struct arm_feature *f = &arm_features[i];

		line(f->name, kvm_cap(vm_fd, f->cap), f->what, f->lack);
		if (i == ARM_HAS_SVE && kvm_cap(vm_fd, f->cap))
			printf("  %-16s %-4u bits, the longest\n", "SVE vectors",
			       sve_bits(vm_fd, vcpu_fd));
	}
}

static int report(int vm_fd)
{
	int vcpu_fd = ioctl(vm_fd, KVM_CREATE_VCPU, 0ul);
	int missing = report_gic(vm_fd);

	if (vcpu_fd < 0) {
		printf("  KVM can't make a vCPU: %s\n", strerror(errno));
		return missing + 1;
	}
	report_features(vm_fd, vcpu_fd);
	close(vcpu_fd);
	return missing;
}

int arch_doctor(int kvm_fd)
{
	int limit = kvm_cap(kvm_fd, KVM_CAP_ARM_VM_IPA_SIZE);
	int fd, missing;

	do {
		fd = ioctl(kvm_fd, KVM_CREATE_VM, (unsigned long)KVM_VM_TYPE_ARM_IPA_SIZE(limit));
	} while (fd < 0 && errno == EINTR);
	if (fd < 0) {
		printf("  KVM can't make a VM: %s\n", strerror(errno));
		return 1;
	}
	printf("  %-16s %-4d bits of guest-physical addresses\n", "IPA size", limit ? limit : 40);
	missing = report(fd);
	close(fd);
	return missing;
}
