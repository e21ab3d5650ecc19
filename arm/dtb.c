/* SPDX-License-Identifier: MIT */
/*
 * The device tree that the guest gets: the machine's, or the user's own, which must agree on RAM;
 * and into either what the loader has to say, /chosen.
 */
#include <errno.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "arm/arm.h"
#include "arm/map.h"
#include "util/cmdline.h"
#include "util/file.h"
#include "util/util.h"

/* While a tree is made it may be larger than its place in the guest: it is packed in the end. */
#define ROOM_BASE (64 * KIB)
#define ROOM_CPU 256
#define ROOM_CHOSEN (16 * KIB)

/* ---- A user's tree ---- */

static uint64_t get_cells(const fdt32_t *cells, int n)
{
	uint64_t v = 0;

	while (n-- > 0)
		v = v << 32 | fdt32_ld(cells++);
	return v;
}

/* The memory nodes of the root: there, and nowhere else, a machine's RAM is told. */
static int next_memory(const void *fdt, int node)
{
	do {
		node = fdt_node_offset_by_prop_value(fdt, node, "device_type", "memory",
						     sizeof("memory"));
	} while (node >= 0 && fdt_node_depth(fdt, node) != 1);
	return node;
}

/* It must speak of the RAM that there is: a kernel that trusts a wrong tree dies in silence. */
static int check_memory(const void *fdt, const struct vm *vm, const char *path, struct err *err)
{
	int a = fdt_address_cells(fdt, 0), s = fdt_size_cells(fdt, 0), len = 0;
	int node = next_memory(fdt, -1);
	const fdt32_t *reg = node < 0 ? NULL : fdt_getprop(fdt, node, "reg", &len);
	uint64_t base, size;
	bool more;

	if (a < 1 || s < 1 || a > 2 || s > 2)
		return err_set(err, EINVAL,
			       "--dtb %s: its root's address and size cells are no 1 or 2", path);
	if (!reg || len < (a + s) * 4)
		return err_set(
			err, EINVAL,
			"--dtb %s: it has no memory (a node of the root with device_type and reg)",
			path);
	base = get_cells(reg, a);
	size = get_cells(reg + a, s);
	more = len != (a + s) * 4 || next_memory(fdt, node) >= 0;
	if (!more && base == ARM_RAM && size == vm->config.mem)
		return 0;
	return err_set(
		err, EINVAL,
		"--dtb %s: its memory is %llu KiB at 0x%llx%s, the machine's %llu KiB at 0x%llx",
		path, (unsigned long long)(size / KIB), (unsigned long long)base,
		more ? " and more" : "", (unsigned long long)(vm->config.mem / KIB), ARM_RAM);
}

static unsigned int count_cpus(const void *fdt)
{
	unsigned int n = 0;
	int node = -1;

	while ((node = fdt_node_offset_by_prop_value(fdt, node, "device_type", "cpu",
						     sizeof("cpu"))) >= 0)
		n++;
	return n;
}

/* As silent a death: redistributors, or CPUs, that are not there. */
static int check_cpus(const void *fdt, const struct vm *vm, const char *path, struct err *err)
{
	bool v3 = fdt_node_offset_by_compatible(fdt, -1, "arm,gic-v3") >= 0;
	unsigned int cpus = count_cpus(fdt);

	if (cpus != vm->config.cpus)
		return err_set(err, EINVAL, "--dtb %s: it has %u CPUs, the machine %u (-c)", path,
			       cpus, vm->config.cpus);
	if (v3 != (vm->arch->gic != ARM_GIC_V2))
		return err_set(err, EINVAL,
			       "--dtb %s: it has %s, the machine the other (--irqchip)", path,
			       v3 ? "a GICv3" : "no GICv3");
	return 0;
}

#define OLDEST 16 /* the first that Linux reads, of 2005 */

/* Older ones have node names over which libfdt's check falls (1.6.1 follows a null pointer). */
static int check_file(const struct file_map *file, const char *path, struct err *err)
{
	bool has_header = file->size >= sizeof(struct fdt_header) &&
			  fdt_magic(file->data) == FDT_MAGIC;

	if (has_header && fdt_version(file->data) < OLDEST)
		return err_set(err, EINVAL, "--dtb %s: it is of version %u; %u or later is wanted",
			       path, fdt_version(file->data), OLDEST);
	if (!has_header || fdt_check_full(file->data, file->size))
		return err_set(err, EINVAL, "--dtb %s: not a device tree, or a damaged one", path);
	return 0;
}

static int read_users(const struct vm *vm, void *fdt, size_t room, struct err *err)
{
	const char *path = vm->arch->options.dtb;
	struct file_map file;
	int rc = file_map(path, "device tree", &file, err);

	if (rc)
		return rc;
	rc = check_file(&file, path, err);
	if (!rc && (file.size > room - ROOM_CHOSEN || fdt_open_into(file.data, fdt, (int)room)))
		rc = err_set(err, E2BIG, "--dtb %s: %zu bytes are more than the %zu that fit", path,
			     file.size, room - (size_t)ROOM_CHOSEN);
	if (!rc)
		rc = check_memory(fdt, vm, path, err);
	if (!rc)
		rc = check_cpus(fdt, vm, path, err);
	file_unmap(&file);
	return rc;
}

/* ---- /chosen ---- */

