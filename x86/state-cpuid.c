/* SPDX-License-Identifier: MIT */
/*
 * The processor as the guest knows it goes with the guest. What the new host's KVM can't give is refused by
 * name before the guest runs into it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "util/util.h"
#include "vm/kvm.h"
#include "x86/state.h"
#include "x86/x86.h"

enum { EAX, EBX, ECX, EDX };

/* Where features are, a bit each; `ours`: what KVM or lkvm adds by itself. */
static const struct feature_word {
	uint32_t leaf, index;
	int reg;
	uint32_t ours;
} words[] = {
	{ 1, 0, ECX, 1u << 31 | 1u << 27 | 1u << 24 }, /* a hypervisor; OSXSAVE; TSC deadline */
	{ 1, 0, EDX, 1u << 28 | 1u << 9 },	       /* several CPUs; an APIC */
	{ 7, 0, EBX, 0 },
	{ 7, 0, ECX, 1u << 4 }, /* OSPKE */
	{ 7, 0, EDX, 0 },
	{ 7, 1, EAX, 0 },
	{ 0xd, 0, EAX, 0 },
	{ 0xd, 1, EAX, 0 },
	{ 0x80000001, 0, ECX, 1u << 1 }, /* several CPUs */
	{ 0x80000001, 0, EDX, 1u << 9 },
	{ 0x80000008, 0, EBX, 0 },
};

/* Those that a person would look for. */
static const struct {
	uint32_t leaf;
	int reg, bit;
	const char *name;
} names[] = {
	{ 1, ECX, 12, "FMA" },
	{ 1, ECX, 20, "SSE4.2" },
	{ 1, ECX, 25, "AES" },
	{ 1, ECX, 26, "XSAVE" },
	{ 1, ECX, 28, "AVX" },
	{ 1, ECX, 30, "RDRAND" },
	{ 1, ECX, 5, "VMX" },
	{ 1, ECX, 21, "x2APIC" },
	{ 7, EBX, 5, "AVX2" },
	{ 7, EBX, 16, "AVX-512F" },
	{ 7, EBX, 18, "RDSEED" },
	{ 7, EBX, 29, "SHA" },
	{ 7, EBX, 8, "BMI2" },
	{ 7, ECX, 2, "UMIP" },
	{ 7, ECX, 3, "PKU" },
	{ 7, EDX, 24, "AMX-TILE" },
	{ 7, EDX, 26, "SPEC_CTRL" },
	{ 0x80000001, ECX, 2, "SVM" },
	{ 0x80000001, EDX, 26, "1 GiB pages" },
};

static uint32_t reg_of(const struct kvm_cpuid_entry2 *e, int reg)
{
	const uint32_t regs[] = { e->eax, e->ebx, e->ecx, e->edx };

	return regs[reg];
}

static uint32_t word_of(const struct kvm_cpuid2 *t, const struct feature_word *w)
{
	for (uint32_t i = 0; i < t->nent; i++) {
		if (t->entries[i].function == w->leaf && t->entries[i].index == w->index)
			return reg_of(&t->entries[i], w->reg);
	}
	return 0;
}

static int refuse(const struct feature_word *w, int bit, struct err *err)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++) {
		if (names[i].leaf == w->leaf && names[i].reg == w->reg && names[i].bit == bit &&
		    !w->index)
			return err_set(
				err, ENOTSUP,
				"the guest uses a processor with %s, which this host has not",
				names[i].name);
	}
	return err_set(
		err, ENOTSUP,
		"the guest uses a processor with bit %d of E%cX in CPUID leaf 0x%x.%u, which "
		"this host has not",
		bit, "ABCD"[w->reg], w -> leaf, w -> index);
}

static int read_own(const struct vcpu *vcpu, struct kvm_cpuid2 *t, struct err *err)
{
	return ioctl(vcpu->fd, KVM_GET_CPUID2, t)
		       ? err_set(err, errno, "KVM_GET_CPUID2 of vCPU %u: %s", vcpu->id,
				 strerror(errno))
		       : 0;
}

/* What this host has is what KVM says, and what it gave this vCPU when it was made: some KVMs add to that. */
static int check(struct vcpu *vcpu, const struct kvm_cpuid2 *guest, struct err *err)
{
	struct kvm_cpuid2 *here = x86_cpuid_alloc();
	int rc = here ? x86_cpuid_ask(vcpu->vm, err) : err_set(err, ENOMEM, "no memory for CPUID");

	if (!rc)
		rc = read_own(vcpu, here, err);
	for (unsigned int i = 0; !rc && i < ARRAY_SIZE(words); i++) {
		const struct feature_word *w = &words[i];
		uint32_t has = word_of(vcpu->vm->arch->cpuid, w) | word_of(here, w) | w->ours;

		if (word_of(guest, w) & ~has)
			rc = refuse(w, __builtin_ctz(word_of(guest, w) & ~has), err);
	}
	free(here);
	return rc;
}

int x86_cpuid_save(struct vcpu *vcpu, struct buf *out, struct err *err)
{
	struct kvm_cpuid2 *t = x86_cpuid_alloc();
	int rc;

	if (!t)
		return err_set(err, ENOMEM, "no memory for CPUID");
	rc = read_own(vcpu, t, err);
	if (!rc)
		x86_put_part(out, t->entries, t->nent * sizeof(t->entries[0]));
	free(t);
	return rc;
}

int x86_cpuid_restore(struct vcpu *vcpu, struct reader *in, struct err *err)
{
	size_t size;
	const void *part = x86_next_part(in, 0, X86_CPUID_ENTRIES * sizeof(struct kvm_cpuid_entry2),
					 &size);
	struct kvm_cpuid2 *t;
	int rc;

	if (!part || size % sizeof(t->entries[0]))
		return err_set(err, EINVAL, "CPUID: damaged");
	t = x86_cpuid_alloc();
	if (!t)
		return err_set(err, ENOMEM, "no memory for CPUID");
	memcpy(t->entries, part, size);
	t->nent = (uint32_t)(size / sizeof(t->entries[0]));
	rc = check(vcpu, t, err);
	if (!rc && ioctl(vcpu->fd, KVM_SET_CPUID2, t))
		rc = err_set(err, errno == EINVAL ? ENOTSUP : errno,
			     "KVM_SET_CPUID2 of vCPU %u: %s", vcpu->id, strerror(errno));
	free(t);
	return rc;
}
