/* SPDX-License-Identifier: MIT */
/* Touches what is not there and what is there in ways that no driver does; 0 if the VMM lives. */
#include "guest/payload/x86/lib.h"

#include "x86/map.h"

static void poke_port(uint16_t port)
{
	outb(port, 0xa5);
	outw(port, 0xa5a5);
	outl(port, 0xa5a5a5a5);
	inb(port);
	inl(port);
}

static void poke_memory(uint64_t base, uint64_t size)
{
	for (uint64_t at = base; at < base + size; at += 3) {
		asm volatile("movb %b0, (%1)" ::"q"(0x5a), "r"(at) : "memory");
		write32(at, 0xffffffff);
		asm volatile("movq %0, (%1)" ::"r"(~0ull), "r"(at) : "memory");
		read32(at);
	}
}

int payload_main(const void *zero_page)
{
	(void)zero_page;
	if (inb(0x1234) != 0xff || inl(0x1234) != 0xffffffff || read32(0xcff00000) != 0xffffffff)
		return 1;
	for (uint16_t port = X86_PORT_COM1; port < X86_PORT_COM1 + 8; port++)
		poke_port(port);
	poke_port(0x70);
	poke_port(0x71);
	poke_memory(X86_IOAPIC, 0x60);
	for (uint64_t slot = 0; slot < 3; slot++)
		poke_memory(X86_VIRTIO_MMIO + slot * X86_VIRTIO_MMIO_STEP, 0x110);
	return 0;
}
