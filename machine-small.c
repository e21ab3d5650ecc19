/* SPDX-License-Identifier: MIT */
/*
 * The small machine: what test images, unikernels and hobby kernels know, and a Linux kernel does not
 * ask for. Places to write an exit status to, or a line to tell it; fw_cfg; and a word on the command
 * line for each virtio-mmio device. Built-in payloads get the first place, and what they are given by
 * name.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine-parts.h"
#include "platform/debug-exit.h"
#include "platform/fw-cfg.h"
#include "util/util.h"

/* ---- Exit status ---- */

static void ended(void *opaque, int status)
{
	struct machine *m = opaque;

	vm_end(m->vm, VERDICT_IMAGE, status);
}

static int add_debug_exit(struct machine *m, struct debug_exit_config config, struct err *err)
{
	unsigned int n = m->n_debug_exits++;

	snprintf(m->debug_exit_names[n], sizeof(m->debug_exit_names[n]), "debug-exit.%u", n);
	config.name = m->debug_exit_names[n];
	config.ended = ended;
	config.opaque = m;
	return machine_add_device(m, "debug_exit", config.name, &config, err);
}

/* Those that such images know. */
static int add_known_exits(struct machine *m, struct err *err)
{
	unsigned int n = 0;
	int rc = 0;

	if (m->config->payload)
		n = 1;
	else if (m->config->vm.not_linux && !m->config->debug_exits_given)
		n = arch_map.n_debug_exits;
	for (unsigned int i = 0; !rc && i < n; i++) {
		const struct arch_debug_exit *e = &arch_map.debug_exits[i];
		struct debug_exit_config config = {
			.is_pio = e->place.is_pio,
			.base = e->place.base,
			.rule = e->has_ok ? DEBUG_EXIT_OK : DEBUG_EXIT_VALUE,
			.ok = e->ok,
		};

		rc = add_debug_exit(m, config, err);
	}
	return rc;
}

static int add_given_exits(struct machine *m, struct err *err)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < m->config->n_debug_exits; i++) {
		const struct machine_debug_exit *e = &m->config->debug_exits[i];
		struct debug_exit_config config = {
			.is_pio = true, .base = e->port, .rule = e->rule, .ok = e->ok
		};

		rc = add_debug_exit(m, config, err);
	}
	return rc;
}

/*
 * kvm-unit-tests' number is what isa-debug-exit would make of their status: status << 1 | 1. The VM
 * goes on: it is the image's own status if it then powers off, and no more than that if it panics.
 */
void machine_told_status(struct machine *m, unsigned int number)
{
	unsigned int status = number & 1 ? number >> 1 : number;

	if (m->config->vm.not_linux)
		verdict_add(&m->vm->verdict, VERDICT_IMAGE, (int)MIN(status, 255u));
}

/* ---- fw_cfg ---- */

static int add_fw_cfg(struct machine *m, struct err *err)
{
	const struct arch_device *d = &arch_map.fw_cfg;
	struct fw_cfg_config config = {
		.name = d->name,
		.base = d->place.base,
		.cpus = (uint16_t)MIN(m->config->vm.cpus, 0xffffu),
		.ram = m->config->vm.mem,
	};

	if (!d->type || !m->config->vm.not_linux)
		return 0;
	return machine_add_device(m, d->type, d->name, &config, err);
}

int machine_add_small(struct machine *m, struct err *err)
{
	int rc = add_known_exits(m, err);

	if (!rc)
		rc = add_given_exits(m, err);
	return rc ? rc : add_fw_cfg(m, err);
}

/* ---- Devices on the command line ---- */

enum discovery machine_discovery(const struct machine_config *c)
{
	if (c->discovery != DISCOVERY_DEFAULT)
		return c->discovery;
	return c->vm.not_linux && arch_map.has_cmdline_devices ? DISCOVERY_CMDLINE : DISCOVERY_ACPI;
}

/* Where a word for the kernel goes: behind the others, before a "--" with what follows it. */
static const char *end_of_words(const char *cmdline)
{
	const char *p = cmdline;

	while ((p = strstr(p, "--"))) {
		if ((p == cmdline || p[-1] == ' ') && (!p[2] || p[2] == ' '))
			return p == cmdline ? p : p - 1;
		p += 2;
	}
	return cmdline + strlen(cmdline);
}

static void put_words(FILE *out, unsigned int n)
{
	for (unsigned int slot = 0; slot < n; slot++)
		fprintf(out, "%svirtio_mmio.device=%llu@0x%llx:%u", slot ? " " : "",
			(unsigned long long)arch_map.virtio_step,
			(unsigned long long)(arch_map.virtio.base + slot * arch_map.virtio_step),
			arch_virtio_gsi(slot));
}

int machine_cmdline(struct machine *m, const char **cmdline, struct err *err)
{
	unsigned int n = machine_virtio_devices(m->config);
	const char *given = *cmdline, *end = end_of_words(given);
	size_t len;
	FILE *out;

	if (!n || m->vm->config.pci || machine_discovery(m->config) == DISCOVERY_ACPI)
		return 0;
	out = open_memstream(&m->cmdline, &len);
	if (!out)
		return err_set(err, ENOMEM, "no memory for the command line");
	fprintf(out, "%.*s%s", (int)(end - given), given, end > given ? " " : "");
	put_words(out, n);
	fprintf(out, "%s%s", end == given && *end ? " " : "", end);
	if (fclose(out))
		return err_set(err, ENOMEM, "no memory for the command line");
	*cmdline = m->cmdline;
	return 0;
}
