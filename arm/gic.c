/* SPDX-License-Identifier: MIT */
/*
 * KVM's virtual GIC: version 2, 3, or 3 with an ITS (Documentation/virt/kvm/devices/arm-vgic*.rst).
 * It is made before the vCPUs, told its addresses, and initialised when all vCPUs exist.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "arm/arm.h"
#include "arm/map.h"
#include "util/util.h"
#include "vm/kvm.h"

#define GICV2_VCPUS 8
#define INTID_SPI 32 /* the first SPI's */

/* ---- The chip that devices see: SPIs by KVM_IRQ_LINE and irqfd ---- */

static void set_input(const struct arch_vm *arch, uint32_t spi, unsigned int level)
{
	struct kvm_irq_level irq = {
		.irq = KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | (spi + INTID_SPI),
		.level = level,
	};

	ioctl(arch->vm_fd, KVM_IRQ_LINE, &irq);
}

void arm_gic_set_line(struct arch_vm *arch, uint32_t spi, unsigned int level)
{
	_Atomic uint32_t *word = &arch->lines_up[spi / 32];

	if (level)
		atomic_fetch_or(word, 1u << spi % 32);
	else
		atomic_fetch_and(word, ~(1u << spi % 32));
	set_input(arch, spi, level);
}

/* The vGIC keeps an edge pending while the guest has it disabled. */
static void gic_raise(struct irq_chip *chip, const struct irq_line *line)
{
	struct arch_vm *arch = container_of(chip, struct arch_vm, chip);

	if (line->trigger == IRQ_LEVEL) {
		arm_gic_set_line(arch, line->gsi, 1);
		return;
	}
	set_input(arch, line->gsi, 1);
	set_input(arch, line->gsi, 0);
}

static void gic_lower(struct irq_chip *chip, const struct irq_line *line)
{
	arm_gic_set_line(container_of(chip, struct arch_vm, chip), line->gsi, 0);
}

/* KVM routes GSI n to SPI n from the vGIC's initialisation on, and refuses an irqfd before. */
static int gic_bind_fd(struct irq_chip *chip, const struct irq_line *line, int fd, bool bind)
{
	struct arch_vm *arch = container_of(chip, struct arch_vm, chip);

	return irq_kvm_irqfd(arch->irq, line->gsi, fd, bind);
}

static void gic_send_to_its(struct irq_chip *chip, const struct msi *msi)
{
	irq_msi_send(container_of(chip, struct arch_vm, chip)->irq, msi, true);
}

/* ---- Making it ---- */

static int create_device(int vm_fd, uint32_t type, uint32_t flags)
{
	struct kvm_create_device device = { .type = type, .flags = flags };

	if (ioctl(vm_fd, KVM_CREATE_DEVICE, &device))
		return -errno;
	return flags & KVM_CREATE_DEVICE_TEST ? 0 : (int)device.fd;
}

bool arm_gic_offered(int vm_fd, uint32_t type)
{
	return create_device(vm_fd, type, KVM_CREATE_DEVICE_TEST) == 0;
}

static int set_address(int fd, uint64_t type, uint64_t value, const char *what, struct err *err)
{
	int rc = arm_set_attr(fd, KVM_DEV_ARM_VGIC_GRP_ADDR, type, &value);

	return rc ? err_set(err, -rc, "KVM refuses the %s at 0x%llx: %s", what,
			    (unsigned long long)value, strerror(-rc))
		  : 0;
}

static int create_v2(struct vm *vm, struct err *err)
{
	struct arch_vm *arch = vm->arch;
	int rc;

	if (vm->config.cpus > GICV2_VCPUS)
		return err_set(err, ENOSPC,
			       "-c %u: GICv2 serves %u CPUs at most; GICv3 serves more",
			       vm->config.cpus, GICV2_VCPUS);
	arch->gic_fd = create_device(vm->fd, KVM_DEV_TYPE_ARM_VGIC_V2, 0);
	if (arch->gic_fd < 0)
		return err_set(err, -arch->gic_fd, "KVM cannot make a GICv2: %s",
			       strerror(-arch->gic_fd));
	rc = set_address(arch->gic_fd, KVM_VGIC_V2_ADDR_TYPE_DIST, ARM_GICD, "GIC distributor",
			 err);
	if (!rc)
		rc = set_address(arch->gic_fd, KVM_VGIC_V2_ADDR_TYPE_CPU, ARM_GICC,
				 "GIC CPU interface", err);
	return rc;
}

/* In two regions only when there must be: kernels before 4.18 know but the one. */
static int place_redistributors(struct vm *vm, struct err *err)
{
	int fd = vm->arch->gic_fd;
	uint64_t more = vm->config.cpus;
	int rc;

	if (vm->config.cpus <= ARM_GICR_VCPUS)
		return set_address(fd, KVM_VGIC_V3_ADDR_TYPE_REDIST, ARM_GICR, "GIC redistributors",
				   err);
	more -= ARM_GICR_VCPUS;
	rc = set_address(fd, KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION,
			 (uint64_t)ARM_GICR_VCPUS << 52 | ARM_GICR, "GIC redistributors", err);
	if (!rc)
		rc = set_address(fd, KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION,
				 more << 52 | ARM_GICR2 | 1, "GIC's further redistributors", err);
	return rc;
}

static int create_v3(struct vm *vm, struct err *err)
{
	struct arch_vm *arch = vm->arch;
	int rc;

	arch->gic_fd = create_device(vm->fd, KVM_DEV_TYPE_ARM_VGIC_V3, 0);
	if (arch->gic_fd < 0)
		return err_set(err, -arch->gic_fd, "KVM cannot make a GICv3: %s",
			       strerror(-arch->gic_fd));
	rc = set_address(arch->gic_fd, KVM_VGIC_V3_ADDR_TYPE_DIST, ARM_GICD, "GIC distributor",
			 err);
	return rc ? rc : place_redistributors(vm, err);
}

