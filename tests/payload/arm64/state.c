/* SPDX-License-Identifier: MIT */
/*
 * A guest is saved in the midst of its work, and goes on in another machine as if nothing had been: with
 * each GIC, with two CPUs, in 32-bit mode. And states that are none are refused.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>

#include "arm/arm.h"
#include "arm/map.h"
#include "tests/payload/guests.h"

#define DEVICES 16
#define CPUS 2
#define COUNTERS 17 /* bytes at the start of a VM's state */
#define HOPS 3

struct saved {
	struct buf vcpus[CPUS], vm, devices[DEVICES];
	unsigned int n_vcpus;
	uint8_t *ram[MEM_SLOTS];
};

/* One life in several machines. */
struct guest {
	const char *what, *irqchip, *kernel, *payload;
	unsigned int cpus;
	const uint32_t *code; /* 32-bit code, instead of a kernel */
	size_t code_size;
	struct run run;
	pthread_t thread;
	struct saved *from; /* NULL: from its beginning */
	int rc;
	struct err err;
	char text[1024]; /* all that it has printed */
	size_t len;
};

static char ticks_path[4096];
static cpu_set_t one_cpu;

static const struct vm_option options_32[] = { { "aarch32", "1" }, { "entry", "raw" } };

/* ---- Save ---- */

static bool save(struct machine *m, struct saved *s)
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

static void save_ram(struct machine *m, struct saved *s)
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

static void release(struct saved *s)
{
	for (unsigned int i = 0; i < CPUS; i++)
		buf_free(&s->vcpus[i]);
	for (unsigned int i = 0; i < DEVICES; i++)
		buf_free(&s->devices[i]);
	for (unsigned int i = 0; i < MEM_SLOTS; i++)
		free(s->ram[i]);
	buf_free(&s->vm);
}

static bool same(const char *what, const struct buf *a, const struct buf *b, size_t from)
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

static bool all_same(const struct saved *a, const struct saved *b)
{
	bool is = same("VM", &a->vm, &b->vm, COUNTERS);

	for (unsigned int i = 0; i < a->n_vcpus; i++)
		is &= same("vCPU", &a->vcpus[i], &b->vcpus[i], 0);
	for (unsigned int i = 0; i < DEVICES; i++)
		is &= same("device", &a->devices[i], &b->devices[i], 0);
	return is;
}

/* ---- Restore ---- */

static struct reader reader_of(const struct buf *b)
{
	return (struct reader){ .p = b->data, .left = b->len };
}

static void load_ram(struct vm *vm, const struct saved *s)
{
	for (unsigned int i = 0; i < vm->mem.n_slots; i++) {
		uint64_t size = vm->mem.slots[i].size;

		memcpy(mem_at(&vm->mem, vm->mem.slots[i].gpa, size, MEM_W), s->ram[i], size);
	}
}

static int load_devices(struct machine *m, const struct saved *s)
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

static uint64_t frequency(void)
{
	uint64_t hz;

	__asm__ volatile("mrs %0, cntfrq_el0" : "=r"(hz));
	return hz;
}

static void goes_on(const struct saved *before, const struct saved *after)
{
	uint64_t passed = get_le64(after->vm.data) - get_le64(before->vm.data);

	ok(passed < frequency() / 4, "its counter goes on from there: %llu us later",
	   (unsigned long long)(passed / (frequency() / 1000000)));
}

static int restore(void *opaque, struct vm *vm, struct err *err)
{
	struct guest *g = opaque;
	struct saved again;
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
	ok(save(g->run.m, &again), "and saved again");
	ok(all_same(g->from, &again), "and each field is equal");
	goes_on(g->from, &again);
	release(&again);
	device_list_resume(machine_devices(g->run.m));
	return 0;
}

/* ---- Its lives ---- */

static void *run_guest(void *opaque)
{
	struct guest *g = opaque;

	g->run.status = machine_run(g->run.m, &g->err);
	return NULL;
}

