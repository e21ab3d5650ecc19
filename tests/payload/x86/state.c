/* SPDX-License-Identifier: MIT */
/*
 * A machine's whole state: saved at any moment of a guest's life, restored into another machine, where the
 * guest goes on; two saves around a restore are equal; and what is no such state is refused.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <sys/stat.h>

#include "machine-parts.h"
#include "state/state.h"
#include "tests/payload/guests.h"
#include "tests/payload/x86/still.h"
#include "vm/arch.h"

#define TEN "ten ticks\r\n"

static char image[4096];

struct kind {
	const char *name, *irqchip;
	unsigned int cpus;
	bool pci;
};

static const struct kind kinds[] = {
	{ "split", "split", 1, false },
	{ "split, two CPUs, pci", "split", 2, true },
	{ "full", "full", 1, false },
};

/* A machine that begins with another's state. */
struct second {
	struct run run;
	const uint8_t *ram;
	struct saved stream;
	struct buf again; /* saved before it ran */
	int rc;
	struct err err;
};

static void configure(struct run *r, const struct kind *kind)
{
	set_up(r, NULL, "");
	r->config.image.kernel = image;
	r->config.vm.not_linux = true; /* it ends by a debug exit */
	r->config.vm.irqchip = kind->irqchip;
	r->config.vm.cpus = kind->cpus;
	r->config.rng = true;
	r->config.virtio_pci = kind->pci;
}

static int save(struct machine *m, struct buf *out)
{
	struct err err = { "" };
	int rc = state_save(machine_vm(m), machine_devices(m), NULL, out, &err);

	if (rc)
		printf("# %s\n", err.text);
	return rc;
}

static int restore(void *opaque, struct vm *vm, struct err *err)
{
	struct second *s = opaque;

	memcpy(vm->mem.ram, s->ram, vm->config.mem);
	s->rc = state_restore(vm, machine_devices(s->run.m), &s->stream, &s->err);
	if (s->rc)
		return err_set(err, -s->rc, "%s", s->err.text);
	save(s->run.m, &s->again);
	device_list_resume(machine_devices(s->run.m));
	return 0;
}

/* It may not have begun yet. */
static bool pause_soon(struct vm *vm)
{
	int rc = -ESRCH;

	for (int i = 0; rc == -ESRCH && i < 500; i++) {
		usleep(7000);
		rc = vm_pause(vm);
	}
	return !rc;
}

/* How many lines came after those that were waited for. */
static int lines_left(struct run *r)
{
	int n = 0;
	char c;

	close(r->output[1]);
	while (read(r->output[0], &c, 1) == 1)
		n += c == '\n';
	close(r->output[0]);
	return n;
}

/* A copy of its RAM and its state, as it stands after so many lines or, on a busy host, some more. It is gone then. */
static bool stop_after(const struct kind *kind, int *lines, uint8_t **ram, struct buf *state)
{
	struct run r;
	pthread_t t;
	bool fine;

	configure(&r, kind);
	if (!create(&r))
		return false;
	pthread_create(&t, NULL, run_main, &r);
	wait_lines(&r, *lines);
	fine = pause_soon(machine_vm(r.m));
	device_list_quiesce(machine_devices(r.m));
	fine = fine && !save(r.m, state);
	*ram = malloc(r.config.vm.mem);
	memcpy(*ram, machine_vm(r.m)->mem.ram, r.config.vm.mem);
	machine_stop(r.m, SIGTERM);
	pthread_join(t, NULL);
	machine_destroy(r.m);
	*lines += lines_left(&r);
	return fine;
}

static const char *rest(int lines)
{
	static char text[64];

	text[0] = 0;
	while (lines--)
		strcat(text, TEN);
	return text;
}

static unsigned int differences(const struct saved *a, const struct saved *b)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < a->n_sections; i++) {
		const struct saved_section *x = &a->sections[i];
		const struct saved_section *y = saved_find(b, x->name, x->instance);

		if (y && x->body.left == y->body.left &&
		    !memcmp(x->body.p, y->body.p, x->body.left))
			continue;
		printf("# section %s.%u differs\n", x->name, x->instance);
		n++;
	}
	return n;
}

static void go_on(const struct kind *kind, int lines)
{
	struct second *s = calloc(1, sizeof(*s));
	struct saved *again = calloc(1, sizeof(*again));
	struct buf state = { 0 };
	uint8_t *ram;

	ok(stop_after(kind, &lines, &ram, &state), "%s: saved after %d lines", kind->name, lines);
	ok(!saved_open(&s->stream, state.data, state.len, &s->err), "%zu bytes: %s", state.len,
	   s->err.text);
	s->ram = ram;
	configure(&s->run, kind);
	s->run.config.vm.prepare = restore;
	s->run.config.vm.prepare_opaque = s;
	if (create(&s->run)) {
		run_main(&s->run);
		ok(s->run.status == 0, "and goes on to its end: %d %s", s->run.status, s->err.text);
		ok(!saved_open(again, s->again.data, s->again.len, &s->err), "and was saved again");
		still_all(again, kind->cpus);
		still_all(&s->stream, kind->cpus);
		ok(again->n_sections == s->stream.n_sections && !differences(&s->stream, again),
		   "the same, but for the time");
		machine_destroy(s->run.m);
		output_is(&s->run, rest(4 - lines));
	}
	buf_free(&state);
	buf_free(&s->again);
	free(ram);
	free(again);
	free(s);
}

