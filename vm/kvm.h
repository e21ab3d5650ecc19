/* SPDX-License-Identifier: MIT */
/*
 * /dev/kvm, judged by its API version and capabilities and never by CPUID: KVM exists on hosts that
 * show neither vmx nor svm.
 */
#ifndef VM_KVM_H
#define VM_KVM_H

#include "util/log.h"

#define KVM_DEFAULT_DEV "/dev/kvm"

/* An fd, close-on-exec, or -errno with a line that says what is wrong and how to mend it. */
int kvm_open(const char *path, struct err *err);

/* KVM_CHECK_EXTENSION on /dev/kvm or a VM: 0 when absent. */
int kvm_cap(int fd, int cap);

#endif
