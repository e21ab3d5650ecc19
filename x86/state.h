/* SPDX-License-Identifier: MIT */
/*
 * What the files of x86's saved state share. Each part is a length, 32 bits, and as many bytes; the structs
 * are KVM's own, which are its ABI and so stay what they are.
 */
#ifndef X86_STATE_H
#define X86_STATE_H

#include "util/buf.h"
#include "util/log.h"
#include "vm/vm.h"

void x86_put_part(struct buf *out, const void *data, size_t size);

/* -EINVAL: the next part is of another size, or there is none. */
int x86_take_part(struct reader *in, void *data, size_t size);

/* The next part where it lies: NULL if there is none, or its size is not within these limits. */
const void *x86_next_part(struct reader *in, size_t least, size_t most, size_t *size);

/* x86/state-cpuid.c: the processor that the guest sees; -ENOTSUP names what this host has not. */
int x86_cpuid_save(struct vcpu *vcpu, struct buf *out, struct err *err);
int x86_cpuid_restore(struct vcpu *vcpu, struct reader *in, struct err *err);

/* x86/state-msrs.c: the MSRs of KVM's own list, in its order. */
int x86_msrs_save(struct vcpu *vcpu, struct buf *out, struct err *err);
int x86_msrs_restore(struct vcpu *vcpu, struct reader *in, struct err *err);

#endif
