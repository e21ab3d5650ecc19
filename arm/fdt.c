/* SPDX-License-Identifier: MIT */
/*
 * The machine's device tree, from the list of devices and arm/map.h (Devicetree Specification 0.4,
 * and the bindings in Linux's Documentation/devicetree). arm/dtb.c adds what the loader has to say.
 */
#include <libfdt.h>
#include <linux/input-event-codes.h>
#include <stdio.h>
#include <string.h>

#include "arm/arm.h"
#include "arm/map.h"
#include "util/util.h"
#include "vm/pci.h"

#define PHANDLE_GIC 1
#define PHANDLE_CLOCK 2
#define PHANDLE_GPIO 4
#define PHANDLE_MSI 3 /* of the ITS, or the GICv2m frame */

/* Interrupt cells: type, number, flags. */
#define SPI 0
#define PPI 1
#define EDGE_RISING 1
#define LEVEL_HIGH 4

#define GPIO_ACTIVE_HIGH 0

/* A tree in the making. After the first failure everything else does nothing. */
struct tree {
	void *fdt;
	int rc; /* libfdt's */
};

static void begin(struct tree *t, const char *name)
{
	t->rc = t->rc ? t->rc : fdt_begin_node(t->fdt, name);
}

static void begin_at(struct tree *t, const char *name, uint64_t address)
{
	char text[64];

	snprintf(text, sizeof(text), "%s@%llx", name, (unsigned long long)address);
	begin(t, text);
}

static void end(struct tree *t)
{
	t->rc = t->rc ? t->rc : fdt_end_node(t->fdt);
}

static void flag(struct tree *t, const char *name)
{
	t->rc = t->rc ? t->rc : fdt_property(t->fdt, name, NULL, 0);
}

/* One string, or several with a NUL between. */
#define STRINGS(t, name, text) put_bytes(t, name, text, sizeof(text))

static void put_bytes(struct tree *t, const char *name, const void *bytes, size_t len)
{
	t->rc = t->rc ? t->rc : fdt_property(t->fdt, name, bytes, (int)len);
}

#define CELLS(t, name, ...)                                   \
	put_cells(t, name, (const uint32_t[]){ __VA_ARGS__ }, \
		  ARRAY_SIZE(((const uint32_t[]){ __VA_ARGS__ })))

/* An address or a size takes two cells everywhere but below /cpus. */
#define PAIR(v) (uint32_t)((uint64_t)(v) >> 32), (uint32_t)(v)

static void put_cells(struct tree *t, const char *name, const uint32_t *cells, size_t n)
{
	void *to;

	if (!t->rc)
		t->rc = fdt_property_placeholder(t->fdt, name, (int)(n * sizeof(fdt32_t)), &to);
	for (size_t i = 0; !t->rc && i < n; i++)
		fdt32_st((fdt32_t *)to + i, cells[i]);
}

/* ---- The machine's own parts ---- */

static void put_memory(struct tree *t, const struct vm *vm)
{
	begin_at(t, "memory", ARM_RAM);
	STRINGS(t, "device_type", "memory");
	CELLS(t, "reg", PAIR(ARM_RAM), PAIR(vm->config.mem));
	end(t);
}

static void put_cpus(struct tree *t, const struct vm *vm)
{
	begin(t, "cpus");
	CELLS(t, "#address-cells", 1);
	CELLS(t, "#size-cells", 0);
	for (unsigned int i = 0; i < vm->config.cpus; i++) {
		begin_at(t, "cpu", arm_mpidr(i));
		STRINGS(t, "device_type", "cpu");
		STRINGS(t, "compatible", "arm,armv8");
		CELLS(t, "reg", (uint32_t)arm_mpidr(i));
		STRINGS(t, "enable-method", "psci");
		end(t);
	}
	end(t);
}

/* A guest at EL2 makes hypercalls of its own, so it reaches us by SMC. */
static void put_psci(struct tree *t, const struct vm *vm)
{
	begin(t, "psci");
	STRINGS(t, "compatible", "arm,psci-1.0\0arm,psci-0.2");
	if (vm->arch->options.nested)
		STRINGS(t, "method", "smc");
	else
		STRINGS(t, "method", "hvc");
	end(t);
}

