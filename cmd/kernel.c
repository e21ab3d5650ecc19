/* SPDX-License-Identifier: MIT */
/* Which kernel is meant when none is named: the one just built here, else the one that runs. */
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "vm/arch.h"

const char *kernel_find(char *buf, size_t size)
{
	struct utsname host;

	for (const char *const *p = arch_kernel_paths; *p; p++) {
		if (!access(*p, R_OK))
			return *p;
	}
	if (uname(&host))
		return NULL;
	snprintf(buf, size, "/boot/vmlinuz-%s", host.release);
	return access(buf, R_OK) ? NULL : buf;
}
