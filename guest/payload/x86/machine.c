/* SPDX-License-Identifier: MIT */
/* guest/payload/port.h for x86. */
#include "guest/payload/x86/lib.h"

#include "x86/map.h"

#define COM1_REG(n) (X86_PORT_COM1 + (n))
#define IOAPIC_PIN0 0x10
#define IOAPIC_MASKED 0x10000u

#define E820_ENTRIES 0x1e8
#define E820_TABLE 0x2d0

/*
 * Not among them: the debug exit, which any write ends. Kept out of what is written: the bits of
 * ACPI's ports, port 0xcf9 and 0x64 that end the VM, or of pvpanic that fail it, and of the IOAPIC's entries those by which an
 * interrupt becomes an NMI, SMI or INIT, each the end of a payload that knows none.
 */
const struct place port_places[] = {
	{ "serial", X86_PORT_COM1, 8, true, ~0ull },
	{ "CMOS", X86_PORT_CMOS, 2, true, ~0ull },
	{ "keyboard", X86_PORT_KBD_COMMAND, 1, true, ~0x0202020202020202ull },
	{ "ACPI", X86_PORT_ACPI, 8, true, ~0x2121212121212121ull },
	{ "pvpanic", X86_PORT_PVPANIC, 1, true, ~0x0303030303030303ull },
	{ "reset", X86_PORT_RESET, 1, true, ~0x0404040404040404ull },
	{ "IOAPIC", X86_IOAPIC, X86_IOAPIC_SIZE, false, ~0x0606060606060606ull },
	{ "IOAPIC", X86_IOAPIC, 0x44, false, ~0x0606060606060606ull },
};
const unsigned int port_n_places = sizeof(port_places) / sizeof(port_places[0]);

const uint64_t port_virtio = X86_VIRTIO_MMIO, port_virtio_step = X86_VIRTIO_MMIO_STEP,
	       port_ecam = X86_PCI_ECAM;
const unsigned int port_margin = 8;
const bool port_aligned = false;

static unsigned int cpus(void)
{
	uint32_t a = 0xb, b, c = 1, d;

	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return b & 0xffff;
}

void port_init(void)
{
}

bool port_start_cpu(const void *boot, unsigned int i, void *stack_top)
{
	(void)boot;
	if (i >= cpus())
		return false;
	payload_start_ap(i, stack_top);
	return true;
}

void port_fence(void)
{
	asm volatile("lock; addl $0, (%%rsp)" ::: "memory", "cc");
}

uint64_t mmio_read(uint64_t at, unsigned int size)
{
	uint64_t v = 0;

	if (size == 1)
		asm volatile("movb (%1), %b0" : "+q"(v) : "r"(at) : "memory");
	else if (size == 2)
		asm volatile("movw (%1), %w0" : "+r"(v) : "r"(at) : "memory");
	else if (size == 4)
		asm volatile("movl (%1), %k0" : "=r"(v) : "r"(at) : "memory");
	else
		asm volatile("movq (%1), %0" : "=r"(v) : "r"(at) : "memory");
	return v;
}

void mmio_write(uint64_t at, uint64_t v, unsigned int size)
{
	if (size == 1)
		asm volatile("movb %b0, (%1)" ::"q"(v), "r"(at) : "memory");
	else if (size == 2)
		asm volatile("movw %w0, (%1)" ::"r"(v), "r"(at) : "memory");
	else if (size == 4)
		asm volatile("movl %k0, (%1)" ::"r"(v), "r"(at) : "memory");
	else
		asm volatile("movq %0, (%1)" ::"r"(v), "r"(at) : "memory");
}

uint64_t place_read(const struct place *p, uint64_t at, unsigned int size)
{
	uint16_t v;

	if (!p->is_port)
		return mmio_read(at, size);
	if (size == 1)
		return inb((uint16_t)at);
	if (size >= 4)
		return inl((uint16_t)at);
	asm volatile("inw %1, %0" : "=a"(v) : "Nd"((uint16_t)at));
	return v;
}

void place_write(const struct place *p, uint64_t at, uint64_t v, unsigned int size)
{
	if (!p->is_port)
		mmio_write(at, v, size);
	else if (size == 1)
		outb((uint16_t)at, (uint8_t)v);
	else if (size == 2)
		outw((uint16_t)at, (uint16_t)v);
	else
		outl((uint16_t)at, (uint32_t)v);
}

void place_burst(const struct place *p, uint64_t at, unsigned int size, void *buffer,
		 unsigned int n, bool is_write)
{
	uint64_t count = n;

	if (!p->is_port)
		return;
	if (is_write && size == 1)
		asm volatile("rep outsb"
			     : "+S"(buffer), "+c"(count)
			     : "d"((uint16_t)at)
			     : "memory");
	else if (is_write && size == 2)
		asm volatile("rep outsw"
			     : "+S"(buffer), "+c"(count)
			     : "d"((uint16_t)at)
			     : "memory");
	else if (is_write)
		asm volatile("rep outsl"
			     : "+S"(buffer), "+c"(count)
			     : "d"((uint16_t)at)
			     : "memory");
	else if (size == 1)
		asm volatile("rep insb" : "+D"(buffer), "+c"(count) : "d"((uint16_t)at) : "memory");
	else if (size == 2)
		asm volatile("rep insw" : "+D"(buffer), "+c"(count) : "d"((uint16_t)at) : "memory");
	else
		asm volatile("rep insl" : "+D"(buffer), "+c"(count) : "d"((uint16_t)at) : "memory");
}

uint64_t port_ram_end(const void *boot)
{
	const uint8_t *zero_page = boot;
	uint64_t end = 0;

	for (unsigned int i = 0; i < zero_page[E820_ENTRIES]; i++) {
		const uint8_t *entry = zero_page + E820_TABLE + i * 20;
		uint64_t last = *(const uint64_t *)entry + *(const uint64_t *)(entry + 8);

		if (*(const uint32_t *)(entry + 16) == 1 && last > end)
			end = last;
	}
	return end;
}

void port_repair(void)
{
	outb(COM1_REG(3), 3);	 /* 8 bits, and no DLAB */
	outb(COM1_REG(1), 0);	 /* no interrupts */
	outb(COM1_REG(4), 0xb);	 /* no loopback */
	outb(COM1_REG(2), 0x07); /* empty FIFOs */
}

const char *port_check(void)
{
	outb(COM1_REG(7), 0x5a);
	if (inb(COM1_REG(7)) != 0x5a || !(inb(COM1_REG(5)) & 0x20))
		return "serial";
	outb(X86_PORT_CMOS, 0x0d);
	if (inb(X86_PORT_CMOS + 1) != 0x80)
		return "CMOS";
	write32(X86_IOAPIC, IOAPIC_PIN0);
	write32(X86_IOAPIC + 0x10, IOAPIC_MASKED | 0x42);
	if (read32(X86_IOAPIC) != IOAPIC_PIN0 ||
	    (read32(X86_IOAPIC + 0x10) & (IOAPIC_MASKED | 0xff)) != (IOAPIC_MASKED | 0x42))
		return "IOAPIC";
	return NULL;
}
