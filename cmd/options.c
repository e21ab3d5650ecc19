/* SPDX-License-Identifier: MIT */
#include "cmd/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "cmd/cmd.h"
#include "util/util.h"

/* ---- Values ---- */

static int parse_number(const char *text, uint64_t *out, const char **end)
{
	char *stop;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	*out = strtoull(text, &stop, strncmp(text, "0x", 2) ? 10 : 16);
	if (errno || stop == text)
		return -EINVAL;
	*end = stop;
	return 0;
}

static int set_count(const char *option, const char *value, unsigned int *out, struct err *err)
{
	const char *end;
	uint64_t n;

	if (parse_number(value, &n, &end) || *end || n > INT32_MAX)
		return err_set(err, EINVAL, "%s %s: not a whole number from 0 to 2147483647",
			       option, value);
	*out = (unsigned int)n;
	return 0;
}

static int set_cpus(struct run_options *o, const char *value, struct err *err)
{
	int rc = set_count("--cpus", value, &o->machine.vm.cpus, err);

	if (!rc && !o->machine.vm.cpus)
		rc = err_set(err, EINVAL, "--cpus 0: a guest needs a CPU");
	return rc;
}

/* B, K, M, G, T, P; kvmtool's default is MiB. */
static int unit_shift(const char *unit)
{
	const char *units = "BKMGTP";
	const char *at;

	if (!*unit)
		return 20;
	at = strchr(units, *unit >= 'a' ? *unit - 'a' + 'A' : *unit);
	if (!at || unit[1])
		return -1;
	return 10 * (int)(at - units);
}

static int set_mem(struct run_options *o, const char *value, struct err *err)
{
	uint64_t n, bytes;
	const char *unit;
	struct sysinfo host;
	int shift;

	if (parse_number(value, &n, &unit) || (shift = unit_shift(unit)) < 0)
		return err_set(err, EINVAL,
			       "--mem %s: give a number and B, K, M, G, T or P; 512 means 512M",
			       value);
	if (n > (UINT64_MAX / 4) >> shift)
		return err_set(err, EINVAL, "--mem %s: more than any host has", value);
	bytes = n << shift;
	if (bytes < 2 * MIB)
		return err_set(err, EINVAL, "--mem %s is too little: 2M is the least", value);
	if (bytes % MEM_PAGE)
		return err_set(err, EINVAL, "--mem %s: not a multiple of 4 KiB", value);
	/* Memory is handed out as it is touched: more than the host has may be meant, not far more. */
	if (!sysinfo(&host) && bytes / 8 > (uint64_t)host.totalram * host.mem_unit)
		return err_set(err, ENOMEM, "--mem %s: this host has %llu MiB", value,
			       (unsigned long long)host.totalram * host.mem_unit / MIB);
	o->machine.vm.mem = bytes;
	o->mem_given = true;
	return 0;
}

static int set_kernel(struct run_options *o, const char *value, struct err *err)
{
	if (o->machine.image.kernel)
		return err_set(err, EINVAL, "two kernels: %s and %s", o->machine.image.kernel,
			       value);
	o->machine.image.kernel = value;
	return 0;
}

static int set_initrd(struct run_options *o, const char *value, struct err *err)
{
	if (o->machine.image.initrd)
		return err_set(err, EINVAL, "two initrds: %s and %s; cat them into one file",
			       o->machine.image.initrd, value);
	o->machine.image.initrd = value;
	return 0;
}

static int set_params(struct run_options *o, const char *value, struct err *err)
{
	size_t len = strlen(o->params);

	if (len + strlen(value) + 2 > sizeof(o->params))
		return err_set(err, E2BIG, "--params: more than %zu characters",
			       sizeof(o->params) - 1);
	if (len)
		o->params[len++] = ' ';
	strcpy(o->params + len, value);
	return 0;
}

