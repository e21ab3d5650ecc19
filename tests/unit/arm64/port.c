/* SPDX-License-Identifier: MIT */
/*
 * What the arm port decides without a KVM: bits of addresses, affinities, and the device tree's
 * bytes.
 */
#include <errno.h>
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>

#include "arm/arm.h"
#include "arm/map.h"
#include "tests/unit/tap.h"
#include "util/util.h"

/* A KVM that can't be asked has 40 bits, by type 0. */
static void address_bits(void)
{
	struct vm_config config = { .cpus = 1, .mem = 1023 * GIB };
	unsigned long type = 1;
	struct err err;

	ok(!arch_vm_type(-1, &config, &type, &err) && !type, "1023 GiB fit into 40 bits");
	config.mem = 1023 * GIB + MEM_PAGE;
	ok(arch_vm_type(-1, &config, &type, &err) == -EINVAL && strstr(err.text, "40 bits"),
	   "a page more does not");
	config = (struct vm_config){ .cpus = 124, .mem = 1 * GIB };
	ok(!arch_vm_type(-1, &config, &type, &err), "redistributors past 256 GiB do");
}

static void affinities(void)
{
	ok(arm_mpidr(0) == 0 && arm_mpidr(15) == 15 && arm_mpidr(16) == 0x100 &&
		   arm_mpidr(511) == 0x1f0f && arm_mpidr(4096) == 0x10000,
	   "16 vCPUs to a cluster");
}

static const uint32_t *cells(const void *fdt, const char *path, const char *name, int *len)
{
	int node = fdt_path_offset(fdt, path);

	return node < 0 ? NULL : fdt_getprop(fdt, node, name, len);
}

static void tree(enum arm_gic gic, unsigned int cpus, const char *compatible, int regions)
{
	struct arch_vm arch = { .gic = gic };
	struct vm vm = { .config = { .cpus = cpus, .mem = 64 * MIB }, .arch = &arch };
	struct device dev = { .kind = DEVICE_PL011, .base = ARM_PL011, .size = 0x1000 };
	struct device other = { .kind = DEVICE_PRIVATE, .base = 0x1234000, .size = 0x1000 };
	struct device_list devices = { 0 };
	size_t size = 256 * KIB;
	void *fdt = malloc(size);
	const char *path = "/interrupt-controller@8000000";
	int len = 0;

	device_list_add(&devices, &dev);
	device_list_add(&devices, &other);
	ok(!arm_fdt_make(&vm, &devices, fdt, size) && !fdt_check_full(fdt, size),
	   "%s, %u CPUs: a whole tree", compatible, cpus);
	ok(!fdt_node_check_compatible(fdt, fdt_path_offset(fdt, path), compatible) &&
		   cells(fdt, path, "reg", &len) && len == 16 * regions,
	   "the GIC with %d regions", regions);
	ok(fdt_path_offset(fdt, "/pl011@9000000") > 0 && !strstr(fdt, "1234000"),
	   "the devices of a kind that guests are told of");
	ok(cells(fdt, "/timer", "interrupts", &len) && len == 48, "four timers");
	for (size_t less = 0; less < 1500; less += 100)
		ok(arm_fdt_make(&vm, &devices, fdt, less), "%zu bytes are too few", less);
	free(fdt);
}

static void saving(void)
{
	struct arch_vm arch = { .gic = ARM_GIC_V3 };
	struct vm vm = { .arch = &arch };
	struct err err = { "" };

	ok(!arch_can_be_saved(&vm, &err), "a guest can be saved");
	arch.options.mte = true;
	ok(arch_can_be_saved(&vm, &err) == -ENOTSUP && strstr(err.text, "--mte"),
	   "not one with tags: %s", err.text);
}

int main(void)
{
	saving();
	address_bits();
	affinities();
	tree(ARM_GIC_V2, 8, "arm,cortex-a15-gic", 2);
	tree(ARM_GIC_V3, 123, "arm,gic-v3", 2);
	tree(ARM_GIC_V3_ITS, 512, "arm,gic-v3", 3);
	return done_testing();
}
