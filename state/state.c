/* SPDX-License-Identifier: MIT */
#include "state/state.h"

#include <errno.h>
#include <string.h>

#include "state/diff.h"
#include "util/util.h"
#include "vm/arch.h"

#define ARCH_NAME 16

/* ---- What it was saved from ---- */

static void describe(const struct vm *vm, unsigned int n_devices, struct buf *out)
{
	char arch[ARCH_NAME] = "";

	strncpy(arch, arch_name, sizeof(arch) - 1);
	buf_put(out, arch, sizeof(arch));
	buf_put_le32(out, vm->n_vcpus);
	buf_put_le32(out, n_devices);
	buf_put_le64(out, vm->config.mem);
}

static unsigned int count(const struct device_list *devices)
{
	unsigned int n = 0;

	for (const struct device *d = devices->first; d; d = d->next)
		n++;
	return n;
}

static int check_machine(const struct vm *vm, const struct device_list *devices,
			 const struct saved *s, struct err *err)
{
	const struct saved_section *section = saved_find(s, "machine", 0);
	struct reader in = section ? section->body : (struct reader){ 0 };
	char arch[ARCH_NAME];
	uint32_t cpus, n_devices;
	uint64_t mem;

	reader_get(&in, arch, sizeof(arch));
	cpus = reader_le32(&in);
	n_devices = reader_le32(&in);
	mem = reader_le64(&in);
	/* (Its letters go to a terminal.) */
	if (in.failed || in.left || arch[ARCH_NAME - 1] ||
	    arch[strspn(arch, "abcdefghijklmnopqrstuvwxyz0123456789_")])
		return err_set(err, EINVAL, "the saved state does not say of what machine it is");
	if (strcmp(arch, arch_name) != 0)
		return err_set(err, EINVAL, "the saved state is of %s, and this machine is %s",
			       arch, arch_name);
	if (cpus != vm->n_vcpus)
		return err_set(err, EINVAL,
			       "the saved state is of %u CPUs, and this machine has %u", cpus,
			       (unsigned int)vm->n_vcpus);
	if (mem != vm->config.mem)
		return err_set(
			err, EINVAL,
			"the saved state is of %llu KiB of memory, and this machine has %llu",
			(unsigned long long)(mem / KIB),
			(unsigned long long)(vm->config.mem / KIB));
	if (n_devices != count(devices))
		return err_set(err, EINVAL,
			       "the saved state is of %u devices, and this machine has %u",
			       n_devices, count(devices));
	return 0;
}

/* Everything has its section, so with as many sections as that there is none too many. */
static int check_sections(const struct vm *vm, const struct device_list *devices,
			  const struct saved *s, struct err *err)
{
	unsigned int extra;

	for (unsigned int i = 0; i < vm->n_vcpus; i++) {
		if (!saved_find(s, "vcpu", i))
			return err_set(err, EINVAL, "the saved state lacks vCPU %u", i);
	}
	for (const struct device *d = devices->first; d; d = d->next) {
		if (!saved_find(s, d->name, 0))
			return err_set(err, EINVAL, "the saved state lacks the device %s", d->name);
	}
	extra = !!saved_find(s, STATE_OPTIONS, 0) + !!saved_find(s, STATE_DIFF, 0);
	if (!saved_find(s, "vm", 0) || s->n_sections != 2 + extra + vm->n_vcpus + count(devices))
		return err_set(err, EINVAL, "the saved state has sections of another machine");
	return 0;
}

/* ---- All of it ---- */

int state_save(struct vm *vm, const struct device_list *devices, const struct buf *options,
	       struct buf *out, struct err *err)
{
	struct buf body = { 0 };
	int rc = 0;

	saved_begin(out);
	describe(vm, count(devices), &body);
	saved_add(out, "machine", 0, &body);
	if (options)
		saved_add(out, STATE_OPTIONS, 0, options);
	for (unsigned int i = 0; !rc && i < vm->n_vcpus; i++) {
		body.len = 0;
		rc = arch_vcpu_save(&vm->vcpus[i], &body, err);
		saved_add(out, "vcpu", i, &body);
	}
	body.len = 0;
	if (!rc)
		rc = arch_save(vm, &body, err);
	saved_add(out, "vm", 0, &body);
	for (struct device *d = devices->first; d; d = d->next) {
		body.len = 0;
		d->ops->save(d, &body);
		saved_add(out, d->name, 0, &body);
	}
	saved_end(out);
	buf_free(&body);
	if (!rc && out->failed)
		rc = err_set(err, ENOMEM, "no memory for the machine's state");
	return rc;
}

/*
 * Devices first: one that is loaded may raise its interrupt, again. What came of that in the interrupt
 * controllers is overwritten by what they knew.
 */
static int restore_device(struct device *d, const struct saved *s, struct err *err)
{
	struct reader in = saved_find(s, d->name, 0)->body;
	int rc = d->ops->load(d, &in);

	if (rc == -ESTALE)
		return err_set(err, ESTALE,
			       "%s: what it lies on is of another size than when it was saved",
			       d->name);
	return rc || in.failed || in.left
		       ? err_set(err, EINVAL, "the state of %s is not one that it can have",
				 d->name)
		       : 0;
}

int state_restore(struct vm *vm, const struct device_list *devices, const struct saved *s,
		  struct err *err)
{
	int rc = check_machine(vm, devices, s, err);
	struct reader in;

	if (!rc)
		rc = check_sections(vm, devices, s, err);
	for (struct device *d = devices->first; !rc && d; d = d->next)
		rc = restore_device(d, s, err);
	for (unsigned int i = 0; !rc && i < vm->n_vcpus; i++) {
		in = saved_find(s, "vcpu", i)->body;
		rc = arch_vcpu_restore(&vm->vcpus[i], &in, err);
	}
	if (!rc) {
		in = saved_find(s, "vm", 0)->body;
		rc = arch_restore(vm, &in, err);
	}
	return rc;
}
