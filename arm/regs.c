/* SPDX-License-Identifier: MIT */
/* KVM's attributes of devices and vCPUs, and a vCPU's registers, one at a time. */
#include <errno.h>
#include <sys/ioctl.h>

#include "arm/arm.h"

int arm_set_attr(int fd, uint32_t group, uint64_t attr, void *value)
{
	struct kvm_device_attr arg = { .group = group, .attr = attr, .addr = (uintptr_t)value };

	return ioctl(fd, KVM_SET_DEVICE_ATTR, &arg) ? -errno : 0;
}

int arm_get_attr(int fd, uint32_t group, uint64_t attr, void *value)
{
	struct kvm_device_attr arg = { .group = group, .attr = attr, .addr = (uintptr_t)value };

	return ioctl(fd, KVM_GET_DEVICE_ATTR, &arg) ? -errno : 0;
}

bool arm_has_attr(int fd, uint32_t group, uint64_t attr)
{
	struct kvm_device_attr arg = { .group = group, .attr = attr };

	return !ioctl(fd, KVM_HAS_DEVICE_ATTR, &arg);
}

int arm_get_reg(int vcpu_fd, uint64_t id, uint64_t *value)
{
	struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t)value };

	return ioctl(vcpu_fd, KVM_GET_ONE_REG, &reg) ? -errno : 0;
}

int arm_set_reg(int vcpu_fd, uint64_t id, uint64_t value)
{
	struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t)&value };

	return ioctl(vcpu_fd, KVM_SET_ONE_REG, &reg) ? -errno : 0;
}
