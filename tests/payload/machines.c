/* SPDX-License-Identifier: MIT */
/*
 * Machines as a library has them: several at once in one process, paused and resumed, ended from
 * outside, and the state of every device of a whole machine saved and loaded.
 */
#include <signal.h>
#include <stdatomic.h>

#include "machine-parts.h"
#include "tests/payload/guests.h"

static void two_at_once(void)
{
	struct run a, b;
	pthread_t ta, tb;

	set_up(&a, "hello", "");
	set_up(&b, "timer", "");
	b.config.vm.cpus = 2;
	b.config.rng = true;
	if (!create(&a) || !create(&b))
		return;
	pthread_create(&ta, NULL, run_main, &a);
	pthread_create(&tb, NULL, run_main, &b);
	pthread_join(ta, NULL);
	pthread_join(tb, NULL);
	ok(a.status == 0 && b.status == 0, "two VMs run at once: %d and %d", a.status, b.status);
	machine_destroy(a.m);
	machine_destroy(b.m);
	output_is(&a, "Hello from inside the guest.\r\n");
	output_is(&b, "five ticks\r\n");
}

static void paused_and_ended(void)
{
	struct run r;
	pthread_t t;
	int paused = 0;

	set_up(&r, "end", "spin");
	r.config.vm.cpus = 2;
	if (!create(&r))
		return;
	pthread_create(&t, NULL, run_main, &r);
	usleep(50000);
	for (int i = 0; i < 20; i++) {
		paused += !vm_pause(machine_vm(r.m));
		if (i == 10)
			usleep(20000);
		vm_resume(machine_vm(r.m));
	}
	ok(paused == 20, "paused and resumed %d times", paused);
	ok(!vm_pause(machine_vm(r.m)) && !vm_pause(machine_vm(r.m)), "paused by two");
	vm_resume(machine_vm(r.m));
	ok(atomic_load(&machine_vm(r.m)->want) == VM_PAUSE, "one of them does not let it go on");
	machine_stop(r.m, SIGTERM);
	pthread_join(t, NULL);
	ok(r.status == 128 + SIGTERM, "ended while paused: %d", r.status);
	machine_destroy(r.m);
	close(r.output[0]);
	close(r.output[1]);
}

/* A device that waits for the host, as a share of a file server that is gone does. */
struct slow {
	struct device dev;
	atomic_bool answered;
	atomic_int told;
	int status;
};

static void wait_for_host(struct device *dev)
{
	struct slow *s = container_of(dev, struct slow, dev);

	for (int i = 0; i < 10000 && !atomic_load(&s->answered); i++)
		usleep(1000);
}

static void slow_destroy(struct device *dev)
{
	(void)dev;
}

static const struct device_ops slow_ops = { .quiesce = wait_for_host, .destroy = slow_destroy };

static void on_stuck(void *opaque, struct machine *m)
{
	struct slow *s = opaque;

	s->status = machine_status(m);
	atomic_fetch_add(&s->told, 1);
	machine_flush(m, 0); /* looks at no device, and waits for none */
	atomic_store(&s->answered, true);
}

static void run_slow(struct slow *s, uint64_t stuck_ms)
{
	struct run r;

	set_up(&r, "end", "99");
	r.config.stuck_ms = stuck_ms;
	r.config.stuck = on_stuck;
	r.config.stuck_opaque = s;
	s->dev.ops = &slow_ops;
	s->dev.name = "slow";
	if (!create(&r))
		return;
	device_list_add(machine_devices(r.m), &s->dev);
	atomic_store(&r.m->driven, true); /* as a virtio device that has a driver says */
	run_main(&r);
	ok(r.status == 99, "its status is the guest's: %d", r.status);
	machine_destroy(r.m);
	close(r.output[0]);
	close(r.output[1]);
}

static void stuck(void)
{
	struct slow never = { .status = -1 }, soon = { .status = -1 };

	run_slow(&never, 300);
	ok(atomic_load(&never.told) == 1 && never.status == 99,
	   "a device that does not come down is told of, with the status: %d times, %d",
	   atomic_load(&never.told), never.status);
	atomic_store(&soon.answered, true);
	run_slow(&soon, 5000);
	ok(!atomic_load(&soon.told), "one that does is not");
}

static void save_and_load(struct device *dev)
{
	struct buf first = { 0 }, second = { 0 };
	struct reader in;
	int rc;

	dev->ops->save(dev, &first);
	dev->ops->reset(dev);
	in = (struct reader){ .p = first.data, .left = first.len };
	rc = dev->ops->load(dev, &in);
	dev->ops->save(dev, &second);
	/* (pvpanic has none.) */
	ok(!rc && !in.left && first.len == second.len &&
		   (!first.len || !memcmp(first.data, second.data, first.len)),
	   "%s: save, reset, load, save gives equal bytes (%zu)", dev->name, first.len);
	for (size_t cut = 0; cut < first.len; cut += 1 + first.len / 16) {
		in = (struct reader){ .p = first.data, .left = cut };
		rc |= dev->ops->load(dev, &in) ? 0 : 1;
	}
	ok(!rc, "%s: a state that is cut short is refused", dev->name);
	buf_free(&first);
	buf_free(&second);
}

static void states(void)
{
	char disk[] = "/tmp/kindling-machines-XXXXXX";
	struct run r;
	int fd = mkstemp(disk);

	if (fd < 0 || ftruncate(fd, MIB))
		abort();
	close(fd);
	set_up(&r, "badreg", "");
	r.config.console = CONSOLE_VIRTIO;
	r.config.rng = true;
	r.config.balloon = true;
	r.config.n_disks = 1;
	r.config.disks[0].path = disk;
	if (create(&r)) {
		/* The payload writes to every register first: no state is at its default then. */
		run_main(&r);
		ok(r.status == 0, "badreg ran: %d", r.status);
		for (struct device *d = machine_devices(r.m)->first; d; d = d->next)
			save_and_load(d);
		machine_destroy(r.m);
	}
	close(r.output[0]);
	close(r.output[1]);
	unlink(disk);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	two_at_once();
	paused_and_ended();
	stuck();
	states();
	return done_testing();
}
