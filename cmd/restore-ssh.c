/* SPDX-License-Identifier: MIT */
/*
 * A guest that comes by ssh stays when ssh has gone. ssh goes when what its server has started has ended, and nobody
 * has its streams any more; else it, and who reads what the source prints, would stay as long as the guest. So that is
 * a process which only waits until the guest has come, or will not, and the guest is its child's.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/restore.h"
#include "vm/verdict.h"

static _Noreturn void wait_for_guest(int fd, pid_t child)
{
	char byte;
	int status = 0;

	close(STDIN_FILENO);
	close(STDOUT_FILENO);
	if (read(fd, &byte, 1) == 1)
		_exit(0);
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		_exit(STATUS_HOST_FAILED);
	_exit(WEXITSTATUS(status));
}

int restore_part_from_ssh(const char *from)
{
	int fds[2];
	pid_t child;

	if (strcmp(from, "-") || !getenv("SSH_CONNECTION") || isatty(STDERR_FILENO) ||
	    pipe2(fds, O_CLOEXEC))
		return -1;
	child = fork();
	if (child > 0) {
		close(fds[1]);
		wait_for_guest(fds[0], child);
	}
	close(fds[0]);
	if (!child)
		return fds[1];
	close(fds[1]);
	return -1;
}

/* A file that it has been given to print to keeps its words. */
void restore_let_ssh_go(int fd)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct stat st;
	ssize_t rc;

	if (null >= 0 && !fstat(STDERR_FILENO, &st) &&
	    (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)))
		dup2(null, STDERR_FILENO);
	if (null >= 0)
		close(null);
	rc = write(fd, "", 1);
	(void)rc; /* nobody waits: as good */
	close(fd);
}
