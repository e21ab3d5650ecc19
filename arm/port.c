/* SPDX-License-Identifier: MIT */
/* The arm port: vm/arch.h, but for loading (arm/boot.c) and vCPUs (arm/vcpu.c). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "arm/arm.h"
#include "arm/map.h"
#include "util/util.h"
#include "vm/kvm.h"

#define MIN_RAM (2 * MIB)
#define LEAST_IPA_BITS 32u
#define DEFAULT_IPA_BITS 40u /* of kernels that can't be asked, and of type 0 */

const char *const arch_name = "aarch64";

const char *const arch_kernel_paths[] = {
	"Image",
	"arch/arm64/boot/Image",
	"arch/arm64/boot/Image.gz",
	"arch/arm64/boot/vmlinuz.efi",
	"arch/arm/boot/zImage",
	"vmlinux",
	NULL,
};

const char *const arch_console = "ttyAMA0";

const char arch_kvm_hint[] = "the host's kernel needs CONFIG_KVM and must be entered at EL2 (its "
			     "log then says \"started at EL2\"); that is the boot loader's affair";

const char arch_probe_hint[] =
	"  The guest turns on MMU, caches and FP, takes an exception and a timer's interrupt. The\n"
	"  host kernel's log may say what KVM found wrong with the processor or the GIC.\n";

/* A slot begins where a word of its dirty bitmap does. */
#define SLOT_ALIGN (64 * MEM_PAGE)

const uint64_t arch_own_ram = ARM_PVTIME_SIZE + SLOT_ALIGN;

const struct arch_map arch_map = {
	.uarts = {
		{ "pl011", "pl011",
		  { .base = ARM_PL011, .gsi = ARM_SPI_PL011, .trigger = IRQ_LEVEL } },
		{ "uart16550", "uart0",
		  { .base = ARM_UART16550, .gsi = ARM_SPI_UART16550, .trigger = IRQ_LEVEL } },
	},
	.rtc = { "pl031", "rtc",
		 { .base = ARM_PL031, .gsi = ARM_SPI_PL031, .trigger = IRQ_LEVEL } },
	.pvpanic = { "pvpanic", "pvpanic", { .base = ARM_PVPANIC } },
	.power_button = { "pl061", "gpio",
			  { .base = ARM_PL061, .gsi = ARM_SPI_PL061, .trigger = IRQ_LEVEL } },
	.vmgenid = { "vmgenid", "vmgenid",
		     { .base = ARM_VMGENID, .gsi = ARM_SPI_VMGENID, .trigger = IRQ_EDGE } },
	.virtio = { .base = ARM_VIRTIO_MMIO },
	.virtio_step = ARM_VIRTIO_MMIO_STEP,
	.virtio_slots = ARM_VIRTIO_SLOTS,
	.lines = ARM_SPI_VIRTIO,
	.pci = { .ecam = ARM_PCI_ECAM,
		 .window = ARM_PCI_WINDOW,
		 .window_size = ARM_PCI_WINDOW_SIZE,
		 .intx = { ARM_SPI_PCI, ARM_SPI_PCI + 1, ARM_SPI_PCI + 2, ARM_SPI_PCI + 3 } },
	.debug_exits = { { .place = { .base = ARM_DEBUG_EXIT } } },
	.n_debug_exits = 1,
	.hvt = { .base = ARM_HVT, .shift = 3 },
};

uint32_t arch_virtio_gsi(unsigned int slot)
{
	return ARM_SPI_VIRTIO + slot;
}

/* ---- RAM ---- */

static uint64_t highest_gpa(const struct vm_config *config)
{
	uint64_t end = ARM_RAM + config->mem;

	if (config->hvt)
		return ARM_HVT + GIB;
	if (config->cpus > ARM_GICR_VCPUS)
		end = MAX(end, ARM_GICR2 + (config->cpus - ARM_GICR_VCPUS) * ARM_GICR_STEP);
	return end;
}

/*
 * No more address bits than are needed: fewer levels of tables, and hosts that have few can do it.
 */
