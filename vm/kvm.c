/* SPDX-License-Identifier: MIT */
#include "vm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vm/arch.h"

static int open_error(const char *path, int code, struct err *err)
{
	if (strcmp(path, KVM_DEFAULT_DEV))
		return err_set(err, code, "cannot open %s: %s", path, strerror(code));
	switch (code) {
	case ENOENT:
		return err_set(err, code, "%s is missing: %s", path, arch_kvm_hint);
	case EACCES:
	case EPERM:
		return err_set(
			err, code,
			"no permission for %s: join its group (usermod -aG kvm $USER, then log in "
			"again); if ls -l shows no group kvm, root must chgrp kvm and chmod 660 it",
			path);
	case ENODEV:
	case ENXIO:
		return err_set(err, code, "%s has no driver behind it: %s", path, arch_kvm_hint);
	default:
		return err_set(err, code, "cannot open %s: %s", path, strerror(code));
	}
}

int kvm_open(const char *path, struct err *err)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	int version;

	if (fd < 0)
		return open_error(path, errno, err);
	version = ioctl(fd, KVM_GET_API_VERSION, 0);
	if (version == KVM_API_VERSION)
		return fd;
	close(fd);
	if (version < 0)
		return err_set(err, ENOTTY, "%s is not KVM; give its device node with --dev", path);
	return err_set(err, EPROTO, "%s speaks KVM API %d, not %d: the host's kernel is too old",
		       path, version, KVM_API_VERSION);
}

int kvm_cap(int fd, int cap)
{
	int rc = ioctl(fd, KVM_CHECK_EXTENSION, cap);

	return rc < 0 ? 0 : rc;
}