static int set_disk_word(struct machine_disk *d, const char *word, const char *value,
			 struct err *err)
{
	if (!strcmp(word, "ro"))
		d->ro = true;
	else if (!strcmp(word, "direct"))
		d->direct = true;
	else if (!strncmp(word, "serial=", 7) && strlen(word + 7) <= 20)
		d->serial = word + 7;
	else if (!strncmp(word, "serial=", 7))
		return err_set(err, EINVAL, "--disk %s: a serial has at most 20 characters", value);
	else
		return err_set(err, ENOTSUP,
			       "--disk %s: '%s' is not built yet or no such thing; ro, direct and "
			       "serial=NAME are there",
			       value, word);
	return 0;
}

static int set_disk(struct run_options *o, const char *value, struct err *err)
{
	struct machine_disk *d = &o->machine.disks[o->machine.n_disks];
	char *rest, *word;
	int rc = 0;

	if (o->machine.n_disks == MACHINE_DISKS)
		return err_set(err, ENOSPC, "--disk: more than %u disks", MACHINE_DISKS);
	rest = strdup(value);
	if (!rest)
		return err_set(err, ENOMEM, "no memory");
	o->disk_text[o->machine.n_disks] = rest;
	d->path = strsep(&rest, ",");
	while (!rc && (word = strsep(&rest, ",")))
		rc = set_disk_word(d, word, value, err);
	o->machine.n_disks++;
	return rc;
}

static int set_console(struct run_options *o, const char *value, struct err *err)
{
	if (!strcmp(value, "serial"))
		o->machine.console = CONSOLE_SERIAL;
	else if (!strcmp(value, "virtio"))
		o->machine.console = CONSOLE_VIRTIO;
	else if (!strcmp(value, "none"))
		o->machine.console = CONSOLE_NONE;
	else
		return err_set(err, EINVAL, "--console %s: it is serial, virtio or none", value);
	return 0;
}

static int set_console_log(struct run_options *o, const char *value, struct err *err)
{
	if (o->console_log)
		return err_set(err, EINVAL, "two console logs: %s and %s", o->console_log, value);
	o->console_log = value;
	return 0;
}

static int set_rng(struct run_options *o, const char *value, struct err *err)
{
	(void)err;
	o->machine.rng = *value == '1';
	return 0;
}

static int set_nodefaults(struct run_options *o, const char *value, struct err *err)
{
	(void)err;
	o->nodefaults = *value == '1';
	return 0;
}

static int set_dev(struct run_options *o, const char *value, struct err *err)
{
	(void)err;
	o->machine.vm.dev = value;
	return 0;
}

static int set_irqchip(struct run_options *o, const char *value, struct err *err)
{
	(void)err;
	o->machine.vm.irqchip = value;
	return 0;
}

static int set_transport(struct run_options *o, const char *value, struct err *err)
{
	(void)o;
	if (!strcmp(value, "mmio"))
		return 0;
	if (!strcmp(value, "pci"))
		return err_set(err, ENOTSUP, "--virtio-transport pci: not built yet; mmio is");
	return err_set(err, EINVAL, "--virtio-transport %s: it is mmio, and pci later", value);
}

static int set_network(struct run_options *o, const char *value, struct err *err)
{
	(void)o;
	if (!strcmp(value, "mode=none") || !strcmp(value, "none"))
		return 0;
	return err_set(err, ENOTSUP, "--network %s: not built yet; only mode=none is", value);
}

static int set_payload(struct run_options *o, const char *value, struct err *err)
{
	if (o->machine.payload)
		return err_set(err, EINVAL, "two payloads: %s and %s", o->machine.payload, value);
	o->machine.payload = value;
	return 0;
}

static int set_triple_fault(struct run_options *o, const char *value, struct err *err)
{
	o->machine.triple_fault_ok = !strcmp(value, "ok");
	if (!o->machine.triple_fault_ok && strcmp(value, "fail"))
		return err_set(err, EINVAL, "--triple-fault %s: it is ok or fail", value);
	return 0;
}

static int set_timeout(struct run_options *o, const char *value, struct err *err)
{
	return set_count("--timeout", value, &o->machine.timeout, err);
}

static int set_verbose(struct run_options *o, const char *value, struct err *err)
{
	(void)err;
	o->machine.vm.log.level = *value == '1' ? LOG_INFO : LOG_WARNING;
	return 0;
}

