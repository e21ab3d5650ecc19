/* SPDX-License-Identifier: MIT */
/*
 * The socket's life. First the machine's loop watches it, which has no time for more than to start the thread
 * that does everything else: a command may pause the VM, and that loop must run on for vCPUs to get there.
 */
#include "control/control.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "control/parts.h"
#include "util/util.h"

#define REST 10000 /* us: before the next try to accept, where descriptors are short */

void control_version(struct control *c, struct json *j, const char *name)
{
	unsigned int major = 0, minor = 0;
	char package[96];

	if (sscanf(c->config.version, "%u.%u", &major, &minor) != 2)
		major = minor = 0;
	snprintf(package, sizeof(package), "lkvm %s (Kindling)", c->config.version);
	json_object(j, name);
	json_object(j, "qemu");
	json_int(j, "major", major);
	json_int(j, "minor", minor);
	json_int(j, "micro", 0);
	json_end_object(j);
	json_string(j, "package", package);
	json_end_object(j);
}

/* ---- Events ---- */

void control_event(struct control *c, const char *name,
		   void (*data)(struct json *j, const void *opaque), const void *opaque)
{
	struct buf b = { 0 };
	struct json j = { .out = &b, .line = true };
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	json_object(&j, NULL);
	json_object(&j, "timestamp");
	json_int(&j, "seconds", now.tv_sec);
	json_int(&j, "microseconds", now.tv_nsec / 1000);
	json_end_object(&j);
	json_string(&j, "event", name);
	if (data) {
		json_object(&j, "data");
		data(&j, opaque);
		json_end_object(&j);
	}
	json_end_object(&j);
	for (unsigned int i = 0; i < CONTROL_CLIENTS; i++) {
		if (c->clients[i] && client_negotiated(c->clients[i]))
			client_send(c->clients[i], &b);
	}
	buf_free(&b);
}

static void panicked(struct json *j, const void *opaque)
{
	(void)opaque;
	json_string(j, "action", "run");
}

void control_ended_by(struct json *j, const void *opaque)
{
	const char *reason = opaque;

	json_bool(j, "guest", strncmp(reason, "guest", 5) == 0);
	json_string(j, "reason", reason);
}

/* Has the verdict this reason, and was it not told of before? */
static bool is_new(struct control *c, enum verdict_reason reason)
{
	uint32_t bit = 1u << reason & atomic_load(&c->vm->verdict.reasons);
	bool is = bit & ~c->told;

	c->told |= bit;
	return is;
}

static void tell_reasons(struct control *c)
{
	if (is_new(c, VERDICT_PANIC))
		control_event(c, "GUEST_PANICKED", panicked, NULL);
	if (is_new(c, VERDICT_RESET))
		control_event(c, "RESET", control_ended_by, "guest-reset");
	control_tell_migration(c);
}

static void reasons_ready(void *opaque, uint32_t events)
{
	struct control *c = opaque;
	uint64_t count;

	(void)events;
	if (read(c->event_fd, &count, sizeof(count)) == sizeof(count))
		tell_reasons(c);
}

/* In a signal handler perhaps. */
static void reason_added(void *opaque)
{
	struct control *c = opaque;
	uint64_t one = 1;
	int saved = errno;
	ssize_t rc = write(c->event_fd, &one, sizeof(one));

	(void)rc; /* a full counter is as good */
	errno = saved;
}

/* ---- Clients ---- */

static bool is_welcome(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) &&
	       (peer.uid == geteuid() || !peer.uid);
}

static void connected(void *opaque, uint32_t events)
{
	struct control *c = opaque;
	int fd = uds_accept(&c->listener);
	unsigned int i = 0;

	(void)events;
	if (fd < 0) {
		if (fd != -EAGAIN && fd != -ECONNABORTED && fd != -EINTR)
			usleep(REST);
		return;
	}
	if (!is_welcome(fd)) {
		close(fd);
		return;
	}
	client_make_room(c);
	while (c->clients[i])
		i++;
	c->clients[i] = client_create(c, fd);
}

/* On the machine's loop, once. */
static void first_connected(void *opaque, uint32_t events)
{
	struct control *c = opaque;
	int rc;

	(void)events;
	loop_remove(machine_loop(c->config.machine), c->first);
	c->loop = loop_create("lkvm-control");
	if (!c->loop)
		return;
	c->serving = true;
	rc = loop_add(c->loop, c->event_fd, EPOLLIN, reasons_ready, c, &c->events);
	if (!rc)
		rc = loop_add(c->loop, c->listener.fd, EPOLLIN, connected, c, &c->accepts);
	if (rc)
		log_at(&c->vm->config.log, LOG_WARNING, "the control socket is not served: %s",
		       strerror(-rc));
}

