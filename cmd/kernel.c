/* SPDX-License-Identifier: MIT */
/* Which kernel is meant when none is named: the one just built here, else the one that runs. And where its tree is. */
#include <stdio.h>
#include <string.h>
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

bool kernel_tree(const char *kernel, char tree[PATH_MAX])
{
	const char *slash = strrchr(kernel, '/'), *name = slash ? slash + 1 : kernel;
	const char *end = strcmp(name, "vmlinux") ? NULL : name;

	for (const char *p = kernel; (p = strstr(p, "arch/")); p++) {
		if (p == kernel || p[-1] == '/')
			end = p;
	}
	return end && snprintf(tree, PATH_MAX, "%.*s", (int)(end - kernel), kernel) < PATH_MAX;
}