static int set_debug(struct run_options *o, const char *value, struct err *err)
{
	(void)err;
	o->machine.vm.log.level = *value == '1' ? LOG_DEBUG : LOG_WARNING;
	return 0;
}

static int set_loglevel(struct run_options *o, const char *value, struct err *err)
{
	static const char *const words[] = { "error", "warning", "info", "debug" };

	for (unsigned int i = 0; i < ARRAY_SIZE(words); i++) {
		if (!strcmp(value, words[i])) {
			o->machine.vm.log.level = (enum log_level)i;
			return 0;
		}
	}
	return err_set(err, EINVAL, "--loglevel %s: it is error, warning, info or debug", value);
}

/* ---- The table ---- */

#define WORKS OPTION_WORKS
#define LATER OPTION_LATER, NULL
#define ARM64 OPTION_OTHER_PORT, NULL

const struct option run_option_table[] = {
	{ "kernel", 'k', "FILE", WORKS, set_kernel,
	  "Kernel or other image: a bzImage or a 64-bit ELF file. May be given as a bare word. Else the "
	  "first of ./bzImage, arch/x86/boot/bzImage, vmlinux, /boot/vmlinuz-$(uname -r) is taken.",
	  "-k bzImage -i initrd.cpio.gz" },
	{ "initrd", 'i', "FILE", WORKS, set_initrd, "Initial ramdisk, packed or not.",
	  "-k bzImage --initrd initrd.cpio.gz" },
	{ "params", 'p', "TEXT", WORKS, set_params,
	  "Kernel command line; may be repeated. console= and panic=-1 are added unless given.",
	  "-k bzImage -i initrd.cpio.gz -p \"quiet\"" },
	{ "cpus", 'c', "N", WORKS, set_cpus, "Number of vCPUs.", "--payload smp -c 2" },
	{ "mem", 'm', "SIZE", WORKS, set_mem,
	  "Guest memory: a number and B, K, M, G, T or P; M if none is given. 2M is the least.",
	  "--payload exit -m 64M" },
	{ "disk", 'd', "FILE[,ro][,direct][,serial=NAME]", WORKS, set_disk,
	  "A raw file or a block device as the next virtio disk (vda, vdb ...). ro: read-only. direct: past "
	  "the host's page cache.",
	  "--payload exit -d disk.img,ro" },
	{ "rng", 0, NULL, WORKS, set_rng, "A virtio entropy source.", "--payload exit --rng" },
	{ "console", 0, "serial|virtio|none", WORKS, set_console,
	  "Which console is the kernel's and takes the input. virtio is hvc0; the serial port is there "
	  "beside it. none: neither.",
	  "--payload exit --console none" },
	{ "console-log", 0, "FILE", WORKS, set_console_log,
	  "Also write what the guest prints to this file.",
	  "--payload hello --console-log console.log" },
	{ "nodefaults", 0, NULL, WORKS, set_nodefaults, "Add nothing to the kernel's command line.",
	  "-k bzImage -i initrd.cpio.gz --nodefaults -p \"console=ttyS0 panic=-1\"" },
	{ "network", 'n', "mode=none", WORKS, set_network,
	  "No network; other modes are not built yet.", "--payload exit -n mode=none" },
	{ "virtio-transport", 0, "mmio", WORKS, set_transport,
	  "How virtio devices are found; pci is not built yet.",
	  "--payload exit --virtio-transport mmio" },
	{ "irqchip", 0, "split|full|none", WORKS, set_irqchip,
	  "Interrupt controllers. split: local APICs in KVM, IOAPIC here; starts the fastest. full: all in "
	  "KVM, with PIC and PIT. none: an image that takes no interrupts.",
	  "--payload exit --irqchip full" },
	{ "timeout", 0, "SECONDS", WORKS, set_timeout,
	  "End the guest after this time, with status 124. 0: never.",
	  "--payload exit --timeout 60" },
	{ "triple-fault", 0, "ok|fail", WORKS, set_triple_fault,
	  "What a triple fault means: fail (status 123), or ok (0) for images that end so.",
	  "--payload end -p triple --triple-fault ok" },
	{ "payload", 0, "NAME", WORKS, set_payload,
	  "Run a tiny guest that is part of lkvm, instead of a kernel (lkvm help payloads).",
	  "--payload hello" },
	{ "dev", 0, "PATH", WORKS, set_dev, "KVM's device node.", "--payload exit --dev /dev/kvm" },
	{ "verbose", 'v', NULL, WORKS, set_verbose, "Say what is done and why.",
	  "--payload exit -v" },
	{ "debug", 0, NULL, WORKS, set_debug, "The same as --loglevel debug.",
	  "--payload exit --debug" },
	{ "loglevel", 0, "LEVEL", WORKS, set_loglevel,
	  "What lkvm itself reports: error, warning (the default), info or debug.",
	  "--payload exit --loglevel error" },

	{ "name", 0, "NAME", LATER, "Name of the guest.", NULL },
	{ "balloon", 0, NULL, LATER, "A memory balloon.", NULL },
	{ "vsock", 0, "CID", LATER, "A virtio socket.", NULL },
	{ "hugetlbfs", 0, "PATH", LATER, "Guest memory from a hugetlbfs mount.", NULL },
	{ "sandbox", 0, "SCRIPT", LATER, "Run a script in the guest.", NULL },
	{ "9p", 0, "DIR[,TAG]", LATER, "Share a directory.", NULL },
	{ "tty", 0, "N", LATER, "A console on a pty.", NULL },
	{ "firmware", 'f', "FILE", LATER, "A firmware image.", NULL },
	{ "flash", 'F', "FILE", LATER, "A flash image.", NULL },
	{ "no-dhcp", 0, NULL, LATER, "No DHCP in the guest.", NULL },
	{ "vfio-pci", 0, "ADDRESS", LATER, "Pass a PCI device through.", NULL },
	{ "debug-single-step", 0, NULL, LATER, "Single-step the guest.", NULL },
	{ "debug-ioport", 0, NULL, LATER, "Report port I/O.", NULL },
	{ "debug-mmio", 0, NULL, LATER, "Report MMIO.", NULL },

	{ "aarch32", 0, NULL, ARM64, "A 32-bit guest.", NULL },
	{ "pmu", 0, NULL, ARM64, "A PMU.", NULL },
	{ "disable-mte", 0, NULL, ARM64, "No memory tagging.", NULL },
	{ "vcpu-affinity", 0, "LIST", ARM64, "Host CPUs of the vCPUs.", NULL },
	{ "kaslr-seed", 0, "N", ARM64, "Seed for KASLR.", NULL },
	{ "no-pvtime", 0, NULL, ARM64, "No stolen time.", NULL },
	{ "sve-max-vl", 0, "BITS", ARM64, "SVE vector length.", NULL },
	{ "dump-dtb", 0, "FILE", ARM64, "Write the device tree.", NULL },
	{ "firmware-address", 0, "ADDRESS", ARM64, "Where the firmware goes.", NULL },
	{ "nested", 0, NULL, ARM64, "Nested virtualization.", NULL },
	{ NULL, 0, NULL, WORKS, NULL, NULL, NULL },
};

