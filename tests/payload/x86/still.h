/* SPDX-License-Identifier: MIT */
/* Of two saved states of a machine on x86 that stands still: what goes on all the same is zeroed. */
#ifndef TESTS_PAYLOAD_X86_STILL_H
#define TESTS_PAYLOAD_X86_STILL_H

#include <linux/kvm.h>
#include <string.h>

#include "state/stream.h"
#include "util/util.h"

#define LAPIC_CURRENT 0x390 /* what is left of the timer's count */
/* Made of TPR and ISR whenever it is looked at; KVM_SET_LAPIC makes it before it knows that a vector is in service. */
#define LAPIC_PRIORITY 0xa0
#define MSR_TSC 0x10
#define MSR_REFERENCE_COUNT 0x40000020 /* Hyper-V's, which runs for who does not ask for it, too */
#define MSR_RUNTIME 0x40000010	       /* the same */
#define MSR_SYSENTER_ESP 0x175	       /* KVM's SVM keeps 32 bits of these two, QEMU's 64 */
#define MSR_SYSENTER_EIP 0x176
#define TSC_OFFSET 8 /* of a vCPU: where two clocks that are read one after the other put it */
#define TSC_HEAD 16

/* A part whose fields go on with time between two saves: they are zeroed. */
static inline void still_part(uint8_t *p, size_t size)
{
	if (size == sizeof(struct kvm_lapic_state)) {
		put_le32(p + LAPIC_CURRENT, 0);
		put_le32(p + LAPIC_PRIORITY, 0);
	} else if (size == sizeof(struct kvm_clock_data)) {
		memset(p, 0, size);
	} else if (size == sizeof(struct kvm_pit_state2)) {
		struct kvm_pit_state2 *pit = (struct kvm_pit_state2 *)p;

		for (unsigned int i = 0; i < ARRAY_SIZE(pit->channels); i++)
			pit->channels[i].count_load_time = 0;
	}
}

static inline void still_msrs(uint8_t *p, size_t size)
{
	for (size_t at = 0; at + 16 <= size; at += 16) {
		uint32_t msr = get_le32(p + at);

		if (msr == MSR_TSC || msr == MSR_REFERENCE_COUNT || msr == MSR_RUNTIME)
			put_le64(p + at + 8, 0);
		if (msr == MSR_SYSENTER_ESP || msr == MSR_SYSENTER_EIP)
			put_le32(p + at + 12, 0);
	}
}

/* A section of the port's own, whose parts begin at `at`. */
static inline void still(const struct saved *s, const char *name, unsigned int instance, size_t at)
{
	const struct saved_section *section = saved_find(s, name, instance);
	uint8_t *p = section ? (uint8_t *)section->body.p : NULL;
	size_t left = section ? section->body.left : 0, before = 0;

	while (at + 4 <= left && get_le32(p + at) <= left - at - 4) {
		size_t size = get_le32(p + at);

		if (before == sizeof(struct kvm_lapic_state))
			still_msrs(p + at + 4, size);
		else
			still_part(p + at + 4, size);
		before = size;
		at += 4 + size;
	}
}

static inline void still_vcpu(const struct saved *s, unsigned int cpu)
{
	const struct saved_section *vcpu = saved_find(s, "vcpu", cpu);

	if (vcpu && vcpu->body.left >= TSC_HEAD)
		put_le64((uint8_t *)vcpu->body.p + TSC_OFFSET, 0);
	still(s, "vcpu", cpu, TSC_HEAD);
}

static inline void still_all(const struct saved *s, unsigned int cpus)
{
	for (unsigned int i = 0; i < cpus; i++)
		still_vcpu(s, i);
	still(s, "vm", 0, 0);
	still(s, "vm", 0, 4 + sizeof(struct kvm_clock_data) + 9); /* behind small registers */
}

#endif
