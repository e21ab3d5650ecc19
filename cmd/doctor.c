/* SPDX-License-Identifier: MIT */
/*
 * lkvm doctor: what this host's KVM can do, what is missing, and how to mend it. Capabilities alone
 * do not tell: a KVM without virtualization hardware shows them all and still can't run Linux. So a
 * probe guest is run with what stock kernels need.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "machine.h"
#include "util/util.h"
#include "vm/kvm.h"

static const struct {
	int cap;
	const char *name;
	const char *what; /* what it is for; NULL in `lack`: its absence does no harm */
	const char *lack;
} caps[] = {
	{ KVM_CAP_USER_MEMORY, "USER_MEMORY", "guest memory", "the host's kernel is too old" },
	{ KVM_CAP_IMMEDIATE_EXIT, "IMMEDIATE_EXIT", "stopping vCPUs",
	  "the host's kernel is older than 4.12" },
	{ KVM_CAP_IRQFD, "IRQFD", "interrupts by eventfd",
	  "build the host's kernel with CONFIG_EVENTFD" },
	{ KVM_CAP_IOEVENTFD, "IOEVENTFD", "doorbells by eventfd", NULL },
	{ KVM_CAP_SIGNAL_MSI, "SIGNAL_MSI", "message interrupts", "the host's kernel is too old" },
};

static unsigned int check_caps(int fd)
{
	unsigned int missing = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(caps); i++) {
		bool has = kvm_cap(fd, caps[i].cap);

		printf("  %-16s %-4s %s%s%s\n", caps[i].name, has ? "yes" : "no", caps[i].what,
		       !has && caps[i].lack ? ": " : "", !has && caps[i].lack ? caps[i].lack : "");
		missing += !has && caps[i].lack;
	}
	printf("  %-16s %d\n", "vCPUs", kvm_cap(fd, KVM_CAP_MAX_VCPUS));
	return missing + (unsigned int)arch_doctor(fd);
}

/* Runs the probe guest in silence. 0: it ran to its end. */
static int run_probe(const char *dev, struct err *err)
{
	struct machine_config config = {
		.vm = { .dev = dev, .cpus = 1, .mem = 16 * MIB },
		.image = { .cmdline = "" },
		.payload = "probe",
		.console = CONSOLE_NONE,
		.in = -1,
		.out = -1,
		.log_fd = -1,
		.timeouts[TIMEOUT_TOTAL] = 10000,
	};
	struct machine *m;
	int status;

	config.vm.log = (struct log){ .fd = -1, .level = LOG_ERROR, .name = "probe" };
	status = machine_create(&config, &m, err);
	if (status)
		return status;
	status = machine_run(m, err);
	if (status > 0)
		err_set(err, EIO, "%s", machine_why(m));
	machine_destroy(m);
	return status;
}

static int check_probe(const char *dev)
{
	struct err err;

	if (!run_probe(dev, &err)) {
		printf("  probe guest      ran: Linux guests can run here\n");
		return 0;
	}
	printf("  probe guest      failed: %s\n%s", err.text, arch_probe_hint);
	return 1;
}

int cmd_doctor(int argc, char **argv, const struct command *table)
{
	const char *dev = argc == 3 && !strcmp(argv[1], "--dev") ? argv[2] : KVM_DEFAULT_DEV;
	struct err err;
	int fd, missing;

	(void)table;
	if (argc != 1 && (argc != 3 || strcmp(argv[1], "--dev")))
		return cmd_fail("doctor takes no arguments but --dev PATH");
	fd = kvm_open(dev, &err);
	if (fd < 0)
		return cmd_fail("%s", err.text);
	printf("%s: KVM API %d, %s\n", dev, KVM_API_VERSION, arch_name);
	missing = (int)check_caps(fd);
	close(fd);
	missing += check_probe(dev);
	puts(missing ? "Linux guests cannot run here." : "All is well.");
	return missing ? STATUS_HOST_FAILED : 0;
}