static int put_seeds(void *fdt, int chosen, const struct arm_options *o)
{
	struct {
		uint64_t kaslr;
		uint8_t rng[64];
	} seeds;
	int rc;

	if (getrandom(&seeds, sizeof(seeds), 0) != (ssize_t)sizeof(seeds))
		return -FDT_ERR_INTERNAL;
	if (o->has_seed)
		seeds.kaslr = o->kaslr_seed;
	rc = fdt_setprop_u64(fdt, chosen, "kaslr-seed", seeds.kaslr);
	rc = rc ? rc : fdt_setprop(fdt, chosen, "rng-seed", seeds.rng, sizeof(seeds.rng));
	explicit_bzero(&seeds, sizeof(seeds));
	return rc;
}

static bool is_ttys0(const char *cmdline)
{
	const char *console = cmdline_last(cmdline, "console=");

	return console && !strncmp(console, "ttyS0", 5);
}

/*
 * `earlycon` without an address, and kernels without console=, find the console by this; so do images that know
 * one kind of UART alone, for which the user says console=ttyS0.
 */
static int put_stdout(void *fdt, int chosen, const char *cmdline, const struct device_list *devices)
{
	enum device_kind kind = is_ttys0(cmdline) ? DEVICE_UART16550 : DEVICE_PL011;
	char path[64];

	for (const struct device *dev = devices->first; dev; dev = dev->next) {
		if (dev->kind != kind)
			continue;
		snprintf(path, sizeof(path), "/%s@%llx", kind == DEVICE_PL011 ? "pl011" : "serial",
			 (unsigned long long)dev->base);
		return fdt_setprop_string(fdt, chosen, "stdout-path", path);
	}
	return 0;
}

static int put_initrd(void *fdt, int chosen, const struct arch_vm *arch)
{
	int rc;

	if (!arch->initrd_size) { /* what a user's tree says of one is of another run */
		fdt_delprop(fdt, chosen, "linux,initrd-start");
		fdt_delprop(fdt, chosen, "linux,initrd-end");
		return 0;
	}
	rc = fdt_setprop_u64(fdt, chosen, "linux,initrd-start", arch->initrd);
	return rc ? rc
		  : fdt_setprop_u64(fdt, chosen, "linux,initrd-end",
				    arch->initrd + arch->initrd_size);
}

static int put_chosen(void *fdt, const struct arch_vm *arch, const struct device_list *devices)
{
	int chosen = fdt_path_offset(fdt, "/chosen");
	int rc = 0;

	if (chosen == -FDT_ERR_NOTFOUND)
		chosen = fdt_add_subnode(fdt, 0, "chosen");
	if (chosen < 0)
		return chosen;
	if (arch->cmdline[0])
		rc = fdt_setprop_string(fdt, chosen, "bootargs", arch->cmdline);
	if (!rc)
		rc = put_initrd(fdt, chosen, arch);
	if (!rc && !arch->options.dtb)
		rc = put_stdout(fdt, chosen, arch->cmdline, devices);
	return rc ? rc : put_seeds(fdt, chosen, &arch->options);
}

/* ---- All of it ---- */

static int dump(const void *fdt, const char *path, struct err *err)
{
	int fd = file_create(path, "--dump-dtb", err);
	int rc;

	if (fd < 0)
		return fd;
	rc = ftruncate(fd, 0) && errno != EINVAL ? -errno : 0; /* EINVAL: a FIFO or a terminal */
	rc = rc ? rc : write_full(fd, fdt, fdt_totalsize(fdt));
	if (close(fd) && !rc)
		rc = -errno;
	return rc ? err_set(err, -rc, "--dump-dtb %s: %s", path, strerror(-rc)) : 0;
}

static int start(const struct vm *vm, const struct device_list *devices, void *fdt, size_t room,
		 struct err *err)
{
	int rc;

	if (vm->arch->options.dtb)
		return read_users(vm, fdt, room, err);
	rc = arm_fdt_make(vm, devices, fdt, room);
	rc = rc ? rc : fdt_open_into(fdt, fdt, (int)room);
	return rc ? err_set(err, EIO, "the device tree can't be made: %s", fdt_strerror(rc)) : 0;
}

static int finish(struct vm *vm, const struct device_list *devices, void *fdt, struct err *err)
{
	const struct arch_vm *arch = vm->arch;
	int rc = put_chosen(fdt, arch, devices);

	rc = rc ? rc : fdt_pack(fdt);
	if (rc)
		return err_set(err, EIO, "the device tree has no room for /chosen: %s",
			       fdt_strerror(rc));
	if (fdt_totalsize(fdt) > arch->dtb_size)
		return err_set(err, ENOMEM, "the device tree does not fit; give more with -m");
	if (arch->options.dump_dtb)
		rc = dump(fdt, arch->options.dump_dtb, err);
	return rc ? rc : mem_write(&vm->mem, arch->dtb, fdt, fdt_totalsize(fdt));
}

int arm_dtb_write(struct vm *vm, const struct device_list *devices, struct err *err)
{
	size_t room = vm->arch->dtb_size + ROOM_BASE + ROOM_CPU * vm->config.cpus + ROOM_CHOSEN;
	void *fdt = calloc(1, room);
	int rc;

	if (!fdt)
		return err_set(err, ENOMEM, "no memory for the device tree");
	rc = start(vm, devices, fdt, room, err);
	if (!rc)
		rc = finish(vm, devices, fdt, err);
	free(fdt);
	return rc;
}