/* GICv2's PPIs name the CPUs that have them. */
static uint32_t ppi_flags(const struct vm *vm)
{
	if (vm->arch->gic != ARM_GIC_V2)
		return LEVEL_HIGH;
	return LEVEL_HIGH | ((1u << vm->config.cpus) - 1) << 8;
}

static void put_timer(struct tree *t, const struct vm *vm)
{
	uint32_t flags = ppi_flags(vm);

	begin(t, "timer");
	/* 32-bit kernels look for the second name. */
	STRINGS(t, "compatible", "arm,armv8-timer\0arm,armv7-timer");
	if (vm->arch->options.nested)
		CELLS(t, "interrupts", PPI, ARM_PPI_TIMER_SECURE, flags, PPI, ARM_PPI_TIMER_PHYS,
		      flags, PPI, ARM_PPI_TIMER_VIRT, flags, PPI, ARM_PPI_TIMER_HYP, flags, PPI,
		      ARM_PPI_TIMER_HYP_VIRT, flags);
	else
		CELLS(t, "interrupts", PPI, ARM_PPI_TIMER_SECURE, flags, PPI, ARM_PPI_TIMER_PHYS,
		      flags, PPI, ARM_PPI_TIMER_VIRT, flags, PPI, ARM_PPI_TIMER_HYP, flags);
	flag(t, "always-on");
	end(t);
}

static void put_pmu(struct tree *t, const struct vm *vm)
{
	if (!vm->arch->options.pmu)
		return;
	begin(t, "pmu");
	STRINGS(t, "compatible", "arm,armv8-pmuv3");
	CELLS(t, "interrupts", PPI, ARM_PPI_PMU, ppi_flags(vm));
	end(t);
}

static void put_its(struct tree *t)
{
	CELLS(t, "#address-cells", 2);
	CELLS(t, "#size-cells", 2);
	flag(t, "ranges");
	begin_at(t, "msi-controller", ARM_ITS);
	STRINGS(t, "compatible", "arm,gic-v3-its");
	CELLS(t, "reg", PAIR(ARM_ITS), PAIR(ARM_ITS_SIZE));
	flag(t, "msi-controller");
	CELLS(t, "#msi-cells", 1);
	CELLS(t, "phandle", PHANDLE_MSI);
	end(t);
}

static void put_v2m(struct tree *t)
{
	CELLS(t, "#address-cells", 2);
	CELLS(t, "#size-cells", 2);
	flag(t, "ranges");
	begin_at(t, "v2m", ARM_V2M);
	STRINGS(t, "compatible", "arm,gic-v2m-frame");
	CELLS(t, "reg", PAIR(ARM_V2M), PAIR(ARM_V2M_SIZE));
	flag(t, "msi-controller");
	CELLS(t, "phandle", PHANDLE_MSI);
	end(t);
}

static void put_gic_v2(struct tree *t)
{
	STRINGS(t, "compatible", "arm,cortex-a15-gic");
	CELLS(t, "reg", PAIR(ARM_GICD), PAIR(ARM_GICD_SIZE), PAIR(ARM_GICC), PAIR(ARM_GICC_SIZE));
}

static void put_gic_v3(struct tree *t, const struct vm *vm)
{
	uint64_t first = MIN(vm->config.cpus, ARM_GICR_VCPUS) * ARM_GICR_STEP;
	uint64_t rest = vm->config.cpus * ARM_GICR_STEP - first;

	STRINGS(t, "compatible", "arm,gic-v3");
	CELLS(t, "#redistributor-regions", rest ? 2 : 1);
	if (rest)
		CELLS(t, "reg", PAIR(ARM_GICD), PAIR(ARM_GICD_SIZE), PAIR(ARM_GICR), PAIR(first),
		      PAIR(ARM_GICR2), PAIR(rest));
	else
		CELLS(t, "reg", PAIR(ARM_GICD), PAIR(ARM_GICD_SIZE), PAIR(ARM_GICR), PAIR(first));
}