#define CLONES 10

/* A machine like the one of the snapshot, but for what `change` does; NULL: nothing. */
static int refused(const struct snapshot *snapshot, void (*change)(struct machine_config *c))
{
	struct err err = { "" };
	struct run r;
	int rc;

	configure(&r, &kinds[0]);
	r.config.snapshot = snapshot;
	change(&r.config);
	rc = machine_create(&r.config, &r.m, &err);
	if (!rc) {
		rc = machine_run(r.m, &err);
		machine_destroy(r.m);
	}
	close(r.output[0]);
	close(r.output[1]);
	ok((rc == -EINVAL || strstr(err.text, "which this host has not")) && err.text[0],
	   "refused: %s", err.text);
	return rc;
}

static void more_memory(struct machine_config *c)
{
	c->vm.mem *= 2;
}

static void more_cpus(struct machine_config *c)
{
	c->vm.cpus = 2;
}

static void other_device(struct machine_config *c)
{
	c->rng = false;
	c->balloon = true;
}

static void more_devices(struct machine_config *c)
{
	c->balloon = true;
}

static void other_irqchip(struct machine_config *c)
{
	c->vm.irqchip = "full";
}

static void clones(const struct snapshot *snapshot)
{
	struct run r[CLONES];
	pthread_t t[CLONES];
	unsigned int fine = 0;

	for (unsigned int i = 0; i < CLONES; i++) {
		configure(&r[i], &kinds[0]);
		r[i].config.snapshot = snapshot;
		if (create(&r[i]))
			pthread_create(&t[i], NULL, run_main, &r[i]);
	}
	for (unsigned int i = 0; i < CLONES; i++) {
		pthread_join(t[i], NULL);
		fine += r[i].status == 0;
		machine_destroy(r[i].m);
		output_is(&r[i], rest(3));
	}
	ok(fine == CLONES, "%u of %u clones at once went on to their end", fine, CLONES);
}

/* Taken of a guest that goes on meanwhile. */
static bool take(const char *dir)
{
	struct machine_saved saved;
	struct err err = { "" };
	struct run r;
	pthread_t t;
	int rc, again;

	configure(&r, &kinds[0]);
	if (!create(&r))
		return false;
	pthread_create(&t, NULL, run_main, &r);
	wait_lines(&r, 1);
	rc = machine_snapshot(r.m, NULL, dir, false, &saved, &err);
	ok(!rc, "a snapshot is taken: %s", err.text);
	again = machine_snapshot(r.m, NULL, dir, false, &saved, &err);
	ok(again == -EEXIST, "and no other in its place: %s", err.text);
	pthread_join(t, NULL);
	ok(r.status == 0, "the guest went on: %d", r.status);
	machine_destroy(r.m);
	output_is(&r, rest(3));
	return !rc;
}

static void nothing(struct machine_config *c)
{
	(void)c;
}

#define VCPU_CPUID \
	20 /* where the entries of CPUID begin in a vCPU's section, and how long they are before that */

/* As if it came from a processor that has all features of leaf 1. */
static void other_processor(struct snapshot *snapshot)
{
	struct saved_section *section = (struct saved_section *)saved_find(&snapshot->state, "vcpu",
									   0);
	struct reader before = section->body;
	uint8_t *copy = malloc(before.left);
	struct kvm_cpuid_entry2 *e = (struct kvm_cpuid_entry2 *)(copy + VCPU_CPUID);
	uint32_t n;

	memcpy(copy, before.p, before.left);
	n = get_le32(copy + VCPU_CPUID - 4) / sizeof(*e);
	for (uint32_t i = 0; i < n; i++) {
		if (e[i].function == 1)
			e[i].ecx = UINT32_MAX;
	}
	section->body.p = copy;
	ok(n && refused(snapshot, nothing) == -ENOTSUP, "a processor that has more than this one");
	section->body = before;
	free(copy);
}

static void snapshots(void)
{
	char dir[] = "/tmp/kindling-state-XXXXXX", path[64], command[64];
	struct snapshot *s = calloc(1, sizeof(*s));
	struct err err = { "" };
	struct stat st;

	if (!mkdtemp(dir))
		abort();
	rmdir(dir);
	ok(snapshot_open(s, dir, &err) == -ENOENT, "no snapshot: %s", err.text);
	if (take(dir) && !snapshot_open(s, dir, &err)) {
		snprintf(path, sizeof(path), "%s/memory", dir);
		if (stat(path, &st))
			abort();
		ok(st.st_size == 64 * (off_t)MIB && st.st_blocks < 2048,
		   "64 MiB take %lld blocks of 512 bytes", (long long)st.st_blocks);
		clones(s);
		clones(s);
		refused(s, more_memory);
		refused(s, more_cpus);
		refused(s, other_device);
		refused(s, more_devices);
		refused(s, other_irqchip);
		other_processor(s);
		snapshot_close(s);
	}
	snprintf(command, sizeof(command), "rm -r %s", dir);
	ok(!system(command), "it is a folder with files, no more");
	free(s);
}

int main(void)
{
	const char *build = getenv("KINDLING_BUILD");

	snprintf(image, sizeof(image), "%s/payload/state.elf", build ? build : "build");
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		for (int lines = 0; lines < 4; lines++)
			go_on(&kinds[i], lines);
	}
	snapshots();
	return done_testing();
}
