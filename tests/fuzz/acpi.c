/* SPDX-License-Identifier: MIT */
/*
 * The ACPI tables (x86/acpi.c, x86/aml.c) of machines with any devices and any number of CPUs: they
 * stay in their window, their sums are right, and a reader that trusts their lengths comes to their
 * ends, having met each device.
 */
#include <errno.h>

#include "tests/fuzz/fuzz.h"
#include "x86/map.h"
#include "x86/x86.h"

#define RAM X86_ACPI
#define RAM_SIZE (X86_HIGH_RAM - X86_ACPI)
/* Somewhat more than there is room for. */
#define DEVICES 3000
#define CPUS 9000

struct machine {
	struct vm vm;
	struct device devices[DEVICES];
	struct device_list list;
	unsigned int told; /* devices that a guest is to be told of */
};

static void take_device(struct input *in, struct device *dev)
{
	uint8_t how = take_u8(in);

	*dev = (struct device){
		.name = "device",
		.kind = how & 7 ? DEVICE_VIRTIO_MMIO : take_below(in, DEVICE_VIRTIO_MMIO + 1),
		.is_pio = how & 8,
		.base = how & 16 ? take_u64(in) : X86_VIRTIO_MMIO,
		.size = how & 32 ? take_u64(in) : 0x200,
		.irq = { .gsi = how & 64 ? take_u32(in) : 5,
			 .trigger = how & 128 ? IRQ_LEVEL : IRQ_EDGE },
	};
}

static void take_machine(struct input *in, struct machine *m)
{
	struct device **tail = &m->list.first;
	uint32_t copies;

	m->told = 0;
	m->list.first = NULL;
	m->vm.config.cpus = take_u8(in) & 1 ? take_u16(in) % CPUS : 1 + take_u8(in);
	copies = take_u8(in) & 1 ? 1 + take_u8(in) : 1;
	for (uint32_t i = 0; i < DEVICES && in->left; i++) {
		struct device *dev = &m->devices[i];

		if (i % copies)
			*dev = m->devices[i - 1];
		else
			take_device(in, dev);
		dev->next = NULL;
		*tail = dev;
		tail = &dev->next;
		m->told += dev->kind == DEVICE_VIRTIO_MMIO ||
			   ((dev->kind == DEVICE_UART16550 || dev->kind == DEVICE_PVPANIC) &&
			    dev->is_pio);
	}
}

/* ---- A reader ---- */

static uint8_t sum(const uint8_t *p, size_t len)
{
	uint8_t v = 0;

	while (len--)
		v = (uint8_t)(v + *p++);
	return v;
}

static const uint8_t *table(struct mem *mem, uint64_t gpa, const char *signature, uint32_t *len)
{
	const uint8_t *p = mem_at(mem, gpa, 36, MEM_R);

	CHECK(p && gpa % 16 == 0 && !memcmp(p, signature, 4));
	*len = get_le32(p + 4);
	CHECK(*len >= 36 && gpa >= X86_ACPI && gpa + *len <= X86_ACPI_END);
	CHECK(!sum(p, *len));
	return p;
}

/* A package's length and contents; `in` is past it. */
static struct input take_package(struct input *in)
{
	struct input inside;
	uint32_t lead = take_u8(in), extra = lead >> 6, len;

	len = extra ? (lead & 0xf) | (uint32_t)take(in, extra) << 4 : lead;
	CHECK(len >= 1 + extra && len - 1 - extra <= in->left);
	inside = (struct input){ in->p, len - 1 - extra };
	in->p += inside.left;
	in->left -= inside.left;
	return inside;
}

static void skip(struct input *in, size_t n)
{
	CHECK(n <= in->left);
	in->p += n;
	in->left -= n;
}

static void skip_resources(struct input in)
{
	uint8_t tag;

	CHECK(take_u8(&in) == 0x0b && take_u16(&in) == in.left);
	while ((tag = take_u8(&in)) != 0x79)
		skip(&in, tag & 0x80 ? take_u16(&in) : tag & 7);
	CHECK(in.left == 1 && !take_u8(&in));
}

