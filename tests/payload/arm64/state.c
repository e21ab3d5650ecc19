/* SPDX-License-Identifier: MIT */
/*
 * A guest is saved in the midst of its work, and goes on in another machine as if nothing had been: with
 * each GIC, with two CPUs, in 32-bit mode.
 */
#include "arm/map.h"
#include "tests/payload/arm64/hops.h"

#define HOPS 3

static char ticks_path[4096];

/* From machine to machine, in a few of which it gets on by some lines. */
static void hop(struct guest *g, const char *wanted)
{
	struct taken states[HOPS] = { 0 };
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

static void with_pmu(struct machine_config *config)
{
	static const struct vm_option pmu = { "pmu", "1" };

	config->vm.options = &pmu;
	config->vm.n_options = 1;
}

static void ticks(const char *irqchip, unsigned int cpus,
		  void (*configure)(struct machine_config *config))
{
	struct guest g = {
		.what = irqchip,
		.irqchip = irqchip,
		.cpus = cpus,
		.kernel = ticks_path,
		.configure = configure,
	};
	char wanted[256];
	int len = 0;

	for (int i = 0; i < 40; i++)
		len += snprintf(wanted + len, sizeof(wanted) - (size_t)len, "%02d\r\n", i);
	hop(&g, wanted);
}

static cpu_set_t one_cpu;

/* Forty lines with a pause each, then PSCI's SYSTEM_OFF. */
static const uint32_t code_32[] = {
	0xe3a04409, 0xe3a05028, 0xe3a0002e, 0xe5840000, 0xe3a0000a,
	0xe5840000, 0xe3a06601, 0xe2566001, 0x1afffffd, 0xe2555001,
	0x1afffff6, 0xe59f0004, 0xe1400070, 0xeafffffe, 0x84000008,
};

static const struct vm_option options_32[] = { { "aarch32", "1" }, { "entry", "raw" } };

static void to_32_bits(struct machine_config *config)
{
	config->image.data = code_32;
	config->image.size = sizeof(code_32);
	config->vm.options = options_32;
	config->vm.n_options = ARRAY_SIZE(options_32);
	/* QEMU loses banked SPSRs of a 32-bit guest that changes its CPU. */
	config->vm.affinity = &one_cpu;
}

static void ticks_32(const char *irqchip)
{
	struct guest g = {
		.what = "aarch32",
		.irqchip = irqchip,
		.cpus = 1,
		.configure = to_32_bits,
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
	struct taken states[2] = { 0 };
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

/* Restores into a machine of shorter vectors than the state has. */
static int refuse(void *opaque, struct vm *vm, struct err *err)
{
	const struct guest *g = opaque;
	struct reader in = reader_of(&g->from->vcpus[0]);

	return arch_vcpu_restore(&vm->vcpus[0], &in, err);
}

static void short_vectors(struct machine_config *config)
{
	static const struct vm_option shortest = { "sve-max-vl", "128" };

	config->vm.options = &shortest;
	config->vm.n_options = 1;
}

static void other_vectors(const char *irqchip)
{
	struct guest g = { .what = "SVE", .irqchip = irqchip, .cpus = 1, .payload = "irq" };
	struct guest other = g;
	struct taken state = { 0 };

	other.from = &state;
	other.configure = short_vectors;
	if (!create_guest(&other, refuse)) {
		printf("# no SVE: %s\n", other.err.text);
		return;
	}
	if (start(&g)) {
		listen_to(&g, 1);
		stop_and_save(&g, &state, NULL);
		end(&g);
		ok(machine_run(other.run.m, &other.err) == -ENOTSUP &&
			   strstr(other.err.text, "SVE, --sve-max-vl"),
		   "shorter vectors are refused: %s", other.err.text);
	}
	machine_destroy(other.run.m);
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
		if (!has_chip(chips[i]))
			continue;
		ticks(chips[i], 1, NULL);
		ticks(chips[i], 2, NULL);
		edges(chips[i]);
		if (ran++)
			continue;
		ticks(chips[i], 2, with_pmu);
		/* More than there are in one level of affinity; all but two are off. */
		ticks(chips[i], strcmp(chips[i], "gicv2") != 0 ? CPUS : 8, NULL);
		ticks_32(chips[i]);
		other_vectors(chips[i]);
	}
	ok(ran, "%u kinds of GIC", ran);
	return done_testing();
}
