/* SPDX-License-Identifier: MIT */
/* The x86 port: vm/arch.h, but for loading (x86/load.c, x86/boot.c). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "util/util.h"
#include "vm/kvm.h"
#include "x86/map.h"
#include "x86/x86.h"

#define MSR_MTRR_DEF_TYPE 0x2ff
#define MTRR_ENABLED_WRITE_BACK (1u << 11 | 6)
#define MSR_MISC_ENABLE 0x1a0
#define MISC_ENABLE_FAST_STRING 1

#define LAPIC_LINT0 0x350
#define LAPIC_LINT1 0x360
#define LVT_EXTINT 0x700
#define LVT_NMI 0x400

#define FULL_LINES 24 /* pins of KVM's own IOAPIC */
#define MIN_RAM (2 * MIB)

const char *const arch_name = "x86_64";

const char *const arch_kernel_paths[] = {
	"bzImage", "arch/x86/boot/bzImage", "arch/x86_64/boot/bzImage", "vmlinux", NULL,
};

const char *const arch_console = "ttyS0";

const char arch_kvm_hint[] = "load the module (modprobe kvm_intel or kvm_amd), or enable "
			     "virtualization in the firmware";

const char arch_probe_hint[] =
	"  This KVM emulates what it can't virtualize, and not all that Linux needs. Small\n"
	"  payloads work (lkvm run --payload hello). For Linux use a host whose processor has\n"
	"  virtualization, or enable nested virtualization for this one, if it is a guest.\n";

const uint64_t arch_own_ram = 0;

const struct arch_map arch_map = {
	.uarts = { { "uart16550",
		     "uart0",
		     { .is_pio = true, .base = X86_PORT_COM1, .gsi = X86_GSI_COM1 } } },
	.pvpanic = { "pvpanic", "pvpanic", { .is_pio = true, .base = X86_PORT_PVPANIC } },
	.power_button = { "ged",
			  "ged",
			  { .is_pio = true, .base = X86_PORT_GED, .gsi = X86_GSI_POWER_BUTTON } },
	/* Its interrupt is the GED's. */
	.vmgenid = { "vmgenid", "vmgenid", { .base = X86_VMGENID, .gsi = X86_GSI_POWER_BUTTON } },
	.virtio = { .base = X86_VIRTIO_MMIO },
	.virtio_step = X86_VIRTIO_MMIO_STEP,
	.virtio_slots = X86_GSI_MAX - X86_GSI_VIRTIO + 2,
	.lines = X86_GSI_COM1 + 1,
	.pci = { .ecam = X86_PCI_ECAM,
		 .window = X86_PCI_WINDOW,
		 .window_size = X86_PCI_WINDOW_SIZE },
	/* Unikraft writes 41 to QEMU's default port when all is well, and 42 when not. */
	.debug_exits = { { .place = { .is_pio = true, .base = X86_PORT_DEBUG_EXIT } },
			 { .place = { .is_pio = true, .base = X86_PORT_DEBUG_EXIT_QEMU },
			   .has_ok = true,
			   .ok = 41 } },
	.n_debug_exits = 2,
	.fw_cfg = { "fw_cfg", "fw_cfg", { .is_pio = true, .base = X86_PORT_FW_CFG } },
	.has_cmdline_devices = true,
	.hvt = { .is_pio = true, .base = X86_PORT_HVT },
};

/*
 * A pin of the IOAPIC costs Linux eight exits before anything is known of what it leads to. So the
 * first slots take what lies idle below COM1; not 0 and 2, where the full irqchip has its timer.
 */
uint32_t arch_virtio_gsi(unsigned int slot)
{
	static const uint32_t first[] = { X86_GSI_VIRTIO_0, X86_GSI_VIRTIO_1 };

	if (slot < ARRAY_SIZE(first))
		return first[slot];
	return X86_GSI_VIRTIO + slot - (uint32_t)ARRAY_SIZE(first);
}