static int create_its(struct vm *vm, struct err *err)
{
	struct arch_vm *arch = vm->arch;

	arch->its_fd = create_device(vm->fd, KVM_DEV_TYPE_ARM_VGIC_ITS, 0);
	if (arch->its_fd < 0)
		return err_set(err, -arch->its_fd, "KVM cannot make an ITS: %s",
			       strerror(-arch->its_fd));
	return set_address(arch->its_fd, KVM_VGIC_ITS_ADDR_TYPE, ARM_ITS, "ITS", err);
}

/* What takes messages serves PCI alone. */
static const char *best(const struct vm *vm)
{
	if (!arm_gic_offered(vm->fd, KVM_DEV_TYPE_ARM_VGIC_V3))
		return vm->config.pci ? "gicv2m" : "gicv2";
	if (vm->config.pci && arm_gic_offered(vm->fd, KVM_DEV_TYPE_ARM_VGIC_ITS))
		return "gicv3-its";
	return "gicv3";
}

static int choose(struct vm *vm, enum arm_gic *gic, struct err *err)
{
	static const struct {
		const char *word;
		enum arm_gic gic;
		uint32_t type;
	} words[] = {
		{ "gicv2", ARM_GIC_V2, KVM_DEV_TYPE_ARM_VGIC_V2 },
		{ "gicv2m", ARM_GIC_V2, KVM_DEV_TYPE_ARM_VGIC_V2 },
		{ "gicv3", ARM_GIC_V3, KVM_DEV_TYPE_ARM_VGIC_V3 },
		{ "gicv3-its", ARM_GIC_V3_ITS, KVM_DEV_TYPE_ARM_VGIC_ITS },
	};
	const char *word = vm->config.irqchip ? vm->config.irqchip : best(vm);

	vm->arch->has_v2m = !strcmp(word, "gicv2m");
	for (unsigned int i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(word, words[i].word))
			continue;
		*gic = words[i].gic;
		if (arm_gic_offered(vm->fd, words[i].type)) {
			vm->config.irqchip = words[i].word;
			return 0;
		}
		if (!vm->config.irqchip)
			return err_set(
				err, ENOTSUP,
				"this host's KVM has no GIC for guests; lkvm doctor says why");
		return err_set(
			err, ENOTSUP,
			"--irqchip %s: this host's KVM has none; lkvm doctor tells what it has",
			word);
	}
	return err_set(err, EINVAL, "--irqchip %s: on arm it is gicv2, gicv2m, gicv3 or gicv3-its",
		       word);
}

/* The guest writes registers for each interrupt there is: no more than the machine has. */
static uint32_t n_intids(const struct vm *vm)
{
	uint32_t lines = vm->config.irq_lines;

	if (vm->arch->has_v2m)
		lines = MAX(lines, (uint32_t)(ARM_SPI_V2M + ARM_V2M_SPIS));
	return (uint32_t)MAX(align_up(INTID_SPI + lines, 32), 64ull);
}

int arm_gic_create(struct vm *vm, struct err *err)
{
	struct arch_vm *arch = vm->arch;
	uint32_t intids;
	int rc = choose(vm, &arch->gic, err);

	if (!rc && arch->options.nested && arch->gic == ARM_GIC_V2)
		rc = err_set(err, EINVAL, "--nested needs a GICv3");
	if (!rc)
		rc = arch->gic == ARM_GIC_V2 ? create_v2(vm, err) : create_v3(vm, err);
	if (rc)
		return rc;
	intids = n_intids(vm);
	rc = arm_set_attr(arch->gic_fd, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &intids);
	if (rc)
		return err_set(err, -rc, "KVM refuses a GIC of %u interrupts: %s", intids,
			       strerror(-rc));
	arch->gic_intids = intids;
	if (arch->gic == ARM_GIC_V3_ITS)
		rc = create_its(vm, err);
	log_at(&vm->config.log, LOG_INFO, "GICv%d%s with %u SPIs", arch->gic == ARM_GIC_V2 ? 2 : 3,
	       arch->gic == ARM_GIC_V3_ITS ? " and ITS"
	       : arch->has_v2m		   ? " and GICv2m"
					   : "",
	       intids - INTID_SPI);
	vm->irq.pins = intids - INTID_SPI;
	memset(vm->irq.used, 1, vm->irq.pins);
	arch->chip = (struct irq_chip){
		.lines = vm->irq.pins,
		.raise = gic_raise,
		.lower = gic_lower,
		.bind_fd = gic_bind_fd,
	};
	if (arch->gic == ARM_GIC_V3_ITS)
		arch->chip.send_msi = gic_send_to_its;
	else if (arch->has_v2m)
		arch->chip.send_msi = arm_v2m_send;
	vm->chip = &arch->chip;
	if (!rc && arch->has_v2m)
		rc = arm_v2m_claim(vm, err);
	return rc;
}

int arm_gic_ready(struct vm *vm, struct err *err)
{
	struct arch_vm *arch = vm->arch;
	int rc = arm_set_attr(arch->gic_fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT,
			      NULL);

	if (!rc && arch->its_fd >= 0)
		rc = arm_set_attr(arch->its_fd, KVM_DEV_ARM_VGIC_GRP_CTRL,
				  KVM_DEV_ARM_VGIC_CTRL_INIT, NULL);
	return rc ? err_set(err, -rc, "KVM cannot initialise the GIC: %s", strerror(-rc)) : 0;
}

void arm_gic_destroy(struct arch_vm *arch)
{
	if (arch->its_fd >= 0)
		close(arch->its_fd);
	if (arch->gic_fd >= 0)
		close(arch->gic_fd);
}
