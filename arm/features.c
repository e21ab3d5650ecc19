/* SPDX-License-Identifier: MIT */
#include "arm/arm.h"

const struct arm_feature arm_features[ARM_FEATURES] = {
	[ARM_HAS_32BIT] = { KVM_CAP_ARM_EL1_32BIT, "ARM_EL1_32BIT", "32-bit EL1",
			    "32-bit guests (--aarch32)", "the processor's EL1 is 64-bit only" },
	[ARM_HAS_PMU] = { KVM_CAP_ARM_PMU_V3, "ARM_PMU_V3", "PMU", "perf in the guest (--pmu)",
			  "CONFIG_ARM_PMUV3 (CONFIG_HW_PERF_EVENTS before 6.4), and a pmu node in "
			  "the device tree" },
	[ARM_HAS_SVE] = { KVM_CAP_ARM_SVE, "ARM_SVE", "SVE", "scalable vectors (--sve-max-vl)",
			  "the processor has none, or CONFIG_ARM64_SVE is off" },
	[ARM_HAS_PTRAUTH] = { KVM_CAP_ARM_PTRAUTH_ADDRESS, "ARM_PTRAUTH_ADDRESS", "pointer auth",
			      "signed return addresses",
			      "the processor has none, or CONFIG_ARM64_PTR_AUTH is off" },
	[ARM_HAS_MTE] = { KVM_CAP_ARM_MTE, "ARM_MTE", "MTE", "memory tagging (--mte)",
			  "the processor has none, or CONFIG_ARM64_MTE is off" },
	[ARM_HAS_EL2] = { ARM_CAP_EL2, "ARM_EL2", "nested EL2", "guests with KVM (--nested)",
			  "Linux 6.16, a processor with FEAT_NV2 and kvm-arm.mode=nested" },
	[ARM_HAS_STEAL_TIME] = { KVM_CAP_STEAL_TIME, "STEAL_TIME", "stolen time",
				 "time that the host took (--no-pvtime)",
				 "CONFIG_SCHED_INFO (by CONFIG_SCHEDSTATS or "
				 "CONFIG_TASK_DELAY_ACCT)" },
	[ARM_HAS_OFFSET] = { ARM_CAP_COUNTER_OFFSET, "COUNTER_OFFSET", "counter offset",
			     "--counter-offset", "Linux 6.4" },
};