int arch_vm_type(int kvm_fd, const struct vm_config *config, unsigned long *type, struct err *err)
{
	(void)kvm_fd;
	(void)config;
	(void)err;
	*type = 0;
	return 0;
}

int arch_layout(struct vm *vm, struct err *err)
{
	struct mem *mem = &vm->mem;
	uint64_t low = vm->config.hvt ? mem->size : MIN(mem->size, X86_HOLE);
	int rc = -EINVAL;

	if (mem->size >= MIN_RAM)
		rc = mem_add_slot(mem, 0, 0, low);
	if (!rc && mem->size > low)
		rc = mem_add_slot(mem, X86_ABOVE_HOLE, low, mem->size - low);
	return rc ? err_set(err, EINVAL,
			    "guest memory of %llu KiB is too little: 2 MiB is the least",
			    (unsigned long long)(mem->size / KIB))
		  : 0;
}

/* ---- Interrupt controllers ---- */

static void kvm_line(struct irq_chip *chip, const struct irq_line *line, unsigned int level)
{
	struct arch_vm *arch = container_of(chip, struct arch_vm, kvm_chip);
	struct kvm_irq_level irq = { .irq = line->gsi, .level = level };

	ioctl(arch->vm_fd, KVM_IRQ_LINE, &irq);
}

/* An edge at a masked pin is lost: KVM's IOAPIC keeps none (the split one's latches do). */
static void kvm_chip_raise(struct irq_chip *chip, const struct irq_line *line)
{
	kvm_line(chip, line, 1);
	if (line->trigger == IRQ_EDGE)
		kvm_line(chip, line, 0);
}

static void kvm_chip_lower(struct irq_chip *chip, const struct irq_line *line)
{
	kvm_line(chip, line, 0);
}

static void kvm_chip_send_msi(struct irq_chip *chip, const struct msi *msi)
{
	irq_msi_send(container_of(chip, struct arch_vm, kvm_chip)->irq, msi, false);
}

static int create_full(struct vm *vm, struct err *err)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };

	if (vm->config.irq_lines > FULL_LINES)
		return err_set(err, ENOSPC,
			       "--irqchip full has %u interrupt lines, these devices need %u; "
			       "use the split one",
			       FULL_LINES, vm->config.irq_lines);
	if (ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0))
		return err_set(err, errno, "KVM_CREATE_IRQCHIP: %s", strerror(errno));
	if (ioctl(vm->fd, KVM_CREATE_PIT2, &pit))
		return err_set(err, errno, "KVM_CREATE_PIT2: %s", strerror(errno));
	vm->arch->kvm_chip = (struct irq_chip){
		.lines = FULL_LINES,
		.raise = kvm_chip_raise,
		.lower = kvm_chip_lower,
		.send_msi = kvm_chip_send_msi,
	};
	vm->chip = &vm->arch->kvm_chip;
	memset(vm->irq.used, 1, FULL_LINES);
	return 0;
}

static int create_split(struct vm *vm, struct err *err)
{
	uint32_t pins = MAX(vm->config.irq_lines, 1u);
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args[0] = pins };
	int rc = ioapic_create(&vm->irq, &vm->mmio, pins, &vm->arch->ioapic, err);

	if (rc)
		return rc;
	if (ioctl(vm->fd, KVM_ENABLE_CAP, &cap))
		return err_set(err, errno, "KVM_CAP_SPLIT_IRQCHIP: %s; try --irqchip full",
			       strerror(errno));
	vm->chip = &vm->arch->ioapic->chip;
	return 0;
}

/* vm->chip stays NULL: all lines lead nowhere. */
static int create_none(struct vm *vm, struct err *err)
{
	if (vm->config.cpus > 1)
		return err_set(err, EINVAL,
			       "--irqchip none: one CPU only, as nothing could start others");
	return 0;
}

