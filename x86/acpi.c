/* SPDX-License-Identifier: MIT */
/*
 * Hardware-reduced ACPI (ACPI 6.4, section 4.1): RSDP, XSDT, FADT, MADT and a DSDT made from the
 * device list. Distribution kernels find virtio-mmio devices only here (LNRO0005), and the UART
 * (PNP0501), without whose entry user space's writes to ttyS0 vanish.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/util.h"
#include "vm/pci.h"
#include "x86/aml.h"
#include "x86/map.h"
#include "x86/x86.h"

#define HEADER_SIZE 36
#define RSDP_SIZE 36
_Static_assert(X86_ACPI + RSDP_SIZE <= X86_VMGENID, "they follow each other");

#define FADT_WBINVD (1u << 0)
#define FADT_PWR_BUTTON (1u << 4) /* no fixed-hardware button */
#define FADT_SLP_BUTTON (1u << 5)
#define FADT_RESET_REG (1u << 10)
#define FADT_HW_REDUCED (1u << 20)

#define BOOT_NO_VGA (1u << 2)
#define BOOT_NO_CMOS (1u << 5)

#define GAS_IO 1
#define GAS_BYTE 1

struct tables {
	struct mem *mem;
	uint64_t next; /* gpa of the next table */
	bool full;     /* one did not fit */
	bool no_virtio;
};

static uint8_t checksum(const uint8_t *p, size_t len)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + p[i]);
	return (uint8_t)-sum;
}

static void header(struct buf *b, const char *signature, uint8_t revision)
{
	buf_put(b, signature, 4);
	buf_put_le32(b, 0); /* length and, after the revision, checksum: by finish() */
	buf_put_u8(b, revision);
	buf_put_u8(b, 0);
	buf_put(b, "KINDLE", 6);
	buf_put(b, "KINDLING", 8);
	buf_put_le32(b, 1);
	buf_put(b, "KNDL", 4);
	buf_put_le32(b, 1);
}

/*
 * Writes the table to guest memory, frees the buffer. The table's gpa, or 0 when there is no room.
 */
static uint64_t finish(struct tables *t, struct buf *b)
{
	uint64_t gpa = t->next;

	if (!b->failed && range_in(gpa - X86_ACPI, b->len, X86_ACPI_END - X86_ACPI)) {
		put_le32(b->data + 4, (uint32_t)b->len);
		b->data[9] = 0;
		b->data[9] = checksum(b->data, b->len);
		t->full |= mem_write(t->mem, gpa, b->data, b->len) != 0;
		t->next = align_up(gpa + b->len, 16);
	} else {
		gpa = 0;
		t->full = true;
	}
	buf_free(b);
	return gpa;
}

static void dsdt_virtio_mmio(struct buf *b, const struct device *dev, unsigned int index)
{
	char name[5];
	size_t device, crs;

	snprintf(name, sizeof(name), "V%03X", index & 0xfff);
	device = aml_device(b, name);
	aml_name_string(b, "_HID", "LNRO0005");
	aml_name_int(b, "_UID", index);
	aml_name_int(b, "_CCA", 1);
	crs = aml_name_buffer(b, "_CRS");
	aml_memory32(b, (uint32_t)dev->base, (uint32_t)dev->size);
	aml_interrupt(b, dev->irq.gsi, dev->irq.trigger == IRQ_LEVEL);
	aml_end_buffer(b, crs);
	aml_end(b, device);
}

static void dsdt_uart(struct buf *b, const struct device *dev, unsigned int index)
{
	char name[5];
	size_t device, crs;

	snprintf(name, sizeof(name), "COM%X", index & 0xf);
	device = aml_device(b, name);
	aml_name_eisa(b, "_HID", "PNP0501");
	aml_name_int(b, "_UID", index);
	crs = aml_name_buffer(b, "_CRS");
	aml_io(b, (uint16_t)dev->base, (uint8_t)dev->size);
	aml_interrupt(b, dev->irq.gsi, dev->irq.trigger == IRQ_LEVEL);
	aml_end_buffer(b, crs);
	aml_end(b, device);
}

static void dsdt_pvpanic(struct buf *b, const struct device *dev)
{
	size_t device, crs;

	device = aml_device(b, "PEVT");
	aml_name_string(b, "_HID", "QEMU0001");
	crs = aml_name_buffer(b, "_CRS");
	aml_io(b, (uint16_t)dev->base, (uint8_t)dev->size);
	aml_end_buffer(b, crs);
	aml_end(b, device);
}

/* Microsoft, "Virtual Machine Generation ID": known by its compatible names, of which Linux takes the second. */
static void dsdt_vmgenid(struct buf *b, const struct device *dev)
{
	size_t device, list;

	device = aml_device(b, "VGID");
	aml_name_string(b, "_HID", "KNDL0001");
	list = aml_name_list(b, "_CID", 2);
	aml_string(b, "VM_Gen_Counter");
	aml_string(b, "VMGENCTR");
	aml_end(b, list);
	aml_name_string(b, "_DDN", "VM_Gen_Counter");
	list = aml_name_list(b, "ADDR", 2);
	aml_int(b, (uint32_t)dev->base);
	aml_int(b, (uint32_t)(dev->base >> 32));
	aml_end(b, list);
	aml_end(b, device);
}

