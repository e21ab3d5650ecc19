/* SPDX-License-Identifier: MIT */
/*
 * CPUID: what KVM supports, patched for each vCPU. The machine is one package of N cores, one
 * thread each, and a vCPU's APIC ID is its index. A guest that finds another CPU's APIC ID in its
 * leaves corrupts its own memory, so every leaf that carries one is set. (Intel SDM 2A, CPUID; AMD
 * APM 3, appendix E.)
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "util/util.h"
#include "vm/kvm.h"
#include "x86/x86.h"

#define ENTRIES X86_CPUID_ENTRIES

#define LEAF_KVM 0x40000000u
#define LEAF_FREQUENCY 0x40000010u /* EAX: TSC in kHz, EBX: local APIC timer in kHz */
#define LAPIC_KHZ 1000000u	   /* KVM's APIC bus ticks each nanosecond */

struct kvm_cpuid2 *x86_cpuid_alloc(void)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + ENTRIES * sizeof(struct kvm_cpuid_entry2));

	if (c)
		c->nent = ENTRIES;
	return c;
}

int x86_cpuid_ask(struct vm *vm, struct err *err)
{
	if (vm->arch->cpuid)
		return 0;
	vm->arch->cpuid = x86_cpuid_alloc();
	if (!vm->arch->cpuid)
		return err_set(err, ENOMEM, "no memory for CPUID");
	if (ioctl(vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, vm->arch->cpuid))
		return err_set(err, errno, "KVM_GET_SUPPORTED_CPUID: %s", strerror(errno));
	return 0;
}

/* Bits that an APIC ID needs below the package: enough for `cpus` cores. */
static uint32_t core_bits(uint32_t cpus)
{
	return cpus > 1 ? 32 - (uint32_t)__builtin_clz(cpus - 1) : 0;
}

static void patch_features(struct kvm_cpuid_entry2 *e, uint32_t id, uint32_t cpus, bool deadline)
{
	uint32_t ids = MIN(1u << core_bits(cpus), 255u);

	e->ebx = (e->ebx & 0xffff) | ids << 16 | id << 24;
	e->ecx &= ~(1u << 3); /* MONITOR: an exit at best */
	e->ecx |= 1u << 31;   /* a hypervisor is present */
	if (deadline)
		e->ecx |= 1u << 24;
	e->edx &= ~(1u << 28);
	if (cpus > 1)
		e->edx |= 1u << 28;
}

/* Cache leaves (4 and 0x8000001d): the last level is shared by all cores, the others by none. */
static void patch_cache(struct kvm_cpuid_entry2 *e, uint32_t cpus)
{
	uint32_t level = e->eax >> 5 & 7;
	uint32_t sharing = level >= 3 ? (1u << core_bits(cpus)) - 1 : 0;

	if (!(e->eax & 0x1f))
		return;
	e->eax = (e->eax & 0x3fff) | MIN(sharing, 0xfffu) << 14;
	if (e->function == 4)
		e->eax |= MIN((1u << core_bits(cpus)) - 1, 63u) << 26;
}

static void patch(struct kvm_cpuid_entry2 *e, uint32_t id, uint32_t cpus, bool deadline)
{
	switch (e->function) {
	case 1:
		patch_features(e, id, cpus, deadline);
		break;
	case 4:
	case 0x8000001d:
		patch_cache(e, cpus);
		break;
	case LEAF_KVM:
		e->eax = MAX(e->eax, LEAF_FREQUENCY);
		break;
	case 0x80000001:
		e->ecx &= ~2u; /* AMD: "threads are really cores", when there are several */
		if (cpus > 1)
			e->ecx |= 2;
		break;
	case 0x80000008:
		e->ecx = (e->ecx & ~0xf0ffu) | MIN(cpus - 1, 255u) | core_bits(cpus) << 12;
		break;
	case 0x8000001e:
		e->eax = id;
		e->ebx = id & 0xff; /* its own core, one thread in it */
		e->ecx = 0;	    /* one node */
		break;
	}
}

static void append(struct kvm_cpuid2 *c, struct kvm_cpuid_entry2 entry)
{
	if (c->nent < ENTRIES)
		c->entries[c->nent++] = entry;
}

/* Leaves 0xb and 0x1f: one thread a core, all cores in the package, then the end. */
static void append_topology(struct kvm_cpuid2 *c, uint32_t leaf, uint32_t id, uint32_t cpus)
{
	const struct kvm_cpuid_entry2 levels[] = {
		{ .eax = 0, .ebx = 1, .ecx = 1 << 8 },
		{ .eax = core_bits(cpus), .ebx = cpus, .ecx = 2 << 8 | 1 },
		{ .ecx = 2 },
	};

	for (uint32_t i = 0; i < ARRAY_SIZE(levels); i++) {
		struct kvm_cpuid_entry2 e = levels[i];

		e.function = leaf;
		e.index = i;
		e.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
		e.edx = id;
		append(c, e);
	}
}

/* Copies all but the leaves that are written anew. */
static void filter(struct kvm_cpuid2 *to, const struct kvm_cpuid2 *from, bool *has_b, bool *has_1f)
{
	to->nent = 0;
	for (uint32_t i = 0; i < from->nent; i++) {
		uint32_t leaf = from->entries[i].function;

		*has_b |= leaf == 0xb;
		*has_1f |= leaf == 0x1f;
		if (leaf != 0xb && leaf != 0x1f && leaf != LEAF_FREQUENCY)
			append(to, from->entries[i]);
	}
}

static int set(struct vcpu *vcpu, struct err *err)
{
	struct vm *vm = vcpu->vm;
	struct kvm_cpuid2 *c = x86_cpuid_alloc();
	bool deadline = kvm_cap(vm->kvm_fd, KVM_CAP_TSC_DEADLINE_TIMER);
	int khz = ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0);
	bool has_b = false, has_1f = false;
	int rc = 0;

	if (!c)
		return err_set(err, ENOMEM, "no memory for CPUID");
	filter(c, vm->arch->cpuid, &has_b, &has_1f);
	for (uint32_t i = 0; i < c->nent; i++)
		patch(&c->entries[i], vcpu->id, vm->config.cpus, deadline);
	if (has_b)
		append_topology(c, 0xb, vcpu->id, vm->config.cpus);
	if (has_1f)
		append_topology(c, 0x1f, vcpu->id, vm->config.cpus);
	if (khz > 0)
		append(c, (struct kvm_cpuid_entry2){ .function = LEAF_FREQUENCY,
						     .eax = (uint32_t)khz,
						     .ebx = LAPIC_KHZ });
	if (ioctl(vcpu->fd, KVM_SET_CPUID2, c))
		rc = err_set(err, errno, "KVM_SET_CPUID2 of vCPU %u: %s", vcpu->id,
			     strerror(errno));
	free(c);
	return rc;
}

int x86_cpuid_set(struct vcpu *vcpu, struct err *err)
{
	int rc = x86_cpuid_ask(vcpu->vm, err);

	return rc ? rc : set(vcpu, err);
}