static int create_irqchip(struct vm *vm, struct err *err)
{
	const char *word = vm->config.irqchip;
	struct arch_vm *arch = vm->arch;

	if (!word)
		word = kvm_cap(vm->kvm_fd, KVM_CAP_SPLIT_IRQCHIP) ? "split" : "full";
	vm->config.irqchip = word;
	if (!strcmp(word, "split")) {
		arch->irqchip = X86_IRQCHIP_SPLIT;
		return create_split(vm, err);
	}
	if (!strcmp(word, "full")) {
		arch->irqchip = X86_IRQCHIP_FULL;
		return create_full(vm, err);
	}
	if (!strcmp(word, "none")) {
		arch->irqchip = X86_IRQCHIP_NONE;
		return create_none(vm, err);
	}
	return err_set(err, EINVAL, "--irqchip %s: on x86 it is split, full or none", word);
}

/* APIC IDs past 254 exist as x2APIC IDs only. */
static int enable_x2apic(struct vm *vm, struct err *err)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X2APIC_API,
		.args[0] = KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK,
	};

	if (vm->config.cpus < 255 || vm->arch->irqchip == X86_IRQCHIP_NONE)
		return 0;
	if (ioctl(vm->fd, KVM_ENABLE_CAP, &cap))
		return err_set(err, errno, "-c %u needs KVM_CAP_X2APIC_API: %s", vm->config.cpus,
			       strerror(errno));
	return 0;
}

/*
 * A Solo5 guest has no interrupt controller. KVM, however, patches its own code when the first VM without
 * local APICs comes and when the last one goes, which takes half as long as all else that a VM costs. So there
 * is one, of which nobody tells the guest, unless its RAM reaches that far.
 */
static int create_hvt(struct vm *vm, struct err *err)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP };

	vm->arch->irqchip = X86_IRQCHIP_NONE;
	if (vm->config.mem > X86_LAPIC || !kvm_cap(vm->kvm_fd, KVM_CAP_SPLIT_IRQCHIP))
		return 0;
	if (ioctl(vm->fd, KVM_ENABLE_CAP, &cap))
		return err_set(err, errno, "KVM_CAP_SPLIT_IRQCHIP: %s", strerror(errno));
	vm->arch->sleeps_unseen = true;
	return 0;
}

int arch_create(struct vm *vm, struct err *err)
{
	int rc;

	vm->arch = calloc(1, sizeof(*vm->arch));
	if (!vm->arch)
		return err_set(err, ENOMEM, "no memory for the machine");
	vm->arch->vm_fd = vm->fd;
	vm->arch->irq = &vm->irq;
	if (vm->config.hvt)
		return create_hvt(vm, err);
	/* For Intel processors that can't run real mode as it is; others ignore it. */
	if (ioctl(vm->fd, KVM_SET_TSS_ADDR, X86_TSS))
		return err_set(err, errno, "KVM_SET_TSS_ADDR: %s", strerror(errno));
	rc = create_irqchip(vm, err);
	if (!rc)
		rc = enable_x2apic(vm, err);
	if (!rc)
		rc = x86_legacy_claim(vm, err);
	return rc;
}

void arch_destroy(struct vm *vm)
{
	struct arch_vm *arch = vm->arch;

	if (!arch)
		return;
	if (arch->ioapic)
		arch->ioapic->device.ops->destroy(&arch->ioapic->device);
	if (arch->nowhere)
		close(arch->nowhere);
	free(arch->cpuid);
	free(arch);
	vm->arch = NULL;
}

int arch_describe(struct vm *vm, const struct device_list *devices, struct err *err)
{
	return x86_acpi_write(vm, devices, err);
}

/* ---- vCPUs ---- */

static int set_msrs(struct vcpu *vcpu, struct err *err)
{
	const struct kvm_msr_entry entries[] = {
		/* Without firmware nobody else turns the MTRRs on: all of memory is write-back. */
		{ .index = MSR_MTRR_DEF_TYPE, .data = MTRR_ENABLED_WRITE_BACK },
		{ .index = MSR_MISC_ENABLE, .data = MISC_ENABLE_FAST_STRING },
	};
	union {
		struct kvm_msrs msrs;
		uint8_t raw[sizeof(struct kvm_msrs) + sizeof(entries)];
	} arg = { .msrs.nmsrs = ARRAY_SIZE(entries) };

	memcpy(arg.msrs.entries, entries, sizeof(entries));
	if (ioctl(vcpu->fd, KVM_SET_MSRS, &arg.msrs) < 1)
		return err_set(err, errno, "KVM_SET_MSRS of vCPU %u: %s", vcpu->id,
			       strerror(errno));
	return 0;
}

