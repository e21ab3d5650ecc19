/* SPDX-License-Identifier: MIT */
/*
 * One vCPU: enter KVM, decode the exit, dispatch.
 *
 * Stopping a vCPU must not race with its way into KVM_RUN. The kicker first says what it wants
 * (vm->want), then sets immediate_exit and sends VM_KICK_SIGNAL. The vCPU clears immediate_exit
 * before it looks at `want`: a kick that came earlier is seen in `want`, one that comes later finds
 * immediate_exit again, or the signal, which is blocked everywhere but inside KVM_RUN, pending.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "util/util.h"
#include "vm/arch.h"
#include "vm/vm.h"

int vcpu_create(struct vm *vm, unsigned int id, struct err *err)
{
	struct vcpu *vcpu = &vm->vcpus[id];
	void *run;

	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)id);
	if (vcpu->fd < 0)
		return err_set(err, errno, "KVM cannot create vCPU %u: %s", id, strerror(errno));
	run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (run == MAP_FAILED)
		return err_set(err, errno, "cannot map the state of vCPU %u: %s", id,
			       strerror(errno));
	vcpu->run = run;
	return arch_vcpu_create(vcpu, err);
}

void vcpu_destroy(struct vcpu *vcpu)
{
	if (vcpu->fd < 0)
		return;
	arch_vcpu_destroy(vcpu);
	if (vcpu->run && !vcpu->vm->config.leaves_maps)
		munmap(vcpu->run, vcpu->vm->run_size);
	close(vcpu->fd);
	vcpu->fd = -1;
}

static void set_immediate_exit(struct vcpu *vcpu, uint8_t value)
{
	__atomic_store_n(&vcpu->run->immediate_exit, value, __ATOMIC_SEQ_CST);
}

void vcpu_kick(struct vcpu *vcpu)
{
	atomic_fetch_add(&vcpu->kickers, 1);
	if (atomic_load(&vcpu->kickable)) {
		set_immediate_exit(vcpu, 1);
		pthread_kill(vcpu->self, VM_KICK_SIGNAL);
	}
	atomic_fetch_sub(&vcpu->kickers, 1);
}

uint64_t vcpu_time(struct vcpu *vcpu)
{
	struct timespec used = { 0 };
	clockid_t clock;

	/* As long as a kicker is here the thread does not go. */
	atomic_fetch_add(&vcpu->kickers, 1);
	if (!atomic_load(&vcpu->kickable) || pthread_getcpuclockid(vcpu->self, &clock) ||
	    clock_gettime(clock, &used))
		used = (struct timespec){ 0 };
	atomic_fetch_sub(&vcpu->kickers, 1);
	return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}

/* Inside KVM_RUN the thread's own mask holds, less the kick and the port's tick. */
static int set_run_mask(struct vcpu *vcpu)
{
	union {
		struct kvm_signal_mask mask;
		uint8_t raw[sizeof(struct kvm_signal_mask) + 8];
	} arg = { .mask.len = 8 }; /* the kernel's sigset, not libc's */
	sigset_t set;

	pthread_sigmask(SIG_SETMASK, NULL, &set);
	sigdelset(&set, VM_KICK_SIGNAL);
	sigdelset(&set, VM_TICK_SIGNAL);
	memcpy(arg.mask.sigset, &set, 8);
	return ioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, &arg.mask) ? -errno : 0;
}

static sigset_t kick_set(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, VM_KICK_SIGNAL);
	return set;
}

static void consume(const sigset_t *set)
{
	const struct timespec now = { 0 };

	while (sigtimedwait(set, NULL, &now) > 0)
		;
}

static void consume_kick_and_tick(void)
{
	sigset_t set = kick_set();

	sigaddset(&set, VM_TICK_SIGNAL);
	consume(&set);
}

/*
 * From here on no kick comes. One on its way is waited for: it would meet the signal's default action in a
 * thread that has its own mask again, or a thread that is gone.
 */
static void end_kicks(struct vcpu *vcpu)
{
	atomic_store(&vcpu->kickable, false);
	while (atomic_load(&vcpu->kickers))
		sched_yield();
	consume_kick_and_tick();
}

static void system_event(struct vcpu *vcpu)
{
	switch (vcpu->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		vm_end(vcpu->vm, VERDICT_POWEROFF, 0);
		break;
	case KVM_SYSTEM_EVENT_RESET:
		vm_end(vcpu->vm, VERDICT_RESET, 0);
		break;
	default:
		vm_end(vcpu->vm, VERDICT_CRASH, 0);
	}
}

