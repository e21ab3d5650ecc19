/* SPDX-License-Identifier: MIT */
/*
 * PCI's configuration mechanism #1 (PCI Local Bus Specification 3.0, section 3.2.2.3.2): an address is
 * written to one port, four bytes are read or written at another. And the reset port of PCs, which lies
 * among them. What is done there is done to configuration space where ECAM has it.
 *
 * For images that may not look for ACPI's MCFG table. Linux does, and is better off without: it would
 * use these ports for all that they reach, two exits an access and not one.
 *
 * The write of an address could be one that KVM collects (KVM_CAP_COALESCED_PIO): half of the exits. But
 * a VM that has such a port takes 16 ms longer to end (0.07 without, host kernel 6.18), an exit 8 us, and
 * an image that looks through a bus makes a few hundred.
 */
#include <string.h>

#include "util/util.h"
#include "x86/map.h"
#include "x86/x86.h"

#define RESET_OFFSET (X86_PORT_RESET - X86_PORT_PCI_ADDRESS)
#define DATA_OFFSET (X86_PORT_PCI_DATA - X86_PORT_PCI_ADDRESS)
#define PORTS 8

#define ADDRESS_ENABLE (1u << 31)
#define ADDRESS_BITS 0x80fffffcu
#define CF9_RESET (1u << 2)

static void reset_port(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	(void)offset;
	if (!is_write)
		memset(data, 0, len);
	else if (*(uint8_t *)data & CF9_RESET)
		vm_end(opaque, VERDICT_RESET, 0);
}

/* Bus, device and function are 8 bits further up in ECAM. Another bus is none: that range is nobody's. */
static void access_config(struct vm *vm, uint32_t at, void *data, uint32_t len, bool is_write)
{
	uint32_t address = atomic_load(&vm->arch->pci_address);
	uint64_t offset = (uint64_t)(address & 0xffff00) << 4 | ((address & 0xfc) + at);

	if (address & ADDRESS_ENABLE && !(address & 0xff0000) && at + len <= 4)
		bus_access(&vm->mmio, X86_PCI_ECAM + offset, data, len, is_write);
	else if (!is_write)
		memset(data, 0xff, len);
}

/* The address is written and read whole. */
static void pci_ports(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	struct vm *vm = opaque;

	if (offset >= DATA_OFFSET)
		access_config(vm, (uint32_t)offset - DATA_OFFSET, data, len, is_write);
	else if (offset == RESET_OFFSET && len == 1)
		reset_port(vm, 0, data, len, is_write);
	else if (offset || len != 4)
		memset(data, 0xff, is_write ? 0 : len);
	else if (is_write)
		atomic_store(&vm->arch->pci_address, get_le32(data) & ADDRESS_BITS);
	else
		put_le32(data, atomic_load(&vm->arch->pci_address));
}

int x86_pci_ports_claim(struct vm *vm, struct err *err)
{
	if (vm->config.pci && vm->config.not_linux)
		return bus_claim(&vm->pio, X86_PORT_PCI_ADDRESS, PORTS, pci_ports, vm, "pci-ports",
				 err);
	return bus_claim(&vm->pio, X86_PORT_RESET, 1, reset_port, vm, "reset", err);
}
