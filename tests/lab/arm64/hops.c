/* SPDX-License-Identifier: MIT */
/*
 * hops IRQCHIP TRANSPORT CPUS KERNEL INITRD DISK CMDLINE: Linux works on a disk, and moves to another machine, four
 * times, while it does: once more with each line that it prints with "hop" in it.
 */
#include "tests/payload/arm64/hops.h"

#define HOPS 4

static const char *const complaints[] = {
	"the kernel complains",
	"the clock leaps",
	"vda holds something else",
	"vda is not written",
};

static char **words;
static cpu_set_t one_cpu;
static const char *initrds[2]; /* NULL ends */

static void for_linux(struct machine_config *config)
{
	config->vm.mem = 256 * MIB;
	config->vm.not_linux = false;
	config->timeouts[TIMEOUT_TOTAL] = 120000;
	config->image.initrds = initrds;
	config->image.cmdline = words[7];
	config->virtio_pci = !strcmp(words[2], "pci");
	if (config->vm.cpus == 1) /* 32-bit, perhaps: then QEMU loses SPSRs where CPUs change */
		config->vm.affinity = &one_cpu;
	config->n_disks = 1;
	config->disks[0].path = words[6];
}

/* Until a line that says so; all are shown. False: no more lines come. */
static bool wait_hop(struct guest *g)
{
	const char *line;

	do {
		g->len = 0;
		listen_to(g, 1);
		g->text[g->len] = 0;
		line = g->text;
		printf("# %s", line);
		fflush(stdout);
	} while (g->len && !strstr(line, "hop"));
	return g->len;
}

int main(int argc, char **argv)
{
	struct guest g = { .what = "Linux", .configure = for_linux };
	struct saved states[HOPS] = { 0 };
	bool lives;

	signal(SIGPIPE, SIG_IGN);
	if (argc != 8)
		return 2;
	CPU_SET(0, &one_cpu);
	words = argv;
	initrds[0] = argv[5];
	g.irqchip = argv[1];
	g.cpus = (unsigned int)atoi(argv[3]);
	g.kernel = argv[4];
	lives = start(&g);
	for (unsigned int i = 0; lives && i < HOPS; i++) {
		lives = wait_hop(&g);
		ok(lives, "Linux got on");
		/* In the midst of what comes then. */
		usleep(150000);
		lives = lives && stop_and_save(&g, &states[i], NULL);
		end(&g);
		g.from = &states[i];
		lives = lives && start(&g);
		if (i)
			release(&states[i - 1]);
	}
	if (lives) {
		g.len = 0;
		end(&g);
		g.text[g.len] = 0;
		ok(strstr(g.text, "guest: it is over"), "Linux gets to its end");
		for (unsigned int i = 0; i < ARRAY_SIZE(complaints); i++)
			ok(!strstr(g.text, complaints[i]), "not: %s", complaints[i]);
		for (char *rest = g.text, *line; (line = strsep(&rest, "\n"));)
			printf("# %s\n", line);
		ok(g.run.status == 0, "Linux ends as it should: %d %s", g.run.status, g.err.text);
	}
	return done_testing();
}