static void skip_value(struct input *in)
{
	uint8_t op = take_u8(in);

	switch (op) {
	case 0x00:
	case 0x01:
		break;
	case 0x0a:
		skip(in, 1);
		break;
	case 0x0b:
		skip(in, 2);
		break;
	case 0x0c:
		skip(in, 4);
		break;
	case 0x0d:
		skip(in, strnlen((const char *)in->p, in->left) + 1);
		break;
	case 0x11:
		skip_resources(take_package(in));
		break;
	case 0x12:
		take_package(in);
		break;
	default:
		CHECK(!"a value that we never write");
	}
}

static void skip_name(struct input *in)
{
	CHECK(take_u8(in) == 0x08);
	skip(in, 4);
	skip_value(in);
}

static unsigned int count_devices(struct input in)
{
	unsigned int n = 0;

	for (; in.left; n++) {
		struct input dev;

		CHECK(take_u16(&in) == 0x825b);
		dev = take_package(&in);
		for (skip(&dev, 4); dev.left;)
			skip_name(&dev);
	}
	return n;
}

static void check_dsdt(const struct machine *m, const uint8_t *p, uint32_t len)
{
	struct input in = { p + 36, len - 36 }, scope;

	skip_name(&in);
	CHECK(take_u8(&in) == 0x10);
	scope = take_package(&in);
	CHECK(!in.left);
	skip(&scope, 5);
	CHECK(count_devices(scope) == m->told);
}

static void check_madt(const struct machine *m, const uint8_t *p, uint32_t len)
{
	struct input in = { p + 44, len - 44 };
	uint32_t cpus = 0;

	while (in.left) {
		uint8_t type = take_u8(&in), bytes = take_u8(&in);

		CHECK(bytes >= 2);
		skip(&in, bytes - 2u);
		cpus += type == 0 || type == 9;
	}
	CHECK(cpus == m->vm.config.cpus);
}

static void check_tables(struct machine *m)
{
	struct mem *mem = &m->vm.mem;
	const uint8_t *rsdp = mem_at(mem, X86_ACPI, 36, MEM_R), *xsdt, *fadt, *p;
	uint32_t len;

	CHECK(!memcmp(rsdp, "RSD PTR ", 8) && !sum(rsdp, 20) && !sum(rsdp, 36));
	xsdt = table(mem, get_le64(rsdp + 24), "XSDT", &len);
	CHECK(len == 36 + 2 * 8);
	fadt = table(mem, get_le64(xsdt + 36), "FACP", &len);
	CHECK(len == 276);
	p = table(mem, get_le64(xsdt + 44), "APIC", &len);
	check_madt(m, p, len);
	p = table(mem, get_le64(fadt + 140), "DSDT", &len);
	check_dsdt(m, p, len);
}

static struct machine *fresh(void)
{
	static struct machine m;

	if (!m.vm.mem.ram) {
		CHECK(!mem_create(&m.vm.mem, MEM_ANON, -1, RAM_SIZE, NULL));
		CHECK(!mem_add_slot(&m.vm.mem, RAM, 0, RAM_SIZE));
	}
	memset(m.vm.mem.ram, 0, RAM_SIZE);
	return &m;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t zeros[X86_HIGH_RAM - X86_ACPI_END];
	struct input in = { data, size };
	struct machine *m = fresh();
	struct err err = { "" };
	int rc;

	take_machine(&in, m);
	rc = x86_acpi_write(&m->vm, &m->list, &err);
	CHECK(!rc || (rc == -ENOSPC && err.text[0]));
	if (!rc)
		check_tables(m);
	/* Behind the window is the reset vector. */
	CHECK(!memcmp(m->vm.mem.ram + RAM_SIZE - sizeof(zeros), zeros, sizeof(zeros)));
	return 0;
}