/* ---- Life ---- */

static int listen_first(struct control *c)
{
	return loop_add(machine_loop(c->config.machine), c->listener.fd, EPOLLIN, first_connected,
			c, &c->first);
}

static int open_socket(struct control *c, struct err *err)
{
	int rc;

	if (snprintf(c->path, sizeof(c->path), "%s/control", c->dir.path) >= (int)sizeof(c->path))
		return err_set(err, ENAMETOOLONG, "%s is too long for a socket's path",
			       c->dir.path);
	if (c->config.heir) {
		rc = uds_adopt(&c->listener, c->path, CONTROL_FD_LISTENER);
		rc = rc ? err_set(err, -rc, "%s: %s", c->path, strerror(-rc)) : 0;
	} else {
		rc = uds_listen(&c->listener, c->path, err);
	}
	if (rc)
		c->listener.fd = -1;
	if (rc)
		return rc;
	c->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (c->event_fd < 0)
		return err_set(err, errno, "eventfd: %s", strerror(errno));
	/* Till then clients are the affair of who has the guest. */
	rc = c->config.heir ? 0 : listen_first(c);
	if (rc)
		return err_set(err, -rc, "the control socket: %s", strerror(-rc));
	c->vm->verdict.told_opaque = c;
	c->vm->verdict.told = reason_added;
	return 0;
}

int control_create(const struct control_config *config, struct control **out, struct err *err)
{
	struct control *c = calloc(1, sizeof(*c));
	int rc;

	*out = NULL;
	if (!c)
		return err_set(err, ENOMEM, "no memory for the control socket");
	c->config = *config;
	c->vm = machine_vm(config->machine);
	c->listener.fd = c->event_fd = -1;
	c->settings = machine_settings(config->machine);
	rc = config->heir ? rundir_adopt(&c->dir, config->name, CONTROL_FD_LOCK, err)
			  : rundir_make(&c->dir, config->name, err);
	if (!rc)
		rc = open_socket(c, err);
	if (rc)
		control_destroy(c);
	else
		*out = c;
	return rc;
}

static const char *how_it_ended(const struct control *c)
{
	switch (verdict_reason(&c->vm->verdict)) {
	case VERDICT_SIGNAL:
		return c->ended ? c->ended : "host-signal";
	case VERDICT_MOVED:
		return "host-qmp-quit";
	case VERDICT_HOST:
	case VERDICT_TIMEOUT:
		return "host-error";
	case VERDICT_PANIC:
		return "guest-panic";
	case VERDICT_RESET:
	case VERDICT_TRIPLE_FAULT:
		return "guest-reset";
	default:
		return "guest-shutdown";
	}
}

/* Not before the guest has come, and not when it is gone. */
static bool is_ours(const struct control *c)
{
	return !c->handed_on && (!c->config.heir || machine_has_come(c->settings));
}

static void remove_dir(struct control *c)
{
	if (is_ours(c))
		rundir_remove(&c->dir);
	else
		rundir_leave(&c->dir);
}

static void say_end(void *opaque)
{
	struct control *c = opaque;

	tell_reasons(c);
	control_event(c, "SHUTDOWN", control_ended_by, how_it_ended(c));
	for (unsigned int i = 0; i < CONTROL_CLIENTS; i++) {
		if (c->clients[i])
			client_destroy(c->clients[i]);
	}
	loop_remove(c->loop, c->accepts);
	loop_remove(c->loop, c->events);
}

void control_ended(struct control *c)
{
	if (!c || c->listener.fd < 0)
		return;
	loop_remove(machine_loop(c->config.machine), c->first);
	control_end_job(c);
	if (c->serving)
		loop_call(c->loop, say_end, c);
	if (c->loop)
		loop_destroy(c->loop);
	c->loop = NULL;
	c->serving = false;
	if (is_ours(c))
		uds_close(&c->listener);
	else
		uds_leave(&c->listener);
	c->listener.fd = -1;
}

void control_come(struct control *c)
{
	int rc = c ? listen_first(c) : 0;

	if (rc)
		log_at(&c->vm->config.log, LOG_WARNING, "the control socket is not served: %s",
		       strerror(-rc));
	if (c)
		rundir_own(&c->dir);
}

void control_hand_on(struct control *c)
{
	if (!c)
		return;
	c->handed_on = true;
	rundir_leave(&c->dir);
}

void control_destroy(struct control *c)
{
	if (!c)
		return;
	control_ended(c);
	if (c->event_fd >= 0)
		close(c->event_fd);
	control_end_migration(c);
	remove_dir(c);
	free(c);
}

void control_leave(struct control *c)
{
	if (c)
		remove_dir(c);
}
