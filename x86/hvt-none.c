/* SPDX-License-Identifier: MIT */
/* In place of x86/hvt.c and x86/halt.c where Kconfig leaves Solo5's machine out (CONFIG_HVT). */
#include <errno.h>

#include "vm/arch.h"
#include "x86/x86.h"

int x86_hvt_create_vcpu(struct vcpu *vcpu, struct err *err)
{
	(void)vcpu;
	return err_set(err, ENOTSUP, "this lkvm was built without Solo5's machine (CONFIG_HVT)");
}

void x86_halted(struct vcpu *vcpu)
{
	vm_end(vcpu->vm, VERDICT_NONE, 0);
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
