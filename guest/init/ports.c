/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "guest/init/init.h"

#define CLASS "/sys/class/virtio-ports"
#define APPEAR_MS 10000
#define CONNECT_MS 1000

/* ---- Ports ---- */

static bool has_name(const char *port, const char *name)
{
	char path[320], text[64];

	snprintf(path, sizeof(path), CLASS "/%s/name", port);
	read_file(path, text, sizeof(text));
	text[strcspn(text, "\n")] = 0;
	return !strcmp(text, name);
}

/* An open fd, or -1: not yet. */
static int try_open(const char *name)
{
	char path[320];
	DIR *d = opendir(CLASS);
	struct dirent *e;
	int fd = -1;

	while (d && fd < 0 && (e = readdir(d))) {
		if (e->d_name[0] == '.' || !has_name(e->d_name, name))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", e->d_name);
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			make_nodes();
	}
	if (d)
		closedir(d);
	return fd;
}

static int explain(const char *name, struct exec_failed *why)
{
	if (access("/sys/bus/virtio", F_OK))
		return refuse(why, 0, "the kernel has no virtio (CONFIG_VIRTIO_PCI, VIRTIO_MMIO)");
	if (access(CLASS, F_OK))
		return refuse(why, 0, "the kernel has no virtio console (CONFIG_VIRTIO_CONSOLE)");
	return refuse(why, 0,
		      "no port %s: does the kernel find lkvm's devices (CONFIG_VIRTIO_PCI, "
		      "CONFIG_VIRTIO_MMIO)?",
		      name);
}

/*
 * A port whose host's side is closed looks as one at its end. lkvm opens its side before the name can
 * be read here; others do it after that.
 */
static void wait_for_host(int fd)
{
	uint64_t end = now_ms() + CONNECT_MS;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	while (poll(&p, 1, 0) > 0 && (p.revents & POLLHUP) && now_ms() < end)
		sleep_ms(1);
}

int port_open(const char *name, bool connected, struct exec_failed *why)
{
	uint64_t end = now_ms() + APPEAR_MS;
	int fd;

	while ((fd = try_open(name)) < 0) {
		if (now_ms() > end)
			return explain(name, why);
		sleep_ms(1);
	}
	if (connected)
		wait_for_host(fd);
	return fd;
}

/* ---- Messages ---- */

static void send_all(struct control *c, const uint8_t *p, size_t len)
{
	struct pollfd poll_fd = { .fd = c->fd, .events = POLLOUT };

	while (len) {
		ssize_t n = write(c->fd, p, len);

		if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENOMEM)
			return;
		if (n < 0) {
			usleep(errno == ENOMEM ? 1000 : 0);
			if (poll(&poll_fd, 1, -1) > 0 && (poll_fd.revents & POLLHUP))
				return;
			continue;
		}
		p += n;
		len -= (size_t)n;
	}
}

void control_send(struct control *c, uint32_t type, const void *data, uint32_t len)
{
	uint8_t buf[sizeof(struct exec_message) + EXEC_MESSAGE_MAX];
	struct exec_message m = { type, len };

	if (c->fd < 0 || len > EXEC_MESSAGE_MAX)
		return;
	memcpy(buf, &m, sizeof(m));
	if (len)
		memcpy(buf + sizeof(m), data, len);
	send_all(c, buf, sizeof(m) + len);
}

static void hear_nothing_more(struct control *c)
{
	close(c->fd);
	c->fd = -1;
}

bool control_take(struct control *c, struct exec_message *m, void *data)
{
	size_t whole;

	if (c->fd >= 0 && c->len < sizeof(c->buf)) {
		ssize_t n = read(c->fd, c->buf + c->len, sizeof(c->buf) - c->len);

		if (!n || (n < 0 && errno != EAGAIN && errno != EINTR))
			hear_nothing_more(c);
		c->len += n > 0 ? (size_t)n : 0;
	}
	if (c->len < sizeof(*m))
		return false;
	memcpy(m, c->buf, sizeof(*m));
	if (m->len > EXEC_MESSAGE_MAX) {
		c->len = 0;
		return false;
	}
	whole = sizeof(*m) + m->len;
	if (c->len < whole)
		return false;
	memcpy(data, c->buf + sizeof(*m), m->len);
	memmove(c->buf, c->buf + whole, c->len - whole);
	c->len -= whole;
	return true;
}