#undef WORKS
#undef LATER
#undef ARM64

/* ---- Parsing ---- */

static const struct option *by_letter(char letter)
{
	for (const struct option *p = run_option_table; p->name; p++) {
		if (letter && p->letter == letter)
			return p;
	}
	return NULL;
}

/* The whole name, or its beginning where that is unique. */
static const struct option *by_name(const char *name, size_t len, bool *ambiguous)
{
	const struct option *found = NULL;

	*ambiguous = false;
	for (const struct option *p = run_option_table; p->name; p++) {
		if (strncmp(p->name, name, len))
			continue;
		if (!p->name[len]) {
			*ambiguous = false;
			return p;
		}
		*ambiguous = found;
		found = p;
	}
	return *ambiguous ? NULL : found;
}

static int unknown(const char *word, struct err *err)
{
	const char *names[ARRAY_SIZE(run_option_table) + 1];
	const char *near;
	unsigned int n = 0;

	for (const struct option *p = run_option_table; p->name && n < ARRAY_SIZE(names) - 1; p++)
		names[n++] = p->name;
	names[n] = NULL;
	near = cmd_nearest(word, names);
	if (near)
		return err_set(err, EINVAL, "unknown option --%s; did you mean --%s?", word, near);
	return err_set(err, EINVAL, "unknown option --%s; lkvm run --help lists them", word);
}