static void put_gic(struct tree *t, const struct vm *vm)
{
	const struct arch_vm *arch = vm->arch;

	begin_at(t, "interrupt-controller", ARM_GICD);
	if (arch->gic == ARM_GIC_V2)
		put_gic_v2(t);
	else
		put_gic_v3(t, vm);
	CELLS(t, "#interrupt-cells", 3);
	flag(t, "interrupt-controller");
	CELLS(t, "phandle", PHANDLE_GIC);
	if (arch->options.nested)
		CELLS(t, "interrupts", PPI, ARM_PPI_MAINTENANCE, ppi_flags(vm));
	if (arch->gic == ARM_GIC_V3_ITS)
		put_its(t);
	else if (arch->has_v2m)
		put_v2m(t);
	else
		CELLS(t, "#address-cells", 0); /* dtc wants it of any interrupt controller */
	end(t);
}

/* Linux's drivers for Arm's own UART and clock insist on one. */
static void put_clock(struct tree *t)
{
	begin(t, "apb-pclk");
	STRINGS(t, "compatible", "fixed-clock");
	CELLS(t, "#clock-cells", 0);
	CELLS(t, "clock-frequency", 24000000);
	STRINGS(t, "clock-output-names", "clk24mhz");
	CELLS(t, "phandle", PHANDLE_CLOCK);
	end(t);
}

/* ---- Devices ---- */

static void put_pl011(struct tree *t)
{
	STRINGS(t, "compatible", "arm,pl011\0arm,primecell");
	STRINGS(t, "clock-names", "uartclk\0apb_pclk");
	CELLS(t, "clocks", PHANDLE_CLOCK, PHANDLE_CLOCK);
}

static void put_pl031(struct tree *t)
{
	STRINGS(t, "compatible", "arm,pl031\0arm,primecell");
	STRINGS(t, "clock-names", "apb_pclk");
	CELLS(t, "clocks", PHANDLE_CLOCK);
}

static void put_pl061(struct tree *t)
{
	STRINGS(t, "compatible", "arm,pl061\0arm,primecell");
	STRINGS(t, "clock-names", "apb_pclk");
	CELLS(t, "clocks", PHANDLE_CLOCK);
	flag(t, "gpio-controller");
	CELLS(t, "#gpio-cells", 2);
	CELLS(t, "phandle", PHANDLE_GPIO);
}

/* Linux's Documentation/devicetree/bindings/rng/microsoft,vmgenid.yaml */
static void put_vmgenid(struct tree *t)
{
	STRINGS(t, "compatible", "microsoft,vmgenid");
}

static void put_uart16550(struct tree *t)
{
	STRINGS(t, "compatible", "ns16550a");
	CELLS(t, "clock-frequency", 1843200);
}

static void put_pvpanic(struct tree *t)
{
	STRINGS(t, "compatible", "qemu,pvpanic-mmio");
}

static void put_virtio(struct tree *t)
{
	STRINGS(t, "compatible", "virtio,mmio");
	flag(t, "dma-coherent");
}

/* The key that one of its lines comes from. */
static void put_power_key(struct tree *t)
{
	begin(t, "gpio-keys");
	STRINGS(t, "compatible", "gpio-keys");
	begin(t, "poweroff");
	STRINGS(t, "label", "GPIO Key Poweroff");
	CELLS(t, "linux,code", KEY_POWER);
	CELLS(t, "gpios", PHANDLE_GPIO, PL061_POWER_BUTTON, GPIO_ACTIVE_HIGH);
	end(t);
	end(t);
}

/* ---- PCI ---- */

#define PCI_MEMORY 0x02000000u /* of the first of an address's three cells */
#define PCI_DEVICE(n) ((uint32_t)(n) << 11)
#define PCI_INTA 1

