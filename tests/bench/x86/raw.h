/* SPDX-License-Identifier: MIT */
/* KVM by plain ioctls, for what measures it: what fails ends the program. */
#ifndef TESTS_BENCH_X86_RAW_H
#define TESTS_BENCH_X86_RAW_H

#include <err.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

static inline int call(int fd, unsigned long request, void *arg, const char *what)
{
	int rc = ioctl(fd, request, arg);

	if (rc < 0)
		err(125, "%s", what);
	return rc;
}

/* Flat protected mode, which needs no page tables. */
static inline void set_flat(int vcpu)
{
	struct kvm_segment flat = { .limit = 0xffffffff,
				    .selector = 8,
				    .type = 11,
				    .present = 1,
				    .db = 1,
				    .s = 1,
				    .g = 1 };
	struct kvm_sregs sregs;

	call(vcpu, KVM_GET_SREGS, &sregs, "KVM_GET_SREGS");
	sregs.cs = flat;
	flat.type = 3;
	flat.selector = 0x10;
	sregs.ds = sregs.es = sregs.ss = flat;
	sregs.cr0 |= 1;
	call(vcpu, KVM_SET_SREGS, &sregs, "KVM_SET_SREGS");
}

#endif