static bool create_guest(struct guest *g, int (*prepare)(void *, struct vm *, struct err *))
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
	if (g->code) {
		r->config.image.data = g->code;
		r->config.image.size = g->code_size;
		r->config.vm.options = options_32;
		r->config.vm.n_options = ARRAY_SIZE(options_32);
		/* QEMU loses banked SPSRs of a 32-bit guest that changes its CPU. */
		r->config.vm.affinity = &one_cpu;
	}
	return !machine_create(&r->config, &r->m, &g->err);
}

static bool start(struct guest *g)
{
	if (!create_guest(g, g->from ? restore : NULL)) {
		ok(false, "%s is created: %s", g->what, g->err.text);
		return false;
	}
	pthread_create(&g->thread, NULL, run_guest, g);
	return true;
}

/* Until so many more line ends have come, or no more will. */
static void listen_to(struct guest *g, int lines)
{
	char c;

	while (lines && read(g->run.output[0], &c, 1) == 1) {
		if (g->len < sizeof(g->text) - 1)
			g->text[g->len++] = c;
		lines -= c == '\n';
	}
}

static void end(struct guest *g)
{
	pthread_join(g->thread, NULL);
	machine_destroy(g->run.m);
	close(g->run.output[1]);
	listen_to(g, -1);
	close(g->run.output[0]);
}