static int apply(const struct option *p, struct run_options *o, const char *value, struct err *err)
{
	if (p->state == OPTION_LATER)
		return err_set(err, ENOTSUP, "--%s is not built yet", p->name);
	if (p->state == OPTION_OTHER_PORT)
		return err_set(err, ENOTSUP, "--%s is for arm64 guests, this machine is %s",
			       p->name, arch_name);
	if (!*value && p->set != set_params)
		return err_set(err, EINVAL, "--%s needs a value: --%s %s", p->name, p->name,
			       p->arg);
	return p->set(o, value, err);
}

/* --name, --name=value, --name value, --no-switch. Advances *i past a value. */
static int parse_long(int argc, char **argv, int *i, struct run_options *o, struct err *err)
{
	char word[64];
	const char *text = argv[*i] + 2;
	const char *value = strchr(text, '=');
	size_t len = value ? (size_t)(value - text) : strlen(text);
	const struct option *p = NULL;
	bool ambiguous, no = false;

	if (len >= sizeof(word))
		return err_set(err, EINVAL, "unknown option %.80s", argv[*i]);
	memcpy(word, text, len);
	word[len] = 0;
	p = by_name(word, len, &ambiguous);
	if (!p && !ambiguous && !strncmp(word, "no-", 3)) {
		p = by_name(word + 3, len - 3, &ambiguous);
		no = p;
	}
	if (ambiguous)
		return err_set(err, EINVAL, "--%s is short for several options; write more of it",
			       word);
	if (!p || (no && p->arg))
		return unknown(word, err);
	if (!p->arg) {
		if (value)
			return err_set(err, EINVAL, "--%s takes no value", p->name);
		return apply(p, o, no ? "0" : "1", err);
	}
	if (value)
		return apply(p, o, value + 1, err);
	if (p->state == OPTION_WORKS && *i + 1 >= argc)
		return err_set(err, EINVAL, "--%s needs a value: --%s %s", p->name, p->name,
			       p->arg);
	*i += *i + 1 < argc;
	return apply(p, o, argv[*i], err);
}

/* -m 512, -m512, -m=512; switches may not be bundled (kvmtool has one letter for each). */
static int parse_short(int argc, char **argv, int *i, struct run_options *o, struct err *err)
{
	const char *text = argv[*i];
	const struct option *p = by_letter(text[1]);

	if (!p)
		return err_set(err, EINVAL, "unknown option -%c; lkvm run --help lists them",
			       text[1]);
	if (!p->arg) {
		if (text[2])
			return err_set(err, EINVAL, "-%c takes no value, and stands alone",
				       text[1]);
		return apply(p, o, "1", err);
	}
	if (text[2])
		return apply(p, o, text + 2 + (text[2] == '='), err);
	if (p->state == OPTION_WORKS && *i + 1 >= argc)
		return err_set(err, EINVAL, "-%c needs a value: -%c %s", text[1], text[1], p->arg);
	*i += *i + 1 < argc;
	return apply(p, o, argv[*i], err);
}

int options_parse(int argc, char **argv, struct run_options *o, struct err *err)
{
	int rc = 0;

	for (int i = 1; !rc && i < argc; i++) {
		const char *arg = argv[i];

		if (!strcmp(arg, "--"))
			return err_set(err, ENOTSUP, "a command after -- is not built yet");
		if (!strncmp(arg, "--", 2))
			rc = parse_long(argc, argv, &i, o, err);
		else if (arg[0] == '-' && arg[1])
			rc = parse_short(argc, argv, &i, o, err);
		else
			rc = set_kernel(o, arg, err);
	}
	if (!rc && o->machine.payload && o->machine.image.kernel)
		rc = err_set(err, EINVAL, "--payload %s and kernel %s: one of them",
			     o->machine.payload, o->machine.image.kernel);
	return rc;
}

void options_free(struct run_options *o)
{
	for (unsigned int i = 0; i < o->machine.n_disks; i++)
		free(o->disk_text[i]);
}
