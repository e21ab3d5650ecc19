/* SPDX-License-Identifier: MIT */
/*
 * Between the command and lkvm. A pump moves bytes from one fd to another, through a buffer of its
 * own, and waits for the one only while the buffer is empty, for the other only while it is not: so
 * a slow reader stops who writes, and nothing else.
 *
 *	lkvm.stdin  -> pipe		the command that closes its end closes the port, too
 *	pipe -> lkvm.stdout		lkvm that closes its end lets the command have its SIGPIPE
 *	pipe -> lkvm.stderr
 *
 * or, with a tty, lkvm.tty -> pty -> lkvm.tty.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "guest/init/init.h"

#define PUMP 32768 /* what the driver takes at once */

/* ---- One pump ---- */

struct pump {
	int from, to; /* owned; -1: it has ended */
	size_t at, len;
	uint64_t moved;
	uint8_t buf[PUMP];
};

static void pump_end(struct pump *p)
{
	if (p->from >= 0)
		close(p->from);
	if (p->to >= 0)
		close(p->to);
	p->from = p->to = -1;
	p->len = 0;
}

/* `dry`: nothing comes any more but what is there. */
static void pump_fill(struct pump *p, bool dry)
{
	ssize_t n = read(p->from, p->buf, sizeof(p->buf));

	if (n < 0 && (errno == EINTR || (errno == EAGAIN && !dry)))
		return;
	if (n <= 0) { /* EIO is a pty's end */
		pump_end(p);
		return;
	}
	p->at = 0;
	p->len = (size_t)n;
}

/* (A kernel under test may have no memory for a port's buffer: it will have some again.) */
static void pump_empty(struct pump *p)
{
	ssize_t n = write(p->to, p->buf + p->at, p->len);

	if (n < 0 && errno == ENOMEM)
		usleep(1000);
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		pump_end(p);
	if (n < 0)
		return;
	p->moved += (uint64_t)n;
	p->at += (size_t)n;
	p->len -= (size_t)n;
}

/* A negative fd is none. What it is to is always watched, for its end. */
static void pump_watch(const struct pump *p, struct pollfd fds[2])
{
	fds[0] = (struct pollfd){ .fd = p->len ? -1 : p->from, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = p->to, .events = p->len ? POLLOUT : 0 };
}

static void pump_turn(struct pump *p, const struct pollfd fds[2], bool dry)
{
	if (fds[1].revents & (POLLERR | POLLHUP))
		pump_end(p);
	if (p->from >= 0 && !p->len && (fds[0].revents || dry))
		pump_fill(p, dry);
	if (p->len)
		pump_empty(p);
}

/* ---- All of them ---- */

enum { IN, OUT, ERR, PUMPS };

struct relay {
	struct pump pumps[PUMPS];
	struct control *control;
	int pid;   /* the command's, and its process group's */
	int slave; /* of its pty */
	int chld;
	bool dead;
	uint32_t status;
};

/* It has no group before it has come to its setsid(). */
static void tell_command(const struct relay *r, int sig)
{
	if (kill(-r->pid, sig) && errno == ESRCH)
		kill(r->pid, sig);
}

static void obey(struct relay *r)
{
	struct exec_message m;
	uint8_t data[EXEC_MESSAGE_MAX];

	while (control_take(r->control, &m, data)) {
		uint16_t size[2];
		uint32_t sig;

		if (m.type == EXEC_SIGNAL && m.len == sizeof(sig) && !r->dead) {
			memcpy(&sig, data, sizeof(sig));
			tell_command(r, (int)sig);
		} else if (m.type == EXEC_WINDOW && m.len == sizeof(size) && r->slave >= 0) {
			memcpy(size, data, sizeof(size));
			ioctl(r->slave, TIOCSWINSZ,
			      &(struct winsize){ .ws_row = size[0], .ws_col = size[1] });
		}
	}
}

static uint32_t shell_status(int status)
{
	return WIFSIGNALED(status) ? 128 + (uint32_t)WTERMSIG(status)
				   : (uint32_t)WEXITSTATUS(status);
}

/*
 * Everybody's orphans are ours. With the command goes what it has left behind: what those have
 * written until now counts, and none of them may keep its streams open.
 */
static void reap(struct relay *r)
{
	struct signalfd_siginfo ignored[8];
	int status;
	pid_t pid;

	while (read(r->chld, ignored, sizeof(ignored)) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != r->pid)
			continue;
		r->dead = true;
		r->status = shell_status(status);
		kill(-1, SIGKILL);
		pump_end(&r->pumps[IN]);
		if (r->slave >= 0)
			close(r->slave);
		r->slave = -1;
	}
}

static void turn(struct relay *r)
{
	struct pollfd fds[2 * PUMPS + 2];
	bool dry = r->dead, waiting = !dry;

	for (int i = 0; i < PUMPS; i++) {
		pump_watch(&r->pumps[i], fds + 2 * i);
		waiting |= r->pumps[i].len;
	}
	fds[2 * PUMPS] = (struct pollfd){ .fd = r->chld, .events = POLLIN };
	fds[2 * PUMPS + 1] = (struct pollfd){ .fd = r->control->fd, .events = POLLIN };
	if (poll(fds, 2 * PUMPS + 2, waiting ? -1 : 0) < 0)
		return;
	for (int i = 0; i < PUMPS; i++)
		pump_turn(&r->pumps[i], fds + 2 * i, dry);
	if (fds[2 * PUMPS + 1].revents)
		obey(r);
	if (fds[2 * PUMPS].revents)
		reap(r);
}

/* ---- From outside ---- */

int streams_open(const struct order *o, struct streams *s, struct exec_failed *why)
{
	*s = (struct streams){ -1, -1, -1 };
	if (o->tty) {
		s->in = port_open(EXEC_PORT_TTY, true, why);
		s->out = s->in < 0 ? -1 : fcntl(s->in, F_DUPFD_CLOEXEC, 0);
		return s->in < 0 ? -1 : 0;
	}
	s->in = port_open(EXEC_PORT_STDIN, false, why);
	s->out = s->in < 0 ? -1 : port_open(EXEC_PORT_STDOUT, true, why);
	s->err = s->out < 0 ? -1 : port_open(EXEC_PORT_STDERR, true, why);
	return s->err < 0 ? -1 : 0;
}

void relay(const struct child *child, const struct streams *s, struct control *control, int chld,
	   struct exec_exited *end)
{
	struct relay r = {
		.control = control, .pid = child->pid, .slave = child->slave, .chld = chld
	};

	r.pumps[IN].from = s->in;
	r.pumps[IN].to = child->in;
	r.pumps[OUT].from = child->out;
	r.pumps[OUT].to = s->out;
	r.pumps[ERR].from = child->err;
	r.pumps[ERR].to = s->err;
	while (!r.dead || r.pumps[OUT].from >= 0 || r.pumps[ERR].from >= 0)
		turn(&r);
	*end = (struct exec_exited){ .status = r.status,
				     .out = r.pumps[OUT].moved,
				     .err = r.pumps[ERR].moved };
}