/*
 * What firmware leaves in the local APIC: LINT0 external interrupts, LINT1 NMI. Writing it also
 * makes KVM recompute its map of APIC IDs, which lacks the newest vCPU until something does.
 */
static int set_lapic(struct vcpu *vcpu, struct err *err)
{
	struct kvm_lapic_state lapic;

	if (vcpu->vm->arch->irqchip == X86_IRQCHIP_NONE)
		return 0;
	if (ioctl(vcpu->fd, KVM_GET_LAPIC, &lapic))
		return err_set(err, errno, "KVM_GET_LAPIC of vCPU %u: %s", vcpu->id,
			       strerror(errno));
	put_le32(lapic.regs + LAPIC_LINT0, LVT_EXTINT);
	put_le32(lapic.regs + LAPIC_LINT1, LVT_NMI);
	if (ioctl(vcpu->fd, KVM_SET_LAPIC, &lapic))
		return err_set(err, errno, "KVM_SET_LAPIC of vCPU %u: %s", vcpu->id,
			       strerror(errno));
	return 0;
}

/*
 * Where the host is a guest itself each CPUID instruction is an exit of its own, and KVM executes
 * some seventy to tell what it supports: more than half of what else a tiny guest's start takes.
 * Our own images need none of it, nor what firmware leaves in MSRs and the local APIC (which they
 * enable themselves: KVM finds it then); but another CPU, which begins in real mode, may enable
 * long mode only if its CPUID has that.
 */
static bool needs_processor(const struct vm *vm)
{
	return !vm->arch->own_image || vm->config.cpus > 1;
}

int arch_vcpu_create(struct vcpu *vcpu, struct err *err)
{
	int rc = 0;

	if (vcpu->vm->config.hvt)
		return x86_hvt_create_vcpu(vcpu, err);
	if (needs_processor(vcpu->vm)) {
		rc = x86_cpuid_set(vcpu, err);
		if (!rc)
			rc = set_msrs(vcpu, err);
		if (!rc)
			rc = set_lapic(vcpu, err);
	}
	/* The others wait for INIT and SIPI, as KVM creates them. */
	if (!rc && vcpu->id == 0 && vcpu->vm->arch->loaded)
		rc = x86_set_entry(vcpu, err);
	return rc;
}

void arch_vcpu_destroy(struct vcpu *vcpu)
{
	(void)vcpu; /* nothing beside the fd */
}

int arch_vcpus_ready(struct vm *vm, struct err *err)
{
	(void)err;
	/* (A guest that is restored has booted.) */
	if (vm->arch->loaded && !vm->arch->own_image && !vm->config.not_linux && !vm->config.hvt)
		x86_legacy_drop(vm);
	return 0;
}

/* `count` accesses for a string instruction, else one. */
static void io_exit(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	for (uint32_t i = 0; i < run->io.count; i++) {
		bus_access(&vcpu->vm->pio, run->io.port, data, run->io.size,
			   run->io.direction == KVM_EXIT_IO_OUT);
		data += run->io.size;
	}
}

bool arch_vcpu_exit(struct vcpu *vcpu)
{
	switch (vcpu->run->exit_reason) {
	case KVM_EXIT_IO:
		io_exit(vcpu);
		return true;
	case KVM_EXIT_IOAPIC_EOI:
		if (vcpu->vm->arch->ioapic)
			ioapic_eoi(vcpu->vm->arch->ioapic, vcpu->run->eoi.vector);
		return true;
	case KVM_EXIT_HLT:
		x86_halted(vcpu);
		return true;
	default:
		return false;
	}
}

