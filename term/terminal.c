/* SPDX-License-Identifier: MIT */
#include "term/terminal.h"

#include <errno.h>
#include <stdatomic.h>
#include <termios.h>
#include <unistd.h>

/* What terminal_restore() needs; a signal handler can't be handed a pointer. */
static struct {
	int fd;
	struct termios saved;
	atomic_bool active; /* lock-free, so good for handlers, on whichever thread they run */
	atomic_bool lent;
} terminal;

bool terminal_in_foreground(int fd)
{
	return tcgetpgrp(fd) == getpgrp();
}

void terminal_make_raw(int fd)
{
	struct termios now, raw;

	if (tcgetattr(fd, &now))
		return;
	raw = now;
	cfmakeraw(&raw);
	raw.c_oflag = now.c_oflag;
	if (raw.c_lflag == now.c_lflag && raw.c_iflag == now.c_iflag && raw.c_cflag == now.c_cflag)
		return;
	atomic_store(&terminal.active, false);
	terminal.fd = fd;
	terminal.saved = now;
	atomic_store(&terminal.active, true);
	tcsetattr(fd, TCSANOW, &raw);
}

/* In the background the terminal belongs to another job (and to touch it would stop this one). */
void terminal_restore(void)
{
	int saved_errno = errno;

	if (atomic_load(&terminal.active) && !atomic_load(&terminal.lent) &&
	    terminal_in_foreground(terminal.fd) && atomic_exchange(&terminal.active, false))
		tcsetattr(terminal.fd, TCSANOW, &terminal.saved);
	errno = saved_errno;
}

void terminal_lend(bool lent)
{
	atomic_store(&terminal.lent, lent);
}

bool terminal_size(int out, int in, struct winsize *window)
{
	if (ioctl(out, TIOCGWINSZ, window) && ioctl(in, TIOCGWINSZ, window))
		return false;
	return window->ws_col && window->ws_row;
}
