/* SPDX-License-Identifier: MIT */
/*
 * A Solo5 guest that halts.
 *
 * Its interface knows no interrupt, so nothing can wake it, and the run is over. But there is a local APIC
 * in KVM, though the guest never hears of it (x86/port.c says why), and so KVM lets a vCPU that halts sleep,
 * and tells nobody. A timer's signal interrupts KVM_RUN now and then, and KVM says whether it sleeps.
 *
 * The timer goes off once, and is set anew by the KVM_RUN that was interrupted: a guest that waits in a
 * hypercall, outside of KVM_RUN, is not woken for it.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"
#include "vm/kvm.h"
#include "x86/x86.h"

#ifndef sigev_notify_thread_id /* glibc before 2.38 */
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define LOOK_EVERY (200 * CLOCK_MS)

void x86_halted(struct vcpu *vcpu)
{
	if (vcpu->vm->config.hvt)
		log_at(&vcpu->vm->config.log, LOG_ERROR,
		       "the guest halts its processor, and has nothing that could wake it");
	vm_end(vcpu->vm, vcpu->vm->config.hvt ? VERDICT_FAULT : VERDICT_NONE, 0);
}

static void set_timer(const struct arch_vm *arch)
{
	const struct itimerspec when = { .it_value = clock_timespec(LOOK_EVERY) };

	timer_settime(arch->halt_timer, 0, &when, NULL);
}

/* Without a timer (they are counted for each user) it would run, and only sleep on at its end. */
void arch_vcpu_begin(struct vcpu *vcpu)
{
	struct arch_vm *arch = vcpu->vm->arch;
	struct sigevent event = {
		.sigev_notify = SIGEV_THREAD_ID,
		.sigev_signo = VM_TICK_SIGNAL,
	};

	if (!arch->sleeps_unseen)
		return;
	event.sigev_notify_thread_id = gettid();
	arch->has_halt_timer = !timer_create(CLOCK_MONOTONIC, &event, &arch->halt_timer);
	if (arch->has_halt_timer)
		set_timer(arch);
	else
		log_at(&vcpu->vm->config.log, LOG_WARNING,
		       "timer_create: %s: a guest that halts will not be noticed", strerror(errno));
}

void arch_vcpu_interrupted(struct vcpu *vcpu)
{
	struct arch_vm *arch = vcpu->vm->arch;
	struct kvm_mp_state state;

	if (!arch->has_halt_timer)
		return;
	if (!ioctl(vcpu->fd, KVM_GET_MP_STATE, &state) && state.mp_state == KVM_MP_STATE_HALTED)
		x86_halted(vcpu);
	else
		set_timer(arch);
}

void arch_vcpu_end(struct vcpu *vcpu)
{
	struct arch_vm *arch = vcpu->vm->arch;

	/* (Where there is none there may be other vCPUs, which look.) */
	if (!arch->has_halt_timer)
		return;
	timer_delete(arch->halt_timer);
	arch->has_halt_timer = false;
}
