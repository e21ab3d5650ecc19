/* SPDX-License-Identifier: MIT */
#include "guest/init/init.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REAP_MS 3000   /* for those that were killed: one in the kernel's hands may stay */
#define ACK_MS 3600000 /* lkvm may wait long for who reads its output; while it lives, so do we */

int refuse(struct exec_failed *why, int error, const char *fmt, ...)
{
	va_list ap;

	memset(why, 0, sizeof(*why));
	why->error = (uint32_t)error;
	va_start(ap, fmt);
	vsnprintf(why->text, sizeof(why->text), fmt, ap);
	va_end(ap);
	return -1;
}

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void sleep_ms(unsigned int ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000l };

	nanosleep(&t, NULL);
}

/* ---- The order ---- */

static char *read_order(size_t *len)
{
	int fd = open(EXEC_ORDER, O_RDONLY | O_CLOEXEC);
	char *text = NULL;
	struct stat st;
	ssize_t n = -1;

	if (fd >= 0 && !fstat(fd, &st))
		text = malloc((size_t)st.st_size + 1);
	if (text)
		n = read(fd, text, (size_t)st.st_size);
	if (fd >= 0)
		close(fd);
	*len = n > 0 ? (size_t)n : 0;
	return text;
}

static int take_order(struct order *o, struct exec_failed *why)
{
	const char *bad;
	size_t len;
	char *text = read_order(&len);
	int rc;

	if (!text)
		return refuse(why, errno, EXEC_ORDER);
	rc = order_parse(text, len, o, &bad);
	if (rc)
		return refuse(why, -rc, "the order \"%.80s\"", bad);
	return 0;
}

/* ---- Words to lkvm ---- */

static void say_hello(struct control *c)
{
	struct exec_hello hello = { .version = EXEC_VERSION };
	struct utsname uts;

	uname(&uts);
	strncpy(hello.release, uts.release, sizeof(hello.release) - 1);
	control_send(c, EXEC_HELLO, &hello, sizeof(hello));
}

static void wait_for_ack(struct control *c)
{
	uint64_t end = now_ms() + ACK_MS;
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	struct exec_message m;
	uint8_t data[EXEC_MESSAGE_MAX];

	while (c->fd >= 0 && now_ms() < end) {
		while (control_take(c, &m, data)) {
			if (m.type == EXEC_ACK)
				return;
		}
		poll(&p, 1, 1000);
	}
}

/* Where there is no port: the kernel's log, and then the death of process 1, which is a panic. */
static void cry(const struct exec_failed *why)
{
	char line[sizeof(why->text) + 128];
	int len = snprintf(line, sizeof(line), "<2>lkvm-init: %s%s%s\n", why->text,
			   why->error ? ": " : "", why->error ? strerror((int)why->error) : "");
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, line, (size_t)len) < 0)
		dprintf(STDERR_FILENO, "%s", line + 3);
	sleep_ms(100); /* a console may be slow */
	exit(1);
}

static void report_failure(struct control *c, const struct exec_failed *why)
{
	struct exec_failed ignored;

	if (c->fd < 0)
		c->fd = port_open(EXEC_PORT_CONTROL, true, &ignored);
	if (c->fd < 0)
		cry(why);
	control_send(c, EXEC_FAILED, why, sizeof(*why));
}

/* ---- The end ---- */

/* The command is dead: nothing that it left behind may write on. */
static void end_others(void)
{
	uint64_t end = now_ms() + REAP_MS;

	kill(-1, SIGKILL);
	while (now_ms() < end) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);

		if (pid < 0 && errno == ECHILD)
			return;
		if (!pid)
			sleep_ms(1);
	}
}

static void power_off(struct control *c)
{
	wait_for_ack(c);
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

/* ---- The story ---- */

/* As far as lkvm's ear. */
static int begin(struct order *o, struct control *c, struct exec_failed *why)
{
	if (mount_first(why) || take_order(o, why) || insert_modules(o, why))
		return -1;
	c->fd = port_open(EXEC_PORT_CONTROL, true, why);
	if (c->fd < 0)
		return -1;
	say_hello(c);
	return 0;
}

static int make_home(const struct order *o, struct exec_failed *why)
{
	struct stat st;

	write_file("/proc/sys/kernel/sysrq", "1");
	if (enter_root(o, why))
		return -1;
	mount_rest(o);
	if (mount_shares(o, why))
		return -1;
	if (o->hostname)
		sethostname(o->hostname, strlen(o->hostname));
	net_up();
	if (stat(o->cwd, &st) || !S_ISDIR(st.st_mode))
		return refuse(why, 0, "no folder %s in the guest's root", o->cwd);
	return 0;
}

static int run(const struct order *o, struct control *c, int chld, struct exec_exited *end,
	       struct exec_failed *why)
{
	struct streams streams;
	struct child child;

	if (streams_open(o, &streams, why) || child_start(o, &child, why))
		return -1;
	control_send(c, EXEC_STARTED, NULL, 0);
	relay(&child, &streams, c, chld, end);
	return child_could_start(o, &child, why);
}

/* Its end is asked for where the others wait. */
static int watch_children(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int main(void)
{
	struct control control = { .fd = -1 };
	struct exec_exited end = { 0 };
	struct exec_failed why = { 0 };
	struct order order;
	int chld = watch_children();
	int rc;

	umask(0); /* what is made here has the mode that is said */
	rc = begin(&order, &control, &why);
	if (!rc)
		rc = make_home(&order, &why);
	if (!rc)
		rc = run(&order, &control, chld, &end, &why);
	if (rc)
		report_failure(&control, &why);
	end_others();
	leave_root();
	if (!rc)
		control_send(&control, EXEC_EXITED, &end, sizeof(end));
	power_off(&control);
}
