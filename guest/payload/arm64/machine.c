/* SPDX-License-Identifier: MIT */
/* guest/payload/port.h for arm64. */
#include "guest/payload/arm64/lib.h"

#define PL011_LCR (ARM_PL011 + 0x2c)
#define PL011_CR (ARM_PL011 + 0x30)
#define PL011_IMSC (ARM_PL011 + 0x38)
#define PL011_DMACR (ARM_PL011 + 0x48)
#define PERIPHERAL_ID 0xfe0

#define UART_REG(n) (ARM_UART16550 + (n))

/* Not among them: the debug exit, and the GIC, which is KVM's. */
const struct place port_places[] = {
	{ "PL011", ARM_PL011, 0x50, false, ~0ull },
	{ "PL011", ARM_PL011, 0x1000, false, ~0ull },
	{ "16550", ARM_UART16550, 8, false, ~0ull },
	{ "PL031", ARM_PL031, 0x24, false, ~0ull },
	{ "PL031", ARM_PL031, 0x1000, false, ~0ull },
	{ "pvpanic", ARM_PVPANIC, 2, false, ~0x0303030303030303ull },
};
const unsigned int port_n_places = sizeof(port_places) / sizeof(port_places[0]);

/* Slots are neighbours, and an unaligned access to a device faults in the guest. */
const uint64_t port_virtio = ARM_VIRTIO_MMIO, port_virtio_step = ARM_VIRTIO_MMIO_STEP,
	       port_ecam = ARM_PCI_ECAM;
const unsigned int port_margin = 0;
const bool port_aligned = true;

/* ---- The MMU: 4 GiB 1:1, of which the second is RAM and the rest devices' ---- */

#define MAIR 0xff00ull /* 0: Device, 1: Normal, write-back */
#define BLOCK_DEVICE (1ull << 54 | 1ull << 53 | 1 << 10 | 1)
#define BLOCK_RAM (1ull << 10 | 3 << 8 | 1 << 2 | 1)
/* 39 bits, walked through caches, none in the upper half, output of 36 bits. */
#define TCR (1ull << 32 | 1 << 23 | 3 << 12 | 1 << 10 | 1 << 8 | 25)
#define SCTLR_ON (1 << 12 | 1 << 2 | 1)

static uint64_t table[512] __attribute__((aligned(4096)));

void port_init(void)
{
	/* The same from every CPU. */
	for (uint64_t i = 0; i < 4; i++)
		((volatile uint64_t *)table)[i] = i << 30 | (i == 1 ? BLOCK_RAM : BLOCK_DEVICE);
	write_sysreg(mair_el1, MAIR);
	write_sysreg(tcr_el1, TCR);
	write_sysreg(ttbr0_el1, (uint64_t)table);
	asm volatile("dsb sy; tlbi vmalle1; dsb sy; isb" ::: "memory");
	write_sysreg(sctlr_el1, read_sysreg(sctlr_el1) | SCTLR_ON);
}

/* ---- CPUs and memory ---- */

bool port_start_cpu(const void *boot, unsigned int i, void *stack_top)
{
	uint64_t mpidr;

	return fdt_cpu(boot, i, &mpidr) && !payload_start_ap(mpidr, stack_top);
}

void port_fence(void)
{
	asm volatile("dmb sy" ::: "memory");
}

uint64_t port_ram_end(const void *boot)
{
	struct fdt_walk w;

	fdt_begin(&w, boot);
	while (fdt_next(&w)) {
		if (w.depth == 2 && !str_eq(w.node, "memory") && w.node[0] == 'm' &&
		    w.node[1] == 'e' && str_eq(w.name, "reg") && w.len >= 16)
			return ((uint64_t)get_be32(w.value) << 32 | get_be32(w.value + 4)) +
			       ((uint64_t)get_be32(w.value + 8) << 32 | get_be32(w.value + 12));
	}
	return 0;
}

/* ---- Devices ---- */

uint64_t mmio_read(uint64_t at, unsigned int size)
{
	switch (size) {
	case 1:
		return read8(at);
	case 2:
		return read16(at);
	case 4:
		return read32(at);
	default:
		return read64(at);
	}
}

void mmio_write(uint64_t at, uint64_t v, unsigned int size)
{
	switch (size) {
	case 1:
		write8(at, (uint8_t)v);
		break;
	case 2:
		write16(at, (uint16_t)v);
		break;
	case 4:
		write32(at, (uint32_t)v);
		break;
	default:
		write64(at, v);
	}
}

uint64_t place_read(const struct place *p, uint64_t at, unsigned int size)
{
	(void)p;
	return mmio_read(at, size);
}

void place_write(const struct place *p, uint64_t at, uint64_t v, unsigned int size)
{
	(void)p;
	mmio_write(at, v, size);
}

/* What makes several accesses here (pairs) is what KVM can't emulate. */
void place_burst(const struct place *p, uint64_t at, unsigned int size, void *buffer,
		 unsigned int n, bool is_write)
{
	(void)p;
	(void)buffer;
	for (unsigned int i = 0; i < n; i++) {
		if (is_write)
			mmio_write(at, i, size);
		else
			mmio_read(at, size);
	}
}

/* Out of loopback, and on: 8 bits, FIFOs, no interrupts. */
void port_repair(void)
{
	write32(PL011_CR, 0);
	write32(PL011_IMSC, 0);
	write32(PL011_DMACR, 0);
	write32(PL011_LCR, 0x70);
	write32(PL011_CR, 0x301);
	write8(UART_REG(3), 3);
	write8(UART_REG(1), 0);
	write8(UART_REG(4), 0xb);
	write8(UART_REG(2), 7);
}

const char *port_check(void)
{
	if (read32(ARM_PL011 + PERIPHERAL_ID) != 0x11 || read32(PL011_LCR) != 0x70)
		return "PL011";
	write8(UART_REG(7), 0x5a);
	if (read8(UART_REG(7)) != 0x5a)
		return "16550";
	if (read32(ARM_PL031 + PERIPHERAL_ID) != 0x31)
		return "PL031";
	return NULL;
}
