/* SPDX-License-Identifier: MIT */
/*
 * Device trees (arm/fdt.c, arm/dtb.c): the machine's own, of any machine; and a user's, which is
 * the input itself, or a machine's tree with some bytes changed. What the guest gets is a sound
 * tree in its place, with what the loader has to say.
 */
#include <errno.h>
#include <libfdt.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arm/arm.h"
#include "arm/map.h"
#include "tests/fuzz/fuzz.h"

#define RAM_SIZE (256 * KIB) /* that there is; what is told of it is more */
#define DEVICES 64

enum { OWN, USERS, DAMAGED, MODES };

struct machine {
	struct vm vm;
	struct arch_vm arch;
	struct device devices[DEVICES];
	struct device_list list;
	char cmdline[2048 + 1];
};

static void take_device(struct input *in, struct device *dev)
{
	uint8_t how = take_u8(in);

	*dev = (struct device){
		.name = "device",
		.kind = take_below(in, DEVICE_VIRTIO_MMIO + 1),
		.is_pio = how & 8,
		.base = how & 1 ? take_u64(in) : ARM_VIRTIO_MMIO + take_u8(in) * 0x200ull,
		.size = how & 2 ? take_u64(in) : 0x200,
		.irq = { .gsi = how & 4 ? take_u32(in) : 16,
			 .trigger = how & 16 ? IRQ_LEVEL : IRQ_EDGE },
	};
}

static void take_devices(struct input *in, struct machine *m)
{
	struct device **tail = &m->list.first;
	uint32_t n = take_below(in, DEVICES + 1);

	m->list.first = NULL;
	for (uint32_t i = 0; i < n && in->left; i++) {
		take_device(in, &m->devices[i]);
		*tail = &m->devices[i];
		tail = &m->devices[i].next;
	}
}

static void take_machine(struct input *in, struct machine *m)
{
	uint8_t how = take_u8(in);
	struct arch_vm *arch = &m->arch;
	uint16_t len = take_u8(in);

	*arch = (struct arch_vm){ .gic = (enum arm_gic)(how % 3), .cmdline = m->cmdline };
	arch->options.nested = how & 4;
	arch->options.pmu = how & 8;
	arch->options.has_seed = how & 16;
	m->vm.arch = arch;
	m->vm.config.mem = 256 * MIB;
	m->vm.config.cpus = 1 + take_below(in, 8);
	if (arch->gic != ARM_GIC_V2 && how & 32) /* it has no more than 8 */
		m->vm.config.cpus = 1 + take_u16(in) % 160;
	if (how & 64) {
		arch->initrd = take_u64(in);
		arch->initrd_size = take_u32(in);
	}
	arch->dtb_size = how & 128 ? take_u16(in) : RAM_SIZE;
	arch->dtb = ARM_RAM + align_down(RAM_SIZE - arch->dtb_size, 8);
	memset(m->cmdline, 'c', sizeof(m->cmdline));
	m->cmdline[len * 8] = '\0';
}

/* A file in memory that is the user's tree. */
static const char *users_file(const void *data, size_t size)
{
	static char path[64];
	static int fd = -1;

	if (fd < 0) {
		fd = memfd_create("dtb", MFD_CLOEXEC);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	CHECK(fd >= 0 && !ftruncate(fd, (off_t)size));
	CHECK(pwrite(fd, data, size, 0) == (ssize_t)size);
	return path;
}

/* The machine's own tree with some bytes that are others. */
static const char *damaged_file(struct input *in, const struct machine *m)
{
	static uint8_t fdt[RAM_SIZE];
	uint32_t n = take_below(in, 32), size;

	if (arm_fdt_make(&m->vm, &m->list, fdt, sizeof(fdt)))
		return NULL;
	size = fdt_totalsize(fdt);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = take_u16(in) % size;

		fdt[at] = take_u8(in);
	}
	return users_file(fdt, size);
}

static void check_tree(struct machine *m)
{
	const struct arch_vm *arch = &m->arch;
	const uint8_t *fdt = mem_at(&m->vm.mem, arch->dtb, arch->dtb_size, MEM_R);
	int chosen, len;

	CHECK(fdt && !fdt_check_full(fdt, arch->dtb_size));
	chosen = fdt_path_offset(fdt, "/chosen");
	CHECK(chosen >= 0);
	if (arch->cmdline[0]) {
		const char *args = fdt_getprop(fdt, chosen, "bootargs", &len);

		CHECK(args && len == (int)strlen(arch->cmdline) + 1 &&
		      !strcmp(args, arch->cmdline));
	}
	CHECK(!fdt_getprop(fdt, chosen, "linux,initrd-start", &len) == !arch->initrd_size);
	CHECK(fdt_getprop(fdt, chosen, "rng-seed", &len) && len == 64);
}

static bool all_zeros(const uint8_t *p, size_t len)
{
	return !len || (!p[0] && !memcmp(p, p + 1, len - 1));
}

static struct machine *fresh(void)
{
	static struct machine m;

	if (!m.vm.mem.ram) {
		CHECK(!mem_create(&m.vm.mem, MEM_ANON, -1, RAM_SIZE, NULL));
		CHECK(!mem_add_slot(&m.vm.mem, ARM_RAM, 0, RAM_SIZE));
	}
	memset(m.vm.mem.ram, 0, RAM_SIZE);
	return &m;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct machine *m = fresh();
	struct err err = { "" };
	uint32_t mode = take_below(&in, MODES);
	int rc;

	take_machine(&in, m);
	take_devices(&in, m);
	if (mode == USERS)
		m->arch.options.dtb = users_file(in.p, in.left);
	else if (mode == DAMAGED)
		m->arch.options.dtb = damaged_file(&in, m);
	rc = arm_dtb_write(&m->vm, &m->list, &err);
	CHECK(!rc == !err.text[0] && rc <= 0);
	if (!rc)
		check_tree(m);
	/* Nothing is before its place. */
	CHECK(all_zeros(m->vm.mem.ram, m->arch.dtb - ARM_RAM));
	return 0;
}