/* KVM gives up: say all that helps to see why, then end. */
static void give_up(struct vcpu *vcpu, const char *what, uint64_t detail)
{
	const struct log *log = &vcpu->vm->config.log;

	log_at(log, LOG_ERROR, "vCPU %u: %s (0x%llx)", vcpu->id, what, (unsigned long long)detail);
	if (mem_intact(&vcpu->vm->mem)) /* else there may be no code to show */
		arch_vcpu_dump(vcpu, log);
	vm_end(vcpu->vm, VERDICT_KVM, 0);
}

static void handle_exit(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_MMIO:
		bus_access(&vcpu->vm->mmio, run->mmio.phys_addr, run->mmio.data, run->mmio.len,
			   run->mmio.is_write);
		break;
	case KVM_EXIT_SHUTDOWN:
		vm_end(vcpu->vm, VERDICT_TRIPLE_FAULT, 0);
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		system_event(vcpu);
		break;
	case KVM_EXIT_INTR:
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		give_up(vcpu,
			run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION
				? "KVM cannot emulate the guest's instruction"
				: "KVM internal error",
			run->internal.suberror);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		give_up(vcpu, "the processor refuses to enter the guest",
			run->fail_entry.hardware_entry_failure_reason);
		break;
	default:
		if (!arch_vcpu_exit(vcpu))
			give_up(vcpu, "unexpected exit from KVM", run->exit_reason);
	}
}

/*
 * The result of an MMIO or I/O read is taken by KVM at the next KVM_RUN: enter and leave at once,
 * so that what is saved is a state between two instructions.
 */
static void complete_io(struct vcpu *vcpu)
{
	set_immediate_exit(vcpu, 1);
	/* One instruction may make several exits (string I/O): serve them all. */
	while (atomic_load(&vcpu->vm->want) != VM_END && !ioctl(vcpu->fd, KVM_RUN, 0))
		handle_exit(vcpu);
}

/*
 * Waits out a pause, for the kick that ends it: a condition variable could not be signalled from
 * the signal handler that may call vm_end(). A tick stays pending, for the KVM_RUN that follows: the port
 * hears of each.
 */
void vcpu_stand(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	const sigset_t set = kick_set();

	consume(&set);
	pthread_mutex_lock(&vm->lock);
	vm->parked++;
	pthread_cond_broadcast(&vm->changed);
	pthread_mutex_unlock(&vm->lock);
	while (atomic_load(&vm->want) == VM_PAUSE)
		sigwaitinfo(&set, NULL);
	pthread_mutex_lock(&vm->lock);
	vm->parked--;
	pthread_mutex_unlock(&vm->lock);
}

static void park(struct vcpu *vcpu)
{
	complete_io(vcpu);
	vcpu_stand(vcpu);
}

/* This thread alone writes it, so it costs no locked instruction. */
static void count_exit(struct vcpu *vcpu, uint32_t reason)
{
	_Atomic uint64_t *count = &vcpu->exits[MIN(reason, VCPU_EXITS - 1u)];

	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

static void run_once(struct vcpu *vcpu)
{
	if (!ioctl(vcpu->fd, KVM_RUN, 0)) {
		count_exit(vcpu, vcpu->run->exit_reason);
		handle_exit(vcpu);
	} else if (errno == EINTR || errno == EAGAIN) {
		count_exit(vcpu, KVM_EXIT_INTR);
		consume_kick_and_tick();
		arch_vcpu_interrupted(vcpu);
	} else {
		/* EFAULT: a page that the host may not write, or can't bring. */
		give_up(vcpu, errno == EFAULT ? "host/guest translation fault" : strerror(errno),
			(uint64_t)errno);
	}
}

void vcpu_loop(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	int want, rc;

	rc = set_run_mask(vcpu);
	if (rc) {
		log_at(&vm->config.log, LOG_ERROR, "KVM_SET_SIGNAL_MASK: %s", strerror(-rc));
		vm_end(vm, VERDICT_HOST, 0);
	}
	vcpu->self = pthread_self();
	atomic_store(&vcpu->tid, (int)syscall(SYS_gettid));
	atomic_store(&vcpu->kickable, true);
	arch_vcpu_begin(vcpu);
	for (;;) {
		set_immediate_exit(vcpu, 0);
		want = atomic_load(&vm->want);
		if (want == VM_END)
			break;
		if (want == VM_PAUSE)
			park(vcpu);
		else
			run_once(vcpu);
	}
	arch_vcpu_end(vcpu);
	end_kicks(vcpu);
}
