/* SPDX-License-Identifier: MIT */
/* The root's own init, in our place: as if the kernel had mounted that root and started it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/init/init.h"

#define CONSOLE_MS 1000

/* Its driver may have been among the modules: then the kernel had none to give us, and it takes a moment. */
static void open_console(void)
{
	uint64_t end = now_ms() + CONSOLE_MS;
	int fd = open("/dev/console", O_RDWR | O_CLOEXEC);

	while (fd < 0 && !isatty(STDIN_FILENO) && now_ms() < end) {
		sleep_ms(5);
		fd = open("/dev/console", O_RDWR | O_CLOEXEC);
	}
	for (int i = 0; fd >= 0 && i < 3; i++)
		dup2(fd, i);
	if (fd > 2)
		close(fd);
}

/* Nothing of what main() has set for itself. */
static void be_fresh(void)
{
	sigset_t none;

	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	umask(022);
}

int boot(const struct order *o, char *argv[], struct exec_failed *why)
{
	const char *name = o->boot[0];
	int error = ENOENT;

	if (enter_root(o, why) || mount_host(o, why))
		return -1;
	open_console();
	be_fresh();
	for (const char **file = o->boot; *file; file++) {
		argv[0] = (char *)*file;
		execv(*file, argv);
		if (errno == ENOENT)
			continue;
		error = errno;
		name = *file;
	}
	return refuse(why, error, "the root's own init, %s", name);
}
