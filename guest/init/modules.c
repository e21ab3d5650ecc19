/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest/init/init.h"

static int insert(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc = 0;

	if (fd < 0)
		return errno;
	if (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST)
		rc = errno;
	close(fd);
	return rc;
}

int insert_modules(const struct order *o, struct exec_failed *why)
{
	for (const char **m = o->modules; *m; m++) {
		const char *slash = strrchr(*m, '/');
		int rc = insert(*m);

		if (rc == ENOSYS)
			return refuse(why, 0, "the kernel takes no modules (CONFIG_MODULES)");
		if (rc == ENOEXEC)
			return refuse(why, 0, "%s is not for this kernel: its log says why",
				      slash + 1);
		if (rc)
			return refuse(why, rc, "module %s", slash + 1);
		unlink(*m); /* its memory is the command's */
	}
	return 0;
}