/* ---- For people ---- */

static void dump_code(struct vcpu *vcpu, uint64_t rip, const struct log *log)
{
	struct kvm_translation tr = { .linear_address = rip };
	const uint8_t *code = NULL;
	char text[3 * 15 + 1] = "";
	unsigned int n = 0;

	if (!ioctl(vcpu->fd, KVM_TRANSLATE, &tr) && tr.valid)
		code = mem_at(&vcpu->vm->mem, tr.physical_address, 1, MEM_R);
	while (code && n < 15 && mem_at(&vcpu->vm->mem, tr.physical_address, n + 1, MEM_R)) {
		snprintf(text + 3 * n, sizeof(text) - 3 * n, "%02x ", code[n]);
		n++;
	}
	log_at(log, LOG_ERROR, "  code at rip: %s", n ? text : "not mapped");
}

void arch_vcpu_dump(struct vcpu *vcpu, const struct log *log)
{
	struct kvm_regs r;
	struct kvm_sregs s;

	if (vcpu->run->kvm_dirty_regs) { /* it has not run yet */
		r = vcpu->run->s.regs.regs;
		s = vcpu->run->s.regs.sregs;
	} else if (ioctl(vcpu->fd, KVM_GET_REGS, &r) || ioctl(vcpu->fd, KVM_GET_SREGS, &s)) {
		return;
	}
#define R(field) ((unsigned long long)(field))
	log_at(log, LOG_ERROR, "  rip %016llx rsp %016llx rfl %016llx", R(r.rip), R(r.rsp),
	       R(r.rflags));
	log_at(log, LOG_ERROR, "  rax %016llx rbx %016llx rcx %016llx", R(r.rax), R(r.rbx),
	       R(r.rcx));
	log_at(log, LOG_ERROR, "  rdx %016llx rsi %016llx rdi %016llx", R(r.rdx), R(r.rsi),
	       R(r.rdi));
	log_at(log, LOG_ERROR, "  rbp %016llx r8  %016llx r9  %016llx", R(r.rbp), R(r.r8), R(r.r9));
	log_at(log, LOG_ERROR, "  r10 %016llx r11 %016llx r12 %016llx", R(r.r10), R(r.r11),
	       R(r.r12));
	log_at(log, LOG_ERROR, "  r13 %016llx r14 %016llx r15 %016llx", R(r.r13), R(r.r14),
	       R(r.r15));
	log_at(log, LOG_ERROR,
	       "  cr0 %08llx cr2 %016llx cr3 %08llx cr4 %08llx efer %llx cs %04x ss %04x", R(s.cr0),
	       R(s.cr2), R(s.cr3), R(s.cr4), R(s.efer), s.cs.selector, s.ss.selector);
#undef R
	dump_code(vcpu, s.cs.base + r.rip, log);
}

int arch_doctor(int kvm_fd)
{
	static const struct {
		int cap;
		const char *name, *what;
	} caps[] = {
		{ KVM_CAP_SPLIT_IRQCHIP, "SPLIT_IRQCHIP",
		  "fast start; without it the full irqchip is used" },
		{ KVM_CAP_TSC_DEADLINE_TIMER, "TSC_DEADLINE", "cheap timers" },
		{ KVM_CAP_X2APIC_API, "X2APIC_API", "more than 254 vCPUs" },
		{ KVM_CAP_ADJUST_CLOCK, "ADJUST_CLOCK", "kvmclock that survives a pause" },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(caps); i++)
		printf("  %-16s %-4s %s\n", caps[i].name,
		       kvm_cap(kvm_fd, caps[i].cap) ? "yes" : "no", caps[i].what);
	return 0;
}

/* Linux looks for that before it says that a CPU was stuck. An error: this guest has no kvmclock. */
void arch_resumed(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->n_vcpus; i++)
		ioctl(vm->vcpus[i].fd, KVM_KVMCLOCK_CTRL, 0);
}
