/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "guest/init/init.h"

#define NOT_FOUND 127 /* as shells have it */
#define NOT_RUN 126

/* ---- Its streams ---- */

static int open_pty(const struct order *o, struct child *c, struct exec_failed *why)
{
	struct winsize size = { .ws_row = o->rows, .ws_col = o->columns };
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);

	if (master < 0)
		return refuse(why, errno, "no terminal for the command (CONFIG_UNIX98_PTYS)");
	if (unlockpt(master) ||
	    (c->slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0)
		return refuse(why, errno, "no terminal for the command");
	ioctl(master, TIOCSWINSZ, &size);
	if (fchown(c->slave, o->uid, (gid_t)-1) || fchmod(c->slave, 0620))
		return refuse(why, errno, "the command's terminal");
	c->in = master;
	c->out = fcntl(master, F_DUPFD_CLOEXEC, 0);
	c->err = -1;
	return 0;
}

/* Ours doesn't block, the command's does. */
static int open_pipe(int *ours, int *its, bool ours_reads)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return -1;
	*ours = fds[!ours_reads];
	*its = fds[ours_reads];
	return fcntl(*ours, F_SETFL, O_NONBLOCK);
}

/* The command's user may open /dev/stdout and the like anew. */
static void give_to(const struct order *o, const int fds[3])
{
	for (int i = 0; i < 3; i++) {
		if (fchown(fds[i], o->uid, o->gid))
			return;
	}
}

/* ---- In its process, until it is the command ---- */

/* A status would say more than is known: init is told by a byte. */
static void unless_unread(int unread, int error)
{
	if (error == EIO && write(unread, "", 1) == 1)
		_exit(NOT_RUN);
}

static void no_command(const char *name, int error, int unread)
{
	const char *what = error == ENOENT && !strchr(name, '/') ? "command not found"
			   : error == ENOENT			 ? "No such file or directory"
			   : error == EISDIR			 ? "Is a directory"
			   : error == ELIBBAD			 ? "its interpreter is not there"
			   : error == ENOEXEC ? "a program that this kernel can't run: is it for "
						"another processor?"
					      : strerror(error);

	unless_unread(unread, error);
	dprintf(STDERR_FILENO, "lkvm: %s: %s\n", *name ? name : "''", what);
	_exit(error == ENOENT || error == ENOTDIR ? NOT_FOUND : NOT_RUN);
}

static void no_start(const char *what)
{
	dprintf(STDERR_FILENO, "lkvm: %s: %s\n", what, strerror(errno));
	_exit(NOT_RUN);
}

static void become_user(const struct order *o)
{
	if (setgroups(o->n_groups, o->groups) && errno != ENOSYS)
		no_start("setgroups");
	if (setgid(o->gid))
		no_start("setgid");
	if (setuid(o->uid))
		no_start("setuid");
}

static void become_command(const struct order *o, const int fds[3], bool tty, int unread)
{
	struct rlimit files = { 1024, 1 << 20 };
	sigset_t none;

	setsid();
	if (tty)
		ioctl(fds[0], TIOCSCTTY, 0);
	/* Through numbers above, as any of them may be 0, 1 or 2 already. */
	for (int i = 0, high[3]; i < 6; i++) {
		if (i < 3)
			high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 10);
		else
			dup2(high[i - 3], i - 3);
	}
	setrlimit(RLIMIT_NOFILE, &files);
	umask(022);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	become_user(o);
	if (chdir(o->cwd)) {
		unless_unread(unread, errno);
		no_start(o->cwd);
	}
	no_command(o->args[0], path_exec(o->args, o->env), unread);
}

/* ---- In init ---- */

int child_start(const struct order *o, struct child *c, struct exec_failed *why)
{
	int fds[3], unread;

	*c = (struct child){ .in = -1, .out = -1, .err = -1, .slave = -1, .unread = -1 };
	if (o->tty) {
		if (open_pty(o, c, why))
			return -1;
		fds[0] = fds[1] = fds[2] = c->slave;
	} else {
		if (open_pipe(&c->in, &fds[0], false) || open_pipe(&c->out, &fds[1], true) ||
		    open_pipe(&c->err, &fds[2], true))
			return refuse(why, errno, "no pipes for the command");
		give_to(o, fds);
	}
	if (open_pipe(&c->unread, &unread, true))
		return refuse(why, errno, "no pipes for the command");
	c->pid = fork();
	if (!c->pid)
		become_command(o, fds, o->tty, unread);
	close(unread);
	if (c->pid < 0)
		return refuse(why, errno, "no process for the command");
	for (int i = 0; !o->tty && i < 3; i++)
		close(fds[i]);
	return 0;
}

int child_could_start(const struct order *o, struct child *c, struct exec_failed *why)
{
	char byte;
	bool told = read(c->unread, &byte, 1) == 1;

	close(c->unread);
	return told ? refuse(why, EIO, "reading %s", o->args[0]) : 0;
}
