/* SPDX-License-Identifier: MIT */
/*
 * Where a hypercall waits. The vCPU's thread has the kick blocked (vm/vcpu.c), so here it is read from a
 * signalfd, beside what is waited for; then vm->want tells what it was about.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "hvt/parts.h"
#include "util/clock.h"
#include "util/util.h"

static void host_failed(struct hvt *h, const char *what)
{
	log_at(&h->vm->config.log, LOG_ERROR, "%s: %s", what, strerror(errno));
	vm_end(h->vm, VERDICT_HOST, 0);
}

static bool open_kick(struct hvt *h)
{
	sigset_t set;

	if (h->kick_fd >= 0)
		return true;
	sigemptyset(&set);
	sigaddset(&set, VM_KICK_SIGNAL);
	h->kick_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (h->kick_fd < 0)
		host_failed(h, "signalfd");
	return h->kick_fd >= 0;
}

static bool poll_kick(struct hvt *h, struct pollfd *fds, unsigned int n)
{
	struct signalfd_siginfo kick;

	while (poll(fds, n, -1) < 0) {
		if (errno != EINTR) {
			host_failed(h, "poll");
			return false;
		}
	}
	/* One kick may be for what is over already. */
	while (fds[0].revents && read(h->kick_fd, &kick, sizeof(kick)) > 0)
		;
	return true;
}

/*
 * Until one of fds[1] to fds[n - 1] is ready, through pauses. The first of them is made the kick's. False: the
 * VM ends, if only as the host failed.
 */
static bool wait_for(struct hvt *h, struct pollfd *fds, unsigned int n)
{
	int ready = 0;

	if (!open_kick(h))
		return false;
	fds[0] = (struct pollfd){ h->kick_fd, POLLIN, 0 };
	while (!ready) {
		int want = atomic_load(&h->vm->want);

		if (want == VM_PAUSE)
			vcpu_stand(&h->vm->vcpus[0]);
		else if (want == VM_END || !poll_kick(h, fds, n))
			return false;
		for (unsigned int i = 1; i < n; i++)
			ready |= fds[i].revents;
	}
	return true;
}

/* ---- For the console ---- */

static bool open_room(struct hvt *h)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	if (fd < 0)
		host_failed(h, "eventfd");
	else
		atomic_store(&h->room_fd, fd);
	return fd >= 0;
}

bool hvt_wait_room(struct hvt *h)
{
	struct pollfd fds[2] = { { 0 }, { h->room_fd, POLLIN, 0 } };
	uint64_t count;

	/* Room that there was before nobody told us of: so it is tried before it is waited for. */
	if (h->room_fd < 0)
		return open_room(h);
	if (!wait_for(h, fds, ARRAY_SIZE(fds)))
		return false;
	return read(h->room_fd, &count, sizeof(count)) > 0 || errno == EAGAIN;
}

void hvt_room(struct hvt *h)
{
	int fd = atomic_load(&h->room_fd);
	uint64_t one = 1;
	/* Only a full counter can fail, and then it is readable already. */
	ssize_t rc = fd < 0 ? 0 : write(fd, &one, sizeof(one));

	(void)rc;
}

/* ---- Hypercall 3 ---- */

struct arguments {
	uint64_t timeout; /* ns from now on */
	uint64_t ready;	  /* out: bit n: the network of handle n has something to be read */
	uint32_t n_ready; /* out: how many */
};

/* The networks, from fds[at] on; handles[] says whose they are. */
static unsigned int add_nets(const struct hvt *h, struct pollfd *fds, uint8_t *handles,
			     unsigned int at)
{
	for (unsigned int i = 0; i < h->n_devices; i++) {
		if (!h->devices[i].net || h->devices[i].net_gone)
			continue;
		fds[at] = (struct pollfd){ h->devices[i].net->fd, POLLIN, 0 };
		handles[at++] = (uint8_t)i;
	}
	return at;
}

static void collect(struct hvt *h, struct arguments *a, const struct pollfd *fds,
		    const uint8_t *handles, unsigned int first, unsigned int n)
{
	for (unsigned int i = first; i < n; i++) {
		if (fds[i].revents & POLLIN) {
			a->ready |= 1ull << handles[i];
			a->n_ready++;
		} else if (fds[i].revents) {
			/* Its interface is gone: it would be ready for ever, with nothing. */
			h->devices[handles[i]].net_gone = true;
		}
	}
}

/* A timerfd is exact where poll()'s own timeout may take a thousandth longer. */
static bool set_timer(struct hvt *h, uint64_t ns)
{
	struct itimerspec when = { .it_value = clock_timespec(ns) };

	if (h->timer_fd < 0)
		h->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (h->timer_fd < 0 || timerfd_settime(h->timer_fd, 0, &when, NULL)) {
		host_failed(h, "timerfd");
		return false;
	}
	return true;
}

/*
 * Until a network is ready, the time is over, or the VM ends. Through a pause, in which the time goes on: Solo5's
 * bindings do not look at their clock again when they come back.
 */
static void wait_ready(struct hvt *h, struct arguments *a)
{
	struct pollfd fds[2 + SOLO5_DEVICES] = { { 0 } };
	uint8_t handles[2 + SOLO5_DEVICES];
	unsigned int n = add_nets(h, fds, handles, 2);

	if (n > 2 && poll(fds + 2, n - 2, 0) > 0)
		collect(h, a, fds, handles, 2, n);
	if (a->n_ready || !a->timeout || !set_timer(h, a->timeout))
		return;
	do {
		n = add_nets(h, fds, handles, 2);
		fds[1] = (struct pollfd){ h->timer_fd, POLLIN, 0 };
		if (!wait_for(h, fds, n))
			return;
		collect(h, a, fds, handles, 2, n);
	} while (!a->n_ready && !fds[1].revents);
}

void hvt_poll(struct hvt *h, uint64_t gpa)
{
	uint8_t *at = hvt_at(h, gpa, sizeof(struct arguments), MEM_W);
	struct arguments a = { 0 };

	if (!at) {
		hvt_fault(h, "waits with its arguments at 0x%llx, which is not its to write",
			  (unsigned long long)gpa);
		return;
	}
	a.timeout = get_le64(at);
	wait_ready(h, &a);
	put_le64(at + offsetof(struct arguments, ready), a.ready);
	put_le32(at + offsetof(struct arguments, n_ready), a.n_ready);
	mem_dirty(&h->vm->mem, gpa, sizeof(a));
}
