/* SPDX-License-Identifier: MIT */
/* A guest that was paused is told so by its kvmclock: Linux then blames no CPU for the time that it lost. */
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "tests/payload/guests.h"

#define MSR_SYSTEM_TIME 0x4b564d01u
#define FLAGS 29 /* of its 32 bytes (Documentation/virt/kvm/x86/msr.rst) */
#define GUEST_STOPPED 2

static const uint8_t *flags(struct vm *vm)
{
	union {
		struct kvm_msrs msrs;
		uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
	} m = { .msrs.nmsrs = 1 };
	uint64_t gpa;

	m.msrs.entries[0].index = MSR_SYSTEM_TIME;
	if (ioctl(vm->vcpus[0].fd, KVM_GET_MSRS, &m) != 1)
		return NULL;
	gpa = m.msrs.entries[0].data & ~1ull;
	return mem_at(&vm->mem, gpa + FLAGS, 1, MEM_R);
}

int main(void)
{
	const char *build = getenv("KINDLING_BUILD");
	char image[4096];
	const uint8_t *there;
	pthread_t t;
	struct run r;
	struct vm *vm;

	snprintf(image, sizeof(image), "%s/payload/state.elf", build ? build : "build");
	set_up(&r, NULL, "");
	r.config.image.kernel = image;
	r.config.vm.not_linux = true; /* it ends by a debug exit */
	if (!create(&r))
		return done_testing();
	vm = machine_vm(r.m);
	pthread_create(&t, NULL, run_main, &r);
	wait_lines(&r, 1);
	ok(!vm_pause(vm), "a guest is paused");
	there = flags(vm);
	ok(there && !(*there & GUEST_STOPPED), "it has a kvmclock, and was not stopped before");
	vm_resume(vm);
	wait_lines(&r, 1);
	ok(there && *there & GUEST_STOPPED, "it is told that it was");
	pthread_join(t, NULL);
	ok(r.status == 0, "and goes on: %d", r.status);
	machine_destroy(r.m);
	return done_testing();
}