/* Saves it, twice, and that was its life in this machine. False: there is nothing to go on from. */
static bool stop_and_save(struct guest *g, struct saved *s, const struct irq_line *raise)
{
	struct vm *vm = machine_vm(g->run.m);
	struct saved twice;
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

static struct irq_line line_of(const struct guest *g, uint32_t gsi, enum irq_trigger trigger)
{
	return (struct irq_line){ machine_vm(g->run.m)->chip, gsi, trigger };
}

/* From machine to machine, in a few of which it gets on by some lines. */
static void hop(struct guest *g, const char *wanted)
{
	struct saved states[HOPS] = { 0 };
	bool lives = start(g);

	for (unsigned int i = 0; lives && i < HOPS; i++) {
		listen_to(g, 4);
		struct irq_line line = line_of(g, ARM_SPI_PCI, IRQ_LEVEL);
		lives = stop_and_save(g, &states[i], i ? NULL : &line);
		end(g);
		g->from = &states[i];
		lives = lives && start(g);
	}
	if (lives) {
		end(g);
		ok(g->run.status == 0, "%s ends as it should: %d %s", g->what, g->run.status,
		   g->err.text);
		g->text[g->len] = 0;
		ok(!strcmp(g->text, wanted), "with all its lines (%zu bytes)", g->len);
		if (strcmp(g->text, wanted) != 0)
			printf("# %s\n", g->text);
	}
	for (unsigned int i = 0; i < HOPS; i++)
		release(&states[i]);
}

static void ticks(const char *irqchip, unsigned int cpus)
{
	struct guest g = {
		.what = irqchip, .irqchip = irqchip, .cpus = cpus, .kernel = ticks_path
	};
	char wanted[256];
	int len = 0;

	for (int i = 0; i < 40; i++)
		len += snprintf(wanted + len, sizeof(wanted) - (size_t)len, "%02d\r\n", i);
	hop(&g, wanted);
}

static void ticks_32(const char *irqchip)
{
	/* Forty lines with a pause each, then PSCI's SYSTEM_OFF. */
	static const uint32_t code[] = {
		0xe3a04409, 0xe3a05028, 0xe3a0002e, 0xe5840000, 0xe3a0000a,
		0xe5840000, 0xe3a06601, 0xe2566001, 0x1afffffd, 0xe2555001,
		0x1afffff6, 0xe59f0004, 0xe1400070, 0xeafffffe, 0x84000008,
	};
	struct guest g = {
		.what = "aarch32",
		.irqchip = irqchip,
		.cpus = 1,
		.code = code,
		.code_size = sizeof(code),
	};
	char wanted[81];

	for (int i = 0; i < 40; i++)
		memcpy(wanted + 2 * i, ".\n", 3);
	hop(&g, wanted);
}

/*
 * Edges that came while it was paused wait in the GIC: the first behind the mask, the second on its way
 * to a CPU that sleeps.
 */
static void edges(const char *irqchip)
{
	struct guest g = { .what = "irq", .irqchip = irqchip, .cpus = 1, .payload = "irq" };
	struct saved states[2] = { 0 };
	struct irq_line line;
	bool lives = start(&g);

	for (unsigned int i = 0; lives && i < 2; i++) {
		listen_to(&g, 1);
		usleep(20000);
		line = line_of(&g, ARM_SPI_VIRTIO, IRQ_EDGE);
		lives = stop_and_save(&g, &states[i], &line);
		end(&g);
		g.from = &states[i];
		lives = lives && start(&g);
	}
	if (lives) {
		listen_to(&g, 1);
		usleep(20000);
		line = line_of(&g, ARM_SPI_VIRTIO, IRQ_EDGE);
		irq_raise(&line);
		end(&g);
		ok(g.run.status == 0, "three edges were taken: %d", g.run.status);
	}
	release(&states[0]);
	release(&states[1]);
}

/* ---- What is no state ---- */

static const struct saved *good;

static int try_vcpu(struct vm *vm, const uint8_t *data, size_t len)
{
	struct reader in = { .p = data, .left = len };

	return arch_vcpu_restore(&vm->vcpus[0], &in, NULL);
}

static int try_vm(struct vm *vm, const uint8_t *data, size_t len)
{
	struct reader in = { .p = data, .left = len };

	return arch_restore(vm, &in, NULL);
}

typedef int (*attempt)(struct vm *vm, const uint8_t *data, size_t len);

/* A copy of its own for each length: sanitizers see what is read behind it. */
static void cuts(struct vm *vm, const char *what, attempt try, const struct buf *b, size_t step)
{
	int wrong = 0;

	for (size_t len = 0; len < b->len; len += len < 64 || len + 64 > b->len ? 1 : step) {
		uint8_t *copy = malloc(len + 1);

		memcpy(copy, b->data, len);
		wrong += try(vm, copy, len) != -EINVAL;
		free(copy);
	}
	ok(!wrong, "%s cut short is refused: %d times not", what, wrong);
}

/* Whatever KVM makes of them: nothing breaks. */
static void flips(struct vm *vm, const char *what, attempt try, const struct buf *b, int n)
{
	uint8_t *copy = malloc(b->len);
	uint32_t seed = 1;
	int refused = 0;

	for (int i = 0; i < n; i++) {
		memcpy(copy, b->data, b->len);
		for (int bits = 0; bits < 3; bits++) {
			seed = seed * 1664525 + 1013904223;
			copy[(seed >> 8) % b->len] ^= (uint8_t)(1u << (seed >> 5 & 7));
		}
		refused += try(vm, copy, b->len) != 0;
	}
	free(copy);
	ok(true, "%s with bits that are wrong: %d of %d refused", what, refused, n);
}

static void lies(struct vm *vm, const struct buf *b)
{
	static const uint32_t counts[] = { 0, 1, 0x7fffffff, UINT32_MAX };
	struct reader in = { .left = b->len };
	struct err err = { "" };
	uint8_t *copy = malloc(b->len);
	uint64_t id;

	memcpy(copy, b->data, b->len);
	for (unsigned int i = 0; i < ARRAY_SIZE(counts); i++) {
		put_le32(copy, counts[i]);
		ok(try_vcpu(vm, copy, b->len) == -EINVAL, "a count of %u is refused", counts[i]);
	}
	memcpy(copy, b->data, b->len);
	id = get_le64(copy + 4);
	put_le64(copy + 4 + 8 + KVM_REG_SIZE(id), id);
	ok(try_vcpu(vm, copy, b->len) == -EINVAL, "a register that comes twice");
	put_le64(copy + 4, id ^ KVM_REG_ARM64 ^ KVM_REG_X86);
	ok(try_vcpu(vm, copy, b->len) == -EINVAL, "a register of another architecture");
	put_le64(copy + 4, ARM64_SYS_REG(3, 0, 2, 1, 7));
	in.p = copy;
	ok(arch_vcpu_restore(&vm->vcpus[0], &in, &err) == -ENOTSUP &&
		   strstr(err.text, "0x603000000013c10f (pointer authentication)"),
	   "one that is not there is named: %s", err.text);
	free(copy);
	copy = malloc(good->vm.len);
	memcpy(copy, good->vm.data, good->vm.len);
	copy[COUNTERS] ^= 1;
	ok(try_vm(vm, copy, good->vm.len) == -EINVAL, "another GIC's state");
	free(copy);
}

/* As if a processor said that it is another. */
static void other_processor(struct vm *vm, const struct buf *b)
{
	const uint64_t midr = ARM64_SYS_REG(3, 0, 0, 0, 0);
	struct err err = { "" };
	struct reader in = { .left = b->len };
	uint8_t *copy = malloc(b->len);
	size_t at = 4;

	memcpy(copy, b->data, b->len);
	while (at + 16 <= b->len && get_le64(copy + at) != midr)
		at += 8 + KVM_REG_SIZE(get_le64(copy + at));
	copy[at + 8] ^= 0x10;
	in.p = copy;
	ok(arch_vcpu_restore(&vm->vcpus[0], &in, &err) == -ENOTSUP &&
		   strstr(err.text, "what the processor is"),
	   "another processor's: %s", err.text);
	free(copy);
}

static int be_hostile(void *opaque, struct vm *vm, struct err *err)
{
	(void)opaque;
	cuts(vm, "a vCPU", try_vcpu, &good->vcpus[0], good->vcpus[0].len / 300 + 1);
	cuts(vm, "a VM", try_vm, &good->vm, 1);
	lies(vm, &good->vcpus[0]);
	other_processor(vm, &good->vcpus[0]);
	flips(vm, "a vCPU", try_vcpu, &good->vcpus[0], 200);
	flips(vm, "a VM", try_vm, &good->vm, 400);
	return err_set(err, ECANCELED, "it must not run");
}

static void hostile(const char *irqchip)
{
	struct guest g = { .what = "hostile", .irqchip = irqchip, .cpus = 2, .kernel = ticks_path };
	struct guest victim = g;
	struct saved state;

	if (!start(&g))
		return;
	listen_to(&g, 2);
	if (!stop_and_save(&g, &state, NULL))
		return;
	end(&g);
	good = &state;
	if (create_guest(&victim, be_hostile)) {
		ok(machine_run(victim.run.m, &victim.err) == -ECANCELED, "and it never runs");
		machine_destroy(victim.run.m);
	}
	release(&state);
}

int main(void)
{
	static const char *const chips[] = { "gicv3", "gicv3-its", "gicv2" };
	ssize_t len = readlink("/proc/self/exe", ticks_path, sizeof(ticks_path) - 64);
	unsigned int ran = 0;

	signal(SIGPIPE, SIG_IGN);
	CPU_ZERO(&one_cpu);
	CPU_SET(0, &one_cpu);
	for (int up = 0; len > 0 && up < 4; len--)
		up += ticks_path[len - 1] == '/';
	strcpy(ticks_path + (len < 0 ? 0 : len), "/payload/ticks.elf");
	for (unsigned int i = 0; i < ARRAY_SIZE(chips); i++) {
		struct guest probe = { .irqchip = chips[i], .cpus = 1, .kernel = ticks_path };

		if (!create_guest(&probe, NULL)) {
			printf("# no %s: %s\n", chips[i], probe.err.text);
			continue;
		}
		machine_destroy(probe.run.m);
		ticks(chips[i], 1);
		ticks(chips[i], 2);
		edges(chips[i]);
		hostile(chips[i]);
		if (!ran++)
			ticks_32(chips[i]);
	}
	ok(ran, "%u kinds of GIC", ran);
	return done_testing();
}