static const struct device *find(const struct device_list *devices, enum device_kind kind)
{
	const struct device *d = devices->first;

	while (d && d->kind != kind)
		d = d->next;
	return d;
}

/* The power button, and who tells of it: section 5.6.9. */
static void dsdt_ged(struct buf *b, const struct device *dev, bool has_vmgenid)
{
	size_t device, crs, method;

	device = aml_device(b, "PWRB");
	aml_name_eisa(b, "_HID", "PNP0C0C");
	aml_name_int(b, "_UID", 0);
	aml_end(b, device);
	device = aml_device(b, "GED_");
	aml_name_string(b, "_HID", "ACPI0013");
	aml_name_int(b, "_UID", 0);
	crs = aml_name_buffer(b, "_CRS");
	aml_interrupt(b, dev->irq.gsi, dev->irq.trigger == IRQ_LEVEL);
	aml_end_buffer(b, crs);
	aml_port_byte(b, "EVTR", "EVTS", (uint16_t)dev->base);
	method = aml_method(b, "_EVT", 1);
	aml_load(b, "EVTS");
	aml_notify_if(b, GED_POWER_BUTTON, "PWRB");
	if (has_vmgenid)
		aml_notify_if(b, GED_VMGENID, "VGID");
	aml_end(b, method);
	aml_end(b, device);
}

/* The bridge, and with it what is behind it; and, for kernels that ask whom its ECAM belongs to. */
static void dsdt_pci(struct buf *b, const struct device *dev)
{
	const struct pci_config *pci = pci_config(dev);
	size_t device, crs;

	device = aml_device(b, "PCI0");
	aml_name_eisa(b, "_HID", "PNP0A08");
	aml_name_eisa(b, "_CID", "PNP0A03");
	aml_name_int(b, "_UID", 0);
	aml_name_int(b, "_SEG", 0);
	aml_name_int(b, "_BBN", 0);
	aml_name_int(b, "_CCA", 1);
	crs = aml_name_buffer(b, "_CRS");
	aml_buses(b, 0, 0);
	aml_memory_window32(b, (uint32_t)pci->window, (uint32_t)pci->window_size);
	aml_end_buffer(b, crs);
	aml_end(b, device);
	device = aml_device(b, "ECAM");
	aml_name_eisa(b, "_HID", "PNP0C02");
	aml_name_int(b, "_UID", 0);
	crs = aml_name_buffer(b, "_CRS");
	aml_memory32(b, (uint32_t)pci->ecam, PCI_BUS_SIZE);
	aml_end_buffer(b, crs);
	aml_end(b, device);
}

static uint64_t dsdt(struct tables *t, const struct device_list *devices)
{
	static const uint8_t s5[] = { X86_ACPI_S5, 0, 0, 0 };
	struct buf b = { 0 };
	unsigned int virtio = 0, uart = 0;
	size_t scope;

	header(&b, "DSDT", 2);
	aml_name_package(&b, "_S5_", s5, sizeof(s5));
	scope = aml_scope(&b, "_SB_");
	for (const struct device *d = devices->first; d; d = d->next) {
		if (d->kind == DEVICE_VIRTIO_MMIO && !t->no_virtio)
			dsdt_virtio_mmio(&b, d, virtio++);
		else if (d->kind == DEVICE_UART16550 && d->is_pio)
			dsdt_uart(&b, d, uart++);
		else if (d->kind == DEVICE_PVPANIC && d->is_pio)
			dsdt_pvpanic(&b, d);
		else if (d->kind == DEVICE_GED)
			dsdt_ged(&b, d, find(devices, DEVICE_VMGENID));
		else if (d->kind == DEVICE_VMGENID)
			dsdt_vmgenid(&b, d);
		else if (d->kind == DEVICE_PCI)
			dsdt_pci(&b, d);
	}
	aml_end(&b, scope);
	return finish(t, &b);
}

static void gas_io_byte(struct buf *b, uint64_t port)
{
	buf_put_u8(b, GAS_IO);
	buf_put_u8(b, 8);
	buf_put_u8(b, 0);
	buf_put_u8(b, GAS_BYTE);
	buf_put_le64(b, port);
}