int arch_vm_type(int kvm_fd, const struct vm_config *config, unsigned long *type, struct err *err)
{
	unsigned int limit = (unsigned int)kvm_cap(kvm_fd, KVM_CAP_ARM_VM_IPA_SIZE);
	unsigned int bits = 64 - (unsigned int)__builtin_clzll(highest_gpa(config) - 1);

	bits = MAX(bits, LEAST_IPA_BITS);
	if (bits > (limit ? limit : DEFAULT_IPA_BITS))
		return err_set(
			err, EINVAL,
			"-m %llu MiB, %u vCPUs: this host's KVM has %u bits of guest-physical "
			"addresses (KVM_CAP_ARM_VM_IPA_SIZE), this guest needs %u",
			(unsigned long long)(config->mem / MIB), config->cpus,
			limit ? limit : DEFAULT_IPA_BITS, bits);
	*type = limit ? KVM_VM_TYPE_ARM_IPA_SIZE(bits) : 0;
	return 0;
}

int arch_layout(struct vm *vm, struct err *err)
{
	uint64_t ram = vm->config.mem;
	int rc;

	if (ram < MIN_RAM)
		return err_set(err, EINVAL,
			       "guest memory of %llu KiB is too little: 2 MiB is the least",
			       (unsigned long long)(ram / KIB));
	if (vm->config.hvt)
		return mem_add_slot(&vm->mem, 0, 0, ram);
	if (vm->config.cpus > ARM_GICR_VCPUS && ARM_RAM + ram > ARM_GICR2)
		return err_set(err, EINVAL, "with more than %u CPUs 255 GiB of memory is the most",
			       ARM_GICR_VCPUS);
	rc = mem_add_slot(&vm->mem, ARM_RAM, 0, ram);
	if (!rc && (arm_has_pvtime(vm) || !vm->config.not_linux))
		rc = mem_add_slot(&vm->mem, ARM_PVTIME, align_up(ram, SLOT_ALIGN), ARM_PVTIME_SIZE);
	return rc ? err_set(err, -rc, "guest memory can't be laid out: %s", strerror(-rc)) : 0;
}

/* ---- Life ---- */

static int enable_cap(struct vm *vm, uint32_t cap, const char *name, struct err *err)
{
	struct kvm_enable_cap arg = { .cap = cap };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &arg)
		       ? err_set(err, errno, "%s: %s", name, strerror(errno))
		       : 0;
}

int arch_create(struct vm *vm, struct err *err)
{
	struct arch_vm *arch = calloc(1, sizeof(*arch));
	int rc;

	if (!arch)
		return err_set(err, ENOMEM, "no memory for the machine");
	vm->arch = arch;
	arch->vm_fd = vm->fd;
	arch->irq = &vm->irq;
	arch->gic_fd = arch->its_fd = -1;
	if (vm->config.hvt)
		return 0;
	rc = arm_options_read(vm, err);
	arch->entry.is_32 = arch->options.aarch32; /* where no image is loaded, too */
	if (!rc && arch->options.mte)
		rc = enable_cap(vm, KVM_CAP_ARM_MTE, "--mte", err);
	/* Else KVM_RUN itself fails where an access can't be decoded, and the VM with it. */
	if (!rc && kvm_cap(vm->fd, KVM_CAP_ARM_NISV_TO_USER))
		rc = enable_cap(vm, KVM_CAP_ARM_NISV_TO_USER, "KVM_CAP_ARM_NISV_TO_USER", err);
	if (!rc)
		rc = arm_gic_create(vm, err);
	return rc;
}

void arch_destroy(struct vm *vm)
{
	if (!vm->arch)
		return;
	arm_gic_destroy(vm->arch);
	free(vm->arch);
	vm->arch = NULL;
}

int arch_describe(struct vm *vm, const struct device_list *devices, struct err *err)
{
	return arm_dtb_write(vm, devices, err);
}

/* Its counter ran on, and there is no word for that. */
void arch_resumed(struct vm *vm)
{
	(void)vm;
}