/* Whose lines are INTA# of the first devices; the others follow in turn. */
static void put_intx(struct tree *t, const struct pci_config *pci)
{
	uint32_t cells[PCI_LINES][8];

	for (uint32_t i = 0; i < PCI_LINES; i++) {
		const uint32_t entry[8] = { PCI_DEVICE(i),     0,	    0,
					    PCI_INTA,	       PHANDLE_GIC, SPI,
					    pci->lines[i].gsi, LEVEL_HIGH };

		memcpy(cells[i], entry, sizeof(entry));
	}
	CELLS(t, "#interrupt-cells", 1);
	CELLS(t, "interrupt-map-mask", PCI_DEVICE(PCI_LINES - 1), 0, 0, 7);
	put_cells(t, "interrupt-map", cells[0], sizeof(cells) / sizeof(uint32_t));
}

/* Devicetree binding "pci-host-ecam-generic". */
static void put_pci(struct tree *t, const struct vm *vm, const struct device *dev)
{
	const struct pci_config *pci = pci_config(dev);

	begin_at(t, "pcie", dev->base);
	STRINGS(t, "compatible", "pci-host-ecam-generic");
	STRINGS(t, "device_type", "pci");
	CELLS(t, "reg", PAIR(dev->base), PAIR(dev->size));
	CELLS(t, "#address-cells", 3);
	CELLS(t, "#size-cells", 2);
	CELLS(t, "bus-range", 0, 0);
	CELLS(t, "linux,pci-domain", 0);
	CELLS(t, "ranges", PCI_MEMORY, PAIR(pci->window), PAIR(pci->window),
	      PAIR(pci->window_size));
	flag(t, "dma-coherent");
	if (vm->arch->gic == ARM_GIC_V3_ITS)
		CELLS(t, "msi-map", 0, PHANDLE_MSI, 0, 0x10000);
	else if (vm->arch->has_v2m)
		CELLS(t, "msi-parent", PHANDLE_MSI);
	else
		put_intx(t, pci);
	end(t);
}

static const struct {
	enum device_kind kind;
	const char *node;
	void (*put)(struct tree *t);
} kinds[] = {
	{ DEVICE_PL011, "pl011", put_pl011 },
	{ DEVICE_PL031, "pl031", put_pl031 },
	{ DEVICE_PL061, "pl061", put_pl061 },
	{ DEVICE_UART16550, "serial", put_uart16550 },
	{ DEVICE_PVPANIC, "pvpanic-mmio", put_pvpanic },
	{ DEVICE_VIRTIO_MMIO, "virtio_mmio", put_virtio },
	{ DEVICE_VMGENID, "vmgenid", put_vmgenid },
};

static void put_device(struct tree *t, const struct device *dev)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (kinds[i].kind != dev->kind)
			continue;
		begin_at(t, kinds[i].node, dev->base);
		kinds[i].put(t);
		CELLS(t, "reg", PAIR(dev->base), PAIR(dev->size));
		if (dev->kind != DEVICE_PVPANIC)
			CELLS(t, "interrupts", SPI, dev->irq.gsi,
			      dev->irq.trigger == IRQ_EDGE ? EDGE_RISING : LEVEL_HIGH);
		end(t);
	}
}

static void put_all(struct tree *t, const struct vm *vm, const struct device_list *devices)
{
	begin(t, "");
	CELLS(t, "#address-cells", 2);
	CELLS(t, "#size-cells", 2);
	STRINGS(t, "compatible", "linux,dummy-virt");
	STRINGS(t, "model", "kindling,lkvm");
	CELLS(t, "interrupt-parent", PHANDLE_GIC);
	put_memory(t, vm);
	put_cpus(t, vm);
	put_psci(t, vm);
	put_timer(t, vm);
	put_pmu(t, vm);
	put_gic(t, vm);
	put_clock(t);
	for (const struct device *dev = devices->first; dev; dev = dev->next) {
		if (dev->kind == DEVICE_PCI)
			put_pci(t, vm, dev);
		else
			put_device(t, dev);
		if (dev->kind == DEVICE_PL061)
			put_power_key(t);
	}
	end(t);
}

int arm_fdt_make(const struct vm *vm, const struct device_list *devices, void *fdt, size_t size)
{
	struct tree t = { .fdt = fdt };

	t.rc = fdt_create(fdt, (int)size);
	t.rc = t.rc ? t.rc : fdt_finish_reservemap(fdt);
	put_all(&t, vm, devices);
	return t.rc ? t.rc : fdt_finish(fdt);
}
