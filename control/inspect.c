/* SPDX-License-Identifier: MIT */
/* Commands that look at a VM: its CPUs, disks, memory, what it exits for, registers. */
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "control/parts.h"
#include "util/clock.h"
#include "util/util.h"

static const char *const exit_names[VCPU_EXITS] = {
	[KVM_EXIT_UNKNOWN] = "unknown",
	[KVM_EXIT_EXCEPTION] = "exception",
	[KVM_EXIT_IO] = "io",
	[KVM_EXIT_HYPERCALL] = "hypercall",
	[KVM_EXIT_DEBUG] = "debug",
	[KVM_EXIT_HLT] = "halt",
	[KVM_EXIT_MMIO] = "mmio",
	[KVM_EXIT_IRQ_WINDOW_OPEN] = "irq-window",
	[KVM_EXIT_SHUTDOWN] = "shutdown",
	[KVM_EXIT_FAIL_ENTRY] = "fail-entry",
	[KVM_EXIT_INTR] = "signal",
	[KVM_EXIT_SET_TPR] = "set-tpr",
	[KVM_EXIT_NMI] = "nmi",
	[KVM_EXIT_INTERNAL_ERROR] = "internal-error",
	[KVM_EXIT_SYSTEM_EVENT] = "system-event",
	[KVM_EXIT_IOAPIC_EOI] = "ioapic-eoi",
	[KVM_EXIT_ARM_NISV] = "arm-nisv",
	[KVM_EXIT_X86_RDMSR] = "rdmsr",
	[KVM_EXIT_X86_WRMSR] = "wrmsr",
	[KVM_EXIT_DIRTY_RING_FULL] = "dirty-ring-full",
	[KVM_EXIT_X86_BUS_LOCK] = "bus-lock",
};

struct device *control_device(struct control *c, const char *name)
{
	struct device *dev = machine_devices(c->config.machine)->first;

	while (dev && strcmp(dev->name, name))
		dev = dev->next;
	return dev;
}

/* ---- QMP's ---- */

static int query_cpus(struct call *call)
{
	struct vm *vm = call->control->vm;
	struct json *j = call->reply;
	char path[40];

	json_array(j, "return");
	for (unsigned int i = 0; i < atomic_load(&vm->n_vcpus); i++) {
		snprintf(path, sizeof(path), "/machine/cpu[%u]", i);
		json_object(j, NULL);
		json_int(j, "cpu-index", i);
		json_string(j, "qom-path", path);
		json_int(j, "thread-id", atomic_load(&vm->vcpus[i].tid));
		json_object(j, "props");
		json_end_object(j);
		json_string(j, "target", arch_name);
		json_end_object(j);
	}
	json_end_array(j);
	return 0;
}

static int query_block(struct call *call)
{
	const struct machine_config *c = machine_settings(call->control->config.machine);
	struct json *j = call->reply;
	char name[32];

	json_array(j, "return");
	for (unsigned int i = 0; i < c->n_disks; i++) {
		const struct machine_disk *d = &c->disks[i];

		snprintf(name, sizeof(name), "virtio-blk.%u", i);
		json_object(j, NULL);
		json_string(j, "device", name);
		json_string(j, "qdev", name);
		json_string(j, "type", "unknown");
		json_bool(j, "removable", false);
		json_bool(j, "locked", false);
		json_object(j, "inserted");
		json_string(j, "file", d->path);
		json_string(j, "drv", d->format ? d->format : "raw");
		json_bool(j, "ro", d->ro);
		json_bool(j, "encrypted", false);
		json_end_object(j);
		json_end_object(j);
	}
	json_end_array(j);
	return 0;
}

/* ---- Ours ---- */

/* Bytes of this process that are in memory, the guest's among them. */
static int64_t resident(void)
{
	FILE *in = fopen("/proc/self/statm", "re");
	long long pages = 0;

	if (in && fscanf(in, "%*s %lld", &pages) != 1)
		pages = 0;
	if (in)
		fclose(in);
	return pages * sysconf(_SC_PAGESIZE);
}

static void put_exits(struct json *j, struct vcpu *vcpu)
{
	char number[16];

	json_object(j, "exits");
	for (unsigned int i = 0; i < VCPU_EXITS; i++) {
		uint64_t n = atomic_load_explicit(&vcpu->exits[i], memory_order_relaxed);

		snprintf(number, sizeof(number), "%u", i);
		if (n)
			json_int(j, exit_names[i] ? exit_names[i] : number, (int64_t)n);
	}
	json_end_object(j);
}

static void put_devices(struct json *j, struct control *c)
{
	struct device_count count;

	json_array(j, "devices");
	for (struct device *dev = machine_devices(c->config.machine)->first; dev; dev = dev->next) {
		if (!dev->ops->count)
			continue;
		dev->ops->count(dev, &count);
		json_object(j, NULL);
		json_string(j, "name", dev->name);
		json_int(j, "requests", (int64_t)count.requests);
		json_int(j, "bytes-out", (int64_t)count.out);
		json_int(j, "bytes-in", (int64_t)count.in);
		json_end_object(j);
	}
	json_end_array(j);
}

static int stats(struct call *call)
{
	struct control *c = call->control;
	uint64_t since = machine_timeline(c->config.machine)->at[PHASE_KERNEL];
	struct json *j = call->reply;

	json_object(j, "return");
	json_string(j, "name", c->config.name);
	json_int(j, "pid", getpid());
	json_int(j, "run-time-ns", since ? (int64_t)(clock_now() - since) : 0);
	json_object(j, "memory");
	json_int(j, "size", (int64_t)c->vm->config.mem);
	json_int(j, "resident", resident());
	json_end_object(j);
	control_balloon_stats(c, j);
	json_array(j, "vcpus");
	for (unsigned int i = 0; i < atomic_load(&c->vm->n_vcpus); i++) {
		struct vcpu *vcpu = &c->vm->vcpus[i];

		json_object(j, NULL);
		json_int(j, "cpu-index", i);
		json_int(j, "thread-id", atomic_load(&vcpu->tid));
		json_int(j, "cpu-time-ns", (int64_t)vcpu_time(vcpu));
		put_exits(j, vcpu);
		json_end_object(j);
	}
	json_end_array(j);
	put_devices(j, c);
	json_end_object(j);
	return 0;
}

static void put_line(void *opaque, enum log_level level, const char *line)
{
	(void)level;
	json_string(opaque, NULL, line);
}

static int registers(struct call *call)
{
	struct vm *vm = call->control->vm;
	struct log lines = { .level = LOG_DEBUG, .sink = put_line, .opaque = call->reply };
	struct json *j = call->reply;
	int rc = vm_pause(vm);

	if (rc)
		return control_not_running(call, rc);
	json_array(j, "return");
	/* (A dump shows code, of which there may be none any more.) */
	for (unsigned int i = 0; mem_intact(&vm->mem) && i < vm->n_vcpus; i++) {
		json_object(j, NULL);
		json_int(j, "cpu-index", i);
		json_array(j, "lines");
		arch_vcpu_dump(&vm->vcpus[i], &lines);
		json_end_array(j);
		json_end_object(j);
	}
	json_end_array(j);
	vm_resume(vm);
	return 0;
}

const struct control_command control_inspect_commands[] = {
	{ "query-cpus-fast", "", query_cpus, false },
	{ "query-block", "", query_block, false },
	{ "x-lkvm-stats", "", stats, false },
	{ "x-lkvm-registers", "", registers, false },
	{ NULL, NULL, NULL, false },
};