/* ACPI 6.4, table 5.9: revision 6.4, 276 bytes. Offsets in comments, as a check while reading. */
static uint64_t fadt(struct tables *t, uint64_t dsdt_gpa)
{
	struct buf b = { 0 };

	header(&b, "FACP", 6);
	buf_put_zeros(&b, 109 - HEADER_SIZE);
	buf_put_le16(&b, BOOT_NO_VGA | BOOT_NO_CMOS); /* 109: IAPC_BOOT_ARCH */
	buf_put_u8(&b, 0);
	buf_put_le32(&b, FADT_WBINVD | FADT_PWR_BUTTON | FADT_SLP_BUTTON | FADT_RESET_REG |
				 FADT_HW_REDUCED); /* 112 */
	gas_io_byte(&b, X86_PORT_ACPI + 2);	   /* 116: RESET_REG */
	buf_put_u8(&b, X86_ACPI_RESET_VALUE);	   /* 128 */
	buf_put_le16(&b, 0);
	buf_put_u8(&b, 4);		    /* 131: minor version */
	buf_put_le64(&b, 0);		    /* 132: X_FIRMWARE_CTRL */
	buf_put_le64(&b, dsdt_gpa);	    /* 140: X_DSDT */
	buf_put_zeros(&b, 244 - 148);	    /* PM and GPE blocks: none */
	gas_io_byte(&b, X86_PORT_ACPI);	    /* 244: SLEEP_CONTROL_REG */
	gas_io_byte(&b, X86_PORT_ACPI + 1); /* 256: SLEEP_STATUS_REG */
	buf_put(&b, "KINDLING", 8);	    /* 268: hypervisor vendor */
	return finish(t, &b);
}

static uint64_t madt(struct tables *t, uint32_t cpus)
{
	struct buf b = { 0 };

	header(&b, "APIC", 5);
	buf_put_le32(&b, (uint32_t)X86_LAPIC);
	buf_put_le32(&b, 0); /* no 8259 */
	for (uint32_t id = 0; id < cpus; id++) {
		if (id < 255) { /* local APIC */
			buf_put_u8(&b, 0);
			buf_put_u8(&b, 8);
			buf_put_u8(&b, (uint8_t)id); /* ACPI processor UID */
			buf_put_u8(&b, (uint8_t)id);
			buf_put_le32(&b, 1);
		} else { /* local x2APIC */
			buf_put_u8(&b, 9);
			buf_put_u8(&b, 16);
			buf_put_le16(&b, 0);
			buf_put_le32(&b, id);
			buf_put_le32(&b, 1);
			buf_put_le32(&b, id);
		}
	}
	buf_put_u8(&b, 1); /* I/O APIC 0, GSIs from 0 */
	buf_put_u8(&b, 12);
	buf_put_le16(&b, 0);
	buf_put_le32(&b, (uint32_t)X86_IOAPIC);
	buf_put_le32(&b, 0);
	return finish(t, &b);
}

/* Where configuration space is (PCI Firmware Specification 3.3, section 4.1.2). */
static uint64_t mcfg(struct tables *t, const struct device *pci)
{
	struct buf b = { 0 };

	header(&b, "MCFG", 1);
	buf_put_le64(&b, 0);
	buf_put_le64(&b, pci_config(pci)->ecam);
	buf_put_le16(&b, 0); /* segment */
	buf_put_u8(&b, 0);   /* first bus, last bus */
	buf_put_u8(&b, 0);
	buf_put_le32(&b, 0);
	return finish(t, &b);
}

static uint64_t xsdt(struct tables *t, const uint64_t *gpas, unsigned int n)
{
	struct buf b = { 0 };

	header(&b, "XSDT", 1);
	for (unsigned int i = 0; i < n; i++)
		buf_put_le64(&b, gpas[i]);
	return finish(t, &b);
}

static int write_rsdp(struct mem *mem, uint64_t xsdt_gpa)
{
	uint8_t rsdp[RSDP_SIZE] = { 0 };

	memcpy(rsdp, "RSD PTR ", 8);
	memcpy(rsdp + 9, "KINDLE", 6);
	rsdp[15] = 2;
	put_le32(rsdp + 20, RSDP_SIZE);
	put_le64(rsdp + 24, xsdt_gpa);
	rsdp[8] = checksum(rsdp, 20);
	rsdp[32] = checksum(rsdp, RSDP_SIZE);
	return mem_write(mem, X86_ACPI, rsdp, sizeof(rsdp));
}

int x86_acpi_write(struct vm *vm, const struct device_list *devices, struct err *err)
{
	struct tables t = { .mem = &vm->mem,
			    .next = X86_ACPI_TABLES,
			    .no_virtio = vm->config.cmdline_devices };
	const struct device *pci = find(devices, DEVICE_PCI);
	uint64_t dsdt_gpa = dsdt(&t, devices);
	uint64_t gpas[3], xsdt_gpa = 0;
	unsigned int n = 0;

	gpas[n++] = fadt(&t, dsdt_gpa);
	gpas[n++] = madt(&t, vm->config.cpus);
	if (pci)
		gpas[n++] = mcfg(&t, pci);
	if (!t.full)
		xsdt_gpa = xsdt(&t, gpas, n);
	if (!xsdt_gpa || write_rsdp(&vm->mem, xsdt_gpa))
		return err_set(err, ENOSPC,
			       "the ACPI tables of %u CPUs and these devices do not fit",
			       vm->config.cpus);
	return 0;
}
