/* SPDX-License-Identifier: MIT */
/*
 * A guest that is saved in the midst of its work, and goes on in another machine, for tests on arm64: whatever
 * is restored is saved again and compared field by field.
 */
#ifndef TESTS_PAYLOAD_ARM64_HOPS_H
#define TESTS_PAYLOAD_ARM64_HOPS_H

#include <errno.h>
#include <signal.h>

#include "tests/payload/guests.h"

#define DEVICES 16
#define CPUS 18	    /* at most */
#define COUNTERS 33 /* bytes at the start of a VM's state: arm/counter.c */
#define COUNTERS_WHEN 17
#define COUNTERS_HZ 25

struct taken {
	struct buf vcpus[CPUS], vm, devices[DEVICES];
	unsigned int n_vcpus;
	uint8_t *ram[MEM_SLOTS];
};

/* One life in several machines. */
struct guest {
	const char *what, *irqchip, *kernel, *payload;
	unsigned int cpus;
	void (*configure)(struct machine_config *config); /* more; or NULL */
	struct run run;
	pthread_t thread;
	struct taken *from; /* NULL: from its beginning */
	int rc;
	struct err err;
	char text[4096]; /* all that it has printed */
	size_t len;
};

/* ---- Save ---- */

static inline bool save(struct machine *m, struct taken *s)
{
	struct vm *vm = machine_vm(m);
	struct err err = { "" };
	unsigned int i = 0;
	int rc = 0;

	memset(s, 0, sizeof(*s));
	s->n_vcpus = vm->n_vcpus;
	for (unsigned int v = 0; !rc && v < s->n_vcpus; v++)
		rc = arch_vcpu_save(&vm->vcpus[v], &s->vcpus[v], &err);
	if (!rc)
		rc = arch_save(vm, &s->vm, &err);
	for (struct device *d = machine_devices(m)->first; d && i < DEVICES; d = d->next)
		d->ops->save(d, &s->devices[i++]);
	if (rc)
		printf("# save: %s\n", err.text);
	return !rc;
}

static inline void save_ram(struct machine *m, struct taken *s)
{
	const struct mem *mem = &machine_vm(m)->mem;

	for (unsigned int i = 0; i < mem->n_slots; i++) {
		uint64_t size = mem->slots[i].size;

		s->ram[i] = malloc(size);
		if (!s->ram[i])
			abort();
		memcpy(s->ram[i], mem_at((struct mem *)mem, mem->slots[i].gpa, size, MEM_R), size);
	}
}

static inline void release(struct taken *s)
{
	for (unsigned int i = 0; i < CPUS; i++)
		buf_free(&s->vcpus[i]);
	for (unsigned int i = 0; i < DEVICES; i++)
		buf_free(&s->devices[i]);
	for (unsigned int i = 0; i < MEM_SLOTS; i++)
		free(s->ram[i]);
	buf_free(&s->vm);
}

static inline bool same(const char *what, const struct buf *a, const struct buf *b, size_t from)
{
	size_t i = from;

	while (i < a->len && i < b->len && a->data[i] == b->data[i])
		i++;
	if (a->len == b->len && i >= a->len)
		return true;
	printf("# %s: %zu and %zu bytes, which differ from byte %zu on\n", what, a->len, b->len, i);
	for (size_t j = i < 16 ? 0 : i - 16; j < i + 16 && j < a->len && j < b->len; j++)
		printf("# byte %zu: %02x, %02x\n", j, a->data[j], b->data[j]);
	return false;
}

static inline bool all_same(const struct taken *a, const struct taken *b)
{
	bool is = same("VM", &a->vm, &b->vm, COUNTERS);

	for (unsigned int i = 0; i < a->n_vcpus; i++)
		is &= same("vCPU", &a->vcpus[i], &b->vcpus[i], 0);
	for (unsigned int i = 0; i < DEVICES; i++)
		is &= same("device", &a->devices[i], &b->devices[i], 0);
	return is;
}

/* ---- Restore ---- */

static inline struct reader reader_of(const struct buf *b)
{
	return (struct reader){ .p = b->data, .left = b->len };
}

static inline void load_ram(struct vm *vm, const struct taken *s)
{
	for (unsigned int i = 0; i < vm->mem.n_slots; i++) {
		uint64_t size = vm->mem.slots[i].size;

		memcpy(mem_at(&vm->mem, vm->mem.slots[i].gpa, size, MEM_W), s->ram[i], size);
	}
}

static inline int load_devices(struct machine *m, const struct taken *s)
{
	unsigned int i = 0;
	int rc = 0;

	device_list_quiesce(machine_devices(m));
	for (struct device *d = machine_devices(m)->first; d && i < DEVICES; d = d->next) {
		struct reader in = reader_of(&s->devices[i++]);

		rc |= d->ops->load(d, &in) || in.left;
	}
	return rc;
}

/* What the counter gained from the one state to the other, less what passed by the wall clock, in us. */
static inline int64_t gained(const struct buf *before, const struct buf *now)
{
	int64_t hz = (int64_t)get_le64(before->data + COUNTERS_HZ);
	int64_t ticks = (int64_t)(get_le64(now->data) - get_le64(before->data));
	int64_t passed = (int64_t)(get_le64(now->data + COUNTERS_WHEN) -
				   get_le64(before->data + COUNTERS_WHEN));

	return ticks * 1000 / (hz / 1000) - passed / 1000;
}

/* As the host's did meanwhile. */
static inline void goes_on(struct vm *vm, const struct taken *before)
{
	struct buf now = { 0 };
	bool saved = !arch_save(vm, &now, NULL);
	int64_t us = gained(&before->vm, &now);

	buf_free(&now);
	ok(saved && us < 10000 && us > -10000, "its counter has gone on, but for %lld us",
	   (long long)us);
}

static inline int restore(void *opaque, struct vm *vm, struct err *err)
{
	struct guest *g = opaque;
	struct taken again;
	struct reader in;
	int rc = 0;

	load_ram(vm, g->from);
	for (unsigned int i = 0; !rc && i < vm->n_vcpus; i++) {
		in = reader_of(&g->from->vcpus[i]);
		rc = arch_vcpu_restore(&vm->vcpus[i], &in, err);
		rc = !rc && in.left ? -EPROTO : rc;
	}
	in = reader_of(&g->from->vm);
	if (!rc)
		rc = arch_restore(vm, &in, err);
	if (!rc && (in.left || load_devices(g->run.m, g->from)))
		rc = err_set(err, EPROTO, "something is left over, or a device refuses its state");
	ok(!rc, "%s is restored: %s", g->what, rc ? err->text : "yes");
	if (rc)
		return rc;
	goes_on(vm, g->from);
	ok(save(g->run.m, &again), "and saved again");
	ok(all_same(g->from, &again), "and each field is equal");
	release(&again);
	device_list_resume(machine_devices(g->run.m));
	return 0;
}

/* ---- Its lives ---- */

static inline void *run_guest(void *opaque)
{
	struct guest *g = opaque;

	g->run.status = machine_run(g->run.m, &g->err);
	return NULL;
}

static inline bool create_guest(struct guest *g, int (*prepare)(void *, struct vm *, struct err *))
{
	struct run *r = &g->run;

	set_up(r, g->payload, "");
	r->config.vm.cpus = g->cpus;
	r->config.vm.mem = 4 * MIB;
	r->config.vm.irqchip = g->irqchip;
	r->config.vm.not_linux = true;
	r->config.vm.prepare = prepare;
	r->config.vm.prepare_opaque = g;
	r->config.timeouts[TIMEOUT_TOTAL] = 60000;
	r->config.image.kernel = g->kernel;
	r->config.rng = true;
	if (g->configure)
		g->configure(&r->config);
	return !machine_create(&r->config, &r->m, &g->err);
}

static inline bool has_chip(const char *irqchip)
{
	struct guest g = { .irqchip = irqchip, .cpus = 1, .payload = "exit" };
	bool has = create_guest(&g, NULL);

	if (has)
		machine_destroy(g.run.m);
	else
		printf("# no %s: %s\n", irqchip, g.err.text);
	close(g.run.output[0]);
	close(g.run.output[1]);
	return has;
}

static inline bool start(struct guest *g)
{
	if (!create_guest(g, g->from ? restore : NULL)) {
		ok(false, "%s is created: %s", g->what, g->err.text);
		return false;
	}
	pthread_create(&g->thread, NULL, run_guest, g);
	return true;
}

/* Until so many more line ends have come, or no more will. */
static inline void listen_to(struct guest *g, int lines)
{
	char c;

	while (lines && read(g->run.output[0], &c, 1) == 1) {
		if (g->len < sizeof(g->text) - 1)
			g->text[g->len++] = c;
		lines -= c == '\n';
	}
}

static inline void end(struct guest *g)
{
	pthread_join(g->thread, NULL);
	machine_destroy(g->run.m);
	close(g->run.output[1]);
	listen_to(g, -1);
	close(g->run.output[0]);
}

/* Saves it, twice, and that was its life in this machine. False: there is nothing to go on from. */
static inline bool stop_and_save(struct guest *g, struct taken *s, const struct irq_line *raise)
{
	struct vm *vm = machine_vm(g->run.m);
	struct taken twice;
	bool saved;

	saved = !vm_pause(vm);
	ok(saved, "%s is paused", g->what);
	if (!saved)
		return false;
	device_list_quiesce(machine_devices(g->run.m));
	if (raise)
		irq_raise(raise);
	saved = save(g->run.m, s) && save(g->run.m, &twice);
	ok(saved, "and saved: %zu bytes a vCPU, %zu the VM", s->vcpus[0].len, s->vm.len);
	ok(saved && all_same(s, &twice), "twice, with the same result");
	release(&twice);
	save_ram(g->run.m, s);
	/* While the source's counter goes on. */
	usleep(300000);
	machine_stop(g->run.m, SIGTERM);
	return saved;
}

static inline struct irq_line line_of(const struct guest *g, uint32_t gsi, enum irq_trigger trigger)
{
	return (struct irq_line){ machine_vm(g->run.m)->chip, gsi, trigger };
}

#endif
